#!/usr/bin/env python3
"""A conversation is paged in both directions, by seq, by time and by cursor, while it grows: no gap, no duplicate. What a
PUBACK or a POST acknowledged is in the next GET.

    paging.py [--entries 100000]
"""

import argparse
import asyncio
import contextlib
import itertools

from harness import flow
from harness.client import Client
from harness.server import Server

CONVERSATION = "lobby"
PATH = f"/v1/conversations/{CONVERSATION}/messages"


def page(server, **query):
    status, headers, body = server.get(PATH, **query)
    assert status == 200, f"{query}: {status} {body}"
    seqs = [item["seq"] for item in body["data"]]
    assert seqs == sorted(seqs), f"{query}: a page ascends, but this is {seqs[:5]}…"
    return body, headers


def dense(seqs, first, last, what):
    assert seqs == list(range(first, last + 1)), (
        f"{what}: {len(seqs)} entries from {seqs[0]} to {seqs[-1]}, wanted {first} to {last}: " +
        next((f"{a} is followed by {b}" for a, b in itertools.pairwise(seqs) if b != a + 1), "none is missing inside"))
    return f"{what}: {len(seqs)} entries"


def forward_by_seq(server, upto):
    seqs = []
    while not seqs or seqs[-1] < upto:
        body, _ = page(server, after=f"seq:{seqs[-1] if seqs else 0}", limit=1000)
        seqs += [item["seq"] for item in body["data"]]
    return dense(seqs, 1, seqs[-1], "forward by seq")


def forward_by_cursor(server, upto):
    body, _ = page(server, after="seq:0", limit=997)
    seqs = [item["seq"] for item in body["data"]]
    while seqs[-1] < upto:
        body, _ = page(server, cursor=body["meta"]["next"], limit=997)
        seqs += [item["seq"] for item in body["data"]]
    return dense(seqs, 1, seqs[-1], "forward by cursor")


def forward_by_time(server, upto):
    """From the time before the first entry; then by the last entry's time, as long as no page ends inside a millisecond."""
    first, _ = page(server, after="seq:0", limit=1)
    body, _ = page(server, after=first["data"][0]["ts"] - 1, limit=500)
    seqs = [item["seq"] for item in body["data"]]
    while seqs[-1] < upto:
        body, _ = page(server, after=body["data"][-1]["ts"] - 1, limit=500)
        found = [item["seq"] for item in body["data"]]
        assert found[0] <= seqs[-1] + 1, f"by time: {found[0]} comes after {seqs[-1]}"
        new = [seq for seq in found if seq > seqs[-1]]
        if not new:  # More than a page within one millisecond: the cursor goes on from here.
            body, _ = page(server, cursor=body["meta"]["next"], limit=500)
            new = [item["seq"] for item in body["data"]]
        seqs += new
    return dense(seqs, 1, seqs[-1], "forward by time")


def backward_by_seq(server, _):
    body, _ = page(server, limit=1000)
    seqs = [item["seq"] for item in body["data"]]
    head = seqs[-1]
    while seqs[0] > 1:
        body, _ = page(server, before=f"seq:{seqs[0]}", limit=1000)
        seqs = [item["seq"] for item in body["data"]] + seqs
    return dense(seqs, 1, head, "backward by seq")


def backward_by_link(server, _):
    """The way of a client that knows nothing but RFC 8288 links."""
    body, headers = page(server, limit=989)
    seqs = [item["seq"] for item in body["data"]]
    head = seqs[-1]
    while (previous := link(headers, "prev")) is not None:
        status, headers, body = server.request("GET", previous)
        assert status == 200, (previous, status, body)
        seqs = [item["seq"] for item in body["data"]] + seqs
    return dense(seqs, 1, head, "backward by Link")


def backward_by_time(server, _):
    body, _ = page(server, limit=500)
    seqs = [item["seq"] for item in body["data"]]
    head = seqs[-1]
    while seqs[0] > 1:
        body, _ = page(server, before=body["data"][0]["ts"] + 1, limit=500)
        found = [item["seq"] for item in body["data"]]
        assert found[-1] >= seqs[0] - 1, f"by time: {found[-1]} comes before {seqs[0]}"
        new = [seq for seq in found if seq < seqs[0]]
        if not new:
            body, _ = page(server, cursor=body["meta"]["prev"], limit=500)
            new = [item["seq"] for item in body["data"]]
        seqs = new + seqs
    return dense(seqs, 1, head, "backward by time")


def link(headers, relation):
    for part in (headers.get("Link") or "").split(","):
        target, _, parameters = part.strip().partition(">")
        if f'rel="{relation}"' in parameters:
            return target.lstrip("<").removeprefix("http://localhost")
    return None


def acknowledged_is_shown(server):
    with Client(server.port, "witness") as witness:
        for number in range(100):
            puback = witness.publish(f"chat/{CONVERSATION}/msg", f"witnessed {number}", user=(("id", f"w{number}"),))
            seq = int(puback.value("seq"))
            body, _ = page(server, after=f"seq:{seq - 1}", limit=1)
            assert [item["seq"] for item in body["data"]] == [seq], f"PUBACK said {seq}, the next GET {body['data']}"
            assert body["data"][0]["text"] == f"witnessed {number}"
            assert body["meta"]["head"] >= seq
    for number in range(100):
        status, _, body = server.request("POST", PATH, body={"text": f"posted {number}"},
                                         headers={"Idempotency-Key": f"p{number}", "Authorization": "Basic cG9zdGVyOg=="})
        assert status == 201, (status, body)
        shown, _ = page(server, after=f"seq:{body['seq'] - 1}", limit=1)
        assert shown["data"][0]["text"] == f"posted {number}", (body, shown)
    return "100 PUBACKed and 100 POSTed messages were each in the next GET"


async def scenario(server, options):
    topic = f"chat/{CONVERSATION}/msg"
    publishers = [flow.Publisher(server.port, f"p{number}", topic, window=128, limit=options.entries // 4) for number in range(4)]
    await flow.together(*(publisher.run() for publisher in publishers))
    growing = flow.Publisher(server.port, "growing", topic, window=8)
    growth = asyncio.ensure_future(growing.run())
    try:
        for way in (forward_by_seq, forward_by_cursor, forward_by_time, backward_by_seq, backward_by_link,
                    backward_by_time):  # fmt: skip
            print(await asyncio.to_thread(way, server, options.entries), flush=True)
        print(await asyncio.to_thread(acknowledged_is_shown, server))
    finally:
        growing.stop()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(growth, 30)
    assert len(growing.acknowledged) > 0, "the conversation did not grow meanwhile"
    print(f"meanwhile it grew by {len(growing.acknowledged)} entries")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--entries", type=int, default=100_000)
    options = parser.parse_args()
    with Server(bridge=True) as server:
        flow.run(scenario(server, options), deadline=900)


if __name__ == "__main__":
    main()
