#!/usr/bin/env python3
"""The chat clients under clients/examples with a real broker: what they show, and that nothing is lost or doubled when the
connection breaks before a receipt has come, or the broker is killed."""

import json
import os
import pathlib
import queue
import re
import socket
import subprocess
import sys
import threading
import time
import unittest

from clients_test import install_mqttjs
from harness.client import Client
from harness.server import BINARIES, Server, clean_environment, free_port

EXAMPLES = pathlib.Path(__file__).resolve().parents[2] / "clients/examples"
PASSWORD = "correct horse"
DEADLINE = 40.0


class Proxy:
    """Between a client and the broker. Can cut the connections, and let no word of the broker through before it does."""

    def __init__(self, target):
        self.target = target
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.ends, self.threads = [], []
        self.deaf = set()  # The broker's ends of the connections whose client hears nothing any more.
        self.start(self.accept)

    def accept(self):
        while True:
            try:
                near, _ = self.listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(("127.0.0.1", self.target))
            except OSError:
                near.close()
                continue
            self.ends += [near, far]
            self.start(self.carry, near, far)
            self.start(self.carry, far, near)

    def start(self, work, *arguments):
        self.threads.append(threading.Thread(target=work, args=arguments, daemon=True))
        self.threads[-1].start()

    def carry(self, source, sink):
        try:
            while data := source.recv(1 << 16):
                if source not in self.deaf:
                    sink.sendall(data)
        except OSError:
            pass
        self.end(source, sink)

    @staticmethod
    def end(*sockets):
        for one in sockets:
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def deafen(self):
        """To their end: a stream that lost some of its bytes and went on would be nothing that a network does."""
        self.deaf.update(self.ends[1::2])

    def cut(self):
        self.end(*self.ends)

    def close(self):
        self.end(self.listener)  # Ends its accept(), too.
        self.listener.close()
        self.cut()
        for thread in self.threads:
            thread.join(DEADLINE)
        for end in self.ends:
            end.close()


class Example:
    """A running example, its lines, and what is typed into it."""

    def __init__(self, *command):
        self.process = subprocess.Popen([str(part) for part in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True, env=clean_environment())
        self.came = queue.Queue()
        self.seen = []
        self.reader = threading.Thread(target=self.read, daemon=True)
        self.reader.start()

    def read(self):
        for line in self.process.stdout:
            self.came.put(line.rstrip("\n"))
        self.came.put(None)

    def type(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def expect(self, pattern):
        """The first line, also of those that came before, in which it is found."""
        end = time.monotonic() + DEADLINE
        for line in self.seen:
            if re.search(pattern, line):
                return line
        while True:
            try:
                line = self.came.get(timeout=max(0.01, end - time.monotonic()))
            except queue.Empty:
                line = None
            if line is None:
                raise AssertionError(f"no line with {pattern}; came: {self.seen}")
            self.seen.append(line)
            if re.search(pattern, line):
                return line

    def forget(self):
        self.seen.clear()

    def close(self):
        self.process.kill()
        self.process.wait(DEADLINE)
        self.reader.join(DEADLINE)
        for pipe in (self.process.stdin, self.process.stdout):
            pipe.close()

    def finish(self):
        self.process.stdin.close()
        return self.process.wait(DEADLINE)


class Examples:
    """What each of them does; `command` and `told` are the program's own."""

    prefix = ""

    @classmethod
    def setUpClass(cls):
        cls.port = free_port()

    def setUp(self):
        self.server = Server(
            listeners=f'[[listener]]\nurl = "tcp://127.0.0.1:{self.port}"\nallow_anonymous = false\n',
            settings={"auth.users_file": "", "presence.grace": "1s"},
        )
        users = self.server.directory / "users"
        for name in ("ann", "bob"):
            subprocess.run([BINARIES / "parleyctl", "users", "add", "--file", users, name], input=PASSWORD + "\n", text=True,
                           check=True, stderr=subprocess.DEVNULL, env=clean_environment())
        self.server.settings["auth.users_file"] = users
        self.enterContext(self.server)
        self.proxy = Proxy(self.port)
        self.addCleanup(self.proxy.close)
        self.bob = self.enterContext(Client(self.port, "bob", username="bob", password=PASSWORD))
        self.command(op="create", visibility="private", history="all")
        self.command(op="add", user="ann")

    def command(self, **fields):
        answer = self.bob.publish("chat/tea/ctl", json.dumps(fields))
        self.assertIn(answer.reason, (0, None), answer)
        return int(answer.value("seq"))

    def start(self, *more, password=PASSWORD):
        example = Example(*self.program(), "127.0.0.1", self.proxy.port, "ann", password, *self.where(), *more)
        self.addCleanup(example.close)
        return example

    def texts(self):
        return [entry.get("text") for entry in self.replay() if entry["kind"] == "message"]

    def replay(self):
        with Client(self.port, "reader", username="bob", password=PASSWORD) as reader:
            head = int(reader.subscribe("chat/tea/json", user=(("since", 0),)).value("head"))
            return [json.loads(reader.message().payload) for _ in range(head)]

    def test_a_conversation(self):
        self.bob.publish("chat/tea/msg", "hello, ann")
        self.bob.subscribe("chat/tea/typing", qos=0)
        self.bob.subscribe("chat/tea/read", qos=0)
        example = self.start()
        example.expect(r"#4 bob: hello, ann")
        example.type(f"{self.prefix}hello, bob")
        example.expect(r'"seq":"?5"?')
        example.expect(r"#5 ann: hello, bob")
        example.type(self.line("/edit", "5 hello, Bob"))
        example.expect(r"#6 ann edit #5: hello, Bob")
        self.assertEqual((self.replay()[4]["text"], self.replay()[4]["edited"]), ("hello, Bob", True))
        seq = int(self.bob.publish("chat/tea/msg", "how are you?").value("seq"))
        example.expect(f"#{seq} bob: how are you")
        example.type(self.line("/read", str(seq)))
        self.wait_for_bob("chat/tea/read", lambda mark: mark["user"] == "ann" and mark["read"] == seq)
        example.type(self.line("/read", "99"))
        example.expect(r"reply .*beyond-head")
        example.type(self.line("/bogus", "5"))
        example.expect(r"unknown: /bogus$")
        self.assertFalse([text for text in self.texts() if "bogus" in text])
        example.type(self.line("/typing", ""))
        self.wait_for_bob("chat/tea/typing", lambda who: who["from"] == "ann")
        if self.sees_what_passes:
            self.bob.publish("chat/tea/typing", "", qos=0)
            example.expect(r'typing .*"bob"')
            self.bob.publish("chat/tea/read", str(seq))
            example.expect(r'read .*"bob"')
        self.assertEqual(example.finish(), 0)

    def wait_for_bob(self, topic, condition):
        end = time.monotonic() + DEADLINE
        while time.monotonic() < end:
            packet = self.bob.message()
            if packet.topic == topic and condition(json.loads(packet.payload)):
                return
        raise AssertionError(f"bob saw nothing on {topic}")

    def test_what_was_stored_without_a_receipt_is_sent_again_and_counts_once(self):
        example = self.start()
        example.type(f"{self.prefix}first")
        example.expect(r"#4 ann: first")
        self.proxy.deafen()
        example.type(f"{self.prefix}second")
        self.wait_until(lambda: "second" in self.texts())
        self.bob.publish("chat/tea/msg", "meanwhile")
        example.forget()
        self.proxy.cut()
        example.expect(r"^connected: Success")
        example.expect(r"#5 ann: second")
        example.expect(r"#6 bob: meanwhile")
        example.expect(r'"seq":"?5"?')
        self.assertEqual(example.finish(), 0)
        self.assertEqual(self.texts(), ["first", "second", "meanwhile"])

    def test_what_is_typed_while_the_broker_is_dead_arrives_once(self):
        example = self.start()
        example.type(f"{self.prefix}first")
        example.expect(r"#4 ann: first")
        self.server.broker.kill()
        example.type(f"{self.prefix}second")
        time.sleep(1)
        example.forget()
        self.server.start_broker()
        example.expect(r"#5 ann: second")
        self.assertEqual(example.finish(), 0)
        self.assertEqual(self.texts(), ["first", "second"])

    def wait_until(self, condition):
        end = time.monotonic() + DEADLINE
        while not condition():
            self.assertLess(time.monotonic(), end)
            time.sleep(0.1)

    def test_a_wrong_password_ends_it(self):
        example = self.start(password="wrong horse")
        example.expect(r"(?i)^connected: .*(bad user ?name|\[134\])")
        example.finish()


class OneConversation(Examples):
    sees_what_passes = True

    def where(self):
        return ["tea"]

    def line(self, word, rest):
        return f"{word} {rest}".rstrip()

    def test_it_goes_on_behind_what_was_shown(self):
        self.bob.publish("chat/tea/msg", "old")
        self.bob.publish("chat/tea/msg", "new")
        example = self.start(4)
        example.expect(r"#5 bob: new")
        self.assertFalse(any("old" in line for line in example.seen))
        self.assertEqual(example.finish(), 0)


class Python(OneConversation, unittest.TestCase):
    def program(self):
        return [sys.executable, EXAMPLES / "chat.py"]


class Cpp(OneConversation, unittest.TestCase):
    def program(self):
        return [BINARIES / "chat_example"]


class JavaScript(Examples, unittest.TestCase):
    prefix = "tea "
    sees_what_passes = False

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        directory = install_mqttjs().parent
        cls.script = directory / "example.mjs"
        cls.script.write_text((EXAMPLES / "chat.mjs").read_text(encoding="utf-8"), encoding="utf-8")

    def program(self):
        return ["node", self.script]

    def where(self):
        return []

    def line(self, word, rest):
        return f"{word} tea {rest}".rstrip()


if __name__ == "__main__":
    unittest.main()
