#!/usr/bin/env python3
"""A node stalls for about as long as it may: others take it for unreachable for a moment, while its connections stay.
Afterwards nobody waits for what was to be said meanwhile."""

import itertools
import threading
import time
import unittest

from cluster import Cluster, wait_until
from harness import packets
from harness.client import Client
from harness.packets import PUBACK, PUBLISH
from harness.placement import slot_of

UNDER_WAY = 100
STALLS = 3
# Seconds, around node_timeout less a heartbeat: which of them does it depends on how busy the machine is.
SPANS = (0.93, 0.9, 0.96, 0.87, 0.99, 0.84)


def given_up(node):
    """How often it has taken another node for unreachable whose connection it had no other reason to end."""
    away = node.program.count(lambda line: line["event"] == "a node is away")
    silent = node.program.count(lambda line: line["event"] == "peer is disconnected" and
                                "nothing was heard" in line["why"])
    return away - silent


def stall(victim, watcher, times=1):
    """Stalls `victim` until `watcher` has given it up so often."""
    before = given_up(watcher)
    deadline = time.monotonic() + 60
    for span in itertools.cycle(SPANS):
        victim.pause()
        time.sleep(span)  # The stall itself.
        victim.resume()
        for node in (victim, watcher):
            wait_until(lambda node=node: node.sees_all(3), f"{node.name} sees all")
        if given_up(watcher) - before >= times:
            return
        if time.monotonic() > deadline:
            raise AssertionError(f"{watcher.name} has never taken {victim.name} for unreachable")


class Publisher:
    """Has many messages under way at a time, and knows since when each isn't answered."""

    def __init__(self, node, conversations):
        self.client = Client(node.port, "publisher")
        self.conversations = itertools.cycle(conversations)
        self.lock = threading.Lock()
        self.since = {}
        self.answered = 0
        self.more = True
        self.writer, self.reader = (threading.Thread(target=work) for work in (self.write, self.read))
        self.writer.start()
        self.reader.start()

    def write(self):
        for number in itertools.count():
            while self.more and len(self.since) >= UNDER_WAY:
                time.sleep(0.002)  # Its pace; what is waited for has a deadline in read().
            if not self.more:
                return
            time.sleep(0.001)
            packet_id = next(free for free in iter(self.client.packet_id, None) if free not in self.since)
            with self.lock:
                self.since[packet_id] = time.monotonic()
            self.client.send(packets.publish(f"chat/{next(self.conversations)}/msg", b"x", 5, qos=1, packet_id=packet_id,
                                             user=[("id", f"m{number}")]))

    def read(self):
        while self.writer.is_alive() or (self.since and self.oldest() < 20):
            packet = self.client.receive(0.2)
            if packet is not None and packet.type == PUBACK:
                self.answered += 1
                with self.lock:
                    self.since.pop(packet.packet_id, None)

    def oldest(self):
        """The age of what has waited longest, in seconds."""
        with self.lock:
            return time.monotonic() - min(self.since.values(), default=time.monotonic())

    def end(self):
        self.more = False
        self.writer.join()
        self.reader.join()
        self.client.disconnect()


class Stalls(unittest.TestCase):
    def test_what_publishers_have_under_way_is_answered(self):
        with Cluster() as cluster:
            cluster.start()
            cluster.wait_spread()
            leader, other, _ = cluster.nodes
            slots = leader.slots()
            names = (f"conversation-{i}" for i in itertools.count())
            led = (name for name in names if slots[slot_of(name, len(slots))]["leader"] == leader.name)
            publisher = Publisher(other, list(itertools.islice(led, 6)))
            try:
                for victim, watcher in ((other, leader), (leader, other)) * STALLS:
                    stall(victim, watcher)
                    wait_until(lambda: publisher.oldest() < 2, "nothing waits for long", 15)
                before = publisher.answered
                wait_until(lambda: publisher.answered > before + UNDER_WAY, "publishing goes on")
            finally:
                publisher.end()
            self.assertEqual(publisher.since, {}, "not answered")

    def test_shared_subscriptions_of_ordinary_topics_go_on(self):
        with Cluster() as cluster:
            cluster.start()
            cluster.wait_spread()
            near, far, _ = cluster.nodes
            with Client(far.port, "member") as member, Client(near.port, "publisher") as publisher:
                member.subscribe("$share/group/plain/topic")

                def arrives():
                    publisher.publish("plain/topic", b"first")
                    packet = member.receive(1)
                    return packet is not None and packet.type == PUBLISH

                wait_until(arrives, "the member gets something")
                for _ in range(STALLS):
                    stall(far, near)
                    wait_until(arrives, "the member gets something again")
                    for number in range(10):
                        publisher.publish("plain/topic", f"all {number}".encode())
                    got = []
                    while len(got) < 10:
                        packet = member.receive(5)
                        self.assertIsNotNone(packet, f"only {got}")
                        if packet.type == PUBLISH and packet.payload.startswith(b"all"):
                            got.append(packet.payload)
                    self.assertEqual(got, [f"all {number}".encode() for number in range(10)])


if __name__ == "__main__":
    unittest.main()
