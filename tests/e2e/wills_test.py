#!/usr/bin/env python3
"""A broker that is killed together with its clients: their wills are published when it is back, once. MQTT 5 §3.1.2.5."""

import time
import unittest

from harness.client import Client
from harness.server import Server

LASTING = {"clean": False, "values": {"session_expiry_interval": 3600}}
TOPIC = "chat/lobby/msg"


class Wills(unittest.TestCase):
    def setUp(self):
        self.server = self.enterContext(Server())

    def connect(self, client_id, **options):
        return self.enterContext(Client(self.server.port, client_id, **options))

    def die(self):
        self.server.broker.kill()
        self.server.start_broker()

    def test_wills_are_published_after_a_kill(self):
        watcher = self.connect("watcher", **LASTING)
        for topic in (TOPIC, "wills/#"):
            watcher.subscribe(topic)
        self.connect("bye", will=(TOPIC, b"bye", 1, False)).disconnect()
        self.connect("short", will=(TOPIC, b"short", 1, False))
        self.connect("old", version=4, will=(TOPIC, b"old", 1, False))
        self.connect("lasting", **LASTING, will=("wills/lasting", b"lasting", 1, True))
        delayed = {"will_values": {"will_delay_interval": 2}}
        self.connect("late", **LASTING, will=(TOPIC, b"late", 1, False), **delayed)
        self.connect("back", **LASTING, will=(TOPIC, b"back", 1, False), **delayed)
        self.die()
        started = time.monotonic()
        self.assertTrue(self.connect("back", **LASTING).connack.session_present)
        self.assertFalse(self.connect("short").connack.session_present)
        watcher = self.connect("watcher", **LASTING)
        self.assertEqual(sorted(watcher.message().payload for _ in range(3)), [b"lasting", b"old", b"short"])
        self.assertEqual(watcher.message().payload, b"late")
        self.assertGreater(time.monotonic() - started, 1.0)
        fresh = self.connect("fresh")
        fresh.subscribe("wills/lasting")
        self.assertEqual(fresh.message().payload, b"lasting")
        self.assertIsNone(watcher.receive(2.5), "there is one more, or what was acknowledged isn't written")
        self.die()
        self.assertIsNone(self.connect("watcher", **LASTING).receive(3), "they are published once")

    def test_a_large_will_is_kept_as_it_is(self):
        watcher = self.connect("watcher", **LASTING)
        watcher.subscribe("wills/#")
        payload = bytes(range(256)) * 100
        self.connect("large", will=("wills/large", payload, 1, False))
        self.die()
        self.assertEqual(self.connect("watcher", **LASTING).message().payload, payload)

    def test_no_will_is_published_after_an_orderly_end(self):
        watcher = self.connect("watcher", **LASTING)
        watcher.subscribe(TOPIC)
        self.connect("short", will=(TOPIC, b"short", 1, False))
        self.connect("late", **LASTING, will=(TOPIC, b"late", 1, False), will_values={"will_delay_interval": 1})
        self.assertEqual(self.server.broker.stop(), 0)
        self.server.start_broker()
        self.assertIsNone(self.connect("watcher", **LASTING).receive(3))


if __name__ == "__main__":
    unittest.main(verbosity=2)
