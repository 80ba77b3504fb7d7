#!/usr/bin/env python3
"""Clients that go from node to node: taken over from one that lives, and from one that was killed and comes back."""

import contextlib
import time
import unittest

from cluster import Cluster, wait_until
from harness.client import Client, Closed

TAKEN_OVER = 0x8E
TOPIC = "chat/lobby/msg"
LASTING = {"clean": False, "values": {"session_expiry_interval": 3600}}


class Scene(unittest.TestCase):
    def setUp(self):
        self.cluster = self.enterContext(Cluster())
        self.cluster.start()
        self.cluster.wait_spread()
        self.stack = self.enterContext(contextlib.ExitStack())

    def connect(self, node, client_id, **options):
        return self.stack.enter_context(Client(node.port, client_id, **options))


class Sessions(Scene):

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


class Deaths(Scene):
    """What becomes of the clients of a node that is killed."""

    def heard(self, watcher, count, seconds):
        """(payload, after how long) of so many messages; nothing comes behind them."""
        began = time.monotonic()
        came = []
        while len(came) < count:
            came.append((watcher.message(seconds).payload.decode(), time.monotonic() - began))
        return came

    def test_wills_are_published_and_sessions_end(self):
        one, two, three = self.cluster.nodes
        watcher = self.connect(one, "watcher")
        for topic in (TOPIC, "wills/#"):
            watcher.subscribe(topic)
        # Several of each kind, so that every node leads some of their slots; clients die with their node.
        names = [f"phone{i}" for i in range(6)]
        short = {"clean": False, "values": {"session_expiry_interval": 3}}
        for name in names:
            self.connect(two, f"{name}.now", will=(TOPIC, f"{name} now".encode(), 1, False))
            self.connect(two, f"{name}.plain", will=(f"wills/{name}", f"{name} plain".encode(), 1, False))
            self.connect(two, f"{name}.later", **LASTING, will=(TOPIC, f"{name} later".encode(), 1, False),
                         will_values={"will_delay_interval": 3})
            self.connect(two, f"{name}.back", **LASTING, will=(TOPIC, f"{name} is back".encode(), 1, False),
                         will_values={"will_delay_interval": 3})
            self.connect(two, f"{name}.bye", will=(TOPIC, b"said goodbye", 1, False)).disconnect()
            self.connect(two, f"{name}.short", **short)
        stays = self.connect(two, "stays", **LASTING)
        stays.subscribe(TOPIC)
        two.kill()
        for name in names:
            back = self.connect(three, f"{name}.back", **LASTING)
            self.assertTrue(back.connack.session_present)
        came = self.heard(watcher, 3 * len(names), 20)
        payloads = sorted(payload for payload, _ in came)
        self.assertEqual(payloads, sorted(f"{name} {word}" for name in names for word in ("now", "plain", "later")))
        at = {word: [after for payload, after in came if payload.endswith(word)] for word in ("now", "plain", "later")}
        self.assertGreater(min(at["later"]), 1.5)
        print("wills after a node's death: without delay after {:.2f} to {:.2f} s, with 3 s after {:.2f} to {:.2f} s".format(
            min(at["now"] + at["plain"]), max(at["now"] + at["plain"]), min(at["later"]), max(at["later"])))
        present = {name: self.connect(three, f"{name}.short", **LASTING).connack.session_present for name in names}
        self.assertEqual(present, dict.fromkeys(names, False), "sessions that expired")
        self.assertTrue(self.connect(three, "stays", **LASTING).connack.session_present)
        # Back again, the node knows of none of them.
        two.start()
        self.cluster.wait_linked()
        self.assertIsNone(watcher.receive(5), "a will comes twice")

    def test_a_node_that_comes_back_at_once_has_its_wills_published(self):
        one, two, _ = self.cluster.nodes
        watcher = self.connect(one, "watcher")
        watcher.subscribe(TOPIC)
        names = [f"phone{i}" for i in range(4)]
        for name in names:
            self.connect(two, name, will=(TOPIC, name.encode(), 1, False))
            self.connect(two, f"{name}.short", clean=False, values={"session_expiry_interval": 2})
        two.kill()
        two.start()
        self.cluster.wait_linked()
        self.assertEqual(sorted(payload for payload, _ in self.heard(watcher, len(names), 20)), names)
        self.assertIsNone(watcher.receive(3))
        for name in names:
            wait_until(lambda name=name: not self.connect(one, f"{name}.short", **LASTING).connack.session_present,
                       "the session has expired")


if __name__ == "__main__":
    unittest.main()
