"""SUBSCRIBE, UNSUBSCRIBE and shared subscriptions. MQTT 5 §3.8 to §3.11, §4.8."""

import collections

from link import (LASTING, PUBACK, PUBLISH, PUBREC, PUBREL, SUBACK, UNSUBACK, Case, ack, disconnect, publish, raw, shows, subscribe,
                  unsubscribe)


class Subscribing(Case):
    @shows("MQTT-3.8.4-1", "MQTT-3.8.4-2", "MQTT-2.2.1-6", "MQTT-3.8.4-5", "MQTT-3.8.4-6", "MQTT-3.8.4-7", "MQTT-3.9.3-1",
           "MQTT-3.9.3-2")
    def test_one_suback_has_a_reason_for_each_filter(self):
        link = self.join()
        link.forget()
        link.send(subscribe(258, [("a", 0), ("b/#", 1), ("chat/x/y/z", 1), ("+", 2), ("a", 2)]))
        answer = link.expect(SUBACK)
        self.assertEqual((answer.packet_id, answer.reasons[:2], answer.reasons[3:]), (258, (0, 1), (2, 2)))
        self.assertGreaterEqual(answer.reasons[2], 0x80)
        link.forget()
        link.send(subscribe(3, [("exact", 1)]))
        self.assertEqual(link.exactly(6), raw("90 04 0003 00 01"))

    @shows("MQTT-3.8.1-1", "MQTT-3.8.3-1", "MQTT-3.8.3-2", "MQTT-3.8.3-5", "MQTT-4.7.1-1", "MQTT-4.7.1-2", "MQTT-4.7.3-1",
           "MQTT-4.7.3-2", "MQTT-4.8.2-1", "MQTT-4.8.2-2", "MQTT-2.2.1-3")
    def test_a_subscribe_of_the_wrong_form_ends_the_connection(self):
        filters = ["", "a/#/b", "#a", "a#", "a+", "+a", "a/+b", "a\0", b"\xff", "$share/", "$share/g", "$share//a", "$share/g+/a",
                   "$share/g#/a", "$share/g/"]  # fmt: skip
        wrong = [subscribe(1, [(name, 0)]) for name in filters]
        wrong += [subscribe(1, []), subscribe(0, [("a", 0)]), subscribe(1, [("a", 3)]), subscribe(1, [("a", 0x40)]),
                  subscribe(1, [("a", 0x80)]), subscribe(1, [("a", 0x30)]), raw("80") + subscribe(1, [("a", 0)])[1:],
                  raw("83") + subscribe(1, [("a", 0)])[1:], raw("8205 0001 00 0001"), raw("8206 0001 00 0001 61"),
                  subscribe(1, [("a", 0)], values={"subscription_identifier": 0})]  # fmt: skip
        for data in wrong:
            with self.subTest(data.hex()):
                self.assertIn(self.violation(data), (0x81, 0x82, 0x8F))

    @shows("MQTT-3.8.4-3")
    def test_the_same_filter_again_replaces_the_subscription(self):
        link = self.join()
        link.subscribe(self.topic, 0, {"subscription_identifier": 1})
        link.subscribe(self.topic, 1, {"subscription_identifier": 2})
        link.publish(self.topic)
        found = self.got(link, link)
        self.assertEqual([(packet.qos, packet.properties["subscription_identifier"]) for packet in found], [(1, 2)])

    @shows("MQTT-3.9.2-1", "MQTT-3.9.2-2", "MQTT-3.11.2-1", "MQTT-3.11.2-2")
    def test_answers_fit_the_maximum_packet_size(self):
        link = self.join(self.name(), values={"maximum_packet_size": 30})
        answer = link.subscribe("chat/lobby/msg", 1)
        self.assertEqual((answer.properties, answer.user), ({}, []))
        answer = link.unsubscribe("chat/lobby/msg")
        self.assertEqual((answer.properties, answer.user), ({}, []))

    @shows("MQTT-3.1.2-24")
    def test_where_the_client_takes_no_answer_the_connection_ends(self):
        names = [f"{self.topic}/{number}" for number in range(16)]
        for data in (subscribe(1, [(name, 0) for name in names]), unsubscribe(1, names)):
            link = self.join(self.name(), values={"maximum_packet_size": 20})
            link.send(data)
            self.assertEqual([packet.reason for packet in link.end()], [0x95])
        link = self.join(self.name(), values={"maximum_packet_size": 20})
        link.send(subscribe(1, [(name, 0) for name in names[:15]]), unsubscribe(2, names[:15]))
        self.assertEqual((link.answer(SUBACK, 1).reasons, link.answer(UNSUBACK, 2).reasons), ((0,) * 15, (0,) * 15))

    def test_one_packet_may_have_as_many_filters_as_a_client(self):
        names = [f"{self.name()}/{number}" for number in range(10_000)]
        for version in (4, 5):
            link = self.join("", version)
            link.send(subscribe(1, [(name, 0) for name in names], version))
            self.assertEqual(link.answer(SUBACK, 1).reasons, (0,) * 10_000)
            self.assertEqual(link.subscribe("one more").reasons, (0x97 if version == 5 else 0x80,))
            link.send(unsubscribe(2, names, version))
            self.assertEqual(link.answer(UNSUBACK, 2).reasons, (0,) * 10_000 if version == 5 else ())
            self.assertEqual(link.subscribe("one more").reasons, (0,))

    def test_a_deep_filter_is_refused_and_no_other(self):
        for version, refused in ((5, 0x97), (4, 0x80)):
            link = self.join("", version)
            deep = "/".join(["a"] * 201)
            filters = [("x" + "/a" * 299, 0), (deep, 0), (deep + "/a", 0), ("/" * 65_535, 0), ("+/" * 200 + "#", 0)]
            link.send(subscribe(1, filters, version))
            self.assertEqual(link.answer(SUBACK, 1).reasons, (refused, 0, refused, refused, 0))
            link.publish(deep, b"deep", retain=True)
            self.assertEqual(link.message().payload, b"deep")
            other = self.join("", version)
            other.subscribe("+/" * 200 + "#")
            self.assertEqual(other.message().payload, b"deep")
            link.publish(deep, b"", retain=True)

    def test_a_share_has_the_levels_of_its_filter(self):
        link = self.join()
        filter = "+/" * 200 + "+"
        self.assertEqual(link.subscribe(f"$share/{self.topic.split('/')[0]}/{filter}").reasons, (0,))
        self.assertEqual(link.unsubscribe("x/" * 500).reasons, (0x11,))


class Unsubscribing(Case):
    @shows("MQTT-3.10.4-4", "MQTT-3.10.4-5", "MQTT-3.10.4-6", "MQTT-3.11.3-1", "MQTT-3.11.3-2", "MQTT-3.10.4-1", "MQTT-2.2.1-6")
    def test_one_unsuback_has_a_reason_for_each_filter(self):
        link = self.join()
        for name in ("a", "a/+"):
            link.subscribe(name)
        link.send(unsubscribe(513, ["a", "a/b", "A", "a/+", "a/+"]))
        answer = link.expect(UNSUBACK)
        self.assertEqual((answer.packet_id, answer.reasons), (513, (0, 0x11, 0x11, 0, 0x11)))

    @shows("MQTT-3.10.4-2")
    def test_after_it_nothing_more_comes(self):
        link = self.join()
        link.subscribe(self.topic)
        link.subscribe(self.topic + "/#")
        link.unsubscribe(self.topic)
        link.publish(self.topic, b"by the other", qos=0)
        self.assertEqual(link.message().payload, b"by the other")
        link.unsubscribe(self.topic + "/#")
        link.publish(self.topic, qos=0)
        self.assertEqual(self.got(link, link), [])

    @shows("MQTT-3.10.4-3")
    def test_deliveries_that_had_begun_are_completed(self):
        link = self.lasting()
        link.subscribe(self.topic, 2)
        self.join().publish(self.topic, qos=2)
        first = link.message()
        link.unsubscribe(self.topic)
        link.close()
        link = self.lasting()
        again = link.take()
        self.assertEqual((again.packet_id, again.dup), (first.packet_id, True))

    @shows("MQTT-3.10.1-1", "MQTT-3.10.3-1", "MQTT-3.10.3-2")
    def test_an_unsubscribe_of_the_wrong_form_ends_the_connection(self):
        for data in (unsubscribe(1, []), unsubscribe(0, ["a"]), raw("a0") + unsubscribe(1, ["a"])[1:], unsubscribe(1, [b"\xff"]),
                     unsubscribe(1, [""]), raw("a205 0001 00 0005"), unsubscribe(1, ["a/#/b"])):
            with self.subTest(data.hex()):
                self.assertIn(self.violation(data), (0x81, 0x82, 0x8F))


class Shared(Case):
    def share(self, name="g"):
        return f"$share/{name}/{self.topic}"

    @shows("MQTT-4.8.2-1", "MQTT-4.8.2-2")
    def test_each_message_goes_to_one_member_of_each_share(self):
        members = [self.join() for _ in range(3)]
        for member in members:
            member.subscribe(self.share())
        other = self.join()
        other.subscribe(self.share("h"))
        alone = self.join()
        alone.subscribe(self.topic)
        publisher = self.join()
        for number in range(30):
            publisher.publish(self.topic, b"%d" % number, qos=0)
        self.settle(publisher, *members, other, alone)
        counts = [len(link.came) for link in members]
        self.assertEqual((sum(counts), len(other.came), len(alone.came)), (30, 30, 30))
        self.assertGreaterEqual(min(counts), 5, "not balanced")

    @shows("MQTT-4.8.2-3")
    def test_the_granted_qos_of_each_member_holds(self):
        members = [self.join() for _ in range(3)]
        for qos, member in enumerate(members):
            member.subscribe(self.share(), qos)
        publisher = self.join()
        for _ in range(9):
            publisher.publish(self.topic, qos=2)
        self.settle(publisher, *members)
        for qos, member in enumerate(members):
            self.assertEqual({packet.qos for packet in member.came}, {qos})

    @shows("MQTT-4.8.2-4")
    def test_a_delivery_that_has_begun_is_completed_to_its_member(self):
        one = self.lasting(self.name("one"))
        one.subscribe(self.share(), 2)
        self.join().publish(self.topic, qos=2)
        first = one.message()
        two = self.lasting(self.name("two"))
        two.subscribe(self.share(), 2)
        one.close()
        one = self.lasting(self.name("one"))
        again = one.take()
        self.assertEqual((again.packet_id, again.dup), (first.packet_id, True))
        self.assertEqual(two.ping(), [])

    @shows("MQTT-4.8.2-5")
    def test_a_qos_2_delivery_that_has_begun_goes_to_nobody_else(self):
        one = self.lasting(self.name("one"))
        one.subscribe(self.share(), 2)
        publisher = self.join()
        publisher.publish(self.topic, qos=2)
        one.message()
        two = self.join()
        two.subscribe(self.share(), 2)
        one.send(disconnect(0, {"session_expiry_interval": 0}))
        one.end()
        self.assertEqual(self.got(publisher, two), [])

    def test_what_a_member_did_not_acknowledge_goes_to_another_when_its_session_ends(self):
        one = self.join(self.name("one"), values={"receive_maximum": 2})
        one.subscribe(self.share(), 1)
        publisher = self.join()
        for number in range(6):
            publisher.publish(self.topic, b"%d" % number)
        first = one.message()
        one.send(ack(PUBACK, first.packet_id))
        self.settle(publisher, one)
        two = self.join(self.name("two"))
        two.subscribe(self.share(), 1)
        one.close()
        self.assertEqual(sorted(two.take().payload for _ in range(5)), [b"1", b"2", b"3", b"4", b"5"])

    @shows("MQTT-4.8.2-6")
    def test_what_a_member_refuses_goes_to_nobody_else(self):
        one, two = self.join(), self.join()
        one.subscribe(self.share(), 2)
        publisher = self.join()
        for qos in (1, 2):
            publisher.publish(self.topic, qos=qos)
        first, second = one.message(), one.message()
        two.subscribe(self.share(), 2)
        one.send(ack(PUBACK, first.packet_id, 0x83), ack(PUBREC, second.packet_id, 0x83))
        self.settle(one)
        one.close()
        self.assertEqual(self.got(publisher, two), [])

    def test_members_that_are_there_come_before_those_that_are_away(self):
        away = self.lasting(self.name("away"))
        away.subscribe(self.share(), 1)
        self.leave(away)
        here = self.join()
        here.subscribe(self.share(), 1)
        publisher = self.join()
        self.settle(publisher)
        for _ in range(6):
            publisher.publish(self.topic)
        self.assertEqual(len(self.got(publisher, here)), 6)

    def test_a_share_gets_no_retained_messages(self):
        link = self.join()
        link.publish(self.topic, retain=True)
        link.subscribe(self.share())
        self.assertEqual(self.got(link, link), [])
        link.publish(self.topic, b"", retain=True)
