#!/usr/bin/env python3
"""Hostile clients don't slow the honest ones, cost bounded memory, and are cut off with their reasons counted.

    hostile.py [--hostile 2000] [--honest 200] [--seconds 20] [--factor 0]

Honest clients sit in rooms of ten and write now and then; a process of its own measures how long each message takes to each of
its readers, before the attack and during it. Another process, on a processor of its own, holds the hostile connections, and
comes again with each one that is cut off. With --factor the honest p99 may grow by no more than that.
"""

import argparse
import asyncio
import collections
import json
import os
import resource
import socket
import subprocess
import sys
import time

from harness import packets
from harness.packets import CONNACK, DISCONNECT, PUBACK, PUBLISH, SUBACK
from harness.process import cpu_seconds, waited_seconds
from harness.server import LocalConnection, Server

ROOM = 10
PERIOD = 2.0  # Seconds between two messages of an honest client.
SETTINGS = {
    "node.threads": 2,
    "mqtt.connect_timeout": "3s",
    "mqtt.packet_timeout": "3s",
    "mqtt.write_timeout": "3s",
    "mqtt.max_throttle": "3s",
    "mqtt.max_control_rate": 50,
    "mqtt.max_subscriptions": 200,
    "mqtt.sys_interval": "1s",
}


class Link(asyncio.Protocol):
    """A connection that hands whole packets to packet(kind, flags, body)."""

    def __init__(self):
        self.transport = None
        self.unread = bytearray()
        self.ended = asyncio.get_running_loop().create_future()
        self.reason = None

    def connection_made(self, transport):
        self.transport = transport
        self.begin()

    def data_received(self, data):
        self.unread += data
        at = 0
        while len(self.unread) - at >= 2:
            size, shift, head = 0, 0, at + 1
            while head < len(self.unread) and shift < 28:
                digit = self.unread[head]
                size |= (digit & 0x7F) << shift
                head, shift = head + 1, shift + 7
                if not digit & 0x80:
                    break
            else:
                break
            if len(self.unread) < head + size:
                break
            kind, body = self.unread[at] >> 4, bytes(self.unread[head : head + size])
            at = head + size
            if kind == DISCONNECT:
                self.reason = body[0] if body else 0
            self.packet(kind, body)
        del self.unread[:at]

    def connection_lost(self, error):
        if not self.ended.done():
            self.ended.set_result(self.reason)

    def write(self, data):
        if not self.transport.is_closing():
            self.transport.write(data)

    def begin(self):
        pass

    def packet(self, kind, body):
        pass


# -- The honest ones ---------------------------------------------------------------------------------------------------


class Honest(Link):
    def __init__(self, name, room, delays):
        super().__init__()
        self.name, self.topic, self.delays = name, f"chat/{room}/msg", delays
        self.ready = asyncio.get_running_loop().create_future()
        self.spoken = asyncio.get_running_loop().create_future()
        self.sent = 0

    def begin(self):
        self.write(packets.connect(self.name, keep_alive=0))

    def packet(self, kind, body):
        if kind == CONNACK:
            self.write(packets.subscribe(1, [(self.topic, 0)]))
        elif kind == SUBACK:
            self.ready.set_result(None)
        elif kind == PUBLISH:
            # The stamp is the payload's end; the topic and properties before it don't matter here.
            self.delays.append(time.monotonic_ns() - int(body[-20:]))
        elif kind == PUBACK and not self.spoken.done():
            self.spoken.set_result(None)
        elif kind == DISCONNECT:
            raise AssertionError(f"{self.name} was disconnected with {self.reason:#x}")

    def say(self):
        self.sent += 1
        self.write(packets.publish(self.topic, b"hello, how are you? %020d" % time.monotonic_ns(), qos=1,
                                   packet_id=self.sent % 60_000 + 1))


async def honest(options):
    """Prints a line of figures whenever a line comes in on standard input."""
    loop, delays = asyncio.get_running_loop(), []
    clients = []
    for number in range(options.honest):
        _, client = await loop.create_connection(
            lambda n=number: Honest(f"honest-{n}", f"room-{n // ROOM}", delays), "127.0.0.1", options.port)
        clients.append(client)
    await asyncio.gather(*(client.ready for client in clients))

    async def talk(client, number):
        await asyncio.sleep(PERIOD * number / len(clients))
        while True:
            client.say()
            await asyncio.sleep(PERIOD)

    talking = [asyncio.ensure_future(talk(client, number)) for number, client in enumerate(clients)]
    await asyncio.gather(*(client.spoken for client in clients))
    print("ready", flush=True)
    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        if line.strip() == b"begin":
            delays.clear()
            continue
        sample = sorted(delays)
        at = lambda share: sample[min(int(len(sample) * share), len(sample) - 1)] / 1e6 if sample else 0.0
        lost = sum(client.ended.done() for client in clients)
        print(json.dumps({"count": len(sample), "p50": at(0.5), "p99": at(0.99), "max": at(1), "lost": lost}), flush=True)
    for task in talking:
        task.cancel()


# -- The hostile ones --------------------------------------------------------------------------------------------------


class Hostile(Link):
    """Says CONNECT; what it does then, its kind says."""

    def __init__(self, name):
        super().__init__()
        self.name = name
        self.task = None

    def begin(self):
        self.write(packets.connect(self.name, keep_alive=0))

    def packet(self, kind, body):
        if kind == CONNACK and self.task is None:
            self.task = asyncio.ensure_future(self.attack())

    async def attack(self):
        pass


class SlowConnect(Hostile):
    def begin(self):
        self.task = asyncio.ensure_future(self.attack())

    async def attack(self):
        for byte in packets.connect(self.name):
            self.write(bytes([byte]))
            await asyncio.sleep(0.5)


class HalfPacket(Hostile):
    async def attack(self):
        self.write(packets.publish("half/a/packet", b"x" * 200_000)[:100_000])


class HugeLength(Hostile):
    async def attack(self):
        self.write(b"\x30\xff\xff\xff\x7f")


class NeverRead(Hostile):
    """Subscribes to what it publishes itself, and takes none of it."""

    async def attack(self):
        self.transport.pause_reading()
        self.write(packets.subscribe(1, [(f"loud/{self.name}", 0)]))
        message = packets.publish(f"loud/{self.name}", b"x" * 8_000)
        while not self.transport.is_closing():
            if self.transport.get_write_buffer_size() < 64_000:
                self.write(message * 3 + b"\xc0\x00")
            await asyncio.sleep(0.1)


class PingFlood(Hostile):
    async def attack(self):
        while not self.transport.is_closing():
            if self.transport.get_write_buffer_size() < 16_000:
                self.write(b"\xc0\x00" * 4_000)
            await asyncio.sleep(0.1)


class SubscriptionBomb(Hostile):
    async def attack(self):
        number = 0
        while not self.transport.is_closing():
            if self.transport.get_write_buffer_size() < 16_000:
                filters = [(f"bomb/{self.name}/{number}/{i}/+/#", 0) for i in range(100)]
                self.write(packets.subscribe(number % 60_000 + 1, filters))
                number += 1
            await asyncio.sleep(0.02)


class AliasAbuse(Hostile):
    async def attack(self):
        self.write(packets.publish("alias/a", b"x", values={"topic_alias": 65_535}))


KINDS = [SlowConnect, HalfPacket, HugeLength, NeverRead, PingFlood, SubscriptionBomb, AliasAbuse]


async def hostile(options):
    loop = asyncio.get_running_loop()
    cuts = collections.Counter()
    stopping = asyncio.Event()

    async def attack(number):
        kind, again = KINDS[number % len(KINDS)], 0
        while not stopping.is_set():
            again += 1
            way = socket.socket()
            way.setblocking(False)
            way.bind((f"127.0.1.{1 + number % 250}", 0))
            if kind is NeverRead:
                # So that the kernel keeps little for it, on either side.
                way.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                way.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
            try:
                await loop.sock_connect(way, ("127.0.0.1", options.port))
                _, link = await loop.create_connection(lambda n=again: kind(f"{kind.__name__}-{number}-{n}"), sock=way)
            except OSError:
                way.close()
                await asyncio.sleep(1)
                continue
            end = asyncio.ensure_future(stopping.wait())
            await asyncio.wait([link.ended, end], return_when=asyncio.FIRST_COMPLETED)
            end.cancel()
            if link.ended.done():
                reason = link.ended.result()
                cuts[f"{kind.__name__} {'closed' if reason is None else hex(reason)}"] += 1
            if link.task is not None:
                link.task.cancel()
            link.transport.abort()
            await asyncio.sleep(1)

    tasks = [asyncio.ensure_future(attack(number)) for number in range(options.hostile)]
    await asyncio.sleep(2)
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    stopping.set()
    await asyncio.wait(tasks, timeout=10)
    print(json.dumps(cuts), flush=True)


# -- The whole ---------------------------------------------------------------------------------------------------------


def prefer(pid, priority, workers=None):
    """Attackers have processors of their own: here this process gets one whenever it wants it, and others have the rest.

    Under SCHED_RR a thread that has work keeps its processor for 100 ms from others of its priority, so that the broker's
    workers could keep its log's writer waiting as no ordinary scheduler would let them: `workers` come behind it.
    """
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/comm", encoding="utf-8") as name:
            is_worker = name.read().strip() == "worker"
        own = workers if is_worker and workers is not None else priority
        os.sched_setscheduler(int(thread), os.SCHED_RR, os.sched_param(own))


class Part:
    """One of the two processes: a line in, a line out."""

    def __init__(self, role, options, port):
        command = [sys.executable, __file__, "--role", role, "--port", str(port), "--hostile", str(options.hostile),
                   "--honest", str(options.honest)]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.answer()

    def answer(self):
        line = self.process.stdout.readline()
        assert line, f"{self.process.args} has ended"
        return line.strip()

    def say(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def ask(self, line):
        self.say(line)
        return json.loads(self.answer())

    def end(self):
        self.process.stdin.close()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


def metrics(server):
    connection = LocalConnection(server.data / "admin.sock")
    connection.request("GET", "/metrics")
    answer = connection.getresponse().read()
    connection.close()
    values = {}
    for line in answer.decode().splitlines():
        if line and not line.startswith("#"):
            name, value = line.rsplit(" ", 1)
            values[name] = int(value)
    return values


def watched(server, good, seconds):
    """Lets the time pass: the broker's most memory, its processor time a second, and what it and the honest ones waited for one."""
    pids = server.broker.pid, good.process.pid
    begin, most, cpu, waited = time.monotonic(), 0, cpu_seconds(pids[0]), [waited_seconds(pid) for pid in pids]
    while (passed := time.monotonic() - begin) < seconds:
        most = max(most, server.broker.memory())
        time.sleep(min(0.2, seconds - passed))
    waits = [(waited_seconds(pid) - before) / seconds for pid, before in zip(pids, waited)]
    return most, (cpu_seconds(pids[0]) - cpu) / seconds, waits


def show(what, figures, memory, cpu, waits):
    print(f"{what:7} honest latency p50 {figures['p50']:7.2f} ms  p99 {figures['p99']:7.2f} ms  max {figures['max']:7.1f} ms  "
          f"({figures['count']} deliveries); broker {memory / 1e6:.1f} MB, {cpu:.2f} cores; waiting for a processor: broker "
          f"{waits[0]:.2f} s/s, honest {waits[1]:.2f} s/s", flush=True)


def limit(values, name):
    return values[f'parley_limit_reached_total{{limit="mqtt.{name}"}}']


def check_reasons(counted, cuts):
    """Each kind meets its limit, and what the clients saw is what the broker has counted."""
    seen = lambda reason: sum(count for name, count in cuts.items() if name.endswith(f" {reason:#x}"))
    words = {0x94: "Topic Alias invalid", 0x95: "Packet too large", 0x96: "Message rate too high"}
    for reason, word in words.items():
        broker = counted.get(f'parley_disconnects_total{{reason="{word}"}}', 0)
        print(f"    {reason:#x} {word}: counted {broker}, seen by clients {seen(reason)}")
        assert broker > 0, f"nobody was cut with {word}"
        assert seen(reason) <= broker, "more were told than counted"
    for name in ("connect_timeout", "packet_timeout", "write_timeout", "max_subscriptions", "max_packet_size",
                 "max_topic_alias", "max_control_rate", "max_throttle"):
        print(f"    limit mqtt.{name}: reached {limit(counted, name)} times")
        assert limit(counted, name) > 0, name
    for kind in ("SlowConnect", "HalfPacket"):
        closed = cuts.get(f"{kind} closed", 0)
        assert closed > 0, f"no {kind} was closed"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hostile", type=int, default=2000)
    parser.add_argument("--honest", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--factor", type=float, default=0, help="fail when the honest p99 grows by more; 0: don't")
    parser.add_argument("--memory-max", type=int, default=300_000_000)
    parser.add_argument("--role", choices=["honest", "hostile"], help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.role:
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        asyncio.run(honest(options) if options.role == "honest" else hostile(options))
        return
    with Server(settings=SETTINGS) as server:
        good = Part("honest", options, server.port)
        bad = None
        try:
            prefer(server.broker.pid, 3, workers=1)
            prefer(good.process.pid, 2)
            good.say("begin")
            memory, cpu, waits = watched(server, good, options.seconds)
            before = good.ask("end")
            show("before", before, memory, cpu, waits)
            bad = Part("hostile", options, server.port)
            good.say("begin")
            memory, cpu, waits = watched(server, good, options.seconds)
            during = good.ask("end")
            show("during", during, memory, cpu, waits)
            cuts = bad.ask("stop")
            counted = metrics(server)
            print(f"{options.hostile} hostile connections were cut {sum(cuts.values())} times, each coming again: "
                  f"{dict(sorted(cuts.items()))}")
            check_reasons(counted, cuts)
            assert during["lost"] == 0, f"{during['lost']} honest clients were cut"
            assert memory < options.memory_max, f"the broker had {memory} bytes"
            growth = during["p99"] / before["p99"]
            print(f"honest p99 {growth:.2f} times what it was, p50 {during['p50'] / before['p50']:.2f} times")
            assert not options.factor or growth < options.factor, "the honest ones are too slow"
        finally:
            for part in (good, bad):
                if part is not None:
                    part.end()


main()
