#!/usr/bin/env python3
"""Whatever happens to nodes, links and Redis: nothing acknowledged is lost, doubled or out of order.

Three nodes and a Redis, each on a network namespace of its own, under load at QoS 1 with ids: publishers and readers
(`since`, persistent sessions, $since/… on 3.1.1) that go to another node when theirs is gone. Each round something bad
happens, drawn by chance; at the end what every node holds is compared with what everybody was told and shown.

    chaos.py [--rounds 20] [--seed N] [--only kill,stop,…]
"""

import argparse
import asyncio
import json
import pathlib
import random
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "e2e"))

from harness import flow
from harness.client import Client
from harness.watch import Sightings
from cluster import wait_until
from lab.damage import change, start_anew
from lab.hosts import PORT, Hosts, SentinelHosts, last
from lab.network import Network
from lab.traffic import Nodes, Publisher, Reader, quantile

CONVERSATIONS = ["lobby", "kitchen", "attic", "cellar", "garden"]
ROUND_DEADLINE = 90


class Load:
    def __init__(self, hosts, options, chance):
        self.sightings = Sightings()
        self.publishers, self.readers = [], []
        for conversation in CONVERSATIONS:
            for number in range(2):
                user = f"{conversation}.{number}"
                nodes = Nodes(hosts.addresses(), chance)
                self.publishers.append(Publisher(nodes, user, f"chat/{conversation}/msg", window=16))
            for way in options.ways.split(","):
                nodes = Nodes(hosts.addresses(), chance)
                self.readers.append(Reader(nodes, conversation, f"{conversation}.{way}", way, self.sightings))

    def everybody(self):
        return [*self.publishers, *self.readers]

    def acknowledged(self):
        return sum(len(publisher.acknowledged) for publisher in self.publishers)

    async def be_served(self, when):
        """Until every publisher has got further acknowledgements."""
        counts = {one: len(one.acknowledged) for one in self.publishers}
        await flow.wait_until(lambda: all(len(one.acknowledged) >= counts[one] + 20 for one in self.publishers),
                              f"{when}: every publisher is served", ROUND_DEADLINE)

    def acknowledged_in(self, conversation):
        found = {}
        for publisher in self.publishers:
            if publisher.topic == f"chat/{conversation}/msg":
                found |= {(publisher.user, key): place for key, place in publisher.acknowledged.items()}
        return found


class Faults:
    """One function a fault: makes it, lets it last, heals; says to whom it happened. Blocking."""

    def __init__(self, hosts, chance):
        self.hosts, self.network, self.chance = hosts, hosts.network, chance
        self.table = {name[6:]: getattr(self, name) for name in dir(self) if name.startswith("fault_")}

    def some(self, count=1):
        return self.chance.sample(self.hosts.nodes, count)

    def last_between(self, shortest, longest):
        last(self.chance.uniform(shortest, longest))

    def cut_off(self):
        self.last_between(2, 8)
        self.network.heal()

    def kill_for(self, shortest, longest):
        node = self.some()[0]
        node.kill()
        self.last_between(shortest, longest)
        node.start()
        return node.name

    def fault_kill(self):
        return self.kill_for(0, 6)

    def fault_stop(self):
        node = self.some()[0]
        node.pause()
        last(10)
        node.resume()
        return node.name

    def fault_cut(self):
        one, other = (node.name for node in self.some(2))
        self.network.cut_both(one, other)
        self.cut_off()
        return f"{one} and {other}"

    def fault_cut_one_way(self):
        one, other = (node.name for node in self.some(2))
        self.network.cut(one, other)
        self.cut_off()
        return f"{one} to {other}"

    def fault_isolate(self):
        name = self.some()[0].name
        others = [*(node.name for node in self.hosts.nodes), "redis"]
        if self.chance.random() < 0.5:
            others.append("clients")
        self.network.isolate(name, others)
        self.cut_off()
        return f"{name} from {', '.join(one for one in others if one != name)}"

    def fault_redis(self):
        self.hosts.redis.kill()
        self.last_between(1, 8)
        self.hosts.redis.start()
        return ""

    def fault_flushall(self):
        self.hosts.redis.command("flushall")
        return ""

    def fault_kill_without_redis(self):
        self.hosts.redis.kill()
        name = self.kill_for(1, 5)
        self.hosts.redis.start()
        return name

    def fault_drain(self):
        node, other = self.some(2)
        other.ask(f"/v1/nodes/{node.name}/drain", "POST")
        self.last_between(1, 6)
        other.ask(f"/v1/nodes/{node.name}/undrain", "POST")
        return node.name

    def fault_restart(self):
        node = self.some()[0]
        if (status := node.program.stop()) != 0:
            raise AssertionError(f"{node.name} ended with status {status}: {node.program.raw[-20:]}")
        node.start()
        return node.name

    def fault_damage(self):
        """Some of a node's log is another one when it comes back; it gets what it lacks from the others."""
        node = self.some()[0]
        node.kill()
        self.last_between(0, 2)
        changed = change(node, self.chance.choice(CONVERSATIONS).encode() + b".0", self.chance.choice((30, 100_000)), self.chance)
        start_anew(node)
        wait_until(lambda: (slots := node.slots()) and all(slot["whole"] for slot in slots), f"{node.name} is whole again")
        return f"{node.name} in {changed} places"

    def fault_sentinel(self):
        """The replica is cut off for a while, and then all that is left."""
        return self.hosts.redis.fail_over(self.network, self.chance.uniform(1, 4))

    def fault_kill_all(self):
        for node in self.hosts.nodes:
            node.kill()
        for node in self.hosts.nodes:
            node.start(ready=False)
        for node in self.hosts.nodes:
            node.program.wait_for("ready")
        return ""


async def rounds(hosts, load, options, chance, pauses):
    faults = Faults(hosts, chance)
    usual = sorted(name for name in faults.table if options.sentinel or name != "sentinel")
    names = options.only.split(",") if options.only else usual
    for number in range(1, options.rounds + 1):
        await load.be_served(f"round {number}")
        await asyncio.sleep(chance.random() * 0.2)  # Then the moment is any.
        name = chance.choice(names)
        before = load.acknowledged()
        began = time.monotonic()
        what = await asyncio.to_thread(faults.table[name])
        await load.be_served(f"round {number}, after {name} {what}")
        longest = max(one.longest_pause(began) for one in load.publishers)
        pauses.setdefault(name, []).append(longest)
        print(f"round {number}: {name} {what} after {before} acknowledged; longest pause {longest:.2f} s", flush=True)


def judge_at(node):
    """A client at that node; None while it takes none, as when it was about to leave."""
    client = Client(PORT, f"judge-{node.name}", host=node.address)
    if client.connack.reason == 0:
        return client
    client.socket.close()
    return None


def history_at(node, conversation):
    """Every entry as that node shows it to a subscriber."""
    with wait_until(lambda: judge_at(node), f"{node.name} takes clients") as client:
        suback = client.subscribe(f"chat/{conversation}/json", user=(("since", 0),))
        if suback.value("head") is None:
            raise AssertionError(f"{node.name} doesn't show {conversation}: {suback}")
        return [json.loads(client.message().payload) for _ in range(int(suback.value("head")))]


async def scenario(hosts, options):
    chance = random.Random(options.seed)
    load, pauses = Load(hosts, options, chance), {}
    async with flow.Crowd(load.everybody()) as crowd:
        await crowd.beside(rounds(hosts, load, options, chance, pauses))
        await crowd.finish(load.publishers, ROUND_DEADLINE)
        total = 0
        for conversation in CONVERSATIONS:
            for node in hosts.nodes:
                history = await asyncio.to_thread(history_at, node, conversation)
                load.sightings.judge(conversation, history, load.acknowledged_in(conversation))
            total += len(history)
            for reader in load.readers:
                if reader.conversation == conversation:
                    await reader.reach(len(history))
        print(f"{options.rounds} rounds: {load.acknowledged()} acknowledged, {total} in the history of each of "
              f"{len(hosts.nodes)} nodes, {sum(p.duplicates for p in load.publishers)} sent again and recognised, "
              f"{sum(r.again for r in load.readers)} delivered again to sessions, seed {options.seed}")
        for name, values in sorted(pauses.items()):
            print(f"  {name}: {len(values)} times, longest pause without acknowledgement "
                  f"p50 {quantile(values, 0.5):.2f} s, max {max(values):.2f} s")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--ways", default="since,session,filter", help="how readers subscribe, by comma")
    parser.add_argument("--only", default="", help="names of faults, by comma")
    parser.add_argument("--sentinel", action="store_true", help="two Redis under a Sentinel, and fault `sentinel`")
    options = parser.parse_args()
    print(f"seed {options.seed}", flush=True)
    with Network(["one", "two", "three", "redis", "clients", "spare", "sentinel"]) as network:
        with (SentinelHosts if options.sentinel else Hosts)(network) as hosts:
            hosts.start()
            hosts.wait_spread()
            flow.run(scenario(hosts, options), deadline=120 + options.rounds * ROUND_DEADLINE)


if __name__ == "__main__":
    main()
