#!/usr/bin/env python3
"""A user who is a member of many conversations was away while they went on, and comes back: with a lasting session, and
with a clean start and the cursor. Everything comes once, the newest conversation first.

    inbox_resume.py [--conversations 500] [--messages 10000]

Prints how long it takes from CONNECT to the last message, and the bytes that came over the wire, for each way to have it
described and packed.
"""

import argparse
import collections
import json
import pathlib
import random
import re
import time
import zlib

from harness import packets
from harness.client import Client
from harness.packets import PUBACK, PUBLISH
from harness.server import Server

INBOX = "chat/+/msg"
DOCS = pathlib.Path(__file__).resolve().parents[2] / "docs" / "PROTOCOL.md"


def documented(marker):
    """The Python of docs/PROTOCOL.md between two marks."""
    text = DOCS.read_text(encoding="utf-8")
    block = re.search(rf"<!-- {marker}: begin -->(.*?)<!-- {marker}: end -->", text, re.S).group(1)
    names = {}
    exec(re.search(r"```python\n(.*?)```", block, re.S).group(1), names)  # noqa: S102
    return names


read_batch = documented("batches")["read_batch"]
describe = documented("decoders")["describe"]


class Device(Client):
    """Counts what comes, and resolves topic aliases."""

    def __init__(self, *arguments, **options):
        self.bytes = 0
        self.aliases = {}
        self.senders = [""] * 256
        super().__init__(*arguments, **options)
        feed = self.stream.feed

        def counted(data):
            self.bytes += len(data)
            return feed(data)

        self.stream.feed = counted

    def entries(self, packet):
        """The entries of a delivery: (conversation, seq, payload)."""
        alias = packet.properties.get("topic_alias")
        if packet.topic and alias:
            self.aliases[alias] = packet.topic
        topic = packet.topic or self.aliases[alias]
        if not topic.startswith("chat/"):
            return []
        name = topic.split("/")[1]
        if packet.value("batch") is not None:
            payload = packet.payload
            if packet.properties["content_type"].endswith("+deflate"):
                payload = zlib.decompress(payload)
            entries = read_batch(payload)
            assert len(entries) == int(packet.value("batch")), packet
            return [(name, entry["seq"], bytes(entry["payload"]).decode()) for entry in entries]
        if "correlation_data" in packet.properties:
            return [(name, describe(packet.properties["correlation_data"], self.senders)["seq"], packet.payload.decode())]
        return [(name, int(packet.value("seq")), packet.payload.decode())]


def in_flight(client, publishes, window=60):
    """Sends all of them, so many under way at once."""
    under_way = 0

    def wait():
        nonlocal under_way
        answer = client.expect(PUBACK)
        assert answer.reason < 0x80, answer
        under_way -= 1

    for topic, payload in publishes:
        if under_way == window:
            wait()
        client.send(packets.publish(topic, payload, qos=1, packet_id=client.packet_id()))
        under_way += 1
    while under_way:
        wait()
    client.came.clear()


def cursor_of(client):
    """The last one that it is told."""
    token = None
    while (packet := client.receive(1.0)) is not None:
        if packet.type == PUBLISH and packet.value("notice") == "cursor":
            token = json.loads(packet.payload)["cursor"]
    return token


def catch_up(server, count, client_id, *, cursor=None, values=None, user=()):
    begin = time.monotonic()
    values = dict(values or {})
    if cursor is None:
        values["session_expiry_interval"] = 3600
    client = Device(server.port, client_id, username="bob", clean=cursor is not None, values=values, user=user)
    if cursor is not None:
        suback = client.subscribe(INBOX, user=(("cursor", cursor),))
        assert suback.reasons[0] < 0x80, suback
    got, messages = [], 0
    while len(got) < count:
        packet = client.expect(PUBLISH)
        messages += 1
        got += client.entries(packet)
    took = time.monotonic() - begin
    size = client.bytes
    assert not (extra := [entry for packet in iter(lambda: client.receive(0.3), None) if packet.type == PUBLISH
                          for entry in client.entries(packet)]), f"more than there is: {extra[:3]}"
    client.disconnect()
    return got, took, size, messages


def check(got, sent, what):
    """`sent`: in which order, (conversation, seq, payload)."""
    assert len(set(got)) == len(got), f"{what}: something came twice"
    assert set(got) == set(sent), f"{what}: {len(set(sent) - set(got))} are missing"
    newest = list(dict.fromkeys(name for name, _, _ in reversed(sent)))
    came = [name for at, (name, _, _) in enumerate(got) if at == 0 or got[at - 1][0] != name]
    assert came == newest, f"{what}: conversations came in another order: {came[:5]}… instead of {newest[:5]}…"
    at = collections.defaultdict(int)
    for name, seq, _ in got:
        assert seq > at[name], f"{what}: {name} goes back to {seq}"
        at[name] = seq


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--conversations", type=int, default=500)
    parser.add_argument("--messages", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    dice = random.Random(options.seed)
    names = [f"c{number}" for number in range(options.conversations)]
    lasting = [("full", {}, ()), ("batch", {}, (("accept", "batch"),)),
               ("compact, batch", {}, (("meta", "compact"), ("accept", "batch")))]
    compact = {"topic_alias_maximum": 1000}
    clean = [("full", {}, ()), ("compact, aliases", compact, (("meta", "compact"),)),
             ("batch", {}, (("accept", "batch"),)),
             ("compact, batch", compact, (("meta", "compact"), ("accept", "batch"))),
             ("compact, batch,deflate", compact, (("meta", "compact"), ("accept", "batch,deflate")))]
    with Server() as server:
        with Client(server.port, "ann", username="ann") as ann:
            in_flight(ann, [(f"chat/{name}/ctl", b'{"op":"create"}') for name in names])
            in_flight(ann, [(f"chat/{name}/ctl", b'{"op":"add","user":"bob"}') for name in names])
            for number in range(len(lasting)):
                with Client(server.port, f"bob-{number}", username="bob", values={"session_expiry_interval": 3600}) as bob:
                    assert bob.subscribe(INBOX).value("conversations") == str(len(names))
            with Client(server.port, "bob", username="bob") as bob:
                bob.subscribe("client/bob/reply")
                bob.subscribe(INBOX)
                cursor = cursor_of(bob)
            # Some conversations are busy, others had their last word long ago.
            sent, seqs = [], collections.defaultdict(lambda: 2)
            for number in range(options.messages):
                name = names[min(int(dice.expovariate(4) * len(names)), len(names) - 1)]
                seqs[name] += 1
                sent.append((name, seqs[name], f"message number {number}"))
            # One at the end for each, so that no two have the same latest millisecond.
            tail = [name for name in names if name in seqs]
            in_flight(ann, [(f"chat/{name}/msg", payload.encode()) for name, _, payload in sent])
            for name in dice.sample(tail, len(tail)):
                seqs[name] += 1
                sent.append((name, seqs[name], "the last one"))
                said_at = int(ann.publish(f"chat/{name}/msg", "the last one").value("ts"))
                while time.time_ns() // 1_000_000 <= said_at:  # Less than a millisecond.
                    pass
        size = sum(len(payload) for _, _, payload in sent) / len(sent)
        print(f"{len(names)} conversations, {len(sent)} messages of {size:.1f} bytes; the cursor has {len(cursor)} characters")
        for number, (what, values, user) in enumerate(lasting):
            got, took, size, messages = catch_up(server, len(sent), f"bob-{number}", values=values, user=user)
            check(got, sent, f"session, {what}")
            print(f"session, {what}: {took:.2f} s, {size:,} bytes, {size / len(got):.1f} a message, {messages} PUBLISHes")
        server.broker.stop()
        server.start_broker()
        for what, values, user in clean:
            got, took, size, messages = catch_up(server, len(sent), "bob", cursor=cursor, values=values, user=user)
            check(got, sent, f"cursor, {what}")
            print(f"cursor, {what}: {took:.2f} s, {size:,} bytes, {size / len(got):.1f} a message, {messages} PUBLISHes")


if __name__ == "__main__":
    main()
