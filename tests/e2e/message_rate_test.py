#!/usr/bin/env python3
"""How much one user may send to one conversation, by all devices, over MQTT and HTTP. docs/LIMITS.md, [chat] max_message_rate."""

import base64
import re
import time
import unittest

from harness.client import Client, Closed
from harness.server import LocalConnection, Server

QUOTA_EXCEEDED = 0x97
BURST = 5  # Seconds' worth at once.


def basic(user):
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:".encode()).decode()}


class MessageRate(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        settings = {"chat.auto_create": "true", "chat.max_message_rate": "1"}
        cls.server = cls.enterClassContext(Server(bridge=True, settings=settings))

    def setUp(self):
        self.talk = self.id().rpartition(".")[2]
        self.users = 0

    def client(self, user, version=5, **options):
        self.users += 1
        return self.enterContext(Client(self.server.port, f"{user}-{self.talk}-{self.users}", version, username=user, **options))

    def post(self, user, text):
        return self.server.request("POST", f"/v1/conversations/{self.talk}/messages", body={"text": text}, headers=basic(user))

    def metrics(self):
        connection = LocalConnection(str(self.server.data / "admin.sock"))
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        connection.close()
        return text

    def use_up(self, *devices):
        """Sends until it is refused; returns how many were taken."""
        for taken in range(1000):
            ack = devices[taken % len(devices)].publish(f"chat/{self.talk}/msg", f"{taken}", user=[("id", f"m{taken}")])
            if ack.reason != 0:
                self.assertEqual((ack.reason, ack.value("error"), ack.value("retry-after")), (QUOTA_EXCEEDED, "rate", "1"))
                return taken
        raise AssertionError("nothing is refused")

    def test_holds_for_all_devices_of_a_user_over_mqtt_and_http(self):
        phone, laptop, bob = self.client("ann"), self.client("ann"), self.client("bob")
        begin = time.monotonic()
        taken = self.use_up(phone, laptop)
        self.assertGreaterEqual(taken, BURST)
        self.assertLessEqual(taken, BURST + 2 + time.monotonic() - begin)
        status, headers, body = self.post("ann", "too much")
        while status == 201:  # A second may have gone by.
            status, headers, body = self.post("ann", "too much")
        self.assertEqual((status, body["code"], headers["Retry-After"]), (429, "rate", "1"))
        again = phone.publish(f"chat/{self.talk}/msg", "0", user=[("id", "m0")])
        self.assertEqual((again.reason, again.value("seq"), again.value("dup")), (0, "1", "1"), "a repeat costs nothing")
        self.assertEqual(bob.publish(f"chat/{self.talk}/msg", "of another").reason, 0)
        self.assertEqual(phone.publish(f"chat/{self.talk}-too/msg", "elsewhere").reason, 0)
        deadline = time.monotonic() + 5
        while laptop.publish(f"chat/{self.talk}/msg", "later").reason != 0:
            self.assertLess(time.monotonic(), deadline, "a second brings another one")
        reached = re.search(r'^parley_limit_reached_total{limit="chat.max_message_rate"} (\d+)$', self.metrics(), re.MULTILINE)
        self.assertGreater(int(reached[1]), 0)
        told = self.server.broker.wait_for(lambda line: line.get("limit") == "chat.max_message_rate")
        self.assertEqual(told["event"], "a limit is reached")
        self.assertIn(told["user"], ("ann", "cat"))

    def test_closes_the_connection_of_3x_without_an_acknowledgement(self):
        old = self.client("cat", version=4)
        with self.assertRaises(Closed):
            for _ in range(1000):
                old.publish(f"chat/{self.talk}/msg", "x")


if __name__ == "__main__":
    unittest.main()
