#!/usr/bin/env python3
"""A subscriber that doesn't read costs the broker no memory, slows nobody, and gets everything once it reads again.

    slow_subscriber.py [--messages 200000] [--seconds 60] [--growth-max BYTES]
"""

import argparse
import asyncio
import socket
import time

from harness import flow
from harness.client import Client
from harness.server import Server
from harness.watch import Follower, Sightings

CONVERSATION = "lobby"
PADDING = "x" * 150


class Loud(flow.Publisher):
    """Its messages have about 200 bytes."""

    def payload(self, message_id):
        return super().payload(message_id) + PADDING.encode()


async def publish(server, count, user):
    """Messages a second, from the first send to the last acknowledgement, and to the last sight of a quick reader."""
    publishers = [
        Loud(server.port, f"{user}{number}", f"chat/{CONVERSATION}/msg", window=128, limit=count // 2)
        for number in range(2)
    ]
    began = time.monotonic()
    await flow.together(*(publisher.run() for publisher in publishers))
    return count / (time.monotonic() - began)


async def scenario(server, options):
    sightings = Sightings()
    quick = Follower(server.port, CONVERSATION, "quick", "since", sightings)
    reading = asyncio.ensure_future(quick.run())
    # As many messages without it come first: what the broker needs for any traffic isn't what the subscriber costs.
    warm = options.messages
    alone = await publish(server, warm, "before")
    await quick.reach(warm)
    before = server.broker.memory()

    slow = Client(server.port, "slow", values={"session_expiry_interval": 3600})
    slow.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    slow.subscribe(f"chat/{CONVERSATION}/msg", user=(("since", warm),))
    began = time.monotonic()
    beside = await publish(server, options.messages, "during")
    total = warm + options.messages
    await quick.reach(total)
    left = options.seconds - (time.monotonic() - began)
    if left > 0:
        await asyncio.sleep(left)  # It doesn't read for as long as was asked for, whether or not anybody still publishes.
    growth = server.broker.memory() - before
    print(f"{options.messages} messages in front of a subscriber that doesn't read: {beside:.0f}/s, without it {alone:.0f}/s; "
          f"the broker grew by {growth / 1e6:.2f} MB", flush=True)
    assert growth < options.growth_max, f"the broker grew by {growth} bytes"

    began = time.monotonic()
    for seq in range(warm + 1, total + 1):
        packet = await asyncio.to_thread(slow.message) if seq == warm + 1 else slow.message()
        found, entry = flow.entry_of(packet)
        assert found == seq, f"{found} comes where {seq} should"
        sightings.see(CONVERSATION, found, entry, "slow")
    print(f"afterwards it got all {options.messages} in order within {time.monotonic() - began:.1f} s")
    slow.disconnect()
    quick.stop()
    await reading


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--messages", type=int, default=200_000)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--growth-max", type=int, default=8_000_000)
    options = parser.parse_args()
    with Server() as server:
        flow.run(scenario(server, options), deadline=900)


if __name__ == "__main__":
    main()
