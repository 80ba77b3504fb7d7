#!/usr/bin/env python3
"""What passes between users beside their messages: who types, up to where one has read, who is online. With MQTT 5 and 3.1.1."""

import json
import time
import unittest

from harness.client import Client
from harness.server import Server

SETTINGS = {"chat.auto_create": "false", "presence.grace": "2s"}
V5, V3 = 5, 4


class Passing(unittest.TestCase):
    """Conversation `tea-…` of ann and bob."""

    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(Server(settings=SETTINGS))

    def client(self, name, version=V5, **options):
        client = self.enterContext(Client(self.server.port, f"{name}-{self.id()}-{version}", version, username=self.user(name), **options))
        client.subscribe(f"client/{client.client_id}/reply")
        return client

    def user(self, name):
        return f"{name}-{self.id().rsplit('_', 1)[1]}"

    def command(self, client, conversation, **fields):
        client.publish(f"chat/{conversation}/ctl", json.dumps(fields))
        return json.loads(self.next(client, f"client/{client.client_id}/reply").payload)

    def next(self, client, topic, where=lambda message: True):
        return client.expect(3, where=lambda message: message.topic == topic and where(message))

    def body(self, client, topic, where=lambda body: True):
        return json.loads(self.next(client, topic, lambda message: where(json.loads(message.payload))).payload)

    def watch(self, client, topic):
        """The home of a user hears of its membership a moment after the answer."""
        deadline = time.monotonic() + 20
        while client.subscribe(topic).reasons[0] >= 0x80:
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.02)

    def nothing(self, client, topic, seconds):
        with self.assertRaises(AssertionError):
            client.expect(3, seconds, where=lambda message: message.topic == topic)

    def tea(self, version):
        ann, bob = self.client("ann", version), self.client("bob", version)
        name = f"tea-{self.id().rsplit('.', 1)[1]}-{version}"
        self.assertTrue(self.command(ann, name, op="create")["ok"])
        self.assertTrue(self.command(ann, name, op="add", user=self.user("bob"))["ok"])
        return ann, bob, name


class Typing(Passing):
    def test_who_types(self):
        for version in (V5, V3):
            with self.subTest(version=version):
                ann, bob, name = self.tea(version)
                topic = f"chat/{name}/typing"
                bob.subscribe(topic)
                for qos in (0, 1, 2):
                    ann.publish(topic, "", qos=qos)
                    time.sleep(0.01)
                message = self.next(bob, topic)
                self.assertEqual(json.loads(message.payload), {"from": self.user("ann")})
                self.assertEqual((message.qos, message.retain), (0, False))
                if version == V5:
                    self.assertEqual(message.value("from"), self.user("ann"))
                    self.assertEqual(message.properties["message_expiry_interval"], 6)
                self.nothing(bob, topic, 0.5)
                time.sleep(0.6)
                ann.publish(topic, "")
                self.next(bob, topic)
                if version == V5:
                    cat = self.client("cat")
                    self.assertEqual(cat.publish(topic, "").reason, 0x87)
                    self.assertEqual(cat.subscribe(topic).reasons, (0x87,))


class Marks(Passing):
    def test_read_and_delivered(self):
        for version in (V5, V3):
            with self.subTest(version=version):
                ann, bob, name = self.tea(version)
                a, b = self.user("ann"), self.user("bob")
                read = f"chat/{name}/read"
                for number in range(3):
                    ann.publish(f"chat/{name}/msg", str(number))
                self.assertEqual(self.command(bob, name, op="info")["unread"], 3)
                ann.subscribe(read)
                self.assertEqual(self.body(ann, read, lambda body: body["user"] == b), {"user": b, "read": 2, "delivered": 2})
                bob.subscribe(f"$since/0/chat/{name}/msg")
                for _ in range(4):
                    self.next(bob, f"chat/{name}/msg")
                self.body(ann, read, lambda body: body == {"user": b, "read": 2, "delivered": 5})
                bob.publish(read, "4")
                self.body(ann, read, lambda body: body == {"user": b, "read": 4, "delivered": 5})
                info = self.command(bob, name, op="info")
                self.assertEqual((info["read"], info["delivered"], info["unread"]), (4, 5, 1))
                self.assertEqual({one["user"]: one["read"] for one in info["members"]}, {a: 5, b: 4})
                if version == V5:
                    self.assertEqual(bob.publish(read, "6").value("error"), "beyond-head")
                    self.assertEqual(bob.publish(read, "many").value("error"), "invalid-payload")
                    self.assertEqual(self.client("cat").publish(read, "1").value("error"), "not-authorized")
                else:
                    bob.publish(read, "6")
                    self.assertEqual(self.body(bob, f"client/{bob.client_id}/reply")["error"], "beyond-head")

    def test_survive_kill_9(self):
        with Server(settings=SETTINGS) as server:
            def client(name):
                return self.enterContext(Client(server.port, name, username=name))

            ann, bob = client("ann"), client("bob")
            for one in (ann, bob):
                one.subscribe(f"client/{one.client_id}/reply")
            self.command(ann, "tea", op="create")
            self.command(ann, "tea", op="add", user="bob")
            for number in range(20):
                ann.publish("chat/tea/msg", str(number))
            for seq in range(3, 18):
                self.assertEqual(bob.publish("chat/tea/read", str(seq)).reason, 0)
            ann.publish("chat/tea/msg", "the last")
            server.broker.kill()
            server.start_broker()
            ann, bob = client("ann"), client("bob")
            for one in (ann, bob):
                one.subscribe(f"client/{one.client_id}/reply")
            info = self.command(bob, "tea", op="info")
            self.assertEqual((info["head"], info["read"], info["unread"]), (23, 17, 6))
            info = self.command(ann, "tea", op="info")
            self.assertEqual((info["read"], info["unread"]), (23, 0))


class Presence(Passing):
    def test_who_is_online(self):
        for version in (V5, V3):
            with self.subTest(version=version):
                ann, bob, name = self.tea(version)
                topic = f"presence/{self.user('bob')}"
                self.watch(ann, topic)
                message = self.next(ann, topic)
                self.assertTrue(message.retain)
                body = json.loads(message.payload)
                if body["state"] == "offline":  # What changes within a second is told once.
                    body = self.body(ann, topic)
                self.assertEqual((body["state"], body["devices"]), ("online", 1))
                self.assertGreater(body["since"], 1_700_000_000_000)
                bob.publish(topic, f"at lunch {version}")
                self.body(ann, topic, lambda body: body["status"] == f"at lunch {version}")
                online = {one["user"]: one["online"] for one in self.command(ann, name, op="info")["members"]}
                self.assertEqual(online, {self.user("ann"): True, self.user("bob"): True})
                if version == V5:
                    self.assertEqual(ann.publish(topic, "x").reason, 0x87)
                    self.assertEqual(self.client("cat").subscribe(topic).reasons, (0x87,))
                bob.disconnect()
                self.nothing(ann, topic, 1.5)
                self.body(ann, topic, lambda body: body["state"] == "offline")
                again = self.client("bob", version)
                self.body(ann, topic, lambda body: body["state"] == "online")
                again.disconnect()
                self.body(ann, topic, lambda body: body["state"] == "offline")

    def test_a_will_is_the_parting_status(self):
        ann, _, _ = self.tea(V5)
        user = self.user("dan")
        topic = f"presence/{user}"
        name = f"gin-{user}"
        self.command(ann, name, op="create")
        self.command(ann, name, op="add", user=user)
        self.watch(ann, topic)
        for version in (V5, V3):
            dan = Client(self.server.port, f"dan-{version}", version, username=user, will=(topic, b"gone fishing", 0, False))
            self.body(ann, topic, lambda body: body["state"] == "online")
            dan.socket.close()
            self.assertEqual(self.body(ann, topic, lambda body: body["state"] == "offline")["status"], "gone fishing")

    def test_quiet_mode(self):
        for version in (V5, V3):
            with self.subTest(version=version):
                ann, bob, _ = self.tea(version)
                topic = f"presence/{self.user('bob')}"
                self.watch(ann, topic)
                self.next(ann, topic)
                mode = f"client/{ann.client_id}/mode"
                ann.publish(mode, "quiet")
                time.sleep(1.1)
                bob.publish(topic, f"working {version}")
                self.nothing(ann, topic, 1.5)
                ann.publish(mode, "active")
                self.assertEqual(self.body(ann, topic)["status"], f"working {version}")
                bob.publish(topic, "")
                self.body(ann, topic, lambda body: body["status"] == "")


class AllConversations(Passing):
    def test_one_subscription_follows_the_membership(self):
        for version in (V5, V3):
            with self.subTest(version=version):
                ann, bob, name = self.tea(version)
                a, b = self.user("ann"), self.user("bob")
                for topic in ("chat/+/typing", "chat/+/read", "presence/+"):
                    suback = bob.subscribe(topic)
                    self.assertEqual(suback.reasons, (1,))
                self.body(bob, f"presence/{a}", lambda body: body["state"] == "online")
                self.body(bob, f"chat/{name}/read", lambda body: body["user"] == b)
                ann.publish(f"chat/{name}/typing", "")
                self.assertEqual(self.body(bob, f"chat/{name}/typing"), {"from": a})
                later = f"later-{name}"
                self.assertTrue(self.command(ann, later, op="create")["ok"])
                self.assertTrue(self.command(ann, later, op="add", user=b)["ok"])
                self.body(bob, f"chat/{later}/read", lambda body: body["user"] == a)
                ann.publish(f"chat/{later}/typing", "")
                self.assertEqual(self.body(bob, f"chat/{later}/typing"), {"from": a})
                for conversation in (name, later):
                    self.assertTrue(self.command(ann, conversation, op="remove", user=b)["ok"])
                time.sleep(1.1)
                ann.publish(f"chat/{name}/typing", "")
                ann.publish(f"presence/{a}", f"unseen {version}")
                with self.assertRaises(AssertionError):
                    bob.expect(3, 1.5, where=lambda message: message.topic.endswith("/typing") or f"unseen {version}".encode() in message.payload)


if __name__ == "__main__":
    unittest.main()
