#!/usr/bin/env python3
"""Subscriptions to all conversations of a user, at whichever node: a session goes on after its node was killed, and a cursor
that one node gave is taken by another."""

import contextlib
import json
import unittest

from cluster import Cluster
from harness.client import Client, Closed
from harness.packets import PUBLISH

INBOX = "chat/+/msg"
CONVERSATIONS = [f"room{number}" for number in range(12)]


class Inbox(unittest.TestCase):
    def setUp(self):
        self.cluster = self.enterContext(Cluster())
        self.cluster.start()
        self.cluster.wait_spread()
        self.stack = self.enterContext(contextlib.ExitStack())

    def connect(self, node, client_id, **options):
        return self.stack.enter_context(Client(node.port, client_id, **options))

    def entries(self, client, count):
        """The next ones on conversations, as (conversation, payload); whatever comes twice counts once."""
        found = []
        while len(found) < count:
            message = client.message()
            one = (message.topic.split("/")[1], message.payload.decode())
            if message.topic.startswith("chat/") and message.value("kind") is None and one not in found:
                found.append(one)
        return sorted(found)

    def test_goes_on_at_another_node(self):
        one, two, three = self.cluster.nodes
        ann = self.connect(one, "ann", username="ann")
        for name in CONVERSATIONS:
            ann.publish(f"chat/{name}/ctl", '{"op":"create"}')
            ann.publish(f"chat/{name}/ctl", '{"op":"add","user":"bob"}')
        lasting = {"username": "bob", "clean": False, "values": {"session_expiry_interval": 3600}}
        phone = self.connect(two, "phone", **lasting)
        self.assertEqual(phone.subscribe(INBOX).reasons, (1,))
        tablet = self.connect(two, "tablet", username="bob")
        tablet.subscribe("client/tablet/reply")
        self.assertEqual(tablet.subscribe(INBOX).reasons, (1,))
        notice = tablet.expect(PUBLISH, where=lambda packet: packet.value("notice") == "cursor")
        cursor = json.loads(notice.payload)["cursor"]
        for name in CONVERSATIONS:
            ann.publish(f"chat/{name}/msg", "first")
        wanted = sorted((name, "first") for name in CONVERSATIONS)
        self.assertEqual(self.entries(phone, len(wanted)), wanted)
        two.kill()
        with self.assertRaises(Closed):
            while phone.receive() is not None:
                pass
        for name in CONVERSATIONS:
            ann.publish(f"chat/{name}/msg", "second")
        ann.publish("chat/late/ctl", '{"op":"create"}')
        ann.publish("chat/late/ctl", '{"op":"add","user":"bob"}')
        ann.publish("chat/late/msg", "second")
        later = sorted((name, "second") for name in [*CONVERSATIONS, "late"])
        phone = self.connect(three, "phone", **lasting)
        self.assertTrue(phone.connack.session_present)
        # What it acknowledged in the last second may come again.
        came = set()
        while not came.issuperset(later):
            came.update(self.entries(phone, 1))
        self.assertLessEqual(came, {*later, *wanted})
        other = self.connect(three, "other tablet", username="bob")
        suback = other.subscribe(INBOX, user=(("cursor", cursor),))
        self.assertEqual(suback.reasons, (1,), suback)
        self.assertEqual(self.entries(other, len(wanted) + len(later)), sorted([*wanted, *later]))


if __name__ == "__main__":
    unittest.main()
