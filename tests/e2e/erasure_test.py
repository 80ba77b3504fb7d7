#!/usr/bin/env python3
"""A user is erased, and nothing that was said is found in any file of the data directory, whenever the broker is killed in
between; nobody else's messages are touched. docs/PROTOCOL.md "Erasing a user"."""

import json
import random
import subprocess
import time
import unittest

from harness.client import Client
from harness.server import BINARIES, LocalConnection, Server, clean_environment

DEADLINE = 120.0


def files_with(directory, text):
    return [path for path in directory.rglob("*") if path.is_file() and text in path.read_bytes()]


class Erasure(unittest.TestCase):
    def server(self, **options):
        return self.enterContext(Server(settings={"node.threads": "2"}, **options))

    def client(self, server, name, **options):
        return Client(server.port, f"{name}-{time.monotonic_ns()}", username=name, **options)

    def ctl(self, server, *arguments, status=0):
        result = subprocess.run([BINARIES / "parleyctl", *arguments, "--socket", server.data / "admin.sock"],
                                capture_output=True, text=True, timeout=DEADLINE, check=False, env=clean_environment())
        self.assertEqual(result.returncode, status, result.stdout + result.stderr)
        return result.stdout if status == 0 else result.stderr

    def command(self, client, conversation, **fields):
        answer = client.publish(f"chat/{conversation}/ctl", json.dumps(fields))
        self.assertIn(answer.reason, (0, None), (fields, answer))
        return answer

    def talk(self, server, rounds):
        """Ann's messages say "unmentionable"; returns those of others by conversation."""
        kept = {}
        with self.client(server, "ann") as ann, self.client(server, "bob") as bob:
            self.command(ann, "tea", op="create", history="all")
            self.command(ann, "tea", op="add", user="bob")
            for number in range(rounds):
                for conversation in ("tea", "lobby", f"room{number % 20}", "dm:ann:bob"):
                    text = f"the unmentionable {number} " + "x" * (number % 200)
                    seq = int(ann.publish(f"chat/{conversation}/msg", text).value("seq"))
                    if number % 7 == 0:
                        self.command(ann, conversation, op="edit", seq=seq, text=f"another unmentionable {number}")
                    bob.publish(f"chat/{conversation}/msg", f"ordinary {number}")
                    kept.setdefault(conversation, []).append(f"ordinary {number}")
        return kept

    def wait_until_gone(self, server):
        end = time.monotonic() + DEADLINE
        while found := files_with(server.data, b"unmentionable"):
            self.assertLess(time.monotonic(), end, f"something is left in {found}")
            time.sleep(0.2)

    def check(self, server, kept, times=1):
        """`times`: how often a message may have been redacted; a crash in between may do it again."""
        for conversation, texts in kept.items():
            with self.client(server, "bob") as bob:
                head = int(bob.subscribe(f"chat/{conversation}/json", user=(("since", 0),)).value("head"))
                entries = [json.loads(bob.message().payload) for _ in range(head)]
            self.assertEqual([entry["seq"] for entry in entries], list(range(1, head + 1)))
            messages = [entry for entry in entries if entry["kind"] == "message"]
            self.assertEqual([entry["text"] for entry in messages if "text" in entry], texts, conversation)
            self.assertEqual({entry["from"] for entry in messages if entry.get("redacted")}, {"ann"})
            redacted = [entry["ref"] for entry in entries if entry["kind"] == "redact"]
            self.assertLessEqual(max(map(redacted.count, redacted)), times)

    def test_nothing_is_left_of_what_a_user_has_said(self):
        server = self.server()
        kept = self.talk(server, 60)
        phone = self.client(server, "ann", clean=True, values={"session_expiry_interval": 3600})
        phone.subscribe("chat/+/msg")
        phone.disconnect()
        time.sleep(1.5)  # So that it is in the store.
        self.assertTrue(files_with(server.data, b"unmentionable"))
        watched = json.loads(self.ctl(server, "users", "erase", "ann", "--watch", "--json"))
        self.assertEqual((watched["user"], watched["state"]), ("ann", "finished"))
        self.assertEqual(watched["messages"], 240)
        self.assertEqual((watched["slots_done"], watched["slots"]), (256, 256))
        self.assertIn("finished", self.ctl(server, "users", "erasures"))
        self.wait_until_gone(server)
        self.check(server, kept)
        with self.client(server, "bob") as bob:
            bob.subscribe(f"client/{bob.client_id}/reply")
            self.command(bob, "tea", op="info")
            info = json.loads(bob.message().payload)
        self.assertEqual([(one["user"], one["role"]) for one in info["members"]], [("bob", "owner")])
        metrics = self.metrics(server)
        self.assertIn('parley_purges_pending{kind="redaction"} 0', metrics)
        again = self.enterContext(Client(server.port, phone.client_id, username="ann", clean=False,
                                         values={"session_expiry_interval": 3600}))  # fmt: skip
        self.assertFalse(again.connack.session_present, "the session is gone")

    def metrics(self, server):
        connection = LocalConnection(server.data / "admin.sock")
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
        connection.close()
        return text

    def test_nothing_is_left_after_kills_in_between(self):
        chance = random.Random(11)
        server = self.server()
        kept = self.talk(server, 120)
        time.sleep(1.5)
        self.ctl(server, "users", "erase", "ann")
        for _ in range(6):
            time.sleep(chance.uniform(0, 2.5))
            server.broker.kill()
            server.start_broker()
        end = time.monotonic() + DEADLINE
        while (rows := json.loads(self.ctl(server, "users", "erasures", "--json")))[0]["state"] != "finished":
            self.assertLess(time.monotonic(), end, rows)
            time.sleep(0.5)
        self.wait_until_gone(server)
        self.check(server, kept, times=7)

    def test_what_is_no_name_is_refused(self):
        server = self.server()
        self.assertIn("no name", self.ctl(server, "users", "erase", "$ann", status=1))
        self.assertEqual(json.loads(self.ctl(server, "users", "erasures", "--json")), [])


if __name__ == "__main__":
    unittest.main()
