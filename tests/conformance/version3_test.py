"""MQTT 3.1.1 and 3.1 where their rules are others."""

import time

from harness import packets
from link import (CONNACK, PUBACK, PUBCOMP, PUBLISH, PUBREC, SUBACK, Case, PING, ack, connect, disconnect, publish, raw, shows,
                  subscribe, unsubscribe)


class Connecting(Case):
    @shows("MQTT3-3.2.2-1", "MQTT3-3.1.2-1")
    def test_connack_is_these_bytes(self):
        link = self.link(4)
        link.send(connect(self.name(), 4))
        self.assertEqual(link.exactly(4).hex(), "20020000")

    @shows("MQTT3-3.1.2-2", "MQTT3-3.2.2-4", "MQTT3-3.2.2-5")
    def test_an_unknown_level_gets_return_code_1(self):
        link = self.link(4)
        link.send(connect("x", 4, level=2))
        self.assertEqual(link.exactly(5).hex(), "20020001")

    @shows("MQTT3-3.1.3-8", "MQTT31-3.1-id")
    def test_a_missing_client_id_gets_return_code_2(self):
        self.assertEqual(self.refusal(connect("", 4, clean=False), 4), 2)
        self.assertEqual(self.refusal(connect("", 3), 3), 2)

    @shows("MQTT3-3.1.3-6")
    def test_a_clean_session_needs_no_client_id(self):
        self.join("", 4)

    @shows("MQTT3-3.1.2-3", "MQTT3-3.1.2-22")
    def test_wrong_flags_are_closed_without_a_word(self):
        self.assertIsNone(self.refusal(connect("x", 4, flags=0x03), 4))
        self.assertIsNone(self.refusal(connect("x", 4, password=b"p"), 4))
        self.assertIsNone(self.refusal(connect("x", 4, will={"topic": ""}), 4))

    @shows("MQTT3-3.2.2-6")
    def test_what_no_return_code_is_for_is_closed_without_a_word(self):
        for topic in ("", "a/+", "#"):
            for version in (3, 4):
                self.assertIsNone(self.refusal(connect("x", version, will={"topic": topic, "payload": b""}), version))

    def test_a_bridge_is_taken_as_one(self):
        """Level 0x84 or 0x83: No Local and Retain As Published for all that it subscribes to, which 3.x can't say."""
        for version in (3, 4):
            topic = f"{self.topic}/{version}"
            speaker = self.join()
            speaker.publish(topic, b"kept", retain=True)
            link = self.link(version)
            link.send(connect(self.name(f"b{version}"), version, level=0x80 | version, clean=False))
            self.assertEqual(link.exactly(4).hex(), "20020000")
            link.send(subscribe(1, [(topic, 1), (f"$share/{version}/{topic}/shared", 0)], version))
            self.assertEqual(link.answer(SUBACK, 1).reasons, (1, 0))
            self.assertEqual((link.take().payload, link.publish(topic, b"mine").type), (b"kept", PUBACK))
            self.assertEqual(self.got(link, link), [])
            speaker.publish(topic, b"new", retain=True)
            self.assertTrue(link.take().retain)
            link.publish(f"{topic}/shared", b"mine, too")
            self.assertEqual(link.take().payload, b"mine, too")
            conversation = f"chat/{self.name(version)}/msg"
            link.subscribe(conversation, 1)
            link.publish(conversation, b"mine")
            speaker.publish(conversation, b"new")
            self.assertEqual(link.take().payload, b"new")
            link.close()
            link = self.lasting(self.name(f"b{version}"), version)
            self.assertEqual((link.connack.session_present or version == 3, link.publish(topic).type), (True, PUBACK))
            self.assertEqual(self.got(link, link), [], "the session knows it")

    @shows("MQTT31-3.1", "MQTT31-3.2")
    def test_3_1_is_accepted(self):
        link = self.lasting(self.name(), 3, clean=False)
        self.leave(link)
        link = self.link(3)
        link.send(connect(self.name(), 3, clean=False))
        self.assertEqual(link.exactly(4).hex(), "20020000")
        link = self.link(3)
        link.send(connect(self.name(), 3, flags=0x03))  # The reserved bit isn't looked at.
        self.assertEqual(link.exactly(4).hex(), "20020000")

    def test_what_is_refused_is_told_nobody_who_takes_all_topics(self):
        link = self.join("", 4)
        link.subscribe("#", 2)
        link.subscribe("+/+/+", 2)
        self.assertEqual(link.publish("$" + self.topic, qos=1).reason, 0)
        self.assertEqual([packet.topic for packet in self.got(link, link) if not packet.retain], [])

    @shows("MQTT3-3.1.4-2")
    def test_a_take_over_closes_without_a_word(self):
        first = self.join(self.name(), 4)
        self.join(self.name(), 4)
        self.assertEqual(first.end(), [])

    @shows("MQTT3-3.1.2-24")
    def test_a_silent_client_is_closed_without_a_word(self):
        link = self.join("", 4, keep_alive=1)
        started = time.monotonic()
        self.assertEqual(link.end(), [])
        self.assertGreater(time.monotonic() - started, 1.4)


class Sessions(Case):
    @shows("MQTT3-3.1.2-4", "MQTT3-3.1.2-5", "MQTT3-3.2.2-2")
    def test_a_session_is_kept(self):
        first = self.lasting(version=4)
        self.assertFalse(first.connack.session_present)
        first.subscribe(self.topic, 1)
        self.leave(first)
        for qos in (1, 2, 0):
            self.join("", 4).publish(self.topic, b"%d" % qos, qos=qos)
        again = self.lasting(version=4)
        self.assertTrue(again.connack.session_present)
        self.assertEqual([again.take().payload for _ in range(2)], [b"1", b"2"])

    @shows("MQTT3-3.1.2-6")
    def test_a_clean_session_ends_with_its_connection(self):
        first = self.lasting(version=4)
        self.leave(first)
        self.leave(self.join(self.name("p"), 4))
        self.assertFalse(self.lasting(version=4).connack.session_present)

    @shows("MQTT3-4.4.0-1")
    def test_what_is_unacknowledged_is_sent_again(self):
        link = self.lasting(version=4)
        link.subscribe(self.topic, 2)
        publisher = self.join("", 4)
        for qos in (1, 2):
            publisher.publish(self.topic, qos=qos)
        first = [link.message() for _ in range(2)]
        link.close()
        link = self.lasting(version=4)
        again = [link.message() for _ in range(2)]
        self.assertEqual([packet.packet_id for packet in again], [packet.packet_id for packet in first])
        self.assertTrue(all(packet.dup for packet in again))

    @shows("MQTT3-3.1.2-8", "MQTT3-3.14.4-3")
    def test_wills(self):
        watcher = self.join("", 4)
        watcher.subscribe(self.topic)
        self.leave(self.join(self.name(), 4, will={"topic": self.topic, "payload": b"not this"}))
        self.join(self.name(), 4, will={"topic": self.topic, "payload": b"gone"}).close()
        self.assertEqual(watcher.message().payload, b"gone")


class Messages(Case):
    @shows("MQTT3-3.3.1-8", "MQTT3-3.3.1-9", "MQTT3-3.8.4-3")
    def test_retained_messages(self):
        link = self.join("", 4)
        link.subscribe(self.topic)
        link.publish(self.topic, b"kept", retain=True)
        self.assertFalse(link.message().retain)
        for _ in range(2):
            link.subscribe(self.topic)
            found = link.message()
            self.assertEqual((found.payload, found.retain), (b"kept", True))
        link.publish(self.topic, b"", retain=True)

    @shows("MQTT3-3.3.5-2")
    def test_a_publish_that_is_not_allowed_is_acknowledged(self):
        link = self.join("", 4)
        link.send(publish("$SYS/x", version=4, qos=1, packet_id=5))
        self.assertEqual(link.expect(PUBACK).packet_id, 5)

    @shows("MQTT3-3.9.3-2", "MQTT3-3.8.3-4", "MQTT3-3.10.4-5")
    def test_suback_and_unsuback(self):
        link = self.join("", 4)
        link.forget()
        link.send(subscribe(1, [("a", 0), ("b", 1), ("c", 2), ("chat/x/y/z", 1)], 4), unsubscribe(2, ["none", "a"], 4))
        self.assertIn(link.exactly(12).hex(), ("9006000100010280" "b0020002", "b0020002" "9006000100010280"))
        self.assertIsNone(self.violation(subscribe(1, [("a", 4)], 4), version=4))

    @shows("MQTT31-3.8-dup")
    def test_3_1_may_repeat_requests_with_dup(self):
        link = self.join(self.name(), 3)
        data = subscribe(1, [(self.topic, 1)], 3)
        link.send(bytes([data[0] | 8]) + data[1:])
        self.assertEqual(link.expect(SUBACK).reasons, (1,))
        link.send(publish(self.topic, version=3, qos=2, packet_id=3), raw("6a 02 0003"))
        self.settle(link)
        self.assertEqual({packet.type for packet in link.came}, {PUBLISH, PUBREC, PUBCOMP})

    def test_versions_meet(self):
        links = [self.join(self.name(str(version)), version) for version in (3, 4, 5)]
        for link in links:
            link.subscribe(self.topic, 1)
        links[2].publish(self.topic, b"five", values={"content_type": "x"}, pairs=[("a", "b")])
        links[0].publish(self.topic, b"three")
        for link in links:
            self.assertEqual(sorted(link.take().payload for _ in range(2)), [b"five", b"three"])
