#!/usr/bin/env python3
"""Readers that disconnect at random moments while others publish as fast as they can miss nothing and get nothing twice.

One follows with `since`, one over a persistent session (which may deliver again, as the same seq), one with $since/… over
MQTT 3.1.1. Every one of them checks that each entry is the next one.

    reconnects.py [--disconnects 200] [--seed N] [--without-bridge]
"""

import argparse
import asyncio
import random

from harness import flow
from harness.server import Server
from harness.watch import Follower, Sightings

CONVERSATION = "lobby"


async def break_off(follower, options):
    """Cuts the follower's connection at random, now after few entries, now after many, now before the first."""
    chance = random.Random(f"{options.seed} {follower.name}")
    for _ in range(options.disconnects):
        joins = follower.joins
        while follower.connection is None or follower.connection.lost.done():
            await asyncio.sleep(0)
        wanted = follower.seen + chance.choice([0, 1, chance.randint(1, 50), chance.randint(1, 600)])
        await follower.reach(wanted)
        follower.connection.abort()
        while follower.joins == joins:
            await asyncio.sleep(0.001)


async def scenario(server, options):
    sightings = Sightings()
    publishers = [
        flow.Publisher(server.port, f"publisher{number}", f"chat/{CONVERSATION}/msg", qos=1 + number % 2, window=32)
        for number in range(4)
    ]
    followers = [
        Follower(server.port, CONVERSATION, f"{way}-reader", way, sightings) for way in ("since", "session", "filter")
    ]
    async with flow.Crowd([*publishers, *followers]) as crowd:
        await crowd.beside(flow.together(*(break_off(follower, options) for follower in followers)))
        await crowd.finish(publishers, 60)
        history = await asyncio.to_thread(server.history, CONVERSATION)
        acknowledged = {}
        for publisher in publishers:
            acknowledged |= {(publisher.user, key): place for key, place in publisher.acknowledged.items()}
        for follower in followers:
            await follower.reach(len(history))
        sightings.judge(CONVERSATION, history, acknowledged)
        for follower in followers:
            print(f"{follower.name}: {follower.joins} connections, {follower.seen} entries in order, "
                  f"{follower.again} of them again")
        print(f"{len(history)} entries, all acknowledged ones among them; seed {options.seed}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--disconnects", type=int, default=200)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--without-bridge", action="store_true", help="history is read by replay then")
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    with Server(bridge=not options.without_bridge) as server:
        flow.run(scenario(server, options), deadline=600)


if __name__ == "__main__":
    main()
