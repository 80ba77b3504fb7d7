#!/usr/bin/env python3
"""Clients that go from node to node: taken over from one that lives, and from one that was killed and comes back."""

import contextlib
import unittest

from cluster import Cluster
from harness.client import Client, Closed

TAKEN_OVER = 0x8E
TOPIC = "chat/lobby/msg"
LASTING = {"clean": False, "values": {"session_expiry_interval": 3600}}


class Sessions(unittest.TestCase):
    def setUp(self):
        self.cluster = self.enterContext(Cluster())
        self.cluster.start()
        self.cluster.wait_spread()
        self.stack = self.enterContext(contextlib.ExitStack())

    def connect(self, node, client_id, **options):
        return self.stack.enter_context(Client(node.port, client_id, **options))

    def test_a_client_is_taken_over_from_a_living_node(self):
        one, two, three = self.cluster.nodes
        speaker = self.connect(one, "speaker")
        for options in (LASTING, {}):
            # Whichever node leads the client id's slot.
            for number in range(3):
                name = f"phone-{number}-{len(options)}"
                before = self.connect(two, name, **options)
                before.subscribe(TOPIC)
                after = self.connect(three, name, **options)
                self.assertEqual(before.expect_end().reason, TAKEN_OVER)
                self.assertEqual(after.connack.session_present, bool(options))
                if not options:
                    after.subscribe(TOPIC)
                speaker.publish(TOPIC, f"to {name}")
                self.assertEqual(after.message().payload, f"to {name}".encode())

    def test_a_session_goes_on_after_its_node_was_killed_and_came_back(self):
        one, two, three = self.cluster.nodes
        speaker = self.connect(one, "speaker")
        phone = self.connect(two, "phone", **LASTING)
        phone.subscribe(TOPIC)
        speaker.publish(TOPIC, "first")
        self.assertEqual(phone.message().payload, b"first")
        two.kill()
        with self.assertRaises(Closed):
            while phone.receive() is not None:
                pass
        speaker.publish(TOPIC, "while it was dead")
        phone = self.connect(three, "phone", **LASTING)
        self.assertTrue(phone.connack.session_present)
        came = phone.message().payload
        if came == b"first":  # Its acknowledgement may not have been written yet.
            came = phone.message().payload
        self.assertEqual(came, b"while it was dead")
        phone.subscribe("chat/kitchen/msg")
        # The old node is back, with an old replica of the session. What it has is void.
        two.start()
        self.cluster.wait_linked()
        phone = self.connect(two, "phone", **LASTING)
        self.assertTrue(phone.connack.session_present)
        speaker.publish("chat/kitchen/msg", "to its new subscription")
        payloads = [phone.message().payload]
        while payloads[-1] != b"to its new subscription":
            payloads.append(phone.message().payload)


if __name__ == "__main__":
    unittest.main()
