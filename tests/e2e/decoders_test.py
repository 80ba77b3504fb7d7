#!/usr/bin/env python3
"""The decoders that docs/PROTOCOL.md prints read what the broker sends with `meta` = `compact`, and with `accept` = `batch`."""

import json
import pathlib
import re
import subprocess
import unittest

from harness.client import Client
from harness.server import Server

PAGE = pathlib.Path(__file__).parent.parent.parent / "docs" / "PROTOCOL.md"
SENDERS = ["alice", "bob", "Zoë", "alice", "alice", "bob"]


def printed(language, what="decoders"):
    page = PAGE.read_text(encoding="utf-8")
    section = page.partition(f"<!-- {what}: begin -->")[2].partition(f"<!-- {what}: end -->")[0]
    return re.search(rf"```{language}\n(.*?)```", section, re.DOTALL).group(1)


def in_python(values):
    space = {}
    exec(printed("python"), space)  # pylint: disable=exec-used
    senders = {}
    return [space["describe"](value, senders) for value in values]


def in_javascript(values):
    program = printed("javascript") + """
const senders = {};
const values = JSON.parse(require("fs").readFileSync(0, "utf8"));
console.log(JSON.stringify(values.map((value) => describe(Buffer.from(value, "hex"), senders))));
"""
    result = subprocess.run(["node", "-e", program], input=json.dumps([value.hex() for value in values]),
                            capture_output=True, text=True, timeout=60, check=True)
    return json.loads(result.stdout)


class Decoders(unittest.TestCase):
    def test_read_what_the_broker_sends(self):
        with Server() as server, Client(server.port, "reader", user=(("meta", "compact"),), username="alice") as reader:
            reader.subscribe("chat/room/msg")
            receipts = []
            for number, sender in enumerate(SENDERS):
                with Client(server.port, f"{sender}.{number}", username=sender) as client:
                    receipts.append(client.publish("chat/room/msg", "hi", user=(("id", f"m{number}"),)))
            values = [message.properties["correlation_data"] for message in reader.messages(len(SENDERS))]
            for decode in (in_python, in_javascript):
                described = decode(values)
                self.assertEqual([entry["seq"] for entry in described], [int(one.value("seq")) for one in receipts])
                self.assertEqual([entry["ts"] for entry in described], [int(one.value("ts")) for one in receipts])
                self.assertEqual([entry["from"] for entry in described], SENDERS)
                self.assertEqual([entry.get("id") for entry in described],
                                 [f"m{number}" if sender == "alice" else None for number, sender in enumerate(SENDERS)])

    def test_read_batches(self):
        with Server() as server:
            receipts = []
            for number, sender in enumerate(SENDERS):
                with Client(server.port, f"{sender}.{number}", username=sender) as client:
                    values = {"payload_format_indicator": 1, "content_type": "text/x-test"} if number % 2 else {}
                    receipts.append(client.publish("chat/room/msg", f"number {number}" * 30, values=values,
                                                   user=(("id", f"m{number}"), ("thread", "x"))))
            with Client(server.port, "reader", user=(("accept", "batch"),), username="alice") as reader:
                reader.subscribe("chat/room/msg", user=(("since", 0),))
                batch = reader.message()
        self.assertEqual((batch.value("batch"), batch.properties["content_type"]), (str(len(SENDERS)), "application/cbor"))
        space = {}
        exec(printed("python", "batches"), space)  # pylint: disable=exec-used
        python = space["read_batch"](batch.payload)
        for number, entry in enumerate(python):
            self.assertIsInstance(entry["payload"], str if number % 2 else bytes)
            entry["payload"] = bytes(entry["payload"]).decode() if number % 2 == 0 else entry["payload"]
        program = printed("javascript", "batches") + """
const data = Buffer.from(require("fs").readFileSync(0, "utf8"), "hex");
const text = (one) => (typeof one === "string" ? one : new TextDecoder().decode(one));
console.log(JSON.stringify(readBatch(data).map((one) => ({ ...one, payload: text(one.payload) }))));
"""
        result = subprocess.run(["node", "-e", program], input=batch.payload.hex(), capture_output=True, text=True, timeout=60,
                                check=True)
        self.assertEqual(json.loads(result.stdout), python)
        self.assertEqual([entry["seq"] for entry in python], [int(one.value("seq")) for one in receipts])
        self.assertEqual([entry["ts"] for entry in python], [int(one.value("ts")) for one in receipts])
        self.assertEqual([entry["from"] for entry in python], SENDERS)
        self.assertEqual([entry["id"] for entry in python], [f"m{number}" for number in range(len(SENDERS))])
        self.assertEqual([entry["payload"] for entry in python], [f"number {number}" * 30 for number in range(len(SENDERS))])
        self.assertEqual([entry.get("type") for entry in python], [None, "text/x-test"] * 3)
        self.assertTrue(all(entry["props"] == [["thread", "x"]] for entry in python))


if __name__ == "__main__":
    unittest.main()
