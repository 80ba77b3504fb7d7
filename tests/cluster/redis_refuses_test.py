#!/usr/bin/env python3
"""A Redis that answers but writes nothing is left in peace, and used again when it does."""

import time
import unittest

from cluster import Cluster, wait_until
from harness.client import Client

SECONDS = 4


class RefusingRedis(unittest.TestCase):
    def test_a_node_neither_hammers_it_nor_fills_its_log(self):
        with Cluster(("a",)) as cluster:
            cluster.start()
            (node,) = cluster.nodes
            wait_until(lambda: node.status()["redis"], "Redis is there")

            def connections():
                return int(cluster.redis.command("CLIENT", "ID").lstrip(":"))  # They are counted.

            # There is no replica, so what is written is refused: NOREPLICAS.
            self.assertEqual(cluster.redis.command("CONFIG", "SET", "min-replicas-to-write", "1"), "+OK")
            wait_until(lambda: not node.status()["redis"], "Redis is away")
            lines, before = len(node.program.lines), connections()
            time.sleep(SECONDS)  # What comes in that time is counted.
            self.assertLess(connections() - before, SECONDS * 5)
            said = [line["event"] for line in node.program.lines[lines:]]
            self.assertLess(len(said), 8, said)
            with Client(node.port, "somebody") as client:
                self.assertEqual(client.publish("chat/room/msg", b"goes on").reason, 0)
            self.assertEqual(cluster.redis.command("CONFIG", "SET", "min-replicas-to-write", "0"), "+OK")
            wait_until(lambda: node.status()["redis"], "Redis is there again")


if __name__ == "__main__":
    unittest.main()
