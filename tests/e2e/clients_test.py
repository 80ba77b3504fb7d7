#!/usr/bin/env python3
"""mosquitto, Paho C++, Paho Python and MQTT.js, over MQTT 3.1.1 and 5, in one conversation: each speaks, each hears all."""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import unittest

from harness.client import Client
from harness.server import BINARIES, Server, clean_environment

HERE = pathlib.Path(__file__).resolve().parent
WORK = pathlib.Path(os.environ["PARLEY_E2E_WORK"])
DEADLINE = 90


def install_mqttjs():
    """MQTT.js as the lock file names it, in the build directory; nothing to do when it is there."""
    target = WORK / "mqttjs"
    target.mkdir(parents=True, exist_ok=True)
    lock = (HERE / "mqttjs/package-lock.json").read_bytes()
    installed = target / "installed.json"
    if not installed.exists() or installed.read_bytes() != lock:
        for name in ("package.json", "package-lock.json"):
            shutil.copy(HERE / "mqttjs" / name, target)
        subprocess.run(["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"], cwd=target, check=True,
                       stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        installed.write_bytes(lock)
    shutil.copy(HERE / "mqttjs/chat.mjs", target)
    return target / "chat.mjs"


def start(*command):
    return subprocess.Popen([str(part) for part in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True, env=clean_environment())


def mosquitto(port, version, name, count):
    """(subscriber, publisher): two programs, so the subscriber has a client id of its own."""
    listen = ["mosquitto_sub", "-p", port, "-i", f"{name}-sub", "-u", name, "-q", 1, "-C", count]
    speak = ["mosquitto_pub", "-p", port, "-i", name, "-u", name, "-q", 1, "-t", "chat/lobby/msg", "-m", f"hello from {name}"]
    if version == "5":
        listen += ["-V", "5", "-t", "chat/lobby/msg", "-D", "subscribe", "user-property", "since", "0", "-F", "%r|%P|%p"]
        speak += ["-V", "5", "-D", "publish", "user-property", "id", f"{name}-1"]
    else:
        listen += ["-V", "311", "-t", "$since/0/chat/lobby/msg", "-F", "%r||%p"]
        speak += ["-V", "311"]
    return start(*listen), start(*speak)


class Conversation(unittest.TestCase):
    def setUp(self):
        self.server = self.enterContext(Server(bridge=True))

    def finish(self, process):
        output, errors = process.communicate(timeout=DEADLINE)
        self.assertEqual(process.returncode, 0, f"{process.args}: {output}{errors}")
        return output.splitlines()

    def test_everybody_hears_everybody(self):
        chat = install_mqttjs()
        names = {}
        for version in ("4", "5"):
            names[f"js{version}"] = ("node", chat)
            names[f"py{version}"] = (sys.executable, HERE / "paho_chat.py")
            names[f"cpp{version}"] = (BINARIES / "paho_chat",)
        total = len(names) + 2
        running = {
            name: start(*program, self.server.port, name[-1], name, total) for name, program in names.items()
        }
        pairs = {version: mosquitto(self.server.port, version, f"mosquitto{version}", total) for version in ("4", "5")}
        speakers = {*names, "mosquitto4", "mosquitto5"}

        for version, (listener, speaker) in pairs.items():
            self.finish(speaker)
            lines = [line.split("|") for line in self.finish(listener)]
            self.assertEqual({text for _, _, text in lines}, {f"hello from {name}" for name in speakers})
            if version == "5":
                described = [dict(pair.split(":", 1) for pair in user.split()) for _, user, _ in lines]
                self.check_described(described, speakers)

        history = {item["seq"]: item for item in self.all_of_history()}
        self.assertEqual(len(history), total)
        for name, process in running.items():
            lines = [json.loads(line) for line in self.finish(process)]
            messages = [line for line in lines if "message" in line]
            self.assertEqual({line["message"] for line in messages}, {f"hello from {other}" for other in speakers}, name)
            if name.endswith("5"):
                self.check_described(messages, speakers)
                for line in messages:
                    self.assertEqual(line["message"], history[int(line["seq"])]["text"])
                receipts = [line for line in lines if "receipt" in line]
                self.assertEqual(len(receipts), 1, lines)
                receipt = receipts[0]["receipt"]
                self.assertEqual(receipts[0]["correlation"], name)
                self.assertEqual(receipt["id"], f"{name}-1")
                entry = history[int(receipt["seq"])]
                self.assertEqual((entry["from"], entry["id"], entry["ts"]), (name, receipt["id"], int(receipt["ts"])))

    def check_described(self, described, speakers):
        self.assertEqual([int(user["seq"]) for user in described], list(range(1, len(speakers) + 1)))
        self.assertEqual({user["from"] for user in described}, speakers)
        for user in described:
            self.assertGreater(int(user["ts"]), 1_600_000_000_000)
            if user["from"].endswith("5"):
                self.assertEqual(user["id"], f"{user['from']}-1")
            else:
                self.assertTrue(user["id"])

    def all_of_history(self):
        return self.server.history("lobby")

    def test_puback_and_pubrec_carry_the_receipt(self):
        with Client(self.server.port, "alice") as alice:
            puback = alice.publish("chat/lobby/msg", "one", qos=1, user=(("id", "a"),))
            pubrec = alice.publish("chat/lobby/msg", "two", qos=2, user=(("id", "b"),))
            again = alice.publish("chat/lobby/msg", "one", qos=1, user=(("id", "a"),))
        self.assertEqual((puback.value("seq"), puback.value("id"), puback.value("dup")), ("1", "a", None))
        self.assertEqual((pubrec.value("seq"), pubrec.value("id")), ("2", "b"))
        self.assertEqual((again.value("seq"), again.value("ts"), again.value("dup")), ("1", puback.value("ts"), "1"))
        self.assertEqual([item["text"] for item in self.all_of_history()], ["one", "two"])


if __name__ == "__main__":
    unittest.main(verbosity=2)
