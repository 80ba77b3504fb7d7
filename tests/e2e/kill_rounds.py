#!/usr/bin/env python3
"""kill -9 at random moments under load: nothing acknowledged is lost, nothing seen is taken back.

Publishers at QoS 1 and 2 (with and without sessions) keep hundreds of messages under way in several conversations, with
subscribers (`since`, persistent sessions, $since/… on 3.1.1) and readers at the bridge. Every round the broker (in every
fifth the bridge, too) is killed and started again; at the end history is compared with what everybody was told and shown.

    kill_rounds.py [--rounds 10] [--seed N] [--without-bridge]
"""

import argparse
import asyncio
import random
import time

from harness import flow
from harness.server import Server
from harness.watch import Follower, HttpReader, Sightings

CONVERSATIONS = ["lobby", "kitchen", "garden"]
ROUND_DEADLINE = 60


class Load:
    def __init__(self, server):
        self.sightings = Sightings()
        self.publishers, self.followers, self.readers = [], [], []
        for conversation in CONVERSATIONS:
            topic = f"chat/{conversation}/msg"
            for qos in (1, 2):
                for persistent in (False, True):
                    user = f"{conversation}.q{qos}{'s' if persistent else ''}"
                    self.publishers.append(
                        flow.Publisher(server.port, user, topic, qos=qos, window=48, persistent=persistent)
                    )
            for way in ("since", "session", "filter"):
                self.followers.append(Follower(server.port, conversation, f"{conversation}.{way}", way, self.sightings))
            if server.wants_bridge:
                self.readers.append(HttpReader(server, conversation, f"{conversation}.http", self.sightings))

    def everybody(self):
        return [*self.publishers, *self.followers, *self.readers]

    def acknowledged(self):
        return sum(len(publisher.acknowledged) for publisher in self.publishers)

    def under_way(self):
        return sum(len(publisher.under_way) + len(publisher.received) for publisher in self.publishers)

    def acknowledged_in(self, conversation):
        found = {}
        for publisher in self.publishers:
            if publisher.topic == f"chat/{conversation}/msg":
                found |= {(publisher.user, key): place for key, place in publisher.acknowledged.items()}
        return found


async def rounds(server, load, options):
    chance = random.Random(options.seed)
    for number in range(1, options.rounds + 1):
        start = load.acknowledged()
        # Everybody is back and traffic flows, then the moment is any.
        wanted = chance.choice([100, 1000, chance.randint(100, 10_000)])
        await flow.wait_until(lambda: load.acknowledged() >= start + wanted, f"round {number}: {wanted} acknowledged messages",
                              ROUND_DEADLINE)
        await asyncio.sleep(chance.random() * 0.05)
        under_way = load.under_way()
        server.broker.kill()
        with_bridge = server.wants_bridge and number % 5 == 0
        if with_bridge:
            server.bridge.kill()
        began = time.monotonic()
        await asyncio.to_thread(server.start_broker)
        took = time.monotonic() - began
        if with_bridge:
            await asyncio.to_thread(server.start_bridge)
        print(f"round {number}: killed with {under_way} under way after {load.acknowledged()} acknowledged"
              f"{', bridge too' if with_bridge else ''}; ready again in {took * 1000:.0f} ms", flush=True)


async def scenario(server, options):
    load = Load(server)
    async with flow.Crowd(load.everybody()) as crowd:
        await crowd.beside(rounds(server, load, options))
        await crowd.finish(load.publishers, ROUND_DEADLINE)
        total = 0
        for conversation in CONVERSATIONS:
            history = await asyncio.to_thread(server.history, conversation)
            total += len(history)
            for follower in load.followers:
                if follower.conversation == conversation:
                    await follower.reach(len(history))
            load.sightings.judge(conversation, history, load.acknowledged_in(conversation))
        print(f"{options.rounds} rounds: {load.acknowledged()} acknowledged, {total} in history, "
              f"{sum(p.duplicates for p in load.publishers)} sent again and recognised, "
              f"{sum(f.again for f in load.followers)} delivered again to sessions, "
              f"{sum(r.requests for r in load.readers)} pages read, seed {options.seed}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--without-bridge", action="store_true", help="history is read by replay then")
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    with Server(bridge=not options.without_bridge) as server:
        flow.run(scenario(server, options), deadline=120 + options.rounds * ROUND_DEADLINE)


if __name__ == "__main__":
    main()
