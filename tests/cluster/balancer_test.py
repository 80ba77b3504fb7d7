#!/usr/bin/env python3
"""Clients of a cluster behind HAProxy: a session goes on at another node when its own is killed, clients come back to the
node they were on, and TLS, WebSocket and the clients' addresses get through."""

import pathlib
import socket
import ssl
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "e2e"))

from balanced import Balanced
from cluster import DEADLINE, wait_until
from harness import flow, packets
from harness.certificates import temporary_authority
from harness.client import Client, Closed
from transports_test import frame, read_frame, upgrade

UNREAD = 1000
ROOMS = ("lobby", "kitchen", "attic")
LASTING = {"clean": False, "values": {"session_expiry_interval": 3600}}


def connect_somewhere(port, client_id, deadline=DEADLINE, **options):
    """As clients do: again and again until a node takes it."""
    def connected():
        try:
            client = Client(port, client_id, **options)
        except (OSError, Closed, AssertionError):
            return None
        if client.connack.reason == 0:
            return client
        client.socket.close()
        return None

    return wait_until(connected, f"{client_id} finds a node", deadline)


class Balancer(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory, cls.authority = temporary_authority(cls, "parley-balancer-")

    def setUp(self):
        self.cluster = self.enterContext(Balanced(self.authority))
        self.cluster.start()
        self.port = self.cluster.ports["mqtt"]

    def test_a_session_outlives_its_node(self):
        phone = Client(self.port, "phone", **LASTING)
        for room in ROOMS[:2]:
            phone.subscribe(f"chat/{room}/msg", user=(("since", 0),))
        phone.subscribe(f"$since/0/chat/{ROOMS[2]}/msg")
        speaker = connect_somewhere(self.port, "speaker")
        for number in range(30):
            speaker.publish(f"chat/{ROOMS[number % 3]}/msg", f"read {number}", user=(("id", f"r{number}"),))
        before = {}
        for packet in phone.messages(30):
            before.setdefault(packet.topic, []).append(flow.entry_of(packet)[0])
        phone.socket.close()
        said = {room: [] for room in ROOMS}
        for number in range(UNREAD):
            room = ROOMS[number % 3]
            answer = speaker.publish(f"chat/{room}/msg", f"unread {number}", user=(("id", f"u{number}"),))
            said[room].append((int(answer.value("seq")), f"unread {number}"))
        home = self.cluster.sticks_to("phone")
        home.kill()
        began = time.monotonic()
        phone = connect_somewhere(self.port, "phone", **LASTING)
        found = time.monotonic() - began
        self.assertTrue(phone.connack.session_present)
        self.assertIsNot(self.cluster.sticks_to("phone"), home)
        unread, again, last = {room: [] for room in ROOMS}, 0, {}
        while sum(len(one) for one in unread.values()) < UNREAD:
            packet = phone.message()
            seq, (_, _, _, text) = flow.entry_of(packet)
            room = packet.topic.split("/")[1]
            if room in last:
                self.assertEqual(seq, last[room] + 1, "in order, each once")
            last[room] = seq
            if text.startswith("read "):
                again += 1
            else:
                unread[room].append((seq, text))
        self.assertEqual(unread, said)
        # What it had read comes again only as far as its acknowledgements weren't written yet.
        self.assertLessEqual(again, 30)
        speaker.socket.close()
        speaker = connect_somewhere(self.port, "speaker")
        speaker.publish(f"chat/{ROOMS[0]}/msg", "after all")
        self.assertEqual(phone.message().payload, b"after all", "and nothing else comes before it")
        print(f"node {home.name} killed: connected {found:.2f} s later, session present, {UNREAD} unread messages there, "
              f"{again} of 30 read ones again", flush=True)
        phone.disconnect()
        speaker.disconnect()

    def test_clients_come_back_to_their_node_while_it_is_ready(self):
        names = [f"device-{number}" for number in range(6)]
        homes = {}
        for name in names:
            Client(self.port, name).disconnect()
            homes[name] = self.cluster.sticks_to(name)
            self.assertIsNotNone(homes[name], name)
        for name in names:
            Client(self.port, name).disconnect()
            self.assertIs(self.cluster.sticks_to(name), homes[name])
        # Version 3.1.1 names its client, too.
        Client(self.port, "old", version=4).disconnect()
        self.assertIsNotNone(self.cluster.sticks_to("old"))
        gone = homes[names[0]]
        held = Client(self.port, names[0])
        gone.kill()
        with self.assertRaises(Closed):
            while held.receive() is not None:
                pass
        held.socket.close()
        connect_somewhere(self.port, names[0]).disconnect()
        self.cluster.wait_standing(gone, "DOWN")
        gone.start()
        self.cluster.wait_standing(gone, "UP")

    def test_nodes_see_the_clients_own_addresses(self):
        with socket.create_connection(("127.0.0.1", self.port), timeout=DEADLINE, source_address=("127.0.0.9", 0)) as raw:
            raw.sendall(packets.connect("wrong", 5, values={"authentication_method": "nonsense"}))
            self.assertEqual(raw.recv(1), b"\x20")
            address = f"127.0.0.9:{raw.getsockname()[1]}"
        node = self.cluster.sticks_to("wrong")
        line = node.program.wait_for(lambda line: line.get("event") == "refusing a connection", DEADLINE)
        self.assertEqual(line["address"], address)

    def test_tls_and_websocket_get_through(self):
        listener = Client(self.port, "listener")
        listener.subscribe("chat/lobby/msg")
        context = ssl.create_default_context(cafile=self.authority.file("ca.crt"))
        raw = socket.create_connection(("127.0.0.1", self.cluster.ports["tls"]), timeout=DEADLINE)
        with context.wrap_socket(raw, server_hostname="localhost") as connection:
            connection.sendall(packets.connect("secure", 5))
            self.assertEqual(connection.recv(1), b"\x20")
            connection.sendall(packets.publish("chat/lobby/msg", b"over TLS", 5, qos=1, packet_id=1))
            self.assertEqual(listener.message().payload, b"over TLS")
        with socket.create_connection(("127.0.0.1", self.cluster.ports["ws"]), timeout=DEADLINE) as connection:
            self.assertEqual(upgrade(connection)[0], 101)
            connection.sendall(frame(packets.connect("page", 5)))
            self.assertEqual(read_frame(connection)[1][0], 0x20)
            connection.sendall(frame(packets.publish("chat/lobby/msg", b"over WebSocket", 5, qos=1, packet_id=1)))
            self.assertEqual(listener.message().payload, b"over WebSocket")
        listener.disconnect()


if __name__ == "__main__":
    unittest.main()
