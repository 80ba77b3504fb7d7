#!/usr/bin/env python3
"""parleyctl clients list, show and kick, as an operator has them."""

import json
import subprocess
import unittest

from harness import packets
from harness.client import Client
from harness.server import BINARIES, Server, clean_environment

ADMINISTRATIVE_ACTION = 0x98


class Clients(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(Server(settings={"node.threads": 2}))

    def parleyctl(self, *arguments):
        result = subprocess.run([BINARIES / "parleyctl", "clients", *map(str, arguments), "--socket", self.server.data / "admin.sock"],
                                capture_output=True, text=True, timeout=60, check=False, env=clean_environment())
        return result.returncode, result.stdout, result.stderr

    def json_of(self, *arguments):
        status, out, err = self.parleyctl(*arguments, "--json")
        self.assertEqual(status, 0, err)
        return json.loads(out)

    def ids(self, *arguments):
        return [row["client_id"] for row in self.json_of("list", *arguments)]

    def connect(self, client_id, **options):
        client = self.enterContext(Client(self.server.port, client_id, **options))
        self.assertEqual(client.connack.reason, 0)
        return client

    def test_list(self):
        names = [f"list-{number:03}" for number in range(25)]
        for number, name in enumerate(names):
            self.connect(name, username="even" if number % 2 == 0 else "odd")
        self.connect("other", version=4)
        with Client(self.server.port, "list-gone", values={"session_expiry_interval": 60}) as gone:
            gone.disconnect()
        self.assertEqual(self.ids("--prefix", "list-"), names)
        self.assertEqual(self.ids("--prefix", "list-", "--limit", 7), names[:7])
        self.assertEqual(self.ids("--prefix", "list-", "--limit", 7, "--after", names[6]), names[7:14])
        self.assertEqual(self.ids("--prefix", "list-", "--user", "odd"), names[1::2])
        self.assertEqual(self.ids("--prefix", "list-", "--user", "nobody"), [])
        self.assertEqual(self.ids("--prefix", "list-", "--absent"), [*names, "list-gone"])
        status, out, _ = self.parleyctl("list")
        lines = {line.split()[0]: line.split() for line in out.splitlines()}
        self.assertEqual(status, 0)
        self.assertEqual(lines["CLIENT"][:6], ["CLIENT", "USER", "ADDRESS", "OVER", "MQTT", "FOR"])
        self.assertEqual((lines["list-000"][1], lines["list-000"][3:5]), ("even", ["tcp", "5.0"]))
        self.assertEqual(lines["other"][4], "3.1.1")

    def test_show(self):
        client = self.connect("show/me ä", username="ann", values={"session_expiry_interval": 300, "receive_maximum": 2})
        client.acknowledging = False
        client.subscribe("plain/show")
        client.subscribe("plain/more/#")
        speaker = self.connect("show-speaker")
        for _ in range(5):
            speaker.publish("plain/show", b"x")
        row = self.json_of("show", "show/me ä")
        address = "{}:{}".format(*client.socket.getsockname())
        expected = {"client_id": "show/me ä", "user": "ann", "connected": True, "address": address, "transport": "tcp", "version": "5.0",
                    "subscriptions": 2, "inflight": 2, "queued": 3, "expiry_seconds": 300}
        self.assertEqual({key: row[key] for key in expected}, expected)
        self.assertLess(row["connected_seconds"], 60)
        self.assertTrue(row["node"])
        client.socket.close()
        self.server.broker.wait_for("ready")
        for _ in range(100):
            row = self.json_of("show", "show/me ä")
            if not row["connected"]:
                break
        self.assertEqual((row["connected"], row["address"], row["version"]), (False, "", ""))
        status, _, err = self.parleyctl("show", "nobody")
        self.assertEqual((status, err), (1, "parleyctl: No node knows a client of this id.\n"))

    def test_kick(self):
        watcher = self.connect("kick-watcher")
        watcher.subscribe("wills/kick")
        client = self.connect("kick-me", username="ann", will=("wills/kick", b"gone", 0, False))
        status, out, _ = self.parleyctl("kick", "kick-me", "--reason", "too loud & proud")
        self.assertEqual(status, 0)
        self.assertIn("kick-me", out)
        end = client.expect_end()
        self.assertEqual((end.reason, end.properties["reason_string"]), (ADMINISTRATIVE_ACTION, "too loud & proud"))
        self.assertEqual(watcher.expect(packets.PUBLISH).payload, b"gone")
        line = self.server.broker.wait_for(lambda line: line.get("event") == "an operator ends a client's connection")
        self.assertEqual((line["client_id"], line["user"], line["why"]), ("kick-me", "ann", "too loud & proud"))
        old = self.connect("kick-old", version=4)
        self.assertEqual(self.parleyctl("kick", "kick-old")[0], 0)
        self.assertIsNone(old.expect_end())
        for name in ("kick-me", "kick-old", "nobody"):
            status, _, err = self.parleyctl("kick", name)
            self.assertEqual((status, err), (1, "parleyctl: No client of this id is connected to any node.\n"))
        self.connect("kick-me")  # It may come again.

    def test_what_is_wrong_is_said(self):
        self.assertEqual(self.parleyctl("kick")[0], 2)
        self.assertEqual(self.parleyctl("fly")[0], 2)
        status, _, err = self.parleyctl("kick", "nobody", "--reason", "x" * 300)
        self.assertEqual((status, err), (1, "parleyctl: A reason is a text of up to 256 bytes.\n"))
        self.assertEqual(self.ids("--limit", 0), [])


if __name__ == "__main__":
    unittest.main(verbosity=2)
