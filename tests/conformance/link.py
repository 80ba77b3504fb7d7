"""Raw MQTT over TCP against a real broker: a test says which bytes go out and sees every byte that comes back."""

import functools
import itertools
import pathlib
import socket
import struct
import sys
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "e2e"))

from harness import packets  # noqa: E402
from harness.packets import (CONNACK, CONNECT, DISCONNECT, PINGREQ, PINGRESP, PUBACK, PUBCOMP, PUBLISH, PUBREC,  # noqa: E402
                             PUBREL, SUBACK, SUBSCRIBE, UNSUBACK, UNSUBSCRIBE)
from harness.placement import shard_of  # noqa: E402
from harness.server import Server  # noqa: E402

DEADLINE = 8.0
NAMES = {3: "MQIsdp", 4: "MQTT", 5: "MQTT"}
LASTING = {"session_expiry_interval": 300}


def shows(*statements):
    """Names the statements (ids of statements.tsv and statements_v3.tsv) that a test shows; docs/CONFORMANCE.md comes from it."""

    def mark(test):
        test.statements = statements
        return test

    return mark


# -- Packets as bytes --------------------------------------------------------------------------------------------------


def raw(text):
    """Bytes from hexadecimal digits and blanks."""
    return bytes.fromhex(text)


def connect(client_id="", version=5, *, clean=True, keep_alive=60, user=None, password=None, will=None, values=None,
            pairs=(), name=None, level=None, flags=None):
    """`will` is a dictionary: topic, and if wanted payload, qos, retain, values, pairs. `flags` replaces the computed ones."""
    bits = 0x02 if clean else 0
    tail = packets.text(client_id)
    if will is not None:
        bits |= 0x04 | will.get("qos", 0) << 3 | (0x20 if will.get("retain") else 0)
        if version == 5:
            tail += packets.properties(will.get("values", {}), will.get("pairs", ()))
        tail += packets.text(will["topic"]) + packets.binary(will.get("payload", b"gone"))
    if user is not None:
        bits |= 0x80
        tail += packets.text(user)
    if password is not None:
        bits |= 0x40
        tail += packets.text(password)
    head = packets.text(NAMES[version] if name is None else name)
    head += struct.pack("!BBH", version if level is None else level, bits if flags is None else flags, keep_alive)
    if version == 5:
        head += packets.properties(values or {}, pairs)
    return packets.packet(CONNECT, 0, head + tail)


def subscribe(packet_id, filters, version=5, values=None, pairs=()):
    """`filters` is a list of (filter, options byte)."""
    return packets.subscribe(packet_id, filters, version, values=values, user=pairs)


def unsubscribe(packet_id, filters, version=5):
    body = struct.pack("!H", packet_id) + (b"\0" if version == 5 else b"")
    return packets.packet(UNSUBSCRIBE, 2, body + b"".join(packets.text(name) for name in filters))


def publish(topic, payload=b"x", version=5, *, qos=0, packet_id=0, retain=False, dup=False, values=None, pairs=()):
    return packets.publish(topic, payload, version, qos=qos, packet_id=packet_id, retain=retain, dup=dup, values=values,
                           user=pairs)


def ack(kind, packet_id, reason=0):
    """PUBACK, PUBREC, PUBREL or PUBCOMP."""
    if reason == 0:
        return packets.acknowledge(kind, packet_id)
    return struct.pack("!BBHB", kind << 4 | (2 if kind == PUBREL else 0), 3, packet_id, reason)


def disconnect(reason=0, values=None):
    if values is None:
        return packets.packet(DISCONNECT, 0, bytes([reason]) if reason else b"")
    return packets.packet(DISCONNECT, 0, bytes([reason]) + packets.properties(values))


PING = raw("c000")


# -- A connection ------------------------------------------------------------------------------------------------------


def let_pass(seconds):
    """An interval that the specification counts in seconds, and a little more: the test is about its being over."""
    time.sleep(seconds)


class Link:
    """One connection. Answers nothing by itself. Every wait has a deadline."""

    def __init__(self, port, version=5):
        self.version = version
        self.came = []
        self.stream = packets.Stream(version)
        self.bytes = bytearray()
        self.connack = None
        self.next_id = 0
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=DEADLINE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def close(self):
        """Without a word, as a client that has died."""
        self.socket.close()

    def send(self, *data):
        self.socket.sendall(b"".join(data))

    def read(self, deadline):
        """More bytes; False at the end of the stream."""
        self.socket.settimeout(max(0.001, deadline - time.monotonic()))
        try:
            data = self.socket.recv(1 << 16)
        except ConnectionError:
            return False
        self.bytes += data
        self.came += self.stream.feed(data)
        return bool(data)

    def next(self, wait=DEADLINE):
        """The next packet; None at the end of the stream."""
        deadline = time.monotonic() + wait
        while not self.came:
            try:
                if not self.read(deadline):
                    return None
            except TimeoutError:
                raise AssertionError(f"nothing came within {wait} s") from None
        return self.came.pop(0)

    def expect(self, kind, wait=DEADLINE):
        packet = self.next(wait)
        if packet is None or packet.type != kind:
            raise AssertionError(f"wanted a packet of type {kind}, came {packet}")
        return packet

    def exactly(self, count):
        """The next `count` bytes of those that no packet was taken from. Not to be mixed with next()."""
        deadline = time.monotonic() + DEADLINE
        while len(self.bytes) < count and self.read(deadline):
            pass
        taken = bytes(self.bytes[:count])
        del self.bytes[:count]
        self.came.clear()
        return taken

    def forget(self):
        """What came so far isn't looked at any more."""
        self.bytes.clear()
        self.came.clear()

    def end(self):
        """Everything until the server closes."""
        found = []
        while (packet := self.next()) is not None:
            found.append(packet)
        return found

    def packet_id(self):
        self.next_id += 1
        return self.next_id

    def ping(self):
        """Everything that comes before PINGRESP."""
        self.send(PING)
        found = []
        while (packet := self.next()) is None or packet.type != PINGRESP:
            if packet is None:
                raise AssertionError(f"closed instead of PINGRESP; came {found}")
            found.append(packet)
        return found

    # -- Whole exchanges --

    def join(self, client_id="", **options):
        self.send(connect(client_id, self.version, **options))
        self.connack = self.expect(CONNACK)
        return self

    def subscribe(self, name, options=0, values=None):
        packet_id = self.packet_id()
        self.send(subscribe(packet_id, [(name, options)], self.version, values))
        return self.answer(SUBACK, packet_id)

    def unsubscribe(self, name):
        packet_id = self.packet_id()
        self.send(unsubscribe(packet_id, [name], self.version))
        return self.answer(UNSUBACK, packet_id)

    def publish(self, topic, payload=b"x", qos=1, **options):
        """With the whole flow of its QoS; the PUBACK or PUBREC."""
        packet_id = self.packet_id() if qos else 0
        self.send(publish(topic, payload, self.version, qos=qos, packet_id=packet_id, **options))
        if qos == 0:
            return None
        answer = self.answer(PUBACK if qos == 1 else PUBREC, packet_id)
        if qos == 2 and answer.reason < 0x80:
            self.send(ack(PUBREL, packet_id))
            self.answer(PUBCOMP, packet_id)
        return answer

    def answer(self, kind, packet_id):
        """That packet; others that came before it are kept."""
        kept = []
        while True:
            packet = self.next()
            if packet is None:
                raise AssertionError(f"closed instead of type {kind}; came {kept}")
            if packet.type == kind and packet.packet_id == packet_id:
                self.came = kept + self.came
                return packet
            kept.append(packet)

    def message(self):
        """The next PUBLISH."""
        return self.expect(PUBLISH)

    def take(self):
        """The next PUBLISH, acknowledged to the end."""
        found = self.message()
        if found.qos == 1:
            self.send(ack(PUBACK, found.packet_id))
        elif found.qos == 2:
            self.send(ack(PUBREC, found.packet_id))
            self.answer(PUBREL, found.packet_id)
            self.send(ack(PUBCOMP, found.packet_id))
        return found


# -- Tests -------------------------------------------------------------------------------------------------------------


@functools.cache
def broker(**settings):
    """One broker for all tests that want these settings ("mqtt.max_qos" as mqtt_max_qos); stopped at the end of the run."""
    named = {"node.threads": THREADS} | {key.replace("_", ".", 1): value for key, value in settings.items()}
    server = Server(settings=named)
    server.__enter__()
    RUNNING.append(server)
    return server


RUNNING = []
THREADS = 2
# From the publisher's thread to that which keeps a shared group, and on to the member's.
HOPS = 2


class Case(unittest.TestCase):
    """A test has connections that end with it, and topics of its own."""

    settings = {}
    numbers = itertools.count(1)

    def setUp(self):
        self.server = broker(**self.settings)
        self.pacers = {}
        self.topic = f"t{next(self.numbers)}/{self._testMethodName[5:40]}"

    def link(self, version=5):
        link = Link(self.server.port, version)
        self.addCleanup(link.close)
        return link

    def join(self, client_id="", version=5, **options):
        """A connection that was accepted."""
        link = self.link(version).join(client_id, **options)
        self.assertEqual(link.connack.reason, 0)
        return link

    def name(self, suffix=""):
        """A client id of this test."""
        return f"c{self.topic.split('/', maxsplit=1)[0][1:]}{suffix}"

    def lasting(self, client_id=None, version=5, clean=False, **options):
        """A connection to a session that stays."""
        if version == 5:
            options.setdefault("values", LASTING)
        return self.join(client_id or self.name("p"), version, clean=clean, **options)

    def leave(self, link):
        """Disconnects in order; returns once the server has closed."""
        link.send(disconnect())
        self.assertEqual([packet.type for packet in link.end() if packet.type != PUBLISH], [])
        link.close()

    def settle(self, publisher, *subscribers):
        """After it, whatever the publisher's earlier packets cause has reached the subscribers' sockets. A thread of the
        broker hands over at the end of a turn; so with each hop a turn of every thread must begin after that."""
        pacers = [self.pacer(thread) for thread in range(THREADS)]
        for link in [publisher, *pacers * 2 * HOPS, *subscribers, *subscribers]:
            link.send(PING)
            self.collect(link, PINGRESP)

    def pacer(self, thread):
        """A connection that this thread of the broker serves."""
        if thread not in self.pacers:
            names = (f"{self.name('pacer')}.{number}" for number in itertools.count())
            self.pacers[thread] = self.join(next(name for name in names if shard_of(name, THREADS) == thread))
        return self.pacers[thread]

    def collect(self, link, kind):
        kept = []
        while True:
            packet = link.next()
            self.assertIsNotNone(packet, f"closed while waiting for {kind}")
            if packet.type == kind:
                link.came = kept + link.came
                return packet
            kept.append(packet)

    def got(self, publisher, link):
        """The PUBLISH packets that have come to `link` from what `publisher` sent."""
        self.settle(publisher, link)
        found, link.came = link.came, []
        return [packet for packet in found if packet.type == PUBLISH]

    def refusal(self, data, version=5):
        """What the server says to these first bytes before it closes: the reason, or None for silence."""
        link = self.link(version)
        link.send(data)
        said = link.end()
        self.assertLessEqual(len(said), 1, said)
        if not said:
            return None
        self.assertEqual(said[0].type, CONNACK)
        self.assertFalse(said[0].session_present)
        return said[0].reason

    def violation(self, data, version=5, **options):
        """The reason of the DISCONNECT that follows such bytes on a connection, None for silence; closed in either case."""
        link = self.join("", version, **options)
        link.send(data)
        said = link.end()
        self.assertLessEqual(len(said), 1, said)
        if not said:
            return None
        self.assertEqual(said[0].type, DISCONNECT)
        return said[0].reason
