#!/usr/bin/env python3
"""Shared subscriptions on conversations with real clients: mosquitto_sub and Paho as competing consumers, over MQTT 5 and 3.1.1. A
consumer is killed in the middle, and the broker: every message is processed at least once."""

import collections
import pathlib
import signal
import subprocess
import sys
import threading
import time
import unittest

from harness.client import Client, Closed
from harness.server import Server

HERE = pathlib.Path(__file__).resolve().parent
SHARE = "$share/workers/chat/jobs/msg"
DEADLINE = 60


class Worker:
    """A program whose lines are counted."""

    def __init__(self, *arguments):
        self.lines = collections.Counter()
        self.process = subprocess.Popen([str(argument) for argument in arguments], stdout=subprocess.PIPE, text=True)
        self.thread = threading.Thread(target=self.read, daemon=True)
        self.thread.start()

    def read(self):
        for line in self.process.stdout:
            self.lines[line.strip()] += 1

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)
        self.thread.join(10)
        self.process.stdout.close()


def mosquitto(port, version, name):
    # What it prints it has acknowledged already, so it isn't the one that is killed.
    lasting = ["-x", "300"] if version == "5" else []
    return Worker("stdbuf", "-oL", "mosquitto_sub", "-p", port, "-V", "5" if version == "5" else "311", "-i", name, "-u", name, "-c", *lasting,
                  "-q", 1, "-t", SHARE, "-F", "%p")


def paho(port, version, name):
    return Worker(sys.executable, HERE / "paho_worker.py", port, version, name, SHARE)


class Boss:
    """Publishes job after job, each until it is acknowledged."""

    def __init__(self, port):
        self.port, self.client, self.count = port, None, 0

    def post(self, count):
        for _ in range(count):
            self.count += 1
            self.post_one(f"job {self.count}")

    def post_one(self, job):
        end = time.monotonic() + DEADLINE
        while time.monotonic() < end:
            try:
                if self.client is None:
                    self.client = Client(self.port, "boss")
                if self.client.publish("chat/jobs/msg", job, user=[("id", job)]).reason < 0x80:
                    return
            except (Closed, OSError):
                self.close()
                self.client = None
            time.sleep(0.05)
        raise AssertionError(f"{job} could not be published")

    def close(self):
        if self.client is not None:
            self.client.socket.close()


class Sharing(unittest.TestCase):
    def setUp(self):
        self.server = self.enterContext(Server())
        self.boss = Boss(self.server.port)
        self.addCleanup(self.boss.close)
        self.workers = []

    def hire(self, make, version, name):
        worker = make(self.server.port, version, name)
        self.workers.append(worker)
        self.addCleanup(lambda: worker.process.poll() is None and worker.kill())
        return worker

    def wait(self, condition, what):
        end = time.monotonic() + DEADLINE
        while not condition():
            self.assertLess(time.monotonic(), end, what)
            time.sleep(0.02)

    def done(self):
        return sum((worker.lines for worker in self.workers), collections.Counter())

    def wait_done(self):
        wanted = {f"job {number}" for number in range(1, self.boss.count + 1)}
        self.wait(lambda: wanted <= set(self.done()), f"not all of {self.boss.count} jobs are done")
        self.assertEqual(set(self.done()), wanted)

    def everybody_has(self, least):
        """A job at a time, until each has that many more: all are members."""
        alive = [worker for worker in self.workers if worker.process.poll() is None]
        before = {id(worker): sum(worker.lines.values()) for worker in alive}

        def enough():
            self.boss.post(1)
            return all(sum(worker.lines.values()) >= before[id(worker)] + least for worker in alive)
        self.wait(enough, "somebody gets nothing")

    def scenario(self, version):
        # The group begins with its first member, and stays while that is away.
        with Client(self.server.port, "founder", clean=False, values={"session_expiry_interval": 600}) as founder:
            self.assertEqual(founder.subscribe(SHARE).reasons, (1,))
        first = self.hire(mosquitto, version, "w1")
        second = self.hire(paho, version, "w2")
        self.everybody_has(2)
        self.wait_done()
        before = self.done()
        self.boss.post(100)
        self.wait(lambda: sum(self.done().values()) == sum(before.values()) + 100, "100 jobs")
        self.assertEqual(max(self.done().values()), 1, "each once")
        third = self.hire(paho, version, "w3")
        self.everybody_has(2)
        self.boss.post(60)
        for worker in (first, second, third):
            self.assertGreater(sum(worker.lines.values()), 15)
        # One is killed while jobs come.
        killer = threading.Timer(0.05, second.kill)
        killer.start()
        self.boss.post(200)
        killer.join()
        self.wait_done()
        # All are killed; what comes meanwhile waits.
        third.kill()
        first.kill()
        self.boss.post(50)
        time.sleep(0.5)
        self.hire(paho, version, "w2")
        self.wait_done()
        self.hire(mosquitto, version, "w1")
        self.everybody_has(2)
        # The broker dies in the middle.
        for _ in range(2):
            poster = threading.Thread(target=self.boss.post, args=(300,))
            poster.start()
            time.sleep(0.2)
            self.server.broker.kill()
            self.server.start_broker()
            poster.join()
            self.wait_done()
        repeated = sum(count - 1 for count in self.done().values())
        print(f"{version}: {self.boss.count} jobs done, {repeated} of them came again", flush=True)

    def test_mqtt_5(self):
        self.scenario("5")

    def test_3_1_1(self):
        self.scenario("311")


if __name__ == "__main__":
    unittest.main(verbosity=2)
