#!/usr/bin/env python3
"""What docs/PROTOCOL.md promises client authors, statement by statement."""

import json
import unittest

from harness import packets
from harness.client import Client, Closed
from harness.packets import PUBACK, SUBACK
from harness.server import Server

NOT_AUTHORIZED, TOPIC_FILTER_INVALID, UNSPECIFIED_83, TOO_LARGE = 0x87, 0x8F, 0x83, 0x97


class Protocol(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(Server())

    def setUp(self):
        self.conversation = self.id().rsplit(".", 1)[1].removeprefix("test_")
        self.topic = f"chat/{self.conversation}/msg"

    def client(self, name, version=5, **options):
        return self.enterContext(Client(self.server.port, f"{name}-{self.conversation}", version, username=name, **options))

    def say(self, count, client=None):
        speaker = client or self.client("speaker")
        return [speaker.publish(self.topic, f"text {number}", user=(("id", f"i{number}"),)) for number in range(1, count + 1)]

    def seqs(self, messages):
        return [int(message.value("seq")) for message in messages]


class Sending(Protocol):
    def test_a_message_is_delivered_with_what_the_server_says_of_it(self):
        bob = self.client("bob")
        bob.subscribe(self.topic)
        alice = self.client("alice")
        receipt = alice.publish(self.topic, "hello", values={"content_type": "text/x", "payload_format_indicator": 1},
                                user=(("mood", "fine"), ("from", "mallory"), ("seq", "99"), ("id", "mine")))
        message = bob.message()
        self.assertEqual(message.user[0], ("mood", "fine"))
        self.assertEqual([name for name, _ in message.user], ["mood", "seq", "ts", "from", "id"])
        self.assertEqual((message.value("from"), message.value("seq"), message.value("id")), ("alice", "1", "mine"))
        self.assertEqual(message.value("ts"), receipt.value("ts"))
        self.assertEqual(message.properties, {"content_type": "text/x", "payload_format_indicator": 1})
        self.assertEqual((message.topic, message.payload, message.retain), (self.topic, b"hello", False))

    def test_a_receipt_goes_to_the_response_topic(self):
        alice = self.client("alice", values={"request_response_information": 1})
        reply = f"client/{alice.client_id}/reply"
        self.assertEqual(alice.connack.properties.get("response_information"), reply)
        alice.subscribe(reply)
        alice.publish(self.topic, "x", user=(("id", "r1"),), values={"response_topic": reply, "correlation_data": b"c"})
        receipt = alice.message()
        self.assertEqual((receipt.topic, receipt.properties["correlation_data"]), (reply, b"c"))
        body = json.loads(receipt.payload)
        self.assertEqual((body["ok"], body["seq"], body["id"]), (True, 1, "r1"))
        self.assertEqual((receipt.value("seq"), receipt.value("id")), ("1", "r1"))
        alice.publish(self.topic, "x" * 300_000, values={"response_topic": reply})
        body = json.loads(alice.message().payload)
        self.assertEqual((body["ok"], body["error"]), (False, "too-large"))

    def test_a_message_of_qos_0_is_stored_and_its_receipt_is_sent(self):
        alice = self.client("alice")
        reply = f"client/{alice.client_id}/reply"
        alice.subscribe(reply)
        alice.publish(self.topic, "x", qos=0, values={"response_topic": reply})
        self.assertEqual(json.loads(alice.message().payload)["seq"], 1)
        alice.subscribe(self.topic, user=(("since", 0),))
        self.assertEqual(self.seqs([alice.message()]), [1])

    def test_request_problem_information_0_forbids_the_receipt(self):
        alice = self.client("alice", values={"request_problem_information": 0})
        self.assertEqual(alice.publish(self.topic, "x").user, [])

    def test_json_goes_in_and_comes_out(self):
        bob = self.client("bob", version=4)
        bob.subscribe(f"chat/{self.conversation}/json")
        alice = self.client("alice", version=4)
        alice.publish(f"chat/{self.conversation}/json", '{"id":"j1","text":"grüße"}')
        entry = json.loads(bob.message().payload)
        self.assertEqual((entry["seq"], entry["id"], entry["from"], entry["kind"], entry["text"]),
                         (1, "j1", "alice", "message", "grüße"))
        alice.publish(self.topic, b"\xff\x00binary")
        self.assertEqual(json.loads(bob.message().payload)["data"], "/wBiaW5hcnk=")

    def test_the_same_id_appends_nothing_also_after_a_crash(self):
        with Server() as server:
            with Client(server.port, "alice") as alice:
                first = alice.publish(self.topic, "x", user=(("id", "same"),))
                self.assertIsNone(first.value("dup"))
                again = alice.publish(self.topic, "y", qos=2, user=(("id", "same"),))
                self.assertEqual((again.value("seq"), again.value("ts"), again.value("dup")), ("1", first.value("ts"), "1"))
            server.broker.kill()
            server.start_broker()
            with Client(server.port, "alice") as alice, Client(server.port, "bob") as bob:
                again = alice.publish(self.topic, "x", user=(("id", "same"),))
                self.assertEqual((again.value("seq"), again.value("ts"), again.value("dup")), ("1", first.value("ts"), "1"))
                self.assertEqual(bob.publish(self.topic, "x", user=(("id", "same"),)).value("seq"), "2")

    def test_acknowledgements_leave_in_the_order_of_the_messages(self):
        alice = self.client("alice")
        data = b""
        for packet_id in range(1, 201):
            topic = self.topic if packet_id % 3 else "plain/topic"
            data += packets.publish(topic, b"x", qos=1, packet_id=packet_id)
        alice.send(data)
        self.assertEqual([alice.expect(PUBACK).packet_id for _ in range(200)], list(range(1, 201)))


class Receiving(Protocol):
    def test_suback_says_how_the_conversation_stands(self):
        self.say(5)
        suback = self.client("bob").subscribe(self.topic)
        self.assertEqual((suback.value("head"), suback.value("oldest")), ("5", "1"))
        self.assertTrue(suback.value("epoch"))

    def test_a_plain_subscription_begins_now(self):
        self.say(3)
        bob = self.client("bob")
        bob.subscribe(self.topic)
        self.client("late").publish(self.topic, "now")
        message = bob.message()
        self.assertEqual((self.seqs([message]), message.retain), ([4], False))

    def test_since_and_last_begin_in_the_past_and_go_on_live(self):
        self.say(10)
        starts = [(5, (("since", 7),), "", [8, 9, 10]), (5, (("last", 2),), "", [9, 10]), (5, (("last", 99),), "", list(range(1, 11))),
                  (4, (), "$since/7/", [8, 9, 10]), (4, (), "$last/2/", [9, 10])]  # fmt: skip
        clients = []
        for number, (version, user, prefix, wanted) in enumerate(starts):
            bob = self.client(f"bob{number}", version)
            form = "msg" if version == 5 else "json"
            bob.subscribe(f"{prefix}chat/{self.conversation}/{form}", user=user)
            messages = bob.messages(len(wanted))
            self.assertEqual(self.places(messages, version), wanted)
            self.assertTrue(all(message.retain for message in messages))
            clients.append((bob, version))
        self.client("late").publish(self.topic, "now")
        for bob, version in clients:
            message = bob.message()
            self.assertEqual((self.places([message], version), message.retain), ([11], False))

    def places(self, messages, version):
        return self.seqs(messages) if version == 5 else [json.loads(message.payload)["seq"] for message in messages]

    def test_retain_handling_2_means_no_past(self):
        self.say(3)
        bob = self.client("bob")
        bob.subscribe(self.topic, options=0x20, user=(("since", 0),))
        self.client("late").publish(self.topic, "now")
        self.assertEqual(self.seqs([bob.message()]), [4])

    def test_a_position_that_nobody_has_seen_is_refused(self):
        self.say(3)
        suback = self.client("bob").subscribe(self.topic, user=(("since", 4),))
        self.assertEqual((suback.reasons, suback.value("error")), ((UNSPECIFIED_83,), "beyond-head"))
        suback = self.client("carol").subscribe(self.topic, user=(("since", 1), ("epoch", 12345)))
        self.assertEqual((suback.reasons, suback.value("error")), ((UNSPECIFIED_83,), "other-epoch"))

    def test_a_session_goes_on_where_it_was_even_after_a_crash(self):
        with Server() as server:
            lasting = {"clean": False, "values": {"session_expiry_interval": 3600}}
            with Client(server.port, "bob", **lasting) as bob, Client(server.port, "alice") as alice:
                bob.subscribe(self.topic)
                for number in range(3):
                    alice.publish(self.topic, f"{number}")
                self.assertEqual(self.seqs(bob.messages(3)), [1, 2, 3])
                bob.disconnect()
                for number in range(500):
                    alice.publish(self.topic, f"away {number}")
            server.broker.kill()
            server.start_broker()
            with Client(server.port, "bob", **lasting) as bob:
                self.assertTrue(bob.connack.session_present)
                self.assertEqual(self.seqs(bob.messages(500)), list(range(4, 504)))
                bob.subscribe(self.topic, user=(("since", 0),))
                with Client(server.port, "alice") as alice:
                    alice.publish(self.topic, "now")
                self.assertEqual(self.seqs([bob.message()]), [504], "a repeated since moved the resumed cursor")

    def test_several_filters_are_answered_with_their_topics(self):
        bob = self.client("bob")
        bob.send(packets.subscribe(9, [(self.topic, 1), ("plain/#", 2), (f"chat/{self.conversation}/json", 0)]))
        suback = bob.expect(SUBACK)
        self.assertEqual(suback.reasons, (1, 2, 0))
        self.assertEqual([value for name, value in suback.user if name == "topic"],
                         [self.topic, f"chat/{self.conversation}/json"])

    def test_wildcards_of_plain_topics_never_match_conversations(self):
        bob = self.client("bob")
        for name in ("#", "+/+/msg"):
            bob.subscribe(name)
        self.say(1)
        self.client("late").publish("plain/topic/msg", "seen")
        self.assertEqual(bob.message().topic, "plain/topic/msg")


class History(Protocol):
    def test_a_page_comes_to_the_reply_topic(self):
        for version in (5, 4):
            alice = self.client(f"alice{version}", version=version)
            alice.subscribe(f"client/{alice.client_id}/reply")
            alice.publish(self.topic, "hello")
            alice.publish(f"chat/{self.conversation}/history", '{"limit":1}')
            entry, end = alice.message(), alice.message()
            text = entry.payload.decode() if version == 5 else json.loads(entry.payload)["text"]
            self.assertEqual(text, "hello")
            self.assertEqual(json.loads(end.payload)["entries"], 1)


class Groups(Protocol):
    def test_a_private_group_is_for_its_members(self):
        alice, bob = self.client("alice"), self.client("bob")
        group = f"{self.conversation}-group"
        commands = f"chat/{group}/ctl"
        self.assertEqual(alice.publish(commands, '{"op":"create"}').reason, 0)
        self.assertEqual(bob.subscribe(f"chat/{group}/msg").value("error"), "not-authorized")
        self.assertEqual(alice.publish(commands, '{"op":"add","user":"bob"}').value("seq"), "2")
        self.assertEqual(bob.subscribe(f"chat/{group}/msg").value("oldest"), "2")
        alice.publish(f"chat/{group}/msg", "among us")
        self.assertEqual(bob.message().payload, b"among us")
        self.assertEqual(alice.publish(commands, '{"op":"remove","user":"bob"}').reason, 0)
        self.assertEqual(bob.message().value("kind"), "member")
        self.assertEqual(bob.publish(f"chat/{group}/msg", "still here").value("error"), "not-authorized")


class OlderClients(Protocol):
    """What 3.1.1 has of it, where other tests use MQTT 5."""

    def test_json_is_sent_and_heard(self):
        topic = f"chat/{self.conversation}/json"
        bob = self.client("bob", 4)
        bob.subscribe(topic)
        self.client("alice", 4).publish(topic, '{"id":"a-1","text":"hello"}')
        entry = json.loads(bob.message().payload)
        self.assertEqual((entry["seq"], entry["from"], entry["id"], entry["text"]), (1, "alice", "a-1", "hello"))

    def test_settings_are_changed_and_told(self):
        alice, group = self.client("alice", 4), f"old-{self.conversation}"
        alice.subscribe(f"client/{alice.client_id}/reply")

        def answer(command):
            alice.publish(f"chat/{group}/ctl", json.dumps(command))
            return json.loads(alice.message().payload)

        self.assertTrue(answer({"op": "create"})["ok"])
        self.assertTrue(answer({"op": "settings", "title": "Attic", "announce": True})["ok"])
        settings = answer({"op": "info"})["settings"]
        self.assertEqual((settings["title"], settings["announce"]), ("Attic", True))


class Refusing(Protocol):
    def test_what_is_not_there_yet_is_refused(self):
        alice = self.client("alice")
        for name in ("chat/#", f"$share/g/chat/{self.conversation}/read", "$share/g/chat/+/msg", f"chat/{self.conversation}/ctl"):
            suback = alice.subscribe(name)
            self.assertEqual((suback.reasons, suback.value("error")), ((UNSPECIFIED_83,), "unsupported"), name)

    def test_what_is_no_conversation_is_refused(self):
        suback = self.client("alice").subscribe("chat/x/y/msg")
        self.assertEqual((suback.reasons, suback.value("error")), ((TOPIC_FILTER_INVALID,), "invalid-topic"))

    def test_topics_of_the_server_are_refused(self):
        alice = self.client("alice")
        for topic in ("$SYS/x", "client/bob/reply"):
            self.assertEqual(alice.publish(topic, "x").reason, NOT_AUTHORIZED, topic)

    def test_a_311_client_is_told_on_its_reply_topic(self):
        alice = self.client("alice", version=4)
        alice.subscribe(f"client/{alice.client_id}/reply")
        alice.publish(self.topic, "x" * 300_000)
        notice = json.loads(alice.message().payload)
        self.assertEqual((notice["ok"], notice["error"]), (False, "too-large"))

    def test_a_311_client_is_disconnected_where_that_is_set(self):
        with Server(settings={"mqtt.v3_refuse": "close"}) as server, Client(server.port, "alice", 4) as alice:
            with self.assertRaises(Closed):
                alice.publish(self.topic, "x" * 300_000)

    def test_conversations_do_not_appear_where_that_is_not_set(self):
        with Server(settings={"chat.auto_create": "false"}) as server, Client(server.port, "alice") as alice:
            answer = alice.publish(self.topic, "x")
            self.assertEqual((answer.reason, answer.value("error")), (NOT_AUTHORIZED, "not-authorized"))
            self.assertEqual(alice.subscribe(self.topic).reasons, (NOT_AUTHORIZED,))


if __name__ == "__main__":
    unittest.main(verbosity=2)
