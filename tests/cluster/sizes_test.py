#!/usr/bin/env python3
"""What the settings let in reaches the other nodes, or is refused; whatever comes behind it goes on."""

import contextlib
import unittest

from cluster import Cluster, wait_until
from harness import packets
from harness.client import Client
from harness.packets import PUBACK, SUBACK

# A packet of two megabytes may be one entry, and a will's is larger still.
SETTINGS = {"chat.max_message_size": "2MB", "mqtt.max_connect_packet_size": "8MB", "mqtt.max_control_rate": 0}


class Sizes(unittest.TestCase):
    def test_a_large_entry_comes_behind_many_small_ones(self):
        with Cluster(**SETTINGS) as cluster:
            cluster.start()
            cluster.wait_spread()
            a, b, _ = cluster.nodes
            with Client(a.port, "sender") as sender, Client(b.port, "reader") as reader:
                reader.subscribe("chat/room/msg")
                sizes = [*[20_000] * 12, 2_000_000] * 3
                # At once, so that the small ones are records of one message to the other replicas.
                sender.send(b"".join(packets.publish("chat/room/msg", b"x" * size, qos=1, packet_id=i)
                                     for i, size in enumerate(sizes, 1)))
                reasons = [sender.expect(PUBACK).reason for _ in sizes]
                self.assertEqual(set(reasons), {0})
                self.assertEqual([len(message.payload) for message in reader.messages(len(sizes))], sizes)
            wait_until(cluster.level, "everybody has everything")

    def test_a_message_and_its_edit_are_one_in_a_page(self):
        with Cluster(**SETTINGS) as cluster:
            cluster.start()
            cluster.wait_spread()
            for node in cluster.nodes:  # One of them leads.
                topic = f"chat/of-{node.name}"
                with Client(node.port, "sender") as sender, Client(cluster.nodes[0].port, "reader") as reader:
                    user = tuple(("p", "x" * 60_000) for _ in range(30))
                    self.assertEqual(sender.publish(f"{topic}/msg", "first", user=user).reason, 0)
                    edit = '{"op":"edit","seq":1,"text":"' + "y" * 1_900_000 + '"}'
                    self.assertEqual(sender.publish(f"{topic}/ctl", edit).reason, 0)
                    sender.publish(f"{topic}/msg", "behind")
                    reader.subscribe(f"{topic}/msg", user=(("since", 0),))
                    message, _, behind = reader.messages(3)
                    self.assertEqual((len(message.payload), behind.payload), (1_900_000, b"behind"))

    def test_a_large_will_reaches_the_other_node(self):
        with Cluster(**SETTINGS) as cluster, contextlib.ExitStack() as stack:
            cluster.start()
            a, b, _ = cluster.nodes
            reader = stack.enter_context(Client(b.port, "reader"))
            reader.subscribe("wills/#")
            user = tuple(("p", "x" * 60_000) for _ in range(100))
            Client(a.port, "dying", will=("wills/1", b"gone", 1, False), will_user=user).socket.close()
            self.assertEqual(reader.message().payload, b"gone")
            sender = stack.enter_context(Client(a.port, "sender"))
            self.assertEqual(sender.publish("wills/2", "behind").reason, 0)
            self.assertEqual(reader.message().payload, b"behind")

    def test_a_node_that_wants_many_topics_is_told_of_once_more(self):
        with Cluster(**SETTINGS) as cluster, contextlib.ExitStack() as stack:
            cluster.start()
            a, b, _ = cluster.nodes
            readers = [stack.enter_context(Client(b.port, f"reader{i}")) for i in range(5)]
            for i, reader in enumerate(readers):
                for first in range(0, 9_000, 3_000):
                    filters = [(f"{'f' * 80}/{i}/{n}", 1) for n in range(first, first + 3_000)]
                    reader.send(packets.subscribe(reader.packet_id(), filters))
                    self.assertEqual(set(reader.expect(SUBACK, 60).reasons), {1})
            cluster.nodes[0].kill()
            cluster.nodes[0].start()
            cluster.wait_linked()
            with Client(a.port, "sender") as sender:
                for i, reader in enumerate(readers):
                    for n in (0, 8_999):
                        topic = f"{'f' * 80}/{i}/{n}"
                        wait_until(lambda topic=topic: sender.publish(topic, "x").reason == 0, f"{topic} is wanted")
                        self.assertEqual(reader.message().topic, topic)


if __name__ == "__main__":
    unittest.main()
