#!/usr/bin/env python3
"""Who may read what over HTTP, with a real broker: what MQTT shows, and no more. docs/PROTOCOL.md "HTTP", "Joining and leaving"."""

import base64
import json
import re
import socket
import time
import unittest

from harness.client import Client
from harness.server import Server

DEADLINE = 20


def basic(user):
    return {"Authorization": "Basic " + base64.b64encode(f"{user}:".encode()).decode()}


class Stream:
    """GET …/stream of a user; nothing is read before one asks."""

    def __init__(self, server, conversation, user, **headers):
        self.socket = socket.socket()
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.socket.settimeout(DEADLINE)
        self.socket.connect(("127.0.0.1", server.http_port))
        fields = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in (basic(user) | headers).items())
        self.socket.sendall(f"GET /v1/conversations/{conversation}/stream HTTP/1.1\r\nHost: h\r\nConnection: close\r\n"
                             f"{fields}\r\n".encode())
        self.text = b""
        self.until(b": connected\n\n")

    def until(self, mark):
        while mark not in self.text:
            more = self.socket.recv(1 << 16)
            if not more:
                return False
            self.text += more
        return True

    def events(self):
        """The seqs of everything up to the end of the stream."""
        self.until(b"no event has this")
        self.socket.close()
        return [int(seq) for seq in re.findall(rb"^id: (\d+)$", self.text, re.MULTILINE)]


class Rights(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(Server(bridge=True, settings={"chat.auto_create": "false"}))

    def setUp(self):
        self.talk = self.id().rpartition(".")[2]
        self.ann = self.enterContext(Client(self.server.port, f"ann-{self.talk}", username="ann"))
        self.ann.subscribe(f"client/{self.ann.client_id}/reply")
        self.command(op="create")

    def command(self, **fields):
        self.ann.publish(f"chat/{self.talk}/ctl", json.dumps(fields))
        reply = f"client/{self.ann.client_id}/reply"
        answer = json.loads(self.ann.expect(3, where=lambda packet: packet.topic == reply).payload)
        self.assertTrue(answer["ok"], answer)
        return answer.get("seq")

    def say(self, text):
        return int(self.ann.publish(f"chat/{self.talk}/msg", text).value("seq"))

    def page(self, user="bob", talk=None, **query):
        status, _, body = self.server.request("GET", f"/v1/conversations/{talk or self.talk}/messages", query=query,
                                              headers=basic(user))  # fmt: skip
        return status, [entry["seq"] for entry in body["data"]] if status == 200 else body["code"]

    def test_pages_end_with_the_removal_and_begin_with_the_next_joining(self):
        for _ in range(3):
            added = self.command(op="add", user="bob")
            said = self.say("for bob")
            self.assertEqual(self.page(), (200, [added, said]))
            self.assertEqual(self.page(after="seq:0"), (200, [added, said]))
            self.command(op="remove", user="bob")
            self.say("not for bob")
            self.assertEqual(self.page(), (404, "no-such-conversation"))
            self.assertEqual(self.page(after=f"seq:{said}", wait=3), (404, "no-such-conversation"))
            stream = Stream(self.server, self.talk, "bob", Last_Event_ID=added)
            self.assertTrue(stream.text.startswith(b"HTTP/1.1 404"), stream.text)
            self.assertEqual(stream.events(), [])

    def test_streams_end_with_the_removal_though_their_reader_is_behind_and_added_again(self):
        added = self.command(op="add", user="bob")
        stream = Stream(self.server, self.talk, "bob")
        for _ in range(40):
            self.say("x" * 200_000)
        removed = self.command(op="remove", user="bob")
        self.say("not for bob")
        again = self.command(op="add", user="bob")
        last = self.say("for bob")
        self.assertEqual(stream.events(), list(range(added + 1, removed + 1)))
        stream = Stream(self.server, self.talk, "bob", Last_Event_ID=removed)
        self.assertTrue(stream.until(f"id: {last}\n".encode()))
        self.command(op="remove", user="bob")
        self.assertEqual(stream.events(), [again, last, last + 1])

    def test_one_who_waits_in_a_conversation_that_turns_private_sees_nothing(self):
        self.command(op="settings", visibility="public")
        head = self.say("for everybody")
        path = f"/v1/conversations/{self.talk}/messages?after=seq:{head}&wait=20"
        with socket.create_connection(("127.0.0.1", self.server.http_port), DEADLINE) as waiting:
            waiting.sendall(f"GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n".encode())
            end = time.monotonic() + DEADLINE
            while b"parley_bridge_waiters 1\n" not in self.metrics():
                self.assertLess(time.monotonic(), end)
            self.command(op="settings", visibility="private")
            self.say("for members")
            self.assertTrue(waiting.recv(1 << 16).startswith(b"HTTP/1.1 401"))

    def metrics(self):
        with socket.create_connection(("127.0.0.1", self.server.http_port), DEADLINE) as asking:
            asking.sendall(b"GET /metrics HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
            return b"".join(iter(lambda: asking.recv(1 << 16), b""))

    def test_a_direct_conversation_is_named_by_the_other(self):
        path = "/v1/conversations/dm:eve/messages"
        status, _, receipt = self.server.request("POST", path, body={"text": "psst"}, headers=basic("dan"))
        self.assertEqual(status, 201, receipt)
        for user, name in (("dan", "dm:eve"), ("eve", "dm:dan"), ("dan", "dm:dan:eve"), ("eve", "dm%3Adan%3Aeve")):
            self.assertEqual(self.page(user, name.replace("%3A", ":")), (200, [1]))
        status, _, body = self.server.request("PATCH", path + "/1", body={"text": "hush"}, headers=basic("dan"))
        self.assertEqual(status, 200, body)
        for user, name in (("bob", "dm:dan:eve"), ("bob", "dm:eve"), ("eve", "dm:eve"), ("eve", "dm:eve:dan")):
            self.assertEqual(self.page(user, name), (404, "no-such-conversation"))

    def test_sending_says_no_more_of_a_private_conversation_than_of_none(self):
        self.say("for members")
        answers = []
        for name in (self.talk, "nowhere"):
            path = f"/v1/conversations/{name}/messages"
            for method, more, body in (("POST", "", {"text": "x"}), ("PATCH", "/2", {"text": "x"}), ("DELETE", "/2", None)):
                status, _, answer = self.server.request(method, path + more, body=body, headers=basic("eve"))
                answers.append((status, answer["code"]))
        self.assertEqual(answers, [(403, "not-authorized")] * 6)


if __name__ == "__main__":
    unittest.main(verbosity=2)
