#!/usr/bin/env python3
"""Measures what replication costs: one node alone beside a cluster of three, all nodes on one core, the load on another.

    PARLEY_BINARY_DIR=build/release/bin tests/cluster/measure.py [--rounds 3] [--seconds 5] [--pairs 50] [--rate 1000]

Each round starts both afresh and loads them in turn with the same messages: QoS 1 in conversations, acknowledged when durable
(alone) or durable on a majority (cluster). The median of the rounds is printed. docs/SCALE.md says what the lines mean."""

import argparse
import json
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile

from cluster import BINARIES, Cluster, Node, wait_until
from harness.placement import slot_of
from harness.process import cpu_seconds
from harness.server import Program, free_port

PAYLOAD = 200
SLOTS = 16
BROKER_CORE, LOAD_CORE = 0, 1
# docs/formats/log.md: what a record has beside names, properties and payload.
RECORD = 24 + 50


def settle(pids):
    """Until what was put off (materialising above all) is done, which belongs to the price."""
    used = -1.0
    def quiet():
        nonlocal used
        before, used = used, sum(map(cpu_seconds, pids))
        return before >= 0 and used - before <= 0.02
    wait_until(quiet, "the nodes are idle", 60, 0.5)


def bound(*command):
    return ["taskset", "--cpu-list", str(BROKER_CORE), *command]


class Alone:
    """One node without a cluster."""

    def __init__(self):
        self.directory = tempfile.mkdtemp(prefix="parley-measure-")
        self.ports = [free_port()]
        self.program = Program(*bound(BINARIES / "parleyd", "--listen", f"tcp://127.0.0.1:{self.ports[0]}", "--data-dir", self.directory,
                                      "--set=chat.auto_create=true", "--set=node.threads=1", "--set=log.format=json"))
        self.program.wait_for("ready")

    def pids(self):
        return {"alone": self.program.pid}

    def close(self):
        self.program.stop()
        shutil.rmtree(self.directory, ignore_errors=True)


class BoundNode(Node):
    def program_for(self, *arguments):
        return Program(*bound(*arguments))


class Three(Cluster):
    def __init__(self):
        super().__init__(**{"node.threads": 1, "cluster.lease_time": "3s"})
        self.start()
        self.wait_spread()
        self.ports = [node.port for node in self.nodes]
        self.peer_ports = {node.peer_port for node in self.nodes}

    def make_node(self, name):
        return BoundNode(self, name)

    def pids(self):
        return {node.name: node.program.pid for node in self.nodes}

    def led_by(self, name, count):
        """So many conversations of slots that this node leads."""
        slots = {number for number, slot in enumerate(self.nodes[0].slots()) if slot["leader"] == name}
        names = (f"measured{number}" for number in range(100_000))
        return [one for one, _ in zip((one for one in names if slot_of(one, SLOTS) in slots), range(count))]

    def sent(self):
        """Bytes that each node has sent to each other one, by pairs of ports."""
        lines = subprocess.run(["ss", "-Htni", "state", "established"], capture_output=True, text=True, check=True).stdout
        total, ours = 0, False
        for line in lines.splitlines():
            if not line.startswith((" ", "\t")):
                ours = any(int(port) in self.peer_ports for port in re.findall(r":(\d+)", line))
            elif ours and (found := re.search(r"bytes_sent:(\d+)", line)):
                total += int(found[1])
        return total

    def redis_commands(self):
        with_count = subprocess.run(["redis-cli", "-p", str(self.redis.port), "info", "stats"], capture_output=True, text=True, check=True)
        return int(re.search(r"total_commands_processed:(\d+)", with_count.stdout)[1])

    def close(self):
        self.__exit__(None)


def load(server, scenario, options, *more):
    """parley-bench's figures, and what each process used for it in microseconds of CPU time a message."""
    before = {name: cpu_seconds(pid) for name, pid in server.pids().items()}
    command = [BINARIES / "parley-bench", scenario, "--chat", "--qos", "1", "--json", "--core", LOAD_CORE, "--pairs", options.pairs,
               "--payload", PAYLOAD, "--seconds", options.seconds, "--warmup", 1, *more]  # fmt: skip
    result = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise AssertionError(f"{command}: {result.stdout}{result.stderr}")
    figures = json.loads(result.stdout)["figures"]
    settle(server.pids().values())
    published = figures["published"]
    for name, pid in server.pids().items():
        figures[f"cpu_{name}"] = (cpu_seconds(pid) - before[name]) / published * 1e6
    figures["cpu"] = sum(figures[f"cpu_{name}"] for name in server.pids())
    return figures


def measure_alone(options):
    server = Alone()
    try:
        port = ["--port", server.ports[0]]
        throughput = load(server, "pairs", options, *port)
        latency = load(server, "latency", options, *port, "--rate", options.rate)
    finally:
        server.close()
    return {"messages/s": throughput["messages_per_second"], "CPU µs/message": throughput["cpu"],
            "p50 ms": latency["p50_us"] / 1e3, "p99 ms": latency["p99_us"] / 1e3}  # fmt: skip


def measure_three(options):
    server = Three()
    try:
        everywhere = ["--port", server.ports[0], "--more-ports", ",".join(map(str, server.ports[1:]))]
        commands = server.redis_commands()
        throughput = load(server, "pairs", options, *everywhere)
        commands = (server.redis_commands() - commands) / throughput["published"]
        latency = load(server, "latency", options, *everywhere, "--rate", options.rate)
        # All clients at node a; first b leads what they speak in, then a itself.
        at_gateway = load(server, "pairs", options, "--port", server.ports[0], "--names", ",".join(server.led_by("b", options.pairs)))
        names = server.led_by("a", options.pairs)
        sent = server.sent()
        at_leader = load(server, "pairs", options, "--port", server.ports[0], "--names", ",".join(names))
        sent = (server.sent() - sent) / at_leader["published"]
    finally:
        server.close()
    entry = RECORD + len("bench-pub-10") + PAYLOAD
    return {"messages/s": throughput["messages_per_second"], "CPU µs/message, all nodes": throughput["cpu"],
            "p50 ms": latency["p50_us"] / 1e3, "p99 ms": latency["p99_us"] / 1e3,
            "CPU µs/message: gateway": at_gateway["cpu_a"], "CPU µs/message: leader": at_gateway["cpu_b"],
            "CPU µs/message: follower": at_gateway["cpu_c"], "CPU µs/message: gateway and leader in one": at_leader["cpu_a"],
            "CPU µs/message: its followers": (at_leader["cpu_b"] + at_leader["cpu_c"]) / 2,
            "bytes between nodes a message and follower": sent / 2, "the same, in entries": sent / 2 / entry,
            "Redis commands a message": commands}  # fmt: skip


def median(rounds):
    return {name: statistics.median(one[name] for one in rounds) for name in rounds[0]}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--pairs", type=int, default=50)
    parser.add_argument("--rate", type=float, default=1000, help="messages a second where latency is measured")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    alone, three = [], []
    for _ in range(options.rounds):
        alone.append(measure_alone(options))
        three.append(measure_three(options))
    found = {"one node": median(alone), "three nodes": median(three)}
    if options.json:
        print(json.dumps(found, indent=2))
        return
    for server, figures in found.items():
        for name, value in figures.items():
            print(f"{server}: {name:45} {value:12.4g}")


if __name__ == "__main__":
    sys.exit(main())
