#!/usr/bin/env python3
"""Redis is dead for a while, under load: sending, receiving and history go on at every node, and so they do when a node dies
meanwhile; when Redis is back the node comes back, too, and nothing that was acknowledged is lost.

    redis_away.py [--seconds 60]
"""

import argparse
import asyncio
import json
import random
import time

from cluster import Cluster
from harness import flow
from harness.client import Client
from harness.watch import Sightings
from lab.traffic import Nodes, Publisher, Reader, judge

CONVERSATIONS = ["lobby", "kitchen", "attic"]


class Scenario:
    def __init__(self, cluster, seconds):
        self.cluster, self.seconds, self.sightings = cluster, seconds, Sightings()
        chance = random.Random(1)
        addresses = [("127.0.0.1", node.port) for node in cluster.nodes]
        self.publishers = [Publisher(Nodes(addresses, chance), f"{name}.{i}", f"chat/{name}/msg", window=4)
                           for name in CONVERSATIONS for i in range(2)]
        self.readers = [Reader(Nodes(addresses, chance), name, f"reader.{name}", "since", self.sightings)
                        for name in CONVERSATIONS]
        self.began = time.monotonic()

    def acknowledged(self):
        return sum(len(one.acknowledged) for one in self.publishers)

    async def go_on(self, seconds, what):
        """Everybody sends and is shown something, and every node that runs shows history."""
        began = time.monotonic()
        before = self.acknowledged()
        counts = {one: len(one.acknowledged) for one in self.publishers}
        seen = {one: one.seen for one in self.readers}
        await flow.wait_until(lambda: all(len(one.acknowledged) > counts[one] for one in self.publishers) and
                              all(one.seen > seen[one] for one in self.readers), f"{what}: all go on", 30)
        for node in self.cluster.nodes:
            if node.runs():
                history = await asyncio.to_thread(self.newest, node)
                assert history, f"{what}: {node.name} shows no history"
        await asyncio.sleep(max(0.0, began + seconds - time.monotonic()))  # The state itself lasts so long.
        pause = max(one.longest_pause(began) for one in self.publishers)
        print(f"{what}: {self.acknowledged() - before} acknowledged in {time.monotonic() - began:.1f} s, "
              f"longest pause of a publisher {pause:.2f} s", flush=True)

    def newest(self, node):
        with Client(node.port, f"newest-{node.name}") as client:
            client.subscribe("chat/lobby/json", user=(("last", 5),))
            return [json.loads(client.message().payload)["seq"] for _ in range(5)]

    async def work(self):
        cluster = self.cluster
        await flow.wait_until(lambda: all(len(one.acknowledged) >= 50 for one in self.publishers), "a beginning", 30)
        cluster.redis.kill()
        await self.go_on(self.seconds / 2, "without Redis")
        victim = cluster.nodes[1]
        victim.kill()
        await self.go_on(self.seconds / 2, "and without a node")
        cluster.redis.start()
        await asyncio.to_thread(victim.start)
        await asyncio.to_thread(cluster.wait_linked)
        await asyncio.to_thread(cluster.wait_spread)
        await self.go_on(1, "both are back")

    async def run(self):
        async with flow.Crowd([*self.publishers, *self.readers]) as crowd:
            await crowd.beside(self.work())
            await crowd.finish(self.publishers, 30)
            await judge(self.cluster.nodes, self.publishers, self.readers, self.sightings)
        print(f"{self.acknowledged()} acknowledged, all of them on each of {len(self.cluster.nodes)} nodes, once and in order")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60, help="how long Redis is dead")
    options = parser.parse_args()
    with Cluster() as cluster:
        cluster.start()
        cluster.wait_spread()
        flow.run(Scenario(cluster, options.seconds).run(), deadline=180 + options.seconds)


if __name__ == "__main__":
    main()
