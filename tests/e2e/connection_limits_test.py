#!/usr/bin/env python3
"""Connections above a limit: the first ones are told so by CONNACK, in their version's words, over each transport; a flood of
them is closed at once; and who is within the limit notices nothing."""

import http.client
import re
import socket
import ssl
import time
import unittest

from harness import packets
from harness.certificates import temporary_authority
from harness.client import Client
from harness.server import Server, free_port

QUOTA_EXCEEDED = 0x97
DEADLINE = 20
SURPLUS = 256  # docs/LIMITS.md.
ADDRESS_SURPLUS = 8


def wait(what):
    end = time.monotonic() + DEADLINE
    while not what():
        if time.monotonic() > end:
            raise AssertionError("it doesn't come to that")
        time.sleep(0.05)


def reached(server, limit):
    connection = http.client.HTTPConnection("node")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(server.data / "admin.sock"))
    connection.request("GET", "/metrics")
    text = connection.getresponse().read().decode()
    connection.close()
    return int(re.search(rf'^parley_limit_reached_total{{limit="mqtt.{limit}"}} (\d+)', text, re.M)[1])


def open_socket(port, address="127.0.0.1"):
    return socket.create_connection(("127.0.0.1", port), timeout=DEADLINE, source_address=(address, 0))


def hear_all(connection):
    data = b""
    try:
        while part := connection.recv(4096):
            data += part
    except ConnectionError:
        pass
    return data


class Limited(unittest.TestCase):
    SETTINGS = {}
    LIMIT = ""
    ERROR = ""
    RETRY_AFTER = None

    @classmethod
    def setUpClass(cls):
        if cls is Limited:
            raise unittest.SkipTest("each kind of limit is a class of its own")
        _, cls.authority = temporary_authority(cls, "parley-limits-")
        ca = cls.authority.directory
        cls.tls, cls.ws, cls.proxied = free_port(), free_port(), free_port()
        listeners = (f'[[listener]]\nurl = "tls://127.0.0.1:{cls.tls}"\n[[listener.certificate]]\nchain = "{ca}/server.crt"\n'
                     f'key = "{ca}/server.key"\n[[listener]]\nurl = "ws://127.0.0.1:{cls.ws}"\nallow_anonymous = true\n'
                     f'[[listener]]\nurl = "tcp://127.0.0.1:{cls.proxied}"\nproxy_protocol = ["127.0.0.1"]\nallow_anonymous = true\n')
        cls.server = cls.enterClassContext(Server(listeners=listeners, settings=cls.SETTINGS))
        cls.honest = [cls.enterClassContext(Client(cls.server.port, f"honest-{number}")) for number in range(5)]

    def tearDown(self):
        for client in self.honest:
            client.send(packets.packet(packets.PINGREQ, 0, b""))
            client.expect(packets.PINGRESP)

    def expect_refusal(self, connack):
        self.assertEqual((connack.reason, connack.value("error"), connack.value("retry-after")),
                         (QUOTA_EXCEEDED, self.ERROR, self.RETRY_AFTER))
        self.assertIn("too many connections", connack.properties["reason_string"])

    def test_mqtt5_is_told(self):
        before = reached(self.server, self.LIMIT)
        with Client(self.server.port, "late") as client:
            self.expect_refusal(client.connack)
            client.expect_end()
        self.assertEqual(reached(self.server, self.LIMIT), before + 1)

    def test_a_client_that_takes_little_is_told_the_code(self):
        with Client(self.server.port, "late", values={"maximum_packet_size": 20}) as client:
            self.assertEqual((client.connack.reason, client.connack.properties), (QUOTA_EXCEEDED, {}))
            client.expect_end()

    def test_mqtt3_is_told(self):
        for version in (3, 4):
            with self.subTest(version), open_socket(self.server.port) as connection:
                data = packets.connect("late", 4)
                if version == 3:
                    data = bytes([0x10, data[1] + 2]) + packets.text("MQIsdp") + b"\x03" + data[9:]
                connection.sendall(data)
                self.assertEqual(hear_all(connection), b"\x20\x02\x00\x03")

    def test_over_tls(self):
        context = ssl.create_default_context(cafile=self.authority.file("ca.crt"))
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context.minimum_version = context.maximum_version = version
            with context.wrap_socket(open_socket(self.tls), server_hostname="localhost") as connection:
                connection.sendall(packets.connect("late", 4))
                self.assertEqual(hear_all(connection), b"\x20\x02\x00\x03")

    def test_over_websocket(self):
        with open_socket(self.ws) as connection:
            connection.sendall(b"GET /mqtt HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                               b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Protocol: mqtt\r\n\r\n")
            data = packets.connect("late", 4)
            connection.sendall(bytes([0x82, 0x80 | len(data), 0, 0, 0, 0]) + data)
            self.assertIn(b"\x82\x04\x20\x02\x00\x03", hear_all(connection))

    def test_what_is_wrong_is_still_wrong(self):
        with open_socket(self.server.port) as connection:
            connection.sendall(b"\xc0\x00")
            self.assertEqual(hear_all(connection), b"")
        with open_socket(self.server.port) as connection:
            connection.sendall(b"\x10\x0d\x00\x04MQTT\x05\x03\x00\x00\x00\x00\x00")  # A reserved flag.
            self.assertEqual(hear_all(connection)[2:4], b"\x00\x81")

    def test_who_says_nothing_is_closed_in_time(self):
        with open_socket(self.server.port) as connection:
            self.assertEqual(hear_all(connection), b"")
        self.server.broker.wait_for(lambda line: line.get("event", "").startswith("no CONNECT came in time"))

    def flood(self, count):
        """How many of so many are still open once the others are closed."""
        flood = [open_socket(self.server.port) for _ in range(count)]
        try:
            def closed():
                number = 0
                for connection in flood:
                    connection.setblocking(False)
                    try:
                        number += connection.recv(1) == b""
                    except BlockingIOError:
                        pass
                    except ConnectionError:
                        number += 1
                return number

            wait(lambda: closed() >= count - self.SURPLUS)
            return count - closed()
        finally:
            for connection in flood:
                connection.close()

    def test_a_flood_is_closed_at_once(self):
        before = reached(self.server, self.LIMIT)
        self.assertLessEqual(self.flood(self.SURPLUS + 100), self.SURPLUS)
        self.assertEqual(reached(self.server, self.LIMIT), before + self.SURPLUS + 100)
        lines = self.server.broker.count(lambda line: line.get("event") == "a limit is reached" and line["limit"] == f"mqtt.{self.LIMIT}")
        self.assertLess(lines, 50)
        self.comes_back()

    def comes_back(self):
        """There is room for an answer again, and once one of the others has gone, for a client."""
        def answered():
            with open_socket(self.server.port) as connection:
                connection.sendall(packets.connect("late", 4))
                return hear_all(connection) == b"\x20\x02\x00\x03"

        wait(answered)
        self.honest.pop().socket.close()

        def taken():
            client = Client(self.server.port, None)
            client.send(packets.connect(f"honest-{time.monotonic()}"))
            if client.expect(packets.CONNACK).reason == 0:
                self.honest.append(self.enterClassContext(client))
                return True
            client.socket.close()
            return False

        wait(taken)


class Connections(Limited):
    SETTINGS = {"mqtt.max_connections": 5, "mqtt.connect_timeout": "2s"}
    LIMIT, ERROR, RETRY_AFTER = "max_connections", "too-many-connections", "10"
    SURPLUS = SURPLUS


class Addresses(Limited):
    SETTINGS = {"mqtt.max_connections_per_address": 5, "mqtt.connect_timeout": "2s"}
    LIMIT, ERROR = "max_connections_per_address", "too-many-of-address"
    SURPLUS = ADDRESS_SURPLUS

    def test_clients_of_a_balancer_count_by_their_own_addresses(self):
        def come(address, number):
            connection = open_socket(self.proxied)
            self.addCleanup(connection.close)
            connection.sendall(f"PROXY TCP4 {address} 127.0.0.1 {1000 + number} 1883\r\n".encode() + packets.connect(f"p-{address}-{number}", 4))
            return connection.recv(4)[3]

        self.assertEqual([come("203.0.113.7", number) for number in range(6)], [0, 0, 0, 0, 0, 3])
        self.assertEqual(come("203.0.113.8", 0), 0)

    def test_other_addresses_are_welcome(self):
        flood = [open_socket(self.server.port) for _ in range(50)]
        try:
            with open_socket(self.server.port, "127.0.0.2") as connection:
                connection.sendall(packets.connect("elsewhere", 4))
                self.assertEqual(connection.recv(4), b"\x20\x02\x00\x00")
        finally:
            for connection in flood:
                connection.close()


if __name__ == "__main__":
    unittest.main(verbosity=2)
