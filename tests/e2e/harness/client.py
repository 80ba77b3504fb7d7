"""A client that sends exactly what the test says and shows exactly what comes back. Blocking; every wait has a deadline."""

import collections
import socket
import time

from harness import packets
from harness.packets import CONNACK, DISCONNECT, PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL, SUBACK

DEADLINE = 20.0


class Closed(Exception):
    """The server closed the connection."""


class Client:
    """Acknowledges what is delivered to it unless `acknowledging` is off."""

    def __init__(self, port, client_id="", version=5, host="127.0.0.1", **connect):
        self.version = version
        self.client_id = client_id
        self.acknowledging = True
        self.next_id = 0
        self.came = collections.deque()
        self.stream = packets.Stream(version)
        self.socket = socket.create_connection((host, port), timeout=DEADLINE)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.connack = None
        if client_id is not None:
            self.send(packets.connect(client_id, version, **connect))
            self.connack = self.expect(CONNACK)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def packet_id(self):
        self.next_id = self.next_id % 65535 + 1
        return self.next_id

    def receive(self, deadline=DEADLINE):
        """The next packet, acknowledged as it came in; None when none came in time. Raises Closed at the end of the stream."""
        end = time.monotonic() + deadline
        while not self.came:
            self.socket.settimeout(max(0.001, end - time.monotonic()))
            try:
                data = self.socket.recv(1 << 16)
            except TimeoutError:
                if time.monotonic() >= end:
                    return None
                continue
            except ConnectionError as error:
                raise Closed from error
            if not data:
                raise Closed
            for packet in self.stream.feed(data):
                if self.acknowledging:
                    self.answer(packet)
                self.came.append(packet)
        return self.came.popleft()

    def answer(self, packet):
        if packet.type == PUBLISH and packet.qos:
            self.send(packets.acknowledge(PUBACK if packet.qos == 1 else PUBREC, packet.packet_id))
        elif packet.type == PUBREL:
            self.send(packets.acknowledge(PUBCOMP, packet.packet_id))

    def expect(self, kind, deadline=DEADLINE, where=lambda packet: True):
        """The next packet of that type; others that come before it are kept for later."""
        end = time.monotonic() + deadline
        kept = []
        try:
            while True:
                packet = self.receive(end - time.monotonic())
                if packet is None:
                    raise AssertionError(f"no packet of type {kind} within {deadline} s; came: {kept}")
                if packet.type == kind and where(packet):
                    return packet
                if packet.type == DISCONNECT:
                    raise AssertionError(f"waiting for type {kind}, disconnected: {packet}")
                kept.append(packet)
        finally:
            self.came.extendleft(reversed(kept))

    def subscribe(self, name, qos=1, options=0, values=None, user=()):
        """The SUBACK."""
        packet_id = self.packet_id()
        self.send(packets.subscribe(packet_id, [(name, qos | options)], self.version, values=values, user=user))
        return self.expect(SUBACK, where=lambda packet: packet.packet_id == packet_id)

    def publish(self, topic, payload, qos=1, retain=False, values=None, user=()):
        """Sends and waits for what acknowledges it: PUBACK, or PUBREC (and the rest of the flow); None at QoS 0."""
        payload = payload.encode() if isinstance(payload, str) else payload
        packet_id = self.packet_id() if qos else 0
        self.send(packets.publish(topic, payload, self.version, qos=qos, packet_id=packet_id, retain=retain,
                                  values=values, user=user))
        if qos == 0:
            return None
        mine = lambda packet: packet.packet_id == packet_id
        answer = self.expect(PUBACK if qos == 1 else PUBREC, where=mine)
        if qos == 2 and answer.reason < 0x80:
            self.send(packets.acknowledge(PUBREL, packet_id))
            self.expect(PUBCOMP, where=mine)
        return answer

    def message(self, deadline=DEADLINE):
        """The next PUBLISH."""
        return self.expect(PUBLISH, deadline)

    def messages(self, count, deadline=DEADLINE):
        end = time.monotonic() + deadline
        return [self.message(end - time.monotonic()) for _ in range(count)]

    def expect_end(self, deadline=DEADLINE):
        """The DISCONNECT before the server closes (None when it closes without one)."""
        end = time.monotonic() + deadline
        last = None
        try:
            while time.monotonic() < end:
                packet = self.receive(end - time.monotonic())
                if packet is not None and packet.type in (DISCONNECT, CONNACK):
                    last = packet
        except Closed:
            return last
        raise AssertionError(f"the connection is still open after {deadline} s")

    def disconnect(self):
        self.send(packets.disconnect(self.version))
        self.socket.close()
