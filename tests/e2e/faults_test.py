#!/usr/bin/env python3
"""The disk is full, and heals; a record on disk is damaged, and the rest stays readable; the data is of a newer format."""

import contextlib
import os
import pathlib
import subprocess
import tempfile
import time
import unittest

from harness.client import Client, Closed
from harness.server import START_DEADLINE, Server

TOPIC = "chat/lobby/msg"
DISK_FULL = 0x97
BALLAST = 64 << 20


def database(server, name):
    return server.data / "storage-0" / name


def fill(path):
    """Takes what is left of the file system."""
    with path.open("wb", buffering=0) as file, contextlib.suppress(OSError):
        for _ in range(BALLAST >> 12):
            file.write(b"\0" * 4096)


@unittest.skipIf(os.geteuid() != 0, "mounting needs root")
class FullDisk(unittest.TestCase):
    def setUp(self):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="parley-e2e-"))
        self.addCleanup(self.directory.rmdir)
        mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={BALLAST}", "tmpfs", self.directory],
                                 capture_output=True, text=True, check=False)
        if mounted.returncode != 0:
            self.skipTest(f"no tmpfs can be mounted here: {mounted.stderr.strip()}")
        self.addCleanup(subprocess.run, ["umount", self.directory], check=True)
        self.server = self.enterContext(Server(bridge=True, directory=self.directory))
        self.acknowledged = {}
        self.number = 0

    def publish(self, client):
        """The answer; an acknowledged message is remembered."""
        self.number += 1
        message_id, payload = f"m{self.number}", f"message {self.number} " + "x" * 2000
        answer = client.publish(TOPIC, payload, user=(("id", message_id),))
        if answer.reason == 0:
            self.acknowledged[message_id] = int(answer.value("seq"))
        return answer

    def publish_until(self, client, refused):
        end = time.monotonic() + 60
        while True:
            answer = self.publish(client)
            if (answer.reason != 0) == refused:
                return answer
            self.assertLess(time.monotonic(), end, f"the disk is {'not full' if refused else 'still full'} for it")

    def test_is_told_and_heals_without_a_restart(self):
        with Client(self.server.port, "alice") as alice, Client(self.server.port, "bob") as bob:
            bob.subscribe(TOPIC)
            for _ in range(50):
                self.assertEqual(self.publish(alice).reason, 0)
            fill(self.directory / "ballast")
            refusal = self.publish_until(alice, refused=True)
            self.assertEqual((refusal.reason, refusal.value("error")), (DISK_FULL, "disk-full"))
            self.assertGreater(int(refusal.value("retry-after")), 0)

            with Client(self.server.port, "carol", version=4) as carol, self.assertRaises(Closed):
                carol.publish(TOPIC, "carol " + "x" * 2000)
                self.fail("3.1.1 was told that a message is stored, and it isn't")

            (self.directory / "ballast").unlink()
            self.publish_until(alice, refused=False)
            for _ in range(50):
                self.assertEqual(self.publish(alice).reason, 0)
            seen = [int(message.value("seq")) for message in bob.messages(len(self.acknowledged))]
        self.assertEqual(seen, list(range(1, len(seen) + 1)))
        self.check_history()
        self.server.broker.kill()
        self.server.start_broker()
        self.check_history()

    def check_history(self):
        history = {item["id"]: item["seq"] for item in self.server.history("lobby")}
        self.assertEqual(history, self.acknowledged)


class Damage(unittest.TestCase):
    def setUp(self):
        self.server = self.enterContext(Server(bridge=True))

    def say(self, count):
        with Client(self.server.port, "alice") as alice:
            for number in range(1, count + 1):
                self.assertEqual(alice.publish(TOPIC, f"needle-{number:04}.").reason, 0)

    def damage(self, path, number):
        """Turns a bit in every copy of that entry's text."""
        data = bytearray(path.read_bytes())
        needle, found, at = f"needle-{number:04}.".encode(), 0, 0
        while (at := data.find(needle, at)) >= 0:
            data[at + 3] ^= 0x20
            at, found = at + 1, found + 1
        path.write_bytes(data)
        return found

    def wait_for_store(self, number):
        """Until that entry's text is in the history file."""
        needle, end = f"needle-{number:04}.".encode(), time.monotonic() + START_DEADLINE
        while needle not in database(self.server, "store.mdb").read_bytes():
            self.assertLess(time.monotonic(), end, "the store doesn't follow the log")
            time.sleep(0.05)  # A file tells nobody that it has changed.

    def stop(self):
        self.server.bridge.stop()
        self.server.broker.stop()

    def reported(self):
        """A line of either program that tells where the damage is."""
        for program in (self.server.broker, self.server.bridge):
            for line in list(program.lines):
                if line.get("level") in ("warn", "error") and any(name in line for name in ("lsn", "first")):
                    return line
        return None

    def check_rest_is_readable(self, count, damaged):
        with Client(self.server.port, "bob") as bob:
            bob.subscribe(TOPIC, user=(("since", 0),))
            seen, gaps = [], []
            while not seen or seen[-1] < count:
                message = bob.message()
                if message.value("kind") == "gap":
                    gaps.append((int(message.value("first")), int(message.value("last"))))
                else:
                    seen.append(int(message.value("seq")))
            self.assertEqual(seen, [seq for seq in range(1, count + 1) if seq != damaged])
            self.assertEqual(gaps, [(damaged, damaged)])
            self.assertEqual(bob.publish(TOPIC, "after").value("seq"), str(count + 1))
        read = [item["seq"] for item in self.server.history("lobby")]
        self.assertEqual([seq for seq in read if seq <= count], [seq for seq in range(1, count + 1) if seq != damaged])
        self.assertIsNotNone(self.reported(), "nobody said where the damage is")

    def test_of_a_record_in_the_history_is_reported_and_the_rest_is_readable(self):
        self.say(40)
        self.wait_for_store(40)
        self.stop()
        self.assertGreater(self.damage(database(self.server, "store.mdb"), 17), 0)
        self.server.start()
        self.check_rest_is_readable(40, 17)

    def test_of_a_record_in_the_log_is_reported_and_the_rest_is_readable(self):
        self.say(40)
        self.server.broker.kill()
        self.server.bridge.stop()
        self.assertGreater(self.damage(database(self.server, "log.mdb"), 17), 0)
        self.damage(database(self.server, "store.mdb"), 17)
        self.server.start()
        self.check_rest_is_readable(40, 17)


if __name__ == "__main__":
    unittest.main(verbosity=2)
