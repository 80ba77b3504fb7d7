#!/usr/bin/env python3
"""What clients notice while a node joins a cluster that has much to give it, and while it leaves again.

    PARLEY_BINARY_DIR=build/release/bin tests/cluster/joining.py [--megabytes 2000] [--rate 200] [--seconds 20]

Fills three nodes, cuts their logs, has clients send at a fixed rate, and adds a fourth node; then drains and removes it. Prints the
time from PUBLISH to PUBACK and to the delivery at another node, before and meanwhile. All nodes share this machine's processors
and its disk.
"""

import argparse
import asyncio
import subprocess
import time

from cluster import BINARIES, Cluster, wait_until
from harness import flow, packets
from harness.packets import PUBACK, PUBLISH
from lab.traffic import quantile

ROOMS = 48
PATIENCE = 1800


class Filler(flow.Publisher):
    def __init__(self, port, room, count, size):
        super().__init__(port, f"filler {room}", f"chat/{room}/msg", window=64, limit=count)
        self.body = bytes(33 + n * 131 % 89 for n in range(size))

    def payload(self, message_id):
        return (message_id.encode() + b" " + self.body)[: len(self.body)]


class Chatter:
    """Sends at a fixed rate to all rooms in turn at one node, hears them at another, and knows how long each took."""

    def __init__(self, speaker, listener, rate):
        self.speaker, self.listener, self.rate = speaker, listener, rate
        self.sent, self.acknowledged, self.heard = {}, [], []
        self.connection = None

    def on_acknowledged(self, packet):
        if packet.type == PUBACK:
            assert packet.reason < 0x80, packet
            self.acknowledged.append(time.monotonic() - self.sent[packet.packet_id])

    def on_heard(self, packet):
        if packet.type == PUBLISH:
            self.heard.append(time.monotonic() - self.sent[int(packet.payload.decode())])

    async def run(self):
        ear, _ = await flow.connect(self.listener, "ear", self.on_heard, username="ear")
        for room in range(ROOMS):
            await flow.subscribe(ear, f"chat/room{room}/msg")
        mouth, _ = await flow.connect(self.speaker, "mouth", self.on_acknowledged, username="mouth")
        began, number = time.monotonic(), 0
        while True:
            number += 1
            packet_id = number % 65535 + 1
            self.sent[packet_id] = time.monotonic()
            mouth.send(packets.publish(f"chat/room{number % ROOMS}/msg", str(packet_id).encode(), qos=1, packet_id=packet_id))
            await asyncio.sleep(max(0, began + number / self.rate - time.monotonic()))

    def report(self, what):
        """Of what came since the last report."""
        for name, times in (("PUBLISH to PUBACK", self.acknowledged), ("PUBLISH to delivery", self.heard)):
            values = [one * 1e3 for one in times]
            print(f"  {what}, {name}: p50 {quantile(values, 0.5):.1f} ms, p99 {quantile(values, 0.99):.1f} ms, "
                  f"longest {max(values, default=0):.1f} ms, {len(values)} messages", flush=True)
            times.clear()


def order(node, *words):
    subprocess.run([BINARIES / "parleyctl", *words, "--socket", node.directory / "admin.sock"], check=True, timeout=60,
                   capture_output=True)


def complete(cluster):
    """Every slot has three voters and no learner, in the eyes of its leader."""
    seen = [node.slots() for node in cluster.nodes]
    for slots in zip(*seen, strict=True):
        led = [slot for slot, node in zip(slots, cluster.nodes, strict=True) if slot["leader"] == node.name]
        if len(led) != 1 or len(led[0]["replicas"]) != 3 or led[0]["learners"]:
            return False
    return True


def stored(node):
    return sum(path.stat().st_blocks * 512 for path in node.directory.rglob("store.mdb"))


async def fill(cluster, options):
    count = options.megabytes * 1_000_000 // options.size // ROOMS
    began = time.monotonic()
    fillers = [Filler(cluster.nodes[room % 3].port, f"room{room}", count, options.size) for room in range(ROOMS)]
    await flow.together(*(one.run() for one in fillers))
    took = time.monotonic() - began
    print(f"{count * ROOMS} messages of {options.size} bytes, {count * ROOMS / took:.0f}/s on three nodes", flush=True)


async def scenario(cluster, options):
    chatter = Chatter(cluster.nodes[0].port, cluster.nodes[1].port, options.rate)
    async with flow.Crowd([]) as crowd:
        talking = asyncio.ensure_future(chatter.run())
        try:
            await asyncio.sleep(3)
            chatter.report("warming up")
            await crowd.beside(asyncio.sleep(options.seconds))
            chatter.report("before")
            began = time.monotonic()
            fourth = cluster.add("n4")
            await asyncio.to_thread(fourth.start)
            await asyncio.to_thread(wait_until, lambda: fourth.nodes()["n4"]["slots"] == 11 and complete(cluster), "four nodes share",
                                    PATIENCE, 0.5)
            print(f"the fourth node has its share, {stored(fourth) / 1e6:.0f} MB of store, after {time.monotonic() - began:.1f} s")
            chatter.report("joining")
            began = time.monotonic()
            await asyncio.to_thread(order, cluster.nodes[0], "nodes", "drain", "n4")
            await asyncio.to_thread(wait_until, lambda: cluster.nodes[0].nodes()["n4"]["slots"] == 0, "it has no slots", PATIENCE, 0.5)
            await asyncio.to_thread(fourth.program.stop)
            await asyncio.to_thread(order, cluster.nodes[0], "nodes", "remove", "n4")
            cluster.nodes.remove(fourth)
            await asyncio.to_thread(cluster.wait_spread, 60)
            print(f"it is out again after {time.monotonic() - began:.1f} s")
            chatter.report("leaving")
            if talking.done():
                talking.result()
        finally:
            talking.cancel()


def log_is_cut(line):
    return line.get("event") == "the log was cut" and line["watermark"] == line["end"]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--megabytes", type=int, default=2000)
    parser.add_argument("--size", type=int, default=2000, help="bytes of a message")
    parser.add_argument("--rate", type=int, default=200, help="messages a second")
    parser.add_argument("--seconds", type=int, default=20, help="measured before the node joins")
    options = parser.parse_args()
    # Everything that is in the store leaves the log at once, so that the fourth node gets pieces of stores.
    settings = {"storage.log_retention": "0s", "log.level": "debug"}
    with Cluster(("n1", "n2", "n3"), **settings) as cluster:
        cluster.start()
        cluster.wait_spread()
        flow.run(fill(cluster, options), PATIENCE)
        for node in cluster.nodes:
            wait_until(lambda node=node: any(map(log_is_cut, node.program.lines[-50:])), "the log is cut", PATIENCE, 0.5)
            print(f"{node.name}: {stored(node) / 1e6:.0f} MB of store", flush=True)
        for node in cluster.nodes:  # What was said lately they have in memory.
            node.program.stop()
            node.start()
            cluster.wait_linked()
            cluster.wait_spread()
        flow.run(scenario(cluster, options), 3 * PATIENCE)


if __name__ == "__main__":
    main()
