#!/usr/bin/env python3
"""What publishers feel while retention deletes millions of entries, and how fast that is.

    retention_purge.py [--entries 1000000] [--payload 200] [--rate 500] [--seconds 20] [--factor-max F]

Fills conversations side by side, publishes at a fixed rate to another one and times each PUBACK from the moment that its
message was due. Then the conversations' owner has them keep a thousand entries, and the publishing goes on until all else is
deleted. At last as many entries as a tenth are sent again, to see whether the store's file grows.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import threading
import time

from harness import packets
from harness.client import Client, Closed
from harness.packets import PUBACK
from harness.server import BINARIES, LocalConnection, Server

KEPT = 1_000
WHAT = re.compile(r'^(parley_purge\w+)\{kind="retention"\} (\d+)$', re.MULTILINE)


class Purges:
    def __init__(self, server):
        self.path = server.data / "admin.sock"

    def read(self):
        """(conversations of which something is to be deleted, entries that were deleted since the start)"""
        connection = LocalConnection(self.path)
        try:
            connection.request("GET", "/metrics")
            values = dict(WHAT.findall(connection.getresponse().read().decode()))
        finally:
            connection.close()
        return int(values["parley_purges_pending"]), int(values["parley_purged_entries_total"])


class Pace:
    """Publishes at a fixed rate from a thread of its own; another one notes when each message was acknowledged."""

    def __init__(self, port, rate, payload):
        self.client = Client(port, "pace", username="pace")
        self.rate, self.payload = rate, b"x" * payload
        self.samples = []  # (when it was due, seconds until its PUBACK)
        self.ending = threading.Event()
        self.room = threading.Semaphore(self.client.connack.properties["receive_maximum"])
        self.sent = 0
        self.due = {}
        self.threads = [threading.Thread(target=run, daemon=True) for run in (self.send, self.receive)]
        for thread in self.threads:
            thread.start()

    def send(self):
        began = time.monotonic()
        while not self.ending.is_set():
            due = began + self.sent / self.rate
            time.sleep(max(0.0, due - time.monotonic()))
            self.room.acquire()
            packet_id = self.sent % 60_000 + 1
            self.due[packet_id] = due
            self.sent += 1
            self.client.send(packets.publish("chat/pace/msg", self.payload, 5, qos=1, packet_id=packet_id))

    def receive(self):
        try:
            while not (self.ending.is_set() and len(self.samples) == self.sent):
                packet = self.client.receive(1.0)
                if packet is not None and packet.type == PUBACK:
                    assert packet.reason in (0, None), packet
                    self.room.release()
                    due = self.due.pop(packet.packet_id)
                    self.samples.append((due, time.monotonic() - due))
        except Closed:
            pass

    def stop(self):
        self.ending.set()
        for thread in self.threads:
            thread.join(30)

    def between(self, begin, end):
        """Milliseconds, ascending."""
        return sorted(took * 1e3 for due, took in self.samples if begin <= due < end)


def at(values, part):
    return values[min(len(values) - 1, int(len(values) * part))]


def describe(name, values):
    print(f"{name:>7}: {len(values)} publishes, p50 {at(values, 0.5):.2f} ms, p90 {at(values, 0.9):.2f} ms, "
          f"p99 {at(values, 0.99):.2f} ms, highest {values[-1]:.2f} ms", flush=True)


def fill(server, names, entries, payload):
    """Publishes a second, by a load generator for each conversation."""
    began = time.monotonic()
    running = [
        subprocess.Popen([BINARIES / "parley-bench", "absent", "--chat", "--port", str(server.port), "--pid", str(server.broker.pid),
                          "--members", "0", "--name", name, "--messages", str(entries // len(names)), "--payload", str(payload),
                          "--window", "1000", "--warmup", "0", "--seconds", "100000"], stdout=subprocess.DEVNULL)
        for name in names
    ]  # fmt: skip
    for process in running:
        if process.wait() != 0:
            sys.exit(f"{process.args} ended with status {process.returncode}")
    return entries / (time.monotonic() - began)


def command(server, conversations, **fields):
    with Client(server.port, "owner", username="owner") as owner:
        for conversation in conversations:
            answer = owner.publish(f"chat/{conversation}/ctl", json.dumps(fields))
            assert answer.reason in (0, None), answer


def file_size(server):
    return os.stat(server.data / "storage-0/store.mdb").st_size


def wait_until(condition, seconds, what):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            sys.exit(f"{what} didn't happen within {seconds} s")
        time.sleep(0.05)


def measure(server, options):
    purges = Purges(server)
    names = [f"fill{number}" for number in range(options.conversations)]
    conversations = [f"{name}-absent0-0" for name in names]
    command(server, conversations, op="create", visibility="public")
    rate = fill(server, names, options.entries, options.payload)
    print(f"{options.entries} entries of {options.payload} bytes in {len(names)} conversations, {rate:.0f} a second", flush=True)
    time.sleep(3 + options.entries / 1e6)  # So that they are in the store, too.
    size = file_size(server)
    pace = Pace(server.port, options.rate, options.payload)
    time.sleep(2)
    quiet = time.monotonic()
    time.sleep(options.seconds)
    begun = time.monotonic()
    command(server, conversations, op="settings", retention_count=KEPT)
    wait_until(lambda: purges.read()[0] > 0, 60, "the purge")
    wanted = options.entries - len(names) * (KEPT + 100)
    wait_until(lambda: purges.read()[1] >= wanted and purges.read()[0] == 0, 3600, "the purge's end")
    ended = time.monotonic()
    gone = purges.read()[1]
    time.sleep(1)
    pace.stop()
    before, during = pace.between(quiet, begun), pace.between(begun, ended)
    describe("before", before)
    describe("during", during)
    factor = at(during, 0.99) / at(before, 0.99)
    print(f"the purge of {gone} entries took {ended - begun:.1f} s, {gone / (ended - begun):.0f} entries a second; "
          f"p99 is {factor:.2f} of what it was", flush=True)
    fill(server, [names[0]], options.entries // 10, options.payload)
    time.sleep(3)
    print(f"store.mdb: {size / 1e6:.0f} MB before, {file_size(server) / 1e6:.0f} MB after another {options.entries // 10} entries")
    return factor


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--entries", type=int, default=1_000_000)
    parser.add_argument("--conversations", type=int, default=4)
    parser.add_argument("--payload", type=int, default=200)
    parser.add_argument("--rate", type=float, default=500)
    parser.add_argument("--seconds", type=float, default=20, help="how long to measure before the purge")
    parser.add_argument("--factor-max", type=float, help="fail when p99 grows by more")
    options = parser.parse_args()
    with Server(settings={"chat.retention": "0"}) as server:
        factor = measure(server, options)
    if options.factor_max is not None and factor > options.factor_max:
        sys.exit(f"p99 has grown by {factor:.2f}")


if __name__ == "__main__":
    main()
