#!/usr/bin/env python3
"""Nobody is shown offline who is connected, and nobody flickers: under thousands of clients that reconnect at once, under take-over,
under will delay, and after the broker was killed and started again. Watchers check every state that they are shown.

    presence_storm.py [--users 10000] [--processes 3] [--rounds 2]
"""

import argparse
import time

from harness.client import Client
from harness.process import cpu_seconds
from harness.server import Server
from harness.storm import Storm

WILL_DELAY = 4


class Figures:
    """What a phase took."""

    def __init__(self, server, title):
        self.server, self.title = server, title

    def __enter__(self):
        self.cpu, self.begin = cpu_seconds(self.server.broker.pid), time.monotonic()
        return self

    def __exit__(self, *_):
        pass

    def tell(self, connects, took, messages, most, since_start=False):
        cpu = cpu_seconds(self.server.broker.pid) - (0 if since_start else self.cpu)
        rate = f"{connects} connects in {took:.1f} s ({connects / took:.0f}/s), " if took else ""
        print(f"{self.title}: {rate}{messages} presence messages, {most} of one user at most, broker CPU {cpu:.1f} s, "
              f"{time.monotonic() - self.begin:.0f} s in all", flush=True)


def run(options):
    grace, users = options.grace, options.users
    settings = {"presence.grace": f"{grace:.0f}s", "chat.auto_create": "false"}
    with Server(settings=settings) as server, Storm(users, options.processes, (False, True), grace) as storm:
        ports = [server.port]
        with Client(server.port, "maker", username="watcher0", keep_alive=0) as maker:
            storm.make_groups(maker)
        with Figures(server, "arrival") as figures:
            count, took = storm.connect(ports)
            storm.begin()
            storm.watchers.do("connect", ports, subscribes=True)
            figures.tell(count, took, *storm.judge("arrival", quiet=False))

        for number in range(options.rounds):
            with Figures(server, f"reconnect {number + 1}") as figures:
                storm.begin()
                count, took = storm.reconnect(ports)
                # Should somebody be thought gone, it is said when the grace time is over.
                storm.observe(grace + 1.5)
                figures.tell(count, took, *storm.judge("reconnect"))

        for number in range(options.rounds):
            with Figures(server, f"take-over {number + 1}") as figures:
                storm.begin()
                count, took = storm.connect(ports)
                storm.observe(grace + 1.5)
                # A second device may be seen for a moment where the old connection ends later than the new one begins.
                figures.tell(count, took, *storm.judge("take-over", quiet=False))

        with Figures(server, "will delay") as figures:
            storm.begin()
            # Taken over: these have a will, which replaces the grace time.
            count, took = storm.connect(ports, will=(b"gone fishing", WILL_DELAY), expiry=3600)
            storm.graces = dict.fromkeys(range(users), WILL_DELAY)
            away = range(0, users, 2)
            storm.drop()
            storm.observe(1)
            back, took_too = storm.connect(ports, only=[number for number in range(users) if number % 2])
            storm.observe(WILL_DELAY + 1.5)
            figures.tell(count + back, took + took_too, *storm.judge("will delay", offline=away, quiet=False))
            for states in storm.last:
                wrong = [number for number in away if states[number][2] != "gone fishing"]
                assert not wrong, f"without the parting status: {wrong[:10]}"
            storm.connect(ports, only=list(away))
            storm.graces = {}
            storm.connect(ports)
            storm.observe(2)
            storm.judge("return", quiet=False)

        with Figures(server, "kill -9") as figures:
            storm.begin()
            server.broker.kill()
            storm.killed(range(users))
            server.start_broker()
            storm.watchers.ask("connect", ports)
            count, took = storm.connect(ports)
            storm.watchers.answer()
            storm.observe(grace + 1.5)
            figures.tell(count, took, *storm.judge("kill -9", quiet=False), since_start=True)

        with Figures(server, "parting") as figures:
            storm.begin()
            away = range(0, users, 10)
            storm.drop(list(away))
            storm.observe(grace + 1.5)
            figures.tell(0, 0, *storm.judge("parting", offline=away))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--users", type=int, default=10_000)
    parser.add_argument("--processes", type=int, default=3)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--grace", type=float, default=10.0)
    run(parser.parse_args())


if __name__ == "__main__":
    main()
