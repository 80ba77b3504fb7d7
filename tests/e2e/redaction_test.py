#!/usr/bin/env python3
"""What is redacted is gone from the disk: its bytes are found in no file of the data directory once the broker says so, also
when it is killed at any moment in between; and readers see what a message has become. docs/PROTOCOL.md "Edits and redactions"."""

import json
import random
import time
import unittest

from harness.client import Client
from harness.server import Server

PURGED = "redacted content is gone from the files"
DEADLINE = 60.0


def files_with(directory, text):
    return [path for path in directory.rglob("*") if path.is_file() and text in path.read_bytes()]


class Redaction(unittest.TestCase):
    def server(self, **options):
        return self.enterContext(Server(**options))

    def client(self, server, name):
        return Client(server.port, f"{name}-{time.monotonic_ns()}", username=name)

    def command(self, client, **fields):
        return client.publish("chat/tea/ctl", json.dumps(fields))

    def redact_all(self, server, seqs):
        """Redacts them, and waits until the broker says that they are gone from the disk."""
        with self.client(server, "alice") as alice:
            for seq in seqs:
                self.assertIn(self.command(alice, op="redact", seq=seq).reason, (0, None), seq)
        self.wait_until_purged(server, len(seqs))

    def wait_until_purged(self, server, entries):
        gone = 0
        end = time.monotonic() + DEADLINE
        while gone < entries:
            self.assertLess(time.monotonic(), end, f"{gone} of {entries} entries are gone")
            time.sleep(0.05)
            with server.broker.arrived:
                gone = sum(line.get("entries", 0) for line in server.broker.lines if line.get("event") == PURGED)

    def test_nothing_is_left_of_a_message_and_its_edits(self):
        server = self.server()
        with self.client(server, "alice") as alice:
            for number in range(50):
                alice.publish("chat/tea/msg", f"ordinary {number}")
            seq = int(alice.publish("chat/tea/msg", "the unmentionable first").value("seq"))
            long = int(alice.publish("chat/tea/msg", "the unmentionable " * 2_000).value("seq"))
            time.sleep(2)  # So that it is in the store before it is edited.
            self.command(alice, op="edit", seq=seq, text="the unmentionable second, a bit longer than the first")
            time.sleep(2)
            self.command(alice, op="edit", seq=seq, text="the unmentionable third")
        self.assertEqual({path.name for path in files_with(server.data, b"unmentionable")}, {"log.mdb", "store.mdb"})
        self.redact_all(server, [seq, long])
        # Two messages and two edits.
        self.wait_until_purged(server, 4)
        self.assertEqual(files_with(server.data, b"unmentionable"), [])
        entries = server.history("tea")
        self.assertEqual([entry["seq"] for entry in entries if entry.get("redacted")], [seq, long, long + 1, long + 2])
        self.assertEqual(sum("ordinary" in entry.get("text", "") for entry in entries), 50)

    def test_nothing_is_left_after_kills_in_between(self):
        chance = random.Random(7)
        server = self.server()
        kept, told = {}, 0
        for _ in range(6):
            secrets = []
            with self.client(server, "alice") as alice:
                for number in range(100):
                    secret = chance.random() < 0.2
                    text = ("the unmentionable " if secret else "ordinary ") + "x" * chance.randrange(1_000) + str(number)
                    receipt = alice.publish("chat/tea/msg", text)
                    seq = int(receipt.value("seq"))
                    told = max(told, seq)
                    if secret:
                        secrets.append(seq)
                    else:
                        kept[seq] = text
                time.sleep(chance.uniform(0, 1.5))
                for seq in secrets:
                    told = max(told, int(self.command(alice, op="redact", seq=seq).value("seq")))
            time.sleep(chance.uniform(0, 2.5))
            server.broker.kill()
            server.start_broker()
        # A last one, so that the end of its pass says that all before it are over, too.
        with self.client(server, "alice") as alice:
            seq = int(alice.publish("chat/tea/msg", "the unmentionable end").value("seq"))
        time.sleep(2)
        self.redact_all(server, [seq])
        end = time.monotonic() + DEADLINE
        while files_with(server.data, b"unmentionable") and time.monotonic() < end:
            time.sleep(0.2)
        self.assertEqual(files_with(server.data, b"unmentionable"), [])
        entries = server.history("tea")
        self.assertEqual([entry["seq"] for entry in entries], list(range(1, len(entries) + 1)))
        self.assertGreaterEqual(len(entries), told)
        self.assertEqual({entry["seq"]: entry["text"] for entry in entries if "text" in entry}, kept)

    def test_publishers_and_readers_go_on_meanwhile(self):
        server = self.server(bridge=True)
        with self.client(server, "alice") as alice:
            for number in range(3_000):
                secret = number % 3 == 0
                alice.publish("chat/tea/msg", ("the unmentionable " if secret else "ordinary ") + str(number), qos=0)
            head = int(alice.publish("chat/tea/msg", "ordinary end").value("seq"))
            time.sleep(2)
            for seq in range(1, head, 3):
                self.command(alice, op="redact", seq=seq)
            end = time.monotonic() + DEADLINE
            said = 0
            while files_with(server.data, b"unmentionable"):
                self.assertLess(time.monotonic(), end, "something is left")
                alice.publish("chat/tea/msg", "ordinary meanwhile")
                said += 1
                self.assertEqual(len(server.history("tea")) >= head + said, True)
        server.broker.wait_for(PURGED)
        texts = [entry.get("text", "") for entry in server.history("tea")]
        self.assertEqual(sum(text.startswith("ordinary") for text in texts), 2_001 + said)


class Bridge(unittest.TestCase):
    def test_messages_are_edited_and_redacted_over_http(self):
        server = self.enterContext(Server(bridge=True))
        alice = {"Authorization": "Basic YWxpY2U6"}  # alice:
        bob = {"Authorization": "Basic Ym9iOg=="}
        path = "/v1/conversations/tea/messages"
        for text in ("one", "two", "three"):
            self.assertEqual(server.request("POST", path, body={"text": text}, headers=alice)[0], 201)
        _, headers, body = server.get(path, limit=2, after="seq:0")
        tag = headers["ETag"]
        self.assertIsNotNone(tag)
        self.assertEqual(server.request("GET", path, query={"limit": 2, "after": "seq:0"}, headers={"If-None-Match": tag})[0], 304)
        status, _, body = server.request("PATCH", path + "/1", body={"text": "uno"}, headers=alice | {"Idempotency-Key": "e1"})
        self.assertEqual((status, body["seq"], body["id"]), (200, 4, "e1"))
        status, _, body = server.request("PATCH", path + "/1", body={"text": "uno"}, headers=alice | {"Idempotency-Key": "e1"})
        self.assertEqual((status, body["seq"], body["dup"]), (200, 4, True))
        status, headers, body = server.request("GET", path, query={"limit": 2, "after": "seq:0"}, headers={"If-None-Match": tag})
        self.assertEqual((status, body["data"][0]["text"], body["data"][0]["edited"]), (200, "uno", True))
        edited = headers["ETag"]
        self.assertNotEqual(edited, tag)
        status, _, body = server.request("DELETE", path + "/2", headers=alice)
        self.assertEqual((status, body["seq"]), (200, 5))
        status, _, body = server.request("DELETE", path + "/2", headers=alice)
        self.assertEqual((status, body), (200, {"changed": False}))
        status, headers, body = server.request("GET", path, query={"limit": 2, "after": "seq:0"}, headers={"If-None-Match": edited})
        self.assertEqual(status, 200)
        self.assertNotIn("text", body["data"][1])
        self.assertIs(body["data"][1]["redacted"], True)
        for method, seq, body, who, status, code in (
            ("PATCH", 1, {"text": "x"}, bob, 403, "not-authorized"),
            ("DELETE", 1, None, bob, 403, "not-authorized"),
            ("PATCH", 2, {"text": "x"}, alice, 404, "not-found"),
            ("PATCH", 4, {"text": "x"}, alice, 404, "not-found"),
            ("DELETE", 99, None, alice, 404, "not-found"),
            ("PATCH", 1, {"txt": "x"}, alice, 400, "invalid-body"),
            ("PATCH", 1, {"text": "x", "props": [["a", "b"]]}, alice, 400, "invalid-body"),
            ("DELETE", 1, {"text": "x"}, alice, 400, "invalid-body"),
            ("DELETE", 1, None, {}, 401, "not-authenticated"),
            ("POST", 1, {"text": "x"}, alice, 405, "method-not-allowed"),
            ("DELETE", 0, None, alice, 404, "no-such-resource"),
            ("DELETE", "one", None, alice, 404, "no-such-resource"),
        ):
            got, _, answer = server.request(method, f"{path}/{seq}", body=body, headers=who)
            self.assertEqual((got, answer["code"]), (status, code), (method, seq, body))


if __name__ == "__main__":
    unittest.main()
