"""Clients of a cluster: each knows all nodes and goes to another one when its own is gone or says nothing."""

import asyncio
import json
import time

from harness import flow
from harness.client import Client
from harness.packets import DISCONNECT, PUBACK
from harness.watch import Follower

SILENCE = 1.0  # Seconds without any acknowledgement after which a publisher tries another node.
CONNECT_DEADLINE = 1.0


class Nodes:
    """Where clients may connect, in an order of chance."""

    def __init__(self, addresses, chance):
        self.addresses = list(addresses)
        self.chance = chance
        self.avoided = {}  # address -> until when

    def choose(self, but=None):
        now = time.monotonic()
        good = [one for one in self.addresses if one != but and self.avoided.get(one, 0) <= now]
        return self.chance.choice(good or self.addresses)

    def refused(self, address, error):
        """No connection came about."""
        self.avoid(address)

    def avoid(self, address, seconds=2.0):
        self.avoided[address] = time.monotonic() + seconds


class Publisher(flow.Publisher):
    """QoS 1 with ids. Notes when its acknowledgements came, so that pauses can be told."""

    def __init__(self, nodes, user, topic, window):
        super().__init__(0, user, topic, window=window)
        self.nodes = nodes
        self.address = None
        self.times = []
        self.leave = False

    def on_packet(self, packet):
        if packet.type == DISCONNECT:
            self.leave = True
            self.progress.set()
            return
        super().on_packet(packet)
        if packet.type == PUBACK and packet.reason < 0x80:
            self.times.append(time.monotonic())

    def settle(self, message_id, packet):
        super().settle(message_id, packet)
        if packet.reason >= 0x80:
            self.leave = True  # Perhaps another node does better.

    async def run(self):
        while not self.done:
            self.address = self.nodes.choose(but=self.address)
            self.leave = False
            try:
                self.connection, connack = await asyncio.wait_for(
                    flow.connect(self.address[1], self.user, self.on_packet, host=self.address[0], username=self.user),
                    CONNECT_DEADLINE)
            except (OSError, asyncio.TimeoutError, AssertionError) as error:
                self.nodes.refused(self.address, error)
                await asyncio.sleep(0.02)
                continue
            self.window = min(self.window, connack.properties.get("receive_maximum", 65535))
            self.take_up(False)
            await self.talk()
            self.connection.abort()

    async def talk(self):
        """Until the connection breaks, the node is silent, or everything is done."""
        last, known = time.monotonic(), len(self.acknowledged)
        while not self.done and not self.connection.lost.done() and not self.leave:
            self.fill()
            self.progress.clear()
            waiting = asyncio.ensure_future(self.progress.wait())
            await asyncio.wait({waiting, self.connection.lost}, timeout=0.1, return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
            if len(self.acknowledged) != known:
                last, known = time.monotonic(), len(self.acknowledged)
            elif time.monotonic() - last > SILENCE:
                self.nodes.avoid(self.address)
                return

    def longest_pause(self, since):
        """The most seconds between two acknowledgements after `since`; also forgets earlier ones."""
        self.times = [one for one in self.times if one > since]
        moments = [since, *self.times]
        return max((later - earlier for earlier, later in zip(moments, moments[1:], strict=False)), default=0.0)


class Reader(Follower):
    """A follower at any node. Reconnects elsewhere when nothing has come for a while although something should."""

    def __init__(self, nodes, conversation, name, way, sightings):
        super().__init__(0, conversation, name, way, sightings)
        self.nodes = nodes
        self.address = None

    def on_packet(self, packet):
        if packet.type == DISCONNECT:
            self.connection.abort()
            return
        super().on_packet(packet)

    async def connect(self, **options):
        self.address = self.nodes.choose(but=self.address)
        return await asyncio.wait_for(
            flow.connect(self.address[1], self.name, self.on_packet, self.version, host=self.address[0], **options),
            CONNECT_DEADLINE)

    async def run(self):
        while not self.stopping:
            try:
                await asyncio.wait_for(self.join(), 3 * CONNECT_DEADLINE)
            except (OSError, asyncio.TimeoutError, AssertionError) as error:
                if isinstance(error, AssertionError) and "refused" not in str(error):
                    raise
                self.nodes.refused(self.address, error)
                if self.connection is not None:
                    self.connection.abort()
                await asyncio.sleep(0.05)
                continue
            seen = self.seen
            while not self.stopping and not self.connection.lost.done():
                await asyncio.wait({self.connection.lost}, timeout=3.0)
                if self.seen == seen:
                    break  # Nothing came: this node may be cut off.
                seen = self.seen
            self.connection.abort()


def quantile(values, part):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))] if ordered else 0.0


def replay(node, conversation):
    with Client(node.port, f"replay-{node.name}") as client:
        suback = client.subscribe(f"chat/{conversation}/json", user=(("since", 0),))
        return [json.loads(client.message().payload) for _ in range(int(suback.value("head")))]


async def judge(nodes, publishers, readers, sightings):
    """What was acknowledged is on each node, once and in order, and each reader comes to see all of it."""
    for reader in readers:
        acknowledged = {(one.user, key): place for one in publishers for key, place in one.acknowledged.items()
                        if one.topic == f"chat/{reader.conversation}/msg"}
        for node in nodes:
            history = await asyncio.to_thread(replay, node, reader.conversation)
            sightings.judge(reader.conversation, history, acknowledged)
        await reader.reach(len(history))
