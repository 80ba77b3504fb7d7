#!/usr/bin/env python3
"""kill -9 at random moments while ordinary topics carry QoS 1 and 2: to a subscriber that is there, to one that is away, and to
one that comes and goes. What was acknowledged arrives, and at QoS 2 everything arrives once.

    plain_kill_rounds.py [--rounds 5] [--seed N] [--threads 2]
"""

import argparse
import asyncio
import random
import time

from harness import packets
from harness.packets import CONNACK, PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL, SUBACK
from harness.server import Server

DEADLINE = 60.0
TOPICS = {1: "plain/one", 2: "plain/two"}
LASTING = {"session_expiry_interval": 3600}


FAILED = []


async def until(condition, what):
    end = time.monotonic() + DEADLINE
    while not condition():
        if FAILED:
            raise FAILED[0]
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {DEADLINE} s")
        await asyncio.sleep(0.002)


class Session:
    """A client with a session that it resumes whenever the connection breaks; what MQTT has a client keep, it keeps."""

    def __init__(self, port, client_id):
        self.port, self.client_id = port, client_id
        self.writer, self.wanted, self.online = None, True, False
        self.task = asyncio.ensure_future(self.run())

    async def run(self):
        while True:
            if not self.wanted:
                await asyncio.sleep(0.002)
                continue
            try:
                await self.connected()
            except OSError:
                await asyncio.sleep(0.01)
            except Exception as error:
                FAILED.append(error)
                raise
            finally:
                self.online = False
                if self.writer:
                    self.writer.close()
                    self.writer = None

    async def connected(self):
        reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.send(packets.connect(self.client_id, clean=False, values=LASTING))
        stream = packets.Stream()
        while self.wanted:
            data = await reader.read(1 << 16)
            if not data:
                return
            for packet in stream.feed(data):
                if packet.type == CONNACK:
                    assert packet.reason == 0, packet
                    self.begin(packet.session_present)
                    self.online = True
                else:
                    self.handle(packet)

    def send(self, data):
        if self.writer and not self.writer.is_closing():
            self.writer.write(data)

    def leave(self):
        """Until come()."""
        self.wanted = False
        if self.writer:
            self.writer.close()

    def come(self):
        self.wanted = True


class Publisher(Session):
    def __init__(self, port, client_id, qos, window=32):
        self.qos, self.window = qos, window
        self.next_number, self.next_id = 0, 0
        self.under_way, self.released, self.acknowledged = {}, set(), set()
        self.known, self.stopped = False, False
        super().__init__(port, client_id)

    def begin(self, session_present):
        assert session_present or not self.known, "the publisher's session is gone"
        self.known = True
        for packet_id in self.released:
            self.send(packets.acknowledge(PUBREL, packet_id))
        for packet_id, number in self.under_way.items():
            self.send_message(packet_id, number, True)
        self.fill()

    def send_message(self, packet_id, number, dup):
        self.send(packets.publish(TOPICS[self.qos], b"%s %d" % (self.client_id.encode(), number), qos=self.qos,
                                  packet_id=packet_id, dup=dup))

    def fill(self):
        while not self.stopped and len(self.under_way) + len(self.released) < self.window:
            self.next_id = self.next_id % 65535 + 1
            self.under_way[self.next_id] = self.next_number
            self.send_message(self.next_id, self.next_number, False)
            self.next_number += 1

    def handle(self, packet):
        # PUBCOMP may say that the id is unknown: it was released, and that answer was lost with the broker.
        assert packet.reason in (0, 0x10) or (packet.type, packet.reason) == (PUBCOMP, 0x92), packet
        if packet.type == PUBACK:
            self.acknowledged.add(self.under_way.pop(packet.packet_id))
        elif packet.type == PUBREC:
            if packet.packet_id in self.under_way:
                self.acknowledged.add(self.under_way.pop(packet.packet_id))
                self.released.add(packet.packet_id)
            self.send(packets.acknowledge(PUBREL, packet.packet_id))
        elif packet.type == PUBCOMP:
            self.released.discard(packet.packet_id)
        self.fill()


class Subscriber(Session):
    def __init__(self, port, client_id):
        self.received = {1: {}, 2: {}}
        self.held = set()
        self.subscribed = False
        super().__init__(port, client_id)

    def begin(self, session_present):
        assert session_present or not self.subscribed, f"the session of {self.client_id} is gone"
        if not self.subscribed:
            self.send(packets.subscribe(1, [(TOPICS[1], 1), (TOPICS[2], 2)]))

    def handle(self, packet):
        if packet.type == SUBACK:
            self.subscribed = True
        elif packet.type == PUBLISH:
            if packet.qos == 2 and packet.packet_id in self.held:
                self.send(packets.acknowledge(PUBREC, packet.packet_id))
                return
            key = packet.payload.decode()
            self.received[packet.qos][key] = self.received[packet.qos].get(key, 0) + 1
            if packet.qos == 2:
                self.held.add(packet.packet_id)
            self.send(packets.acknowledge(PUBREC if packet.qos == 2 else PUBACK, packet.packet_id))
        elif packet.type == PUBREL:
            self.held.discard(packet.packet_id)
            self.send(packets.acknowledge(PUBCOMP, packet.packet_id))


async def scenario(server, options):
    chance = random.Random(options.seed)
    subscribers = [Subscriber(server.port, name) for name in ("present", "absent", "now-and-then")]
    everybody = list(subscribers)
    try:
        await until(lambda: all(one.subscribed for one in subscribers), "subscriptions")
        _, absent, guest = subscribers
        absent.leave()
        await until(lambda: not absent.online, "absent")
        publishers = [Publisher(server.port, f"p{number}.{qos}", qos) for qos in (1, 2) for number in range(2)]
        everybody += publishers
        for number in range(1, options.rounds + 1):
            start = [len(one.acknowledged) for one in publishers]
            wanted = chance.choice([1, 30, 200, 500])
            await until(lambda: all(len(one.acknowledged) >= before + wanted for one, before in zip(publishers, start)),
                        f"round {number}")
            if number % 2:
                guest.leave()
            else:
                guest.come()
            await asyncio.sleep(chance.random() * 0.03)
            server.broker.kill()
            began = time.monotonic()
            await asyncio.to_thread(server.start_broker)
            print(f"round {number}: killed after {sum(len(one.acknowledged) for one in publishers)} acknowledged; ready again in "
                  f"{(time.monotonic() - began) * 1000:.0f} ms", flush=True)
        for one in publishers:
            one.stopped = True
        for one in subscribers:
            one.come()
        await until(lambda: all(not one.under_way and not one.released for one in publishers), "the last acknowledgements")
        for subscriber in subscribers:
            for qos in (1, 2):
                sent = {f"{one.client_id} {number}" for one in publishers if one.qos == qos for number in one.acknowledged}
                try:
                    await until(lambda s=subscriber, q=qos, w=sent: w <= set(s.received[q]), f"{subscriber.client_id} gets everything")
                except AssertionError:
                    missing = sorted(sent - set(subscriber.received[qos]))
                    raise AssertionError(f"{subscriber.client_id}: {len(missing)} of {len(sent)} lost at QoS {qos}, such as "
                                         f"{missing[:5]}") from None
            await until(lambda s=subscriber: not s.held, "the last releases")
        twice = {one.client_id: [key for key, count in one.received[2].items() if count > 1] for one in subscribers}
        assert not any(twice.values()), f"delivered twice at QoS 2: { {name: keys[:5] for name, keys in twice.items()} }"
        again = sum(count - 1 for one in subscribers for count in one.received[1].values())
        print(f"{options.rounds} rounds: {sum(len(one.acknowledged) for one in publishers)} acknowledged, nothing lost, nothing twice "
              f"at QoS 2, {again} again at QoS 1, seed {options.seed}")
    finally:
        for one in everybody:
            one.task.cancel()
        await asyncio.gather(*(one.task for one in everybody), return_exceptions=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    if options.seed is None:
        options.seed = random.randrange(1 << 32)
    settings = {"mqtt.max_queued_messages": 10_000_000, "mqtt.max_queued_bytes": "1GB", "node.threads": options.threads}
    with Server(settings=settings) as server:
        asyncio.run(scenario(server, options))


main()
