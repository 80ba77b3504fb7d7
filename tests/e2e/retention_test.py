#!/usr/bin/env python3
"""Retention with a real broker and bridge: what is old goes, and everybody is told. docs/PROTOCOL.md "Retention"."""

import json
import time
import unittest

from harness.client import Client
from harness.server import Server

DEADLINE = 30.0


class Retention(unittest.TestCase):
    def wait_for_oldest(self, server, conversation, oldest):
        end = time.monotonic() + DEADLINE
        while True:
            _, _, body = server.get(f"/v1/conversations/{conversation}/messages", limit=1)
            if body["meta"]["oldest"] >= oldest:
                return body["meta"]
            self.assertLess(time.monotonic(), end, body["meta"])
            time.sleep(0.1)

    def test_what_is_old_goes_and_its_readers_are_told(self):
        server = self.enterContext(Server(bridge=True, settings={"chat.retention": "3s"}))
        with Client(server.port, "alice", username="alice") as alice:
            for number in range(5_000):
                alice.publish("chat/tea/msg", f"old {number}", qos=0)
            self.assertEqual(alice.publish("chat/tea/msg", "old").value("seq"), "5001")
            self.wait_for_oldest(server, "tea", 5_002)
            for number in range(3):
                alice.publish("chat/tea/msg", f"new {number}")
            bob = self.enterContext(Client(server.port, "bob", username="bob"))
            suback = bob.subscribe("chat/tea/msg", user=(("since", 100),))
            self.assertEqual(suback.value("oldest"), "5002")
            gap = bob.message()
            self.assertEqual((gap.value("kind"), gap.value("first"), gap.value("last")), ("gap", "101", "5001"))
            self.assertEqual([bob.message().value("seq") for _ in range(3)], ["5002", "5003", "5004"])
            status, _, body = server.get("/v1/conversations/tea/messages", after="seq:100")
            self.assertEqual((status, body["code"], body["oldest"]), (410, "below-retention", 5002))
        # A restart changes nothing of it.
        server.broker.kill()
        server.start_broker()
        self.wait_for_oldest(server, "tea", 5_002)

    def test_a_group_keeps_as_many_as_its_owner_wants(self):
        server = self.enterContext(Server(bridge=True))
        with Client(server.port, "alice", username="alice") as alice:
            alice.publish("chat/tea/ctl", json.dumps({"op": "create", "visibility": "public", "retention_count": 20}))
            for number in range(100):
                alice.publish("chat/tea/msg", f"text {number}")
            # One more than 20 may stay.
            self.wait_for_oldest(server, "tea", 82)
            body = server.get("/v1/conversations/tea/messages", limit=1000)[2]
            self.assertIn(body["meta"]["oldest"], (82, 83))
            self.assertEqual([entry["seq"] for entry in body["data"]], list(range(body["meta"]["oldest"], 103)))


if __name__ == "__main__":
    unittest.main()
