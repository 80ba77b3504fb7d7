#!/usr/bin/env python3
"""What a group costs that has very many members of whom few are there, beside one that has only those few.

    large_group.py [--members 100000] [--online 100] [--rate 50] [--seconds 10] [--passes 3]

Prints the broker's processor time a message in both groups, taken in turns, with every delivery acknowledged; and how long it
takes to add a member, and to ask for a page of members.
"""

import argparse
import asyncio
import json
import pathlib
import statistics
import time

from harness import flow, packets
from harness.client import Client
from harness.packets import PUBLISH
from harness.server import Server

SMALL, LARGE = "small", "large"
DEADLINE = 60.0


class Founder(flow.Publisher):
    """Adds users, so many commands under way at once."""

    def __init__(self, port, group, users):
        super().__init__(port, "founder", f"chat/{group}/ctl", window=200, limit=len(users))
        self.users = users

    def payload(self, message_id):
        return json.dumps({"op": "add", "user": self.users[int(message_id.rpartition("-")[2])], "id": message_id}).encode()


class Ears:
    """Members who are there: each hears everything, and acknowledges it."""

    def __init__(self, port, group, users):
        self.port, self.group, self.users, self.heard, self.connections = port, group, users, 0, []

    async def __aenter__(self):
        for user in self.users:
            connection, _ = await flow.connect(self.port, f"{user} at {self.group}", self.on_packet, username=user)
            await flow.subscribe(connection, f"chat/{self.group}/msg")
            self.connections.append(connection)
        return self

    async def __aexit__(self, *_):
        for connection in self.connections:
            connection.transport.close()

    def on_packet(self, packet):
        self.heard += packet.type == PUBLISH


def processor_time(pid):
    """Seconds that all its threads have run."""
    nanoseconds = 0
    for task in pathlib.Path(f"/proc/{pid}/task").iterdir():
        nanoseconds += int((task / "schedstat").read_text().split()[0])
    return nanoseconds / 1e9


async def cost(server, group, users, options):
    """Microseconds of the broker's a message."""
    async with Ears(server.port, group, users) as ears:
        connection, _ = await flow.connect(server.port, f"speaker at {group}", lambda packet: None, username="founder")
        count = options.rate * options.seconds
        await asyncio.sleep(1)  # What connecting brought about is over.
        began, before = time.monotonic(), processor_time(server.broker.pid)
        for number in range(count):
            connection.send(packets.publish(f"chat/{group}/msg", b"good morning", qos=1, packet_id=number % 65535 + 1))
            await asyncio.sleep(max(0, began + (number + 1) / options.rate - time.monotonic()))
        await flow.wait_until(lambda: ears.heard >= count * len(users), "everybody has heard everything", DEADLINE)
        await asyncio.sleep(1.5)  # Marks are written.
        spent = processor_time(server.broker.pid) - before
        connection.transport.close()
        return spent / count * 1e6


def milliseconds(do, times):
    """Of `do(number)`: median and the slowest of a hundred."""
    taken = []
    for number in range(times):
        began = time.monotonic()
        do(number)
        taken.append((time.monotonic() - began) * 1e3)
    return f"p50 {statistics.median(taken):.2f} ms, p99 {sorted(taken)[int(times * 0.99)]:.2f} ms"


def ask(client, group, command):
    client.publish(f"chat/{group}/ctl", json.dumps(command))
    answer = json.loads(client.message().payload)
    if not answer["ok"]:
        raise AssertionError(f"{command} to {group}: {answer}")
    return answer


def times(server, group, users):
    with Client(server.port, "asker", username="founder") as client:
        client.subscribe("client/asker/reply")
        print(f"{group}: {ask(client, group, {'op': 'info', 'limit': 1})['member_count']} members")
        print("  add: " + milliseconds(lambda n: ask(client, group, {"op": "add", "user": f"late {n}"}), 300))

        def page(number):
            answer = ask(client, group, {"op": "info", "after": users[number * 131 % len(users)], "limit": 100})
            assert len(answer["members"]) <= 100, answer

        print("  page of 100: " + milliseconds(page, 300))


async def scenario(server, options):
    users = [f"user{number:06}" for number in range(options.members)]
    online = users[:: max(1, len(users) // options.online)][: options.online]
    with Client(server.port, "founder", username="founder") as founder:
        founder.subscribe("client/founder/reply")
        for group in (SMALL, LARGE):
            ask(founder, group, {"op": "create"})
    for group, who in ((SMALL, online), (LARGE, users)):
        began = time.monotonic()
        await Founder(server.port, group, who).run()
        print(f"{len(who)} members added to {group}: {len(who) / (time.monotonic() - began):.0f} a second", flush=True)
    found = {SMALL: [], LARGE: []}
    for number in range(options.passes):
        for group in (SMALL, LARGE) if number % 2 == 0 else (LARGE, SMALL):
            found[group].append(await cost(server, group, online, options))
        print(f"pass {number + 1}: {found[SMALL][-1]:.0f} us a message with {len(online)} members, "
              f"{found[LARGE][-1]:.0f} us with {len(users)}", flush=True)
    medians = {group: statistics.median(values) for group, values in found.items()}
    print(f"{len(online)} of {len(users)} members there: {medians[LARGE] / medians[SMALL]:.3f} times the processor time a message")
    for group, who in ((SMALL, online), (LARGE, users)):
        await asyncio.to_thread(times, server, group, who)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--members", type=int, default=100_000)
    parser.add_argument("--online", type=int, default=100)
    parser.add_argument("--rate", type=int, default=50, help="messages a second")
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--passes", type=int, default=3)
    options = parser.parse_args()
    with Server() as server:
        flow.run(scenario(server, options), 3600)


if __name__ == "__main__":
    main()
