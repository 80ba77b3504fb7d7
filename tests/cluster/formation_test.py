#!/usr/bin/env python3
"""How nodes come together: one forms the cluster, others join, nobody else gets in, and none of it needs Redis again."""

import json
import os
import subprocess
import unittest

from cluster import BINARIES, Cluster, wait_until
from harness.client import Client
from harness.placement import slot_of


def founders(cluster):
    return [node.name for node in cluster.nodes if "standing founder" in (node.directory / "cluster").read_text()]


class Formation(unittest.TestCase):
    def test_three_nodes_form_one_cluster_from_nothing(self):
        with Cluster() as cluster:
            cluster.start()
            self.assertEqual(len(founders(cluster)), 1)
            self.assertEqual(len({node.status()["id"] for node in cluster.nodes}), 1)

    def test_nodes_find_each_other_again_without_redis(self):
        with Cluster() as cluster:
            cluster.start()
            before = cluster.nodes[0].status()["id"]
            for node in cluster.nodes:
                node.kill()
            cluster.redis.kill()
            cluster.start()
            self.assertEqual(cluster.nodes[0].status()["id"], before)
            self.assertFalse(cluster.nodes[0].status()["redis"])

    def test_redis_may_forget_and_go_and_come_back(self):
        with Cluster() as cluster:
            cluster.start()
            key = "parley:{parley}:formation"
            formation = cluster.redis.command("GET", key)
            self.assertTrue(formation.startswith("1 "), formation)
            cluster.redis.command("FLUSHALL")
            wait_until(lambda: cluster.redis.command("GET", key) == formation, "the formation is there again")
            cluster.redis.kill()
            wait_until(lambda: not cluster.nodes[0].status()["redis"], "the node misses Redis")
            self.assertEqual(cluster.nodes[0].status()["nodes_up"], 3)
            cluster.redis.start()
            wait_until(lambda: cluster.redis.command("GET", key) == formation, "the formation is there again")
            wait_until(lambda: all(row["lease"] for row in cluster.nodes[0].nodes().values()), "all leases are there")

    def test_a_node_that_dies_is_missed_at_once_and_one_that_hangs_soon(self):
        with Cluster() as cluster:
            cluster.start()
            a, b, c = cluster.nodes
            b.kill()
            wait_until(lambda: a.nodes()["b"]["state"] == "down", "b is missed")
            c.pause()
            wait_until(lambda: a.nodes()["c"]["state"] == "down", "c is missed")
            c.resume()
            b.start()
            cluster.wait_linked()


class Refusals(unittest.TestCase):
    def test_strangers_are_refused_with_a_sentence_on_both_sides(self):
        with Cluster(names=("a", "b")) as cluster:
            cluster.start()
            a = cluster.nodes[0]
            stranger = cluster.add("c", **{"cluster.secret": "another secret of enough bytes"})
            stranger.start()

            def differs(line):
                return "the secrets of nodes" in line.get("why", "") and "'c'" in line["why"]

            stranger.program.wait_for(differs)
            wait_until(lambda: any(node.program.count(differs) for node in (a, cluster.nodes[1])), "both sides say so")
            self.assertEqual(a.status()["nodes_up"], 2)

    def test_a_node_with_an_empty_directory_isnt_the_one_it_was(self):
        with Cluster() as cluster:
            cluster.start()
            a, _, c = cluster.nodes
            c.kill()
            for path in sorted(c.directory.rglob("*"), reverse=True):
                path.rmdir() if path.is_dir() else path.unlink()
            c.start()
            c.program.wait_for(lambda line: "has another data directory" in line.get("why", ""))
            self.assertEqual(a.status()["nodes_up"], 2)
            for node in cluster.nodes[:2]:
                node.ask("/v1/nodes/c/remove", "POST")  # The second has heard of it from the first.
            cluster.wait_linked()

    def test_two_nodes_with_one_id(self):
        with Cluster() as cluster:
            cluster.start()
            a, b, c = cluster.nodes
            twin = cluster.add("twin", **{"node.id": "c"})
            twin.start(ready=False)

            def refused(line):
                return "another process" in line.get("why", "") + line.get("event", "") and "peer" in line.get("event", "")

            twin.program.wait_for(refused)
            wait_until(lambda: any(node.program.count(refused) for node in (a, b)), "both sides say so")
            self.assertEqual(a.status()["nodes_up"], 3)
            with Client(c.port, "phone") as phone:  # The first one goes on.
                self.assertEqual(phone.publish("chat/lobby/msg", "hello").reason, 0)
            twin.kill()
            cluster.nodes.remove(twin)

    def test_clocks_that_are_minutes_apart(self):
        with Cluster() as cluster:
            a, b, c = cluster.nodes
            c.environment = {"LD_PRELOAD": os.environ["PARLEY_OTHER_CLOCK"], "PARLEY_CLOCK_AHEAD": "300"}
            cluster.start()
            cluster.wait_spread()

            def differs(line):
                return "clock is far from this node's" in line.get("event", "")

            for node in cluster.nodes:
                wait_until(lambda node=node: node.program.count(differs), f"{node.name} says so")
            # Led by the node that is ahead, and then by the others: times don't fall.
            names = [f"room{i}" for i in range(40)]
            slots = a.slots()
            led = [name for name in names if slots[slot_of(name, len(slots))]["leader"] == "c"]
            self.assertTrue(led)
            with Client(a.port, "phone") as phone:
                for name in led:
                    phone.publish(f"chat/{name}/msg", "ahead")
                c.kill()
                wait_until(lambda: all(slot["leader"] not in ("", None, "c") for slot in a.slots()), "others lead")
                for name in led:
                    self.assertEqual(phone.publish(f"chat/{name}/msg", "behind").reason, 0)
                    phone.subscribe(f"chat/{name}/json", user=(("since", 0),))
                    before, after = (json.loads(phone.message().payload)["ts"] for _ in range(2))
                    self.assertGreaterEqual(after, before)

    def test_a_directory_stays_with_its_cluster_node_and_slots(self):
        with Cluster(names=("a",)) as cluster:
            cluster.start()
            node = cluster.nodes[0]
            self.assertEqual(node.program.stop(), 0)
            for setting, value in (("cluster.name", "other"), ("node.id", "b"), ("cluster.slots", "32")):
                settings = node.settings | {setting: value}
                arguments = [f"--set={key}={value}" for key, value in settings.items()]
                result = subprocess.run([BINARIES / "parleyd", "--listen", f"tcp://127.0.0.1:{node.port}", "--data-dir",
                                         node.directory, *arguments], capture_output=True, text=True, timeout=60,
                                        check=False)
                self.assertEqual(result.returncode, 1)
                self.assertIn(f"parleyd: {setting} is", result.stderr)

    def test_a_removed_node_stays_out(self):
        with Cluster() as cluster:
            cluster.start()
            a, b, c = cluster.nodes
            self.assertEqual(a.ask("/v1/nodes/a/remove", "POST")[0], 409)
            self.assertEqual(a.ask("/v1/nodes/x/remove", "POST")[0], 409)
            self.assertEqual(a.ask("/v1/nodes/c/remove", "POST")[0], 200)
            wait_until(lambda: b.status()["nodes_up"] == 2, "b has heard of it")
            c.kill()
            c.start()
            c.program.wait_for(lambda line: "was removed from the cluster" in line.get("why", ""))
            self.assertEqual(a.status()["nodes_up"], 2)


class Administration(unittest.TestCase):
    def parleyctl(self, node, *arguments):
        result = subprocess.run([BINARIES / "parleyctl", *arguments, "--socket", node.directory / "admin.sock"],
                                capture_output=True, text=True, timeout=60, check=False)
        return result.returncode, result.stdout, result.stderr

    def test_parleyctl_shows_and_orders(self):
        with Cluster(names=("a", "b")) as cluster:
            cluster.start()
            a, b = cluster.nodes
            status, out, _ = self.parleyctl(a, "status")
            self.assertEqual(status, 0)
            self.assertIn("CLUSTER", out)
            status, out, _ = self.parleyctl(b, "nodes", "list")
            self.assertEqual([line.split()[0] for line in out.splitlines()], ["NAME", "a", "b"])
            status, out, _ = self.parleyctl(b, "nodes", "list", "--json")
            self.assertEqual([node["name"] for node in json.loads(out)], ["a", "b"])
            self.assertEqual(self.parleyctl(a, "slots", "list")[0], 0)
            self.assertEqual(self.parleyctl(a, "nodes", "drain", "b"), (0, "", ""))
            wait_until(lambda: a.nodes()["b"]["draining"], "b drains")
            self.assertEqual(self.parleyctl(b, "nodes", "undrain", "b"), (0, "", ""))
            wait_until(lambda: not a.nodes()["b"]["draining"], "b takes slots again")
            status, _, err = self.parleyctl(a, "nodes", "remove", "nobody")
            self.assertEqual((status, err), (1, 'parleyctl: there is no node "nobody"\n'))
            self.assertEqual(self.parleyctl(a, "nodes", "fly")[0], 2)

    def test_clients_are_found_wherever_they_are(self):
        with Cluster() as cluster:
            cluster.start()
            a, b, c = cluster.nodes
            with Client(c.port, "phone") as phone, Client(a.port, "laptop"):
                for node in (a, b, c):
                    status, out, err = self.parleyctl(node, "clients", "show", "phone", "--json")
                    self.assertEqual(status, 0, err)
                    self.assertEqual((json.loads(out)["node"], json.loads(out)["connected"]), ("c", True))
                status, out, _ = self.parleyctl(a, "clients", "list", "--json")
                self.assertEqual([row["client_id"] for row in json.loads(out)], ["laptop"])
                self.assertEqual(self.parleyctl(b, "clients", "kick", "phone", "--reason", "out")[0], 0)
                end = phone.expect_end()
                self.assertEqual((end.reason, end.properties["reason_string"]), (0x98, "out"))
                wait_until(lambda: self.parleyctl(b, "clients", "kick", "phone")[0] == 1, "it is connected nowhere")


if __name__ == "__main__":
    unittest.main()
