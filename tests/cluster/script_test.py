#!/usr/bin/env python3
"""scripts/cluster as somebody runs it who looks for the first time: chat through HAProxy, and nothing stays behind."""

import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import threading
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "e2e"))

from cluster import wait_until
from harness.server import BINARIES, clean_environment, free_port

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "cluster"
START_DEADLINE = 120
DEADLINE = 30


def free_ports(count):
    """The first of so many, one behind the other."""
    while True:
        ports = [free_port() for _ in range(count)]
        if max(ports) - min(ports) == count - 1:
            return min(ports)


def children(pid):
    """Its processes, each with its command line."""
    found = {}
    for child in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text(encoding="ascii").split():
        words = pathlib.Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
        found[int(child)] = b" ".join(words).decode().strip()
    return found


def is_running(pid):
    try:
        state = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


class Script(unittest.TestCase):
    def setUp(self):
        self.data = self.enterContext(tempfile.TemporaryDirectory(prefix="parley-first-look-"))
        first = free_ports(32)
        self.port = str(first + 30)
        environment = clean_environment() | {
            "FIRST_PORT": str(first), "MQTT_PORT": self.port, "WS_PORT": str(first + 31), "DATA_DIR": self.data,
            "BIN_DIR": str(BINARIES.resolve()),
        }  # fmt: skip
        self.script = subprocess.Popen([str(SCRIPT)], env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                       stderr=subprocess.STDOUT, text=True)
        self.addCleanup(self.end)
        self.said = []
        self.up = threading.Event()
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.script.stdout:
            self.said.append(line)
            if line.startswith("Forget everything"):
                self.up.set()
        self.up.set()

    def end(self):
        if self.script.poll() is None:
            self.script.terminate()
            self.script.wait(DEADLINE)
        self.reader.join(DEADLINE)
        self.script.stdout.close()

    def run_client(self, *words):
        result = subprocess.run([*words], capture_output=True, text=True, timeout=DEADLINE, check=False,
                                env=dict(os.environ))
        self.assertEqual(result.returncode, 0, (words, result.stderr))
        return result.stdout

    def test_chat_through_the_balancer_and_end_by_its_own_process(self):
        self.assertTrue(self.up.wait(START_DEADLINE), self.said)
        self.assertIsNone(self.script.poll(), "".join(self.said))
        bob = ["mosquitto_sub", "-V", "5", "-q", "1", "-p", self.port, "-i", "bob", "-c", "-x", "3600", "-t",
               "chat/lobby/msg", "-F", "%p"]  # fmt: skip
        alice = ["mosquitto_pub", "-V", "5", "-q", "1", "-p", self.port, "-i", "alice", "-t", "chat/lobby/msg"]
        self.run_client(*bob, "-E")  # Subscribes and leaves; its session stays.
        self.run_client(*alice, "-m", "hello")
        self.assertEqual(self.run_client(*bob, "-C", "1", "-W", str(DEADLINE)), "hello\n")
        # What it advises: kill a node.
        started = children(self.script.pid)
        killed = next(pid for pid, words in started.items() if "parleyd" in words and words.endswith("b.toml"))
        self.assertIn(f"kill -9 {killed}", "".join(self.said))
        os.kill(killed, signal.SIGKILL)
        wait_until(lambda: subprocess.run([*alice, "-m", "again"], capture_output=True, timeout=DEADLINE,
                                          check=False).returncode == 0, "somebody takes a message")
        came = self.run_client(*bob, "-C", "1", "-W", str(DEADLINE))
        if came == "hello\n":  # A node that is killed may take a second's acknowledgements along.
            came = self.run_client(*bob, "-C", "1", "-W", str(DEADLINE))
        self.assertEqual(came, "again\n")
        self.assertIsNone(self.script.poll(), "the others go on")
        self.script.terminate()
        self.assertEqual(self.script.wait(DEADLINE), 128 + signal.SIGTERM)
        self.assertEqual(len(started), 8, started)
        self.assertEqual([words for pid, words in started.items() if is_running(pid)], [], "nothing stays behind")


if __name__ == "__main__":
    unittest.main()
