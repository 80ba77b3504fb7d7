#!/usr/bin/env python3
"""Conversations over three nodes: heard everywhere, and when nodes or Redis die under load, nothing that was acknowledged
is lost, doubled or moved, and sending goes on."""

import asyncio
import collections
import contextlib
import threading
import time
import unittest

from cluster import Cluster, wait_until
from harness import flow
from harness.client import Client, Closed
from harness.packets import PUBLISH
from harness.placement import slot_of

CONVERSATION = "lobby"
TOPIC = f"chat/{CONVERSATION}/msg"


def leader_of(cluster, asked):
    """The node that leads the conversation's slot, as `asked` sees it; None while nobody does."""
    slots = asked.slots()
    slot = slots[slot_of(CONVERSATION, len(slots))]
    return next((node for node in cluster.nodes if node.name == slot["leader"] and node.runs()), None)


def entries(node):
    """(seq, id, from) of every entry, as a subscriber of that node is shown them."""
    with Client(node.port, "replay") as client:
        suback = client.subscribe(TOPIC, user=(("since", 0),))
        found = []
        for _ in range(int(suback.value("head"))):
            seq, (sender, message_id, _, _) = flow.entry_of(client.message())
            found.append((seq, message_id, sender))
        return found


class Watch:
    """When the acknowledgements of some publishers came."""

    def __init__(self, publishers):
        self.publishers = publishers

    def count(self):
        return sum(len(publisher.acknowledged) for publisher in self.publishers)

    async def until(self, count, deadline=30):
        await flow.wait_until(lambda: self.count() >= count, f"{count} acknowledgements", deadline)


# A worker that was turned away tries again after so long; nothing waits for it.
PACE = 0.1


class Worker(threading.Thread):
    """Takes part in a shared subscription; when its node has gone it goes on at another one, with its session."""

    def __init__(self, cluster, name, node):
        super().__init__(daemon=True)
        self.cluster, self.name, self.node, self.done, self.stopped = cluster, name, node, collections.Counter(), False

    def run(self):
        while not self.stopped:
            try:
                self.work()
            except (Closed, OSError, AssertionError):
                time.sleep(PACE)
                running = [node for node in self.cluster.nodes if node.runs()]
                self.node = running[hash(self.name) % len(running)]

    def work(self):
        lasting = {"clean": False, "values": {"session_expiry_interval": 300}}
        with Client(self.node.port, self.name, **lasting) as client:
            if client.subscribe(f"$share/workers/{TOPIC}", user=(("since", 0),)).reasons != (1,):
                return time.sleep(PACE)
            while not self.stopped:
                packet = client.receive(0.2)
                if packet is not None and packet.type == PUBLISH:
                    self.done[packet.value("seq")] += 1
        return None


def under_load(publishers, trouble, first=500, deadline=60):
    """Once `first` messages are acknowledged `trouble(watch)` is awaited; then all that was sent is to be answered. The watch, and
    what `trouble` has said."""
    watch = Watch(publishers)

    async def load():
        async with flow.Crowd(publishers) as crowd:
            await watch.until(first)
            said = await trouble(watch)
            await crowd.finish(publishers, 30)
            return said

    return watch, asyncio.run(asyncio.wait_for(load(), deadline))


class Failover(unittest.TestCase):
    def check(self, publishers, node):
        """History has each acknowledged message once, where its receipt said, and no hole."""
        history = entries(node)
        self.assertEqual([seq for seq, _, _ in history], list(range(1, len(history) + 1)))
        places = {}
        for seq, message_id, sender in history:
            self.assertNotIn((sender, message_id), places, "stored twice")
            places[sender, message_id] = seq
        for publisher in publishers:
            for message_id, (seq, _) in publisher.acknowledged.items():
                self.assertEqual(places.get((publisher.user, message_id)), seq, message_id)
        return len(history)

    def test_a_leader_is_killed_under_load(self):
        with Cluster() as cluster:
            cluster.start()
            cluster.wait_spread()
            leader = leader_of(cluster, cluster.nodes[0])
            publishers = [flow.Publisher(leader.port, f"user{i}", TOPIC, window=32) for i in range(3)]

            async def kill_the_leader(watch):
                leader.kill()
                killed, before = time.monotonic(), watch.count()
                others = [node for node in cluster.nodes if node.runs()]
                heir = await flow.wait_until(lambda: leader_of(cluster, others[0]), "somebody leads", 30)
                for publisher in publishers:
                    publisher.port = heir.port
                await watch.until(before + 1)
                print(f"without acknowledgements for {time.monotonic() - killed:.2f} s", flush=True)
                await watch.until(before + 500)
                return heir

            watch, heir = under_load(publishers, kill_the_leader)
            stored = self.check(publishers, heir)
            print(f"{watch.count()} acknowledged, {stored} stored", flush=True)

    def test_workers_share_a_conversation_whose_leader_is_killed(self):
        with Cluster() as cluster:
            cluster.start()
            cluster.wait_spread()
            leader = leader_of(cluster, cluster.nodes[0])
            others = [node for node in cluster.nodes if node is not leader]
            workers = [Worker(cluster, f"worker{i}", node) for i, node in enumerate(cluster.nodes)]
            for worker in workers:
                worker.start()
            publishers = [flow.Publisher(node.port, f"user-{node.name}", TOPIC, window=16) for node in others]

            async def kill_the_leader(watch):
                leader.kill()
                await watch.until(watch.count() + 1000)

            under_load(publishers, kill_the_leader)
            stored = self.check(publishers, others[0])
            wanted = {str(seq) for seq in range(1, stored + 1)}
            everything = lambda: sum((worker.done for worker in workers), collections.Counter())
            wait_until(lambda: set(everything()) == wanted, "all is done")
            done = everything()
            for worker in workers:
                worker.stopped = True
            for worker in workers:
                worker.join(10)
            self.assertEqual(set(done), wanted)
            print(f"{stored} stored, all done, {sum(done.values()) - stored} of them again", flush=True)

    def test_nodes_that_only_pass_on_survive_their_leader(self):
        """Publishers are connected to nodes that don't lead: their connections stay, and what is unanswered is sent again."""
        with Cluster() as cluster:
            cluster.start()
            cluster.wait_spread()
            leader = leader_of(cluster, cluster.nodes[0])
            others = [node for node in cluster.nodes if node is not leader]
            publishers = [flow.Publisher(node.port, f"user-{node.name}", TOPIC, window=32) for node in others]

            async def kill_the_leader(watch):
                leader.kill()
                killed, before = time.monotonic(), watch.count()
                await watch.until(before + 65)  # Beyond what was under way.
                print(f"64 acknowledgements on after {time.monotonic() - killed:.2f} s", flush=True)
                await watch.until(before + 500)

            under_load(publishers, kill_the_leader)
            for node in others:
                self.check(publishers, node)

    def test_redis_may_forget_and_die_under_load(self):
        with Cluster() as cluster:
            cluster.start()
            cluster.wait_spread()
            publishers = [flow.Publisher(node.port, f"user-{node.name}", TOPIC, window=8) for node in cluster.nodes]

            async def trouble_redis(watch):
                for trouble in (lambda: cluster.redis.command("FLUSHALL"), cluster.redis.kill, cluster.redis.start):
                    trouble()
                    await watch.until(watch.count() + 500)

            under_load(publishers, trouble_redis, first=200)
            self.assertFalse([publisher.refused for publisher in publishers if publisher.refused])
            for node in cluster.nodes:
                self.check(publishers, node)

    def test_all_nodes_may_die_at_once_and_come_back(self):
        with Cluster() as cluster:
            cluster.start()
            cluster.wait_spread()
            publishers = [flow.Publisher(node.port, f"user-{node.name}", TOPIC, window=8) for node in cluster.nodes]

            async def kill_all(watch):
                for node in cluster.nodes:
                    node.program.process.kill()
                await asyncio.to_thread(self.start_again, cluster)
                await watch.until(watch.count() + 300, 60)

            under_load(publishers, kill_all, first=300, deadline=90)
            for node in cluster.nodes:
                self.check(publishers, node)

    @staticmethod
    def start_again(cluster):
        for node in cluster.nodes:
            node.kill()
        cluster.start()


class Conversations(unittest.TestCase):
    def test_what_is_said_on_one_node_is_heard_on_all(self):
        with Cluster() as cluster, contextlib.ExitStack() as stack:
            cluster.start()
            cluster.wait_spread()

            def clients(kind):
                return [stack.enter_context(Client(node.port, f"{kind}-{node.name}")) for node in cluster.nodes]

            listeners, speakers = clients("listener"), clients("speaker")
            for name in ("lobby", "kitchen", "garden", "attic"):
                topic = f"chat/{name}/msg"
                for listener in listeners:
                    listener.subscribe(topic)
                for speaker in speakers:
                    for qos in (1, 2):
                        answer = speaker.publish(topic, f"{speaker.client_id} at {qos}", qos=qos)
                        self.assertLess(answer.reason, 0x80, answer)
                heard = [[flow.entry_of(packet) for packet in listener.messages(6)] for listener in listeners]
                self.assertEqual([seq for seq, _ in heard[0]], [1, 2, 3, 4, 5, 6])
                self.assertEqual(heard[1], heard[0])
                self.assertEqual(heard[2], heard[0])


if __name__ == "__main__":
    unittest.main()
