#!/usr/bin/env python3
"""Nobody is shown offline who is connected, at whichever of three nodes: one of them, which leads the slots of a third of the users, is
killed, and its clients go to the others; all reconnect to other nodes at once; all are taken over by other nodes.

    presence_storm.py [--users 9000] [--processes 3]
"""

import argparse
import time

from cluster import Cluster
from harness.client import Client
from harness.process import cpu_seconds
from harness.storm import Storm


def figures(title, cluster, begin, cpu, connects, took, messages, most):
    now = {node.name: cpu_seconds(node.program.pid) for node in cluster.nodes if node.runs()}
    used = ", ".join(f"{name} {seconds - cpu.get(name, 0):.1f} s" for name, seconds in now.items())
    rate = f"{connects} connects in {took:.1f} s ({connects / took:.0f}/s), " if took else ""
    print(f"{title}: {rate}{messages} presence messages, {most} of one user at most, CPU {used}, "
          f"{time.monotonic() - begin:.0f} s in all", flush=True)
    return time.monotonic(), now


def run(options):
    grace, users = options.grace, options.users
    settings = {"presence.grace": f"{grace:.0f}s", "chat.auto_create": "false"}
    # Watchers at all nodes, one of each kind at a node that stays.
    kinds = (False, True, False)
    with Cluster(**settings) as cluster, Storm(users, options.processes, kinds, grace) as storm:
        cluster.start()
        cluster.wait_spread()
        ports = [node.port for node in cluster.nodes]
        with Client(ports[0], "maker", username="watcher0", keep_alive=0) as maker:
            storm.make_groups(maker)
        begin, cpu = time.monotonic(), {}

        count, took = storm.connect(ports)
        storm.begin()
        storm.watchers.do("connect", ports, subscribes=True)
        begin, cpu = figures("arrival", cluster, begin, cpu, count, took, *storm.judge("arrival", quiet=False))

        storm.begin()
        count, took = storm.reconnect([*ports[1:], ports[0]])
        storm.observe(grace + 1.5)
        begin, cpu = figures("reconnect elsewhere", cluster, begin, cpu, count, took, *storm.judge("reconnect", quiet=False))

        storm.begin()
        count, took = storm.connect(ports)
        storm.observe(grace + 1.5)
        begin, cpu = figures("take-over elsewhere", cluster, begin, cpu, count, took, *storm.judge("take-over", quiet=False))

        storm.begin()
        dead = cluster.nodes[2]
        homeless = [number for number in range(users) if number % 3 == 2]
        dead.kill()
        storm.killed(homeless)
        storm.watchers.ask("connect", [ports[0], ports[1], ports[0]], only=[2])
        count, took = storm.connect(ports[:2], only=homeless)
        storm.watchers.answer()
        storm.observe(grace + 4)
        begin, cpu = figures("kill -9 of a node", cluster, begin, cpu, count, took, *storm.judge("kill", quiet=False))

        storm.begin()
        dead.start()
        cluster.wait_linked()
        cluster.wait_spread(90)
        storm.observe(grace + 1.5)
        begin, cpu = figures("its return", cluster, begin, cpu, 0, 0, *storm.judge("return", quiet=False))

        storm.begin()
        away = range(0, users, 10)
        storm.drop(list(away))
        storm.observe(grace + 1.5)
        figures("parting", cluster, begin, cpu, 0, 0, *storm.judge("parting", offline=away))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--users", type=int, default=9_000)
    parser.add_argument("--processes", type=int, default=3)
    parser.add_argument("--grace", type=float, default=10.0)
    run(parser.parse_args())


if __name__ == "__main__":
    main()
