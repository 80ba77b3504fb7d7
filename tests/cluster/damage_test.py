#!/usr/bin/env python3
"""Bytes of a node's log.mdb that change while it is down: the node leads nothing with what is left of it, and gets what it
lacks from the others. Or all of its directory is lost."""

import shutil
import unittest

from behind_test import CONVERSATIONS, order, say, texts
from cluster import Cluster, wait_until
from lab.damage import change, log_of, start_anew, stored
from lab.hosts import last
from lab.traffic import replay

PAGE = 4096
SETTINGS = {"log.level": "debug"}


class Case(unittest.TestCase):
    def wait_complete(self, cluster):
        cluster.wait_linked()
        wait_until(cluster.level, "everybody has everything", 60, 0.2)
        cluster.wait_spread(60)

    def expect_everything(self, cluster, rounds):
        """At each node, also when the others are gone in turn."""
        c = cluster.nodes[2]
        expected = list(enumerate((f"{i} of " for count in rounds for i in range(count)), 1))
        for _ in cluster.with_others_gone(c):
            for name in CONVERSATIONS:
                self.assertEqual(texts(replay(c, name)), [(seq, text + name) for seq, text in expected], name)

    def expect_to_go_on(self, cluster):
        cluster.wait_linked()
        a = cluster.nodes[0]
        wait_until(lambda: all(slot["leader"] for slot in a.slots()), "everything has a leader")
        say(a, 2)
        self.wait_complete(cluster)
        self.expect_everything(cluster, (5, 2))


class Damage(Case):
    def test_what_only_the_log_had_comes_back_from_the_others(self):
        with Cluster(**SETTINGS) as cluster:
            cluster.start()
            cluster.wait_spread()
            a, _, c = cluster.nodes
            say(a, 10)
            say(a, 5)
            c.kill()  # The store follows a second later, so it has as a rule not all of it.
            self.assertGreater(change(c, b"4 of room0 "), 0)
            say(a, 3)
            start_anew(c)
            self.wait_complete(cluster)
            self.expect_everything(cluster, (10, 5, 3))
            # The next start has nothing to say.
            c.kill()
            c.start()
            cluster.wait_linked()
            self.assertEqual(c.program.count(lambda line: "damaged" in line.get("event", "")), 0)

    def test_what_the_store_has_too_ends_the_node_and_costs_nothing(self):
        with Cluster(**SETTINGS) as cluster:
            cluster.start()
            cluster.wait_spread()
            a, _, c = cluster.nodes
            say(a, 5)
            wait_until(lambda: all(stored(c, f"4 of {name}") for name in CONVERSATIONS), "the store of c has everything")
            self.assertEqual(c.program.stop(), 0)
            self.assertGreater(change(c, b"2 of room3 "), 0)
            say(a, 2)
            self.assertTrue(start_anew(c))
            self.assertTrue(all(slot["whole"] for slot in c.slots()), "it remembers what it has promised")
            self.wait_complete(cluster)
            self.expect_everything(cluster, (5, 2))

    def test_two_of_three_logs_lose_what_the_stores_have(self):
        with Cluster(**SETTINGS) as cluster:
            cluster.start()
            cluster.wait_spread()
            a, b, c = cluster.nodes
            say(a, 5)
            wait_until(cluster.level, "everybody has everything")
            for node in (c, b, a):
                self.assertEqual(node.program.stop(), 0)
            self.assertGreater(change(b, b"2 of room3 "), 0)
            self.assertGreater(change(c, b"1 of room5 "), 0)
            a.start(ready=False)
            for node in (b, c):
                self.assertTrue(start_anew(node))
            a.program.wait_for("ready")
            self.expect_to_go_on(cluster)

    def test_two_of_three_logs_lose_what_the_third_has(self):
        with Cluster(**SETTINGS) as cluster:
            cluster.start()
            cluster.wait_spread()
            a, b, c = cluster.nodes
            say(a, 5)
            wait_until(cluster.level, "everybody has everything", interval=0.02)
            b.kill()  # The stores follow a second later, so they have as a rule not all of it.
            c.kill()
            self.assertGreater(change(b, b"4 of room3 "), 0)
            self.assertGreater(change(c, b"4 of room5 "), 0)
            for node in (b, c):
                start_anew(node)
            self.expect_to_go_on(cluster)

    def test_a_node_that_nobody_can_help_serves_what_is_left(self):
        with Cluster(("a",), **SETTINGS) as cluster:
            a = cluster.nodes[0]
            cluster.start()
            wait_until(lambda: all(slot["leader"] for slot in a.slots()), "everything has a leader")
            say(a, 5)
            a.kill()
            self.assertGreater(change(a, b"4 of room0 "), 0)
            a.start()
            a.program.wait_for(lambda line: "no other nodes have" in line.get("event", ""))
            wait_until(lambda: all(slot["leader"] for slot in a.slots()), "everything has a leader")
            self.assertEqual(say(a, 1)["room0"], [6])
            self.assertEqual(len(replay(a, "room1")), 6)


class LostDirectory(Case):
    def test_a_log_that_can_t_be_read_is_refused_and_the_node_replaced(self):
        with Cluster(**SETTINGS) as cluster:
            cluster.start()
            cluster.wait_spread()
            a, _, c = cluster.nodes
            say(a, 5)
            c.kill()
            with open(log_of(c), "r+b") as file:
                pages = len(file.read()) // PAGE
                for page in range(2, pages):  # The first two say where the others are.
                    file.seek(page * PAGE)
                    file.write(b"\xa5" * PAGE)
            for _ in range(2):  # It stays refused.
                c.start(ready=False)
                self.assertEqual(c.program.process.wait(30), 1)
                self.assertIn("storage-0 is damaged", "".join(c.program.raw))
                self.assertIn("parleyctl nodes remove", "".join(c.program.raw))
            order(a, "nodes", "remove", "c")
            shutil.rmtree(c.directory)
            wait_until(lambda: all(len(slot["replicas"]) == 2 and slot["leader"] for slot in a.slots()), "c is in no slot", 60, 0.2)
            say(a, 2)
            c.start()
            self.wait_complete(cluster)
            self.expect_everything(cluster, (5, 2))

    def test_an_empty_directory_elects_nobody(self):
        """c was a voter and has lost its disk; b, which lacks what a and c have acknowledged, mustn't lead with c's vote."""
        head = lambda node: replay(node, "room0")[-1]["seq"]
        with Cluster(**SETTINGS) as cluster:
            cluster.start()
            cluster.wait_spread()
            a, b, c = cluster.nodes
            say(a, 1)
            self.assertEqual(b.program.stop(), 0)
            wait_until(lambda: all(slot["leader"] in ("a", "c") for slot in a.slots()), "the others lead")
            say(a, 3)
            a.kill()
            c.kill()
            b.start()
            order(b, "nodes", "remove", "c")
            shutil.rmtree(c.directory)
            c.start(ready=False)
            last(2)
            b.kill()  # What it knows of c's removal is on its disk.
            b.start(ready=False)
            b.program.wait_for("ready")
            refused = lambda line: "has taken it out of all slots" in str(line)
            b.program.wait_for(refused)
            last(2)
            self.assertFalse(any(slot["leader"] for slot in b.slots()))
            a.start()
            self.wait_complete(cluster)
            self.assertEqual([head(node) for node in cluster.nodes], [4, 4, 4])
            say(a, 1)
            self.expect_everything(cluster, (1, 3, 1))


if __name__ == "__main__":
    unittest.main(verbosity=2)
