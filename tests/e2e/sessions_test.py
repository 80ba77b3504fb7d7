#!/usr/bin/env python3
"""Which sessions there are after the broker was killed, and which there aren't. MQTT 5 §4.1."""

import unittest

from harness.client import Client
from harness.server import Server

LASTING = {"clean": False, "values": {"session_expiry_interval": 1000}}


class Sessions(unittest.TestCase):
    def setUp(self):
        self.server = self.enterContext(Server())

    def connect(self, client_id, **options):
        return self.enterContext(Client(self.server.port, client_id, **options))

    def test_one_that_ends_with_its_connection_is_gone_after_a_kill(self):
        for client_id in ("ends", "stays"):
            client = self.connect(client_id, **LASTING)
            client.subscribe("a/#")
            client.subscribe("chat/lobby/msg")
            client.disconnect()
        self.assertTrue(self.connect("ends", clean=False).connack.session_present)
        self.assertTrue(self.connect("stays", **LASTING).connack.session_present)
        self.server.broker.kill()
        self.server.start_broker()
        self.assertFalse(self.connect("ends", **LASTING).connack.session_present)
        self.assertTrue(self.connect("stays", **LASTING).connack.session_present)


if __name__ == "__main__":
    unittest.main(verbosity=2)
