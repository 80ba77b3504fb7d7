#!/usr/bin/env python3
"""Replicas whose log ends before their leader's begins: nodes that come back when the logs have been cut, and nodes that
come for the first time. They get what they lack from the others' stores, while clients chat."""

import asyncio
import contextlib
import json
import random
import subprocess
import time
import unittest

from cluster import BINARIES, Cluster, wait_until
from harness import flow
from harness.client import Client
from harness.placement import slot_of
from harness.watch import Sightings
from lab.hosts import last
from lab.traffic import Nodes, Publisher, Reader, judge, replay

CONVERSATIONS = [f"room{i}" for i in range(24)]
# Everything that is in the store leaves the log at once.
SETTINGS = {"storage.log_retention": "0s", "log.level": "debug"}


def say(node, count, size=200):
    """Returns what was acknowledged, by conversation."""
    said = {name: [] for name in CONVERSATIONS}
    with Client(node.port, "talker") as client:
        for i in range(count):
            for name in CONVERSATIONS:
                puback = client.publish(f"chat/{name}/msg", f"{i} of {name} ".ljust(size, "."), 1)
                assert puback.reason == 0, (time.time(), puback)
                said[name].append(int(puback.value("seq")))
    return said


@contextlib.contextmanager
def logs_cut(nodes, records):
    """Waits at its end until each node has cut off what was said meanwhile, `records` at least."""
    is_cut = lambda line: line.get("event") == "the log was cut"
    ends = [max((line["end"] for line in node.program.lines if is_cut(line)), default=0) for node in nodes]
    yield
    for node, end in zip(nodes, ends, strict=True):
        # All but the last record goes once the store has it.
        node.program.wait_for(lambda line, least=end + records: is_cut(line) and line["watermark"] == line["end"] >= least)


def texts(history):
    return [(entry["seq"], entry["text"].rstrip(". ")) for entry in history]


def order(node, *words):
    done = subprocess.run([BINARIES / "parleyctl", *words, "--socket", node.directory / "admin.sock"], check=True, timeout=60,
                          capture_output=True, text=True)
    return done.stdout


class BehindTheLog(unittest.TestCase):
    def test_a_node_comes_back_when_the_logs_have_been_cut(self):
        with Cluster(**SETTINGS) as cluster:
            cluster.start()
            cluster.wait_spread()
            a, b, c = cluster.nodes
            with Client(a.port, "sleeper", clean=False, values={"session_expiry_interval": 3600}) as sleeper:
                sleeper.subscribe("chat/room0/msg", 1)
            before = say(a, 5)
            with Client(a.port, "sleeper", clean=False, values={"session_expiry_interval": 3600}) as sleeper:
                for _ in before["room0"]:
                    sleeper.message()
            c.kill()
            with logs_cut((a, b), 20 * len(CONVERSATIONS)):
                say(a, 20)
            for node in (a, b):  # What was said lately they have in memory.
                node.kill()
                node.start()
            cluster.wait_linked()
            wait_until(lambda: all(slot["leader"] for slot in a.slots()), "everything has a leader")
            say(a, 1)
            c.start()
            cluster.wait_linked()
            wait_until(cluster.level, "c has caught up", 60, 0.2)
            self.assertGreater(c.program.count(lambda line: "goes on from another node's history" in json.dumps(line)), 10)
            cluster.wait_spread(60)
            # What c leads comes from c's store; and then with the others gone in turn.
            expected = [(seq + 1, f"{i} of ") for seq, i in enumerate([*range(5), *range(20), 0])]
            for _ in cluster.with_others_gone(c):
                for name in CONVERSATIONS:
                    self.assertEqual(texts(replay(c, name)), [(seq, text + name) for seq, text in expected])
                with Client(c.port, "sleeper", clean=False, values={"session_expiry_interval": 3600}) as sleeper:
                    self.assertTrue(sleeper.connack.session_present)

    def test_nobody_waits_for_it_to_lead_while_it_catches_up(self):
        """A slot whose best place is a node that couldn't lead yet stays where it is, and takes messages."""
        with Cluster(**SETTINGS, **{"cluster.snapshot_rate": "256KB"}) as cluster:
            cluster.start()
            cluster.wait_spread()
            a, b, c = cluster.nodes
            leaders = [slot["leader"] for slot in a.slots()]
            rooms = [name for name in CONVERSATIONS if leaders[slot_of(name, len(leaders))] == "c"]
            c.kill()
            with logs_cut((a, b), 25 * len(CONVERSATIONS)):
                say(a, 25, 8_000)
            for node in (a, b):
                node.kill()
                node.start()
            cluster.wait_linked()
            wait_until(lambda: all(slot["leader"] for slot in a.slots()), "everything has a leader")
            c.start()
            cluster.wait_linked()
            longest, end = 0.0, time.monotonic() + 6  # It is given leadership after 3 s.
            with Client(a.port, "probe") as client:
                while time.monotonic() < end:
                    for name in rooms:
                        begin = time.monotonic()
                        answer = client.publish(f"chat/{name}/msg", b"probe")
                        self.assertEqual(answer.reason, 0, (time.monotonic() - begin, answer))
                        longest = max(longest, time.monotonic() - begin)
            self.assertFalse(cluster.level(), "the node has caught up too soon to tell")
            self.assertLess(longest, 0.4)  # A transfer that fails takes 0.5 s.
            c.kill()

    def test_it_may_be_killed_while_it_catches_up(self):
        with Cluster(**SETTINGS, **{"cluster.snapshot_rate": "4MB"}) as cluster:
            cluster.start()
            cluster.wait_spread()
            a, b, c = cluster.nodes
            say(a, 20, 16_000)
            c.kill()
            with logs_cut((a, b), 30 * len(CONVERSATIONS)):
                say(a, 30, 16_000)
            for node in (a, b):
                node.kill()
                node.start()
            cluster.wait_linked()
            wait_until(lambda: all(slot["leader"] for slot in a.slots()), "everything has a leader")
            chance = random.Random(1)
            for _ in range(4):
                c.start(ready=False)
                last(chance.uniform(0.3, 2.0))
                say(a, 1)
                c.kill()
            c.start()
            cluster.wait_linked()
            wait_until(cluster.level, "c has caught up", 60, 0.2)
            expected = list(enumerate((f"{i} of " for i in [*range(20), *range(30), 0, 0, 0, 0]), 1))
            for _ in cluster.with_others_gone(c):
                for name in CONVERSATIONS:
                    self.assertEqual(texts(replay(c, name)), [(seq, text + name) for seq, text in expected])


class FourthNode(unittest.TestCase):
    def test_a_node_joins_takes_its_share_and_leaves_under_load(self):
        with Cluster(("n1", "n2", "n3"), **SETTINGS, **{"cluster.snapshot_rate": "8MB"}) as cluster:
            cluster.start()
            cluster.wait_spread()
            with logs_cut(cluster.nodes, 30 * len(CONVERSATIONS)):
                say(cluster.nodes[0], 30, 2000)
            for node in cluster.nodes:  # What was said lately they have in memory.
                node.program.stop()
                node.start()
                cluster.wait_linked()
                cluster.wait_spread()
            flow.run(self.scenario(cluster), deadline=300)

    async def scenario(self, cluster):
        sightings, chance = Sightings(), random.Random(1)
        addresses = [("127.0.0.1", node.port) for node in cluster.nodes]
        rooms = ["lobby", "kitchen", "attic"]
        publishers = [Publisher(Nodes(addresses, chance), f"{name}.{i}", f"chat/{name}/msg", window=4)
                      for name in rooms for i in range(2)]
        readers = [Reader(Nodes(addresses, chance), name, f"reader.{name}", "since", sightings) for name in rooms]
        told = {}

        async def served():
            counts = {one: len(one.acknowledged) for one in publishers}
            await flow.wait_until(lambda: all(len(one.acknowledged) > counts[one] + 10 for one in publishers),
                                  "every publisher is served", 30)

        async def grow_and_shrink():
            await served()
            before = time.monotonic()
            d = cluster.add("n4")
            await asyncio.to_thread(d.start)
            await asyncio.to_thread(cluster.wait_linked)
            counts = lambda: {node.name: d.nodes()[node.name]["slots"] for node in cluster.nodes}
            shared = lambda: self.has_share(d) and self.settled(cluster) and sum(counts().values()) == 3 * 16
            await asyncio.to_thread(wait_until, shared, "four nodes share the slots", 120, 0.5)
            told["joined"] = time.monotonic() - before
            told["pause"] = max(one.longest_pause(before) for one in publishers)
            told["slots"] = counts()
            taken = d.program.count(lambda line: "goes on from another node's history" in json.dumps(line))
            self.assertGreater(taken, 5, "the logs didn't reach back")
            await served()
            before = time.monotonic()
            await asyncio.to_thread(order, cluster.nodes[0], "nodes", "drain", "n4")
            await asyncio.to_thread(wait_until, lambda: cluster.nodes[0].nodes()["n4"]["slots"] == 0, "d has no slots", 120, 0.5)
            await asyncio.to_thread(d.program.stop)
            await asyncio.to_thread(order, cluster.nodes[0], "nodes", "remove", "n4")
            cluster.nodes.remove(d)
            await asyncio.to_thread(cluster.wait_spread, 60)
            await served()
            told["left"] = time.monotonic() - before

        async with flow.Crowd([*publishers, *readers]) as crowd:
            await crowd.beside(grow_and_shrink())
            await crowd.finish(publishers, 30)
            await judge(cluster.nodes, publishers, readers, sightings)
        total = sum(len(one.acknowledged) for one in publishers)
        print(f"{total} acknowledged, none lost; the fourth node had its share after {told['joined']:.1f} s ({told['slots']}), "
              f"longest pause of a publisher {told['pause']:.2f} s; it was out again after {told['left']:.1f} s")

    def has_share(self, node):
        """By these names, of 16 slots 11 have it among their first three nodes."""
        return node.nodes()[node.name]["slots"] == 11

    def settled(self, cluster):
        """Three voters everywhere, and all agree."""
        seen = [node.slots() for node in cluster.nodes]
        for slots in zip(*seen, strict=True):
            leaders = {slot["leader"] for slot in slots if slot["leader"]}
            led = [slot for slot, node in zip(slots, cluster.nodes, strict=True) if slot["leader"] == node.name]
            if len(leaders) != 1 or len(led) != 1 or len(led[0]["replicas"]) != 3 or led[0]["learners"]:
                return False
        return True


class Moves(unittest.TestCase):
    """What an operator wants goes before what placement wants."""

    def test_a_slot_goes_where_an_operator_moves_it(self):
        with Cluster(("a", "b", "c", "d")) as cluster:
            cluster.start()
            cluster.wait_spread()
            a, b, c, _ = cluster.nodes
            slot = next(slot["slot"] for slot in a.slots() if "c" not in slot["replicas"])
            order(a, "slots", "move", str(slot), "c")
            self.wait_moved(cluster, slot, "c")
            self.assertIn("MOVED TO", order(b, "slots", "list"))
            # It comes back to a node that comes back.
            c.kill()
            wait_until(lambda: a.slots()[slot]["leader"] in ("a", "b", "d"), "another one leads it")
            self.assertIn("isn't there", self.refused(a, "slots", "move", str(slot), "c"))
            c.start()
            cluster.wait_linked()
            self.wait_moved(cluster, slot, "c")
            # The later move counts, wherever it was asked for.
            order(c, "slots", "move", str(slot), "b")
            self.wait_moved(cluster, slot, "b")
            self.assertIn("no node", self.refused(a, "slots", "move", str(slot), "x"))
            self.assertIn("no slot", self.refused(a, "slots", "move", "16", "b"))
            order(c, "slots", "release", str(slot))
            wait_until(lambda: not any(node.slots()[slot]["pinned"] for node in cluster.nodes), "nobody remembers it")
            cluster.wait_spread()
            self.assertIn("moved nowhere", self.refused(a, "slots", "release", str(slot)))

    def wait_moved(self, cluster, slot, name):
        def moved():
            seen = [node.slots()[slot] for node in cluster.nodes]
            led = next(row for row, node in zip(seen, cluster.nodes, strict=True) if node.name == name)
            return (all(row["leader"] == name and row["pinned"] == name for row in seen) and len(led["replicas"]) == 3
                    and not led["learners"])
        wait_until(moved, f"{name} leads slot {slot}", 60, 0.2)

    def refused(self, node, *words):
        done = subprocess.run([BINARIES / "parleyctl", *words, "--socket", node.directory / "admin.sock"], timeout=60,
                              capture_output=True, text=True)
        self.assertNotEqual(done.returncode, 0)
        return done.stderr


if __name__ == "__main__":
    unittest.main()
