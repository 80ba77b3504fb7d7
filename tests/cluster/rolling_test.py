#!/usr/bin/env python3
"""Nodes that leave in order: what they lead and their clients go to others first. Nothing acknowledged is lost, and nobody
but who asks the leaving node is turned away."""

import asyncio
import http.client
import random
import subprocess
import time
import unittest

from cluster import BINARIES, Cluster, wait_until
from harness import flow
from harness.client import Client
from harness.packets import DISCONNECT, PUBLISH
from harness.server import free_port
from harness.watch import Sightings
from lab.traffic import Nodes, Publisher, Reader, judge

USE_ANOTHER_SERVER = 0x9C
CONVERSATIONS = ["lobby", "kitchen", "attic"]


class Doors(Nodes):
    """Remembers who was turned away where nobody should be. A connection that only takes long isn't."""

    leaving = None  # The address of the node that may refuse; of all clients.
    turned_away = []

    def refused(self, address, error):
        if address != Doors.leaving and not isinstance(error, asyncio.TimeoutError):
            Doors.turned_away.append((address, repr(error)))
        super().refused(address, error)


class TimedReader(Reader):
    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.times = []

    def on_packet(self, packet):
        if packet.type == PUBLISH:
            self.times.append(time.monotonic())
        super().on_packet(packet)

    longest_pause = Publisher.longest_pause


class Rolling(unittest.TestCase):
    """`restart` starts the node anew, which has ended."""

    async def scenario(self, cluster, rounds, restart, watch=None):
        sightings, chance = Sightings(), random.Random(1)
        addresses = [("127.0.0.1", node.port) for node in cluster.nodes]
        publishers = [Publisher(Doors(addresses, chance), f"{name}.{i}", f"chat/{name}/msg", window=8)
                      for name in CONVERSATIONS for i in range(2)]
        readers = [TimedReader(Doors(addresses, chance), name, f"reader.{name}", "since", sightings)
                   for name in CONVERSATIONS]
        pauses = {}

        async def served():
            counts = {one: len(one.acknowledged) for one in publishers}
            await flow.wait_until(lambda: all(len(one.acknowledged) > counts[one] + 10 for one in publishers),
                                  "every publisher is served", 30)

        async def restarts():
            for number, (node, address) in enumerate(rounds * list(zip(cluster.nodes, addresses, strict=True))):
                await served()
                began = time.monotonic()
                Doors.leaving = address
                status = await asyncio.to_thread(node.program.stop)
                self.assertEqual(status, 0)
                gone = time.monotonic() - began
                self.assertEqual(node.program.count(lambda line: line.get("level") == "error"), 0, node.program.raw[-20:])
                await asyncio.to_thread(restart, node, number)
                Doors.leaving = None
                await asyncio.to_thread(cluster.wait_linked)
                await asyncio.to_thread(cluster.wait_spread)
                await served()
                pauses[number, node.name] = (gone, max(one.longest_pause(began) for one in publishers),
                                             max(one.longest_pause(began) for one in readers))
                if watch:
                    await asyncio.to_thread(watch, number)

        async with flow.Crowd([*publishers, *readers]) as crowd:
            await crowd.beside(restarts())
            await crowd.finish(publishers, 30)
            await judge(cluster.nodes, publishers, readers, sightings)
        self.assertEqual(Doors.turned_away, [])
        total = sum(len(one.acknowledged) for one in publishers)
        print(f"rolling restart of {len(cluster.nodes)} nodes: {total} acknowledged, none lost, nobody turned away elsewhere")
        for (_, name), (gone, sending, reading) in pauses.items():
            print(f"  {name}: ended after {gone:.2f} s; longest pause of a publisher {sending:.2f} s, of a reader {reading:.2f} s")


class RollingRestart(Rolling):
    def test_all_nodes_are_restarted_under_load(self):
        Doors.leaving, Doors.turned_away = None, []
        with Cluster() as cluster:
            cluster.start()
            cluster.wait_spread()
            flow.run(self.scenario(cluster, 1, lambda node, _: node.start()), deadline=200)


class RollingUpgrade(Rolling):
    """From version 1 of the protocol between nodes to 3, one node after the other, and back."""

    def test_all_nodes_are_upgraded_under_load_and_back(self):
        Doors.leaving, Doors.turned_away = None, []
        with Cluster(**{"cluster.protocol_max": 1}) as cluster:
            cluster.start()
            cluster.wait_spread()
            self.assertEqual(self.spoken(cluster), [1] * 9)
            flow.run(self.scenario(cluster, 2, lambda node, number: self.restart(node, number),
                                   lambda number: self.look(cluster, number)), deadline=400)
            self.assertEqual(self.spoken(cluster), [1] * 9)

    def restart(self, node, number):
        node.settings["cluster.protocol_max"] = 3 if number < 3 else 1
        node.start()

    def spoken(self, cluster):
        """By every node with every node, itself included."""
        return sorted(row["protocol"] for node in cluster.nodes for row in node.nodes().values())

    def look(self, cluster, number):
        """Sessions go from node to node, and wills are published, whatever the nodes speak; in all directions."""
        newer = number + 1 if number < 3 else 5 - number
        self.assertEqual(self.spoken(cluster), [1] * (9 - newer * newer) + [3] * (newer * newer))
        self.look_at_shares(cluster, number, newer == 3)
        self.look_at_publishers(cluster, number)
        with Client(cluster.nodes[0].port, f"watcher{number}") as watcher:
            watcher.subscribe("wills/#")
            lasting = {"clean": False, "values": {"session_expiry_interval": 60}}
            for before in cluster.nodes:
                for after in cluster.nodes:
                    name = f"phone.{number}.{before.name}{after.name}"
                    will = {"will": (f"wills/{name}", b"gone", 1, False), "will_values": {"will_delay_interval": 30}}
                    phone = Client(before.port, name, **lasting, **will)
                    phone.subscribe("chat/lobby/msg")
                    phone.socket.close()
                    with Client(after.port, name, **lasting) as phone:
                        self.assertTrue(phone.connack.session_present, name)
                        phone.message()
                    Client(after.port, f"{name}.short", will=(f"wills/{name}", name.encode(), 1, False)).socket.close()
                    self.assertEqual(watcher.message().payload, name.encode())

    def look_at_publishers(self, cluster, number):
        """Retained messages come to all nodes; who has published one is known where both nodes speak of it."""
        speaks = [node.settings["cluster.protocol_max"] >= 3 for node in cluster.nodes]
        with Client(cluster.nodes[0].port, "other") as other:
            for before, speaks_before in zip(cluster.nodes, speaks, strict=True):
                for after, speaks_after in zip(cluster.nodes, speaks, strict=True):
                    name = f"local.{number}.{before.name}{after.name}"
                    other.publish(f"{name}/2", "another's", retain=True)
                    with Client(before.port, name) as phone:
                        phone.publish(f"{name}/1", "its own", retain=True)
                        phone.disconnect()
                    with Client(after.port, name) as phone:
                        phone.subscribe(f"{name}/+", options=4)
                        known = before is after or (speaks_before and speaks_after)
                        self.assertEqual(phone.message().payload, b"another's" if known else b"its own", name)

    def look_at_shares(self, cluster, number, known):
        """Shared subscriptions on conversations are there once all nodes know them, with members on each."""
        workers = [Client(node.port, f"worker{number}.{node.name}") for node in cluster.nodes]
        try:
            for worker in workers:
                suback = worker.subscribe(f"$share/g/chat/jobs{number}/msg")
                wanted = ((1,), None) if known else ((0x83,), "unsupported")
                self.assertEqual((suback.reasons, suback.value("error")), wanted)
            if not known:
                return
            with Client(cluster.nodes[0].port, "boss") as boss:
                for job in range(30):
                    boss.publish(f"chat/jobs{number}/msg", str(job))
            done = [[int(message.payload) for message in worker.messages(10)] for worker in workers]
            self.assertEqual(sorted(sum(done, [])), list(range(30)))
        finally:
            for worker in workers:
                worker.socket.close()


class Draining(unittest.TestCase):
    def ready(self, node):
        connection = http.client.HTTPConnection("127.0.0.1", node.web_port, timeout=10)
        try:
            connection.request("GET", "/readyz")
            return connection.getresponse().status
        finally:
            connection.close()

    def order(self, node, word, name):
        subprocess.run([BINARIES / "parleyctl", "nodes", word, name, "--socket", node.directory / "admin.sock"], check=True,
                       timeout=60)

    def test_a_node_is_drained_and_taken_back(self):
        with Cluster() as cluster:
            for node in cluster.nodes:
                node.web_port = free_port()
                node.listeners = [f"ws://127.0.0.1:{node.web_port}"]
                node.settings["cluster.client_address"] = f"{node.name}.example:1883"
            cluster.start()
            cluster.wait_spread()
            a, b, _ = cluster.nodes
            self.assertEqual(self.ready(a), 200)
            clients = [Client(a.port, f"guest{i}") for i in range(4)]
            old = Client(a.port, "old", 4)
            self.order(b, "drain", "a")
            references = set()
            for client in clients:
                packet = client.expect_end()
                client.socket.close()
                self.assertEqual((packet.type, packet.reason), (DISCONNECT, USE_ANOTHER_SERVER))
                references.add(packet.properties.get("server_reference"))
            self.assertLessEqual(references, {"b.example:1883", "c.example:1883"})
            self.assertIsNone(old.expect_end())  # 3.1.1 has no DISCONNECT for that.
            old.socket.close()
            self.assertEqual(self.ready(a), 503)
            wait_until(lambda: a.status()["clients"] == 0 and b.nodes()["a"]["leaving"], "all see it")
            wait_until(lambda: b.nodes()["a"]["leading"] == 0, "a leads nothing")
            # There is nobody to take them, and so another node may still die.
            self.assertEqual(b.nodes()["a"]["slots"], len(b.slots()))
            with Client(a.port, "late") as late:
                connack = late.connack
            self.assertEqual(connack.reason, USE_ANOTHER_SERVER)
            self.assertIn(connack.properties.get("server_reference"), {"b.example:1883", "c.example:1883"})
            self.order(a, "undrain", "a")
            wait_until(lambda: self.ready(a) == 200, "a takes clients again")
            cluster.wait_spread()
            with Client(a.port, "late"):
                pass


if __name__ == "__main__":
    unittest.main()
