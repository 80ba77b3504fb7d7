"""Readers of conversations under load, and the judgement over what everybody saw."""

import asyncio
import collections
import json
import urllib.parse

from harness import flow
from harness.packets import PUBLISH


class Sightings:
    """What anybody was shown of each conversation: (conversation, seq) is one entry, whoever looks, whenever."""

    def __init__(self):
        self.entries = collections.defaultdict(dict)

    def see(self, conversation, seq, entry, who):
        known = self.entries[conversation].setdefault(seq, entry)
        if known != entry:
            raise AssertionError(f"{conversation} {seq} is {entry} for {who}, but was {known} for somebody before")

    def judge(self, conversation, history, acknowledged):
        """`history` as the bridge gives it; `acknowledged` maps (user, id) to (seq, ts)."""
        previous_ts, by_id = 0, {}
        for position, item in enumerate(history, 1):
            assert item["seq"] == position, f"{conversation}: seq {item['seq']} stands where {position} should"
            assert item["ts"] >= previous_ts, f"{conversation} {position}: ts falls from {previous_ts} to {item['ts']}"
            previous_ts = item["ts"]
            key = item["from"], item["id"]
            assert key not in by_id, f"{conversation}: {key} stands at {by_id[key][0]} and at {position}"
            by_id[key] = item["seq"], item["ts"]
            self.see(conversation, item["seq"], entry_of_json(item), "history")
        for seq, entry in self.entries[conversation].items():
            assert seq <= len(history), f"{conversation} {seq} {entry} was seen, but is not in history"
        for key, place in acknowledged.items():
            assert by_id.get(key) == place, f"{conversation}: {key} was acknowledged as {place}, history: {by_id.get(key)}"


def entry_of_json(item):
    return item["from"], item["id"], item["ts"], item["text"]


class Follower:
    """Reads a conversation from its beginning, over however many connections, and demands every entry in order.

    `way` is "since" (user property, from what was seen), "session" (a persistent session) or "filter" ($since/… over
    3.1.1, which carries JSON). A session may deliver an entry again that it has delivered before; the others may not.
    """

    def __init__(self, port, conversation, name, way, sightings):
        self.port, self.conversation, self.name, self.way = port, conversation, name, way
        self.sightings = sightings
        self.version = 4 if way == "filter" else 5
        self.seen = 0  # the highest seq
        self.here = 0  # the highest seq on this connection
        self.again = 0
        self.joins = 0
        self.connection = None
        self.subscribed = False
        self.stopping = False
        self.moved = asyncio.Event()

    def on_packet(self, packet):
        if packet.type != PUBLISH:
            return
        if self.version == 4:
            item = json.loads(packet.payload)
            seq, entry = item["seq"], entry_of_json(item)
        else:
            seq, entry = flow.entry_of(packet)
        self.sightings.see(self.conversation, seq, entry, self.name)
        if self.here and seq != self.here + 1:
            raise AssertionError(f"{self.name}: {seq} comes after {self.here} on one connection")
        if seq > self.seen + 1:
            raise AssertionError(f"{self.name}: a gap: {seq} comes after {self.seen}")
        if seq <= self.seen:
            if self.way != "session":
                raise AssertionError(f"{self.name}: {seq} comes again after {self.seen}")
            self.again += 1
        self.here = seq
        self.seen = max(self.seen, seq)
        self.moved.set()

    async def connect(self, **options):
        """(connection, CONNACK), as flow.connect."""
        return await flow.connect(self.port, self.name, self.on_packet, self.version, **options)

    async def join(self):
        """Connects and subscribes; OSError when the server is away."""
        self.here = 0
        options = {"clean": self.way != "session", "username": self.name}
        if self.way == "session":
            options["values"] = {"session_expiry_interval": 0xFFFFFFFF}
        self.connection, connack = await self.connect(**options)
        self.joins += 1
        topic = f"chat/{self.conversation}/msg"
        if self.way == "since":
            await flow.subscribe(self.connection, topic, user=(("since", self.seen),))
        elif self.way == "filter":
            await flow.subscribe(self.connection, f"$since/{self.seen}/chat/{self.conversation}/json", version=4)
        elif not self.subscribed or not connack.session_present:
            if self.subscribed:
                raise AssertionError(f"{self.name}: the session is lost")
            await flow.subscribe(self.connection, topic, user=(("since", 0),))
            self.subscribed = True

    async def run(self):
        """Reconnects whenever the connection breaks, until told to stop."""
        while not self.stopping:
            try:
                await self.join()
            except OSError:
                await asyncio.sleep(0.02)  # The server is away; nothing tells when it is back.
                continue
            await asyncio.wait({self.connection.lost})

    def stop(self):
        self.stopping = True
        if self.connection is not None:
            self.connection.abort()

    async def reach(self, seq, deadline=60.0):
        """Waits until everything up to `seq` has been seen."""

        async def reached():
            while self.seen < seq:
                self.moved.clear()
                await self.moved.wait()

        try:
            await asyncio.wait_for(reached(), deadline)
        except TimeoutError:
            raise AssertionError(f"{self.name} saw only {self.seen} of {seq} within {deadline} s") from None


class HttpReader:
    """Follows a conversation through the bridge, one connection a request; the bridge may come and go."""

    def __init__(self, server, conversation, name, sightings):
        self.server, self.conversation, self.name, self.sightings = server, conversation, name, sightings
        self.seen = 0
        self.requests = 0
        self.stopping = False

    async def read(self, query):
        """(status, body), or None when the bridge is away."""
        path = f"/v1/conversations/{urllib.parse.quote(self.conversation, safe='')}/messages?{query}"
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.server.http_port, limit=1 << 24)
        except OSError:
            return None
        try:
            writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
            answer = await asyncio.wait_for(reader.read(), 30)
        except OSError:
            return None
        finally:
            writer.close()
        head, separator, body = answer.partition(b"\r\n\r\n")
        if not separator:
            return None  # It was killed in the middle of an answer.
        sizes = [line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")]
        if sizes and len(body) < int(sizes[0].split(b":")[1]):
            return None
        self.requests += 1
        return int(head.split()[1]), json.loads(body)

    def take(self, items):
        for item in items:
            self.sightings.see(self.conversation, item["seq"], entry_of_json(item), self.name)

    async def run(self):
        """A page forward from the last one seen, and the newest page, in turn."""
        while not self.stopping:
            answer = await self.read(f"after=seq:{self.seen}&limit=200")
            if answer is not None and answer[0] == 200:
                items = answer[1]["data"]
                self.take(items)
                for item in items:
                    if item["seq"] != self.seen + 1:
                        raise AssertionError(f"{self.name}: {item['seq']} comes after {self.seen}")
                    self.seen = item["seq"]
            elif answer is not None and answer[0] not in (404, 503):
                raise AssertionError(f"{self.name}: {answer}")
            newest = await self.read("limit=20")
            if newest is not None and newest[0] == 200:
                self.take(newest[1]["data"])
            await asyncio.sleep(0.05)  # Two pages, twenty times a second: the readers' load.

    def stop(self):
        self.stopping = True
