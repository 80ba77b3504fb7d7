"""Clients under full load, over asyncio: many publishes under way at once, reconnecting for as long as the test lasts."""

import asyncio
import time

from harness import packets
from harness.packets import CONNACK, DISCONNECT, PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL, SUBACK

DEADLINE = 30.0


def run(main, deadline):
    """Runs the coroutine `main`; whatever a callback or task finds wrong meanwhile ends it and is raised."""

    async def guarded():
        loop = asyncio.get_running_loop()
        failures = []
        task = asyncio.ensure_future(main)

        def failed(_, context):
            failures.append(context.get("exception") or AssertionError(context["message"]))
            task.cancel()

        loop.set_exception_handler(failed)
        try:
            await asyncio.wait_for(task, deadline)
        except (asyncio.CancelledError, TimeoutError):
            if failures:
                raise failures[0] from None
            raise
        if failures:
            raise failures[0]

    asyncio.run(guarded())


async def together(*coroutines):
    """Runs them at once; the first that fails cancels the others and is raised."""
    tasks = [asyncio.ensure_future(coroutine) for coroutine in coroutines]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def wait_until(condition, what, deadline):
    """What `condition` gives once that is true; nobody tells when, so it is asked again and again."""
    end = time.monotonic() + deadline
    while not (found := condition()):
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {deadline} s")
        await asyncio.sleep(0.005)
    return found


class Crowd:
    """Clients that run side by side while something is done to their servers. Use it in an `async with`."""

    def __init__(self, clients):
        self.clients = list(clients)
        self.tasks = {}

    async def __aenter__(self):
        self.tasks = {client: asyncio.ensure_future(client.run()) for client in self.clients}
        return self

    async def __aexit__(self, *_):
        for client in self.clients:
            client.stop()
        for task in self.tasks.values():
            task.cancel()
        await asyncio.gather(*self.tasks.values(), return_exceptions=True)

    async def beside(self, work):
        """Does `work`; what any of the clients finds wrong meanwhile is raised."""
        doing = asyncio.ensure_future(work)
        try:
            await asyncio.wait({doing, *self.tasks.values()}, return_when=asyncio.FIRST_COMPLETED)
            for task in self.tasks.values():
                if task.done():
                    task.result()
            return await doing
        finally:
            doing.cancel()

    async def finish(self, clients, deadline):
        """Stops these, and waits until they have done what they had begun."""
        for client in clients:
            client.stop()
        await asyncio.wait_for(asyncio.gather(*(self.tasks[client] for client in clients)), deadline)


class Connection(asyncio.Protocol):
    """One connection. Packets go to `on_packet` as they come; deliveries are acknowledged after it has returned."""

    def __init__(self, version, on_packet):
        self.stream = packets.Stream(version)
        self.on_packet = on_packet
        self.transport = None
        self.lost = asyncio.get_running_loop().create_future()
        self.waiting = {}
        self.acknowledging = True

    def connection_made(self, transport):
        self.transport = transport

    def connection_lost(self, exc):
        if not self.lost.done():
            self.lost.set_result(exc)
        for future in self.waiting.values():
            if not future.done():
                future.set_exception(ConnectionResetError())
        self.waiting.clear()

    def data_received(self, data):
        answers = bytearray()
        for packet in self.stream.feed(data):
            kind = packet.type
            future = self.waiting.pop((kind, packet.packet_id), None) if kind in (CONNACK, SUBACK) else None
            if future is not None:
                if not future.done():
                    future.set_result(packet)
                continue
            self.on_packet(packet)
            if kind == PUBLISH and packet.qos and self.acknowledging:
                answers += packets.acknowledge(PUBACK if packet.qos == 1 else PUBREC, packet.packet_id)
            elif kind == PUBREL:
                answers += packets.acknowledge(PUBCOMP, packet.packet_id)
        if answers and not self.transport.is_closing():
            self.transport.write(answers)

    def send(self, data):
        if not self.transport.is_closing():
            self.transport.write(data)

    async def ask(self, data, kind, packet_id=0):
        """Sends, and waits for the packet that answers."""
        if self.lost.done():
            raise ConnectionResetError
        future = asyncio.get_running_loop().create_future()
        self.waiting[kind, packet_id] = future
        self.send(data)
        return await asyncio.wait_for(future, DEADLINE)

    def abort(self):
        self.transport.abort()


async def connect(port, client_id, on_packet, version=5, host="127.0.0.1", **options):
    """(connection, CONNACK). Raises OSError when the server is away."""
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(lambda: Connection(version, on_packet), host, port)
    try:
        connack = await connection.ask(packets.connect(client_id, version, **options), CONNACK)
    except BaseException:
        connection.abort()
        raise
    if connack.reason != 0:
        connection.abort()
        raise AssertionError(f"{client_id} is refused: {connack}")
    return connection, connack


async def subscribe(connection, name, qos=1, version=5, values=None, user=()):
    suback = await connection.ask(packets.subscribe(1, [(name, qos)], version, values=values, user=user), SUBACK, 1)
    if any(reason >= 0x80 for reason in suback.reasons):
        raise AssertionError(f"subscription to {name} is refused: {suback}")
    return suback


class Publisher:
    """Publishes messages `{user}-{n}` to one topic, a window of them under way, and remembers which were acknowledged.

    What wasn't acknowledged when the connection broke is sent again with the same id: by MQTT's own rules (same packet id,
    DUP) when the session is there, else as a new PUBLISH, which the server must recognise.
    """

    def __init__(self, port, user, topic, *, qos=1, window=64, persistent=False, limit=None, rate=None):
        self.port, self.user, self.topic = port, user, topic
        self.qos, self.window, self.persistent, self.limit, self.rate = qos, window, persistent, limit, rate
        self.next_number = 0
        self.next_packet_id = 0
        self.under_way = {}  # packet id -> message id
        self.received = {}  # packet id -> message id: PUBREC came, PUBCOMP not yet
        self.again = []  # message ids to be sent anew
        self.acknowledged = {}  # message id -> (seq, ts)
        self.duplicates = 0
        self.refused = []
        self.stopping = False
        self.connection = None
        self.progress = asyncio.Event()

    def payload(self, message_id):
        return f"{self.user} says {message_id}".encode()

    def on_packet(self, packet):
        if packet.type == PUBACK:
            message_id = self.under_way.pop(packet.packet_id, None)
            self.settle(message_id, packet)
        elif packet.type == PUBREC:
            message_id = self.under_way.pop(packet.packet_id, None)
            if message_id is not None:
                self.settle(message_id, packet)
                if packet.reason < 0x80:
                    self.received[packet.packet_id] = message_id
            if packet.reason < 0x80:
                self.connection.send(packets.acknowledge(PUBREL, packet.packet_id))
        elif packet.type == PUBCOMP:
            self.received.pop(packet.packet_id, None)
        elif packet.type == DISCONNECT:
            raise AssertionError(f"{self.user} was disconnected: {packet}")
        self.progress.set()

    def settle(self, message_id, packet):
        if message_id is None:
            return
        if packet.reason >= 0x80:
            self.refused.append((message_id, packet.reason))
            self.again.append(message_id)
            return
        seq, ts = packet.value("seq"), packet.value("ts")
        if seq is None or packet.value("id") != message_id:
            raise AssertionError(f"acknowledged without a receipt of its own: {packet} for {message_id}")
        place = (int(seq), int(ts))
        if self.acknowledged.setdefault(message_id, place) != place:
            raise AssertionError(f"{message_id} was acknowledged as {self.acknowledged[message_id]} and as {place}")
        self.duplicates += packet.value("dup") is not None

    def free_packet_id(self):
        while True:
            self.next_packet_id = self.next_packet_id % 65535 + 1
            if self.next_packet_id not in self.under_way and self.next_packet_id not in self.received:
                return self.next_packet_id

    def encode(self, message_id, packet_id, dup=False):
        return packets.publish(self.topic, self.payload(message_id), qos=self.qos, packet_id=packet_id, dup=dup,
                               user=(("id", message_id),))

    def take_up(self, session_present):
        """What was under way when the last connection ended."""
        data = bytearray()
        if session_present:
            for packet_id, message_id in self.under_way.items():
                data += self.encode(message_id, packet_id, dup=True)
            for packet_id in self.received:
                data += packets.acknowledge(PUBREL, packet_id)
        else:
            self.again += self.under_way.values()
            self.under_way.clear()
            self.received.clear()
        self.connection.send(bytes(data))

    def fill(self):
        """Sends until the window is full; whether everything wished for is on its way."""
        data = bytearray()
        while len(self.under_way) + len(self.received) < self.window:
            if self.again:
                message_id = self.again.pop()
            elif self.stopping or (self.limit is not None and self.next_number >= self.limit):
                break
            else:
                message_id = f"{self.user}-{self.next_number}"
                self.next_number += 1
            packet_id = self.free_packet_id()
            self.under_way[packet_id] = message_id
            data += self.encode(message_id, packet_id)
        self.connection.send(bytes(data))

    @property
    def done(self):
        ended = self.stopping or (self.limit is not None and self.next_number >= self.limit)
        return ended and not self.under_way and not self.received and not self.again

    async def run(self):
        """Until told to stop (or the limit is reached) and everything sent is acknowledged."""
        while not self.done:
            values = {"session_expiry_interval": 3600} if self.persistent else {}
            try:
                self.connection, connack = await connect(self.port, self.user, self.on_packet, username=self.user,
                                                         clean=not self.persistent, values=values)
            except OSError:
                await asyncio.sleep(0.02)  # The server is away; nothing tells when it is back.
                continue
            self.window = min(self.window, connack.properties.get("receive_maximum", 65535))
            self.take_up(connack.session_present)
            while not self.done and not self.connection.lost.done():
                self.fill()
                self.progress.clear()
                waiting = asyncio.ensure_future(self.progress.wait())
                await asyncio.wait({waiting, self.connection.lost}, timeout=1.0,
                                   return_when=asyncio.FIRST_COMPLETED)
                waiting.cancel()
            self.connection.abort() if not self.done else self.connection.transport.close()

    def stop(self):
        self.stopping = True
        self.progress.set()


def entry_of(packet):
    """(seq, (from, id, ts, payload)) of a delivered entry."""
    described = dict(packet.user)
    return int(described["seq"]), (described["from"], described["id"], int(described["ts"]), packet.payload.decode())

