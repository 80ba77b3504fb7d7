"""PUBLISH on its way through: properties, aliases, expiry, overlapping subscriptions, order. MQTT 5 §3.3."""

from link import (LASTING, PUBACK, PUBLISH, PUBREC, SUBACK, Case, ack, connect, disconnect, let_pass, publish, raw, shows,
                  subscribe)

PROTOCOL_ERROR, MALFORMED, ALIAS = 0x82, 0x81, 0x94


class Passing(Case):
    @shows("MQTT-3.3.2-4", "MQTT-3.3.2-15", "MQTT-3.3.2-16", "MQTT-3.3.2-17", "MQTT-3.3.2-18", "MQTT-3.3.2-20", "MQTT-3.3.2-19",
           "MQTT-3.3.2-13")
    def test_properties_are_passed_on_unchanged(self):
        link = self.join()
        link.subscribe(self.topic)
        values = {"payload_format_indicator": 1, "content_type": "text/ü", "response_topic": "r/ü", "correlation_data": b"\0\xff"}
        pairs = [("k", "v"), ("a", "1"), ("k", "v"), ("", ""), ("k", "w")]
        link.publish(self.topic, b"x", qos=0, values=values, pairs=pairs)
        came = link.message()
        self.assertEqual((came.properties, came.user), (values, pairs))

    @shows("MQTT-4.3.1-1", "MQTT-2.2.1-2", "MQTT-3.3.1-2", "MQTT-2.2.2-1", "MQTT-3.3.2-1")
    def test_a_qos_0_message_is_these_bytes(self):
        link = self.join()
        link.subscribe("exact")
        link.forget()
        link.send(publish("exact", b"hi"))
        self.assertEqual(link.exactly(12), raw("30 0a 0005") + b"exact" + raw("00") + b"hi")

    @shows("MQTT-2.2.1-2", "MQTT-3.3.1-4", "MQTT-3.3.1-2", "MQTT-3.3.2-2", "MQTT-4.7.0-1", "MQTT-4.7.3-1", "MQTT-4.7.3-2",
           "MQTT-2.2.1-3", "MQTT-3.3.2-14", "MQTT-3.3.4-6", "MQTT-4.13.1-1", "MQTT-3.3.2-1", "MQTT-2.1.3-1")
    def test_a_publish_of_the_wrong_form_ends_the_connection(self):
        for name, data, reasons in [
                ("QoS 3", raw("36 06 0001 61 0001 00"), (MALFORMED,)),
                ("DUP at QoS 0", raw("38 04 0001 61 00"), (MALFORMED, PROTOCOL_ERROR)),
                ("packet id 0", publish("a", qos=1, packet_id=0), (MALFORMED, PROTOCOL_ERROR)),
                ("wildcard +", publish("a/+"), (MALFORMED, 0x90)),
                ("wildcard #", publish("#"), (MALFORMED, 0x90)),
                ("no topic", publish(""), (PROTOCOL_ERROR,)),
                ("NUL", publish("a\0b"), (MALFORMED,)),
                ("no UTF-8", publish(b"\xff"), (MALFORMED,)),
                ("topic beyond the packet", raw("30 04 00ff 61 00"), (MALFORMED,)),
                ("properties beyond the packet", raw("30 04 0001 61 09"), (MALFORMED,)),
                ("subscription identifier", publish("a", values={"subscription_identifier": 1}), (PROTOCOL_ERROR,)),
                ("wildcard in response topic", publish("a", values={"response_topic": "a/#"}), (MALFORMED, PROTOCOL_ERROR, 0x90)),
                ("payload format 2", publish("a", values={"payload_format_indicator": 2}), (PROTOCOL_ERROR,)),
                ("content type no UTF-8", publish("a", values={"content_type": b"\xff"}), (MALFORMED,)),
                ("property twice", raw("30 08 0001 61 04 0101 0101"), (PROTOCOL_ERROR,)),
                ("property of CONNECT", raw("30 07 0001 61 03 210001"), (MALFORMED,)),
        ]:  # fmt: skip
            with self.subTest(name):
                self.assertIn(self.violation(data), reasons)

    @shows("MQTT-3.3.2-3", "MQTT-4.7.3-4")
    def test_topics_are_compared_as_they_are(self):
        link = self.join()
        link.subscribe(f"{self.topic}/ä")
        for other in ("/a\u0308", "/Ä", "//ä", "/ä/", "/ä "):
            link.publish(self.topic + other, qos=0)
        link.publish(f"{self.topic}/ä", qos=0)
        self.assertEqual(link.message().topic, f"{self.topic}/ä")

    @shows("MQTT-4.7.3-3")
    def test_topics_may_be_65535_bytes_long(self):
        link = self.join()
        longest = "x" * 65_535
        self.assertEqual(link.subscribe(longest).reasons, (0,))
        link.publish(longest, qos=0)
        self.assertEqual(link.message().topic, longest)

    @shows("MQTT-4.7.1-1", "MQTT-4.7.1-2", "MQTT-3.3.2-3")
    def test_wildcards_match_whole_levels(self):
        for name, matching, other in [
                ("+", ["a", "b"], ["/a", "a/b", "a/"]), ("+/+", ["/a", "a/b", "a/"], ["a", "a/b/c"]), ("/+", ["/a"], ["a", "a/b"]),
                ("a/#", ["a", "a/b", "a/b/c", "a/"], ["ab", "b/a"]), ("#", ["a", "/", "a/b"], []),
                ("a/+/c", ["a/b/c", "a//c"], ["a/c", "a/b/d"]), ("+/b/#", ["a/b", "a/b/c", "/b"], ["b", "a/c"]),
        ]:  # fmt: skip
            with self.subTest(name):
                link = self.join()
                link.subscribe(name)
                for topic in matching + other:
                    link.publish(topic, qos=0)
                self.assertEqual(sorted({packet.topic for packet in self.got(link, link)} & set(matching + other)), sorted(matching))

    @shows("MQTT-4.7.2-1")
    def test_a_wildcard_first_matches_no_system_topic(self):
        link = self.join()
        for name in ("#", "+/broker/version", "$SYS/broker/version"):
            link.subscribe(name)
        self.assertEqual([packet.topic for packet in self.got(link, link) if packet.topic != "$SYS/broker/version"], [])

    def test_each_topic_keeps_the_alias_that_it_got_first(self):
        link = self.join(values={"topic_alias_maximum": 10})
        link.subscribe(self.topic + "/#")
        for known in (False, True):
            for i in range(1, 11):
                link.send(publish(f"{self.topic}/{i}"))
                found = link.message()
                self.assertEqual((found.topic, found.properties), ("" if known else f"{self.topic}/{i}", {"topic_alias": i}))


class Aliases(Case):
    @shows("MQTT-3.3.2-12")
    def test_aliases_up_to_the_maximum_are_accepted(self):
        link = self.join()
        link.subscribe(f"{self.topic}/+")
        most = link.connack.properties["topic_alias_maximum"]
        for alias in (1, most):
            link.send(publish(f"{self.topic}/{alias}", values={"topic_alias": alias}), publish("", values={"topic_alias": alias}))
            self.assertEqual([link.message().topic for _ in range(2)], [f"{self.topic}/{alias}"] * 2)
        link.send(publish(f"{self.topic}/new", values={"topic_alias": 1}), publish("", values={"topic_alias": 1}))
        self.assertEqual([link.message().topic for _ in range(2)], [f"{self.topic}/new"] * 2)

    @shows("MQTT-3.3.2-8", "MQTT-3.3.2-9")
    def test_an_alias_out_of_bounds_is_invalid(self):
        self.assertEqual(self.violation(publish("a", values={"topic_alias": 0})), ALIAS)
        self.assertEqual(self.violation(publish("a", values={"topic_alias": 33})), ALIAS)
        self.assertEqual(self.violation(publish("", values={"topic_alias": 1})), PROTOCOL_ERROR)

    @shows("MQTT-3.3.2-7")
    def test_aliases_end_with_the_connection(self):
        link = self.lasting(values=LASTING)
        link.send(publish("a", values={"topic_alias": 1}))
        self.leave(link)
        again = self.lasting()
        again.send(publish("", values={"topic_alias": 1}))
        self.assertEqual([packet.reason for packet in again.end()], [PROTOCOL_ERROR])

    @shows("MQTT-3.1.2-26", "MQTT-3.3.2-11")
    def test_the_server_uses_no_alias_above_the_maximum(self):
        link = self.join("", values={"topic_alias_maximum": 2})
        link.subscribe(f"{self.topic}/#")
        topics = [f"{self.topic}/{number % 7}" for number in range(40)]
        for topic in topics:
            link.publish(topic, qos=0)
        known, seen = {}, []
        for _ in topics:
            came = link.message()
            alias = came.properties.get("topic_alias")
            self.assertIn(alias, (None, 1, 2))
            if alias and came.topic:
                known[alias] = came.topic
            seen.append(came.topic or known[alias])
        self.assertEqual(seen, topics)

    @shows("MQTT-3.1.2-27")
    def test_the_server_uses_no_alias_where_none_is_allowed(self):
        for values in ({}, {"topic_alias_maximum": 0}):
            link = self.join("", values=values)
            link.subscribe(self.topic)
            for _ in range(3):
                link.publish(self.topic, qos=0)
            self.assertTrue(all(link.message().properties == {} for _ in range(3)))


class Expiry(Case):
    @shows("MQTT-3.3.2-6")
    def test_the_interval_is_counted_down(self):
        link = self.lasting()
        link.subscribe(self.topic, 1)
        self.leave(link)
        self.join().publish(self.topic, values={"message_expiry_interval": 100})
        let_pass(1.1)
        self.assertIn(self.lasting().message().properties["message_expiry_interval"], (98, 99))

    @shows("MQTT-3.3.2-5")
    def test_what_has_expired_is_not_delivered(self):
        link = self.lasting()
        link.subscribe(self.topic, 1)
        self.leave(link)
        publisher = self.join()
        publisher.publish(self.topic, b"short", values={"message_expiry_interval": 1})
        publisher.publish(self.topic, b"long", values={"message_expiry_interval": 100})
        let_pass(1.2)
        self.assertEqual(self.lasting().message().payload, b"long")


    @shows("MQTT-3.3.2-5", "MQTT-3.3.2-6")
    def test_an_interval_of_0_is_for_those_who_are_there(self):
        away = self.lasting()
        away.subscribe(self.topic, 1)
        self.leave(away)
        here, publisher = self.join(), self.join()
        here.subscribe(self.topic, 2)
        for qos in (0, 1, 2):
            publisher.publish(self.topic, b"now", qos=qos, values={"message_expiry_interval": 0})
        publisher.publish(self.topic, b"later")
        found = [here.message() for _ in range(4)]
        self.assertEqual([(one.payload, one.qos, one.properties) for one in found],
                         [(b"now", qos, {"message_expiry_interval": 0}) for qos in (0, 1, 2)] + [(b"later", 1, {})])
        self.assertEqual(self.lasting().message().payload, b"later")


class Overlapping(Case):
    @shows("MQTT-3.3.4-2", "MQTT-3.3.4-3", "MQTT-3.3.4-4", "MQTT-3.3.4-5")
    def test_one_copy_has_the_highest_qos_and_all_identifiers(self):
        link = self.join()
        for number, (name, qos) in enumerate([(self.topic, 0), (self.topic + "/#", 2), ("+/" + self.topic.split("/")[1], 1)], 1):
            link.subscribe(name, qos, {"subscription_identifier": number * 100})
        link.subscribe("#", 0)
        other = self.join()
        other.publish(self.topic, qos=2)
        self.settle(other, link)
        link.send(subscribe(99, [("other", 0)]))
        message = link.message()
        self.assertEqual(message.qos, 2)
        # The decoder keeps the last identifier of several; the bytes have them all.
        for identifier in (b"\x0b\x64", b"\x0b\xc8\x01", b"\x0b\xac\x02"):
            self.assertEqual(bytes(link.bytes).count(identifier), 1)

    @shows("MQTT-3.3.4-3")
    def test_an_identifier_is_in_what_its_subscription_causes_only(self):
        link = self.join()
        link.subscribe(self.topic + "/a", 0, {"subscription_identifier": 268_435_455})
        link.subscribe(self.topic + "/b")
        link.publish(self.topic + "/a", qos=0)
        link.publish(self.topic + "/b", qos=0)
        self.assertEqual(link.message().properties, {"subscription_identifier": 268_435_455})
        self.assertEqual(link.message().properties, {})

    @shows("MQTT-3.8.4-8")
    def test_delivery_is_at_the_lower_qos(self):
        link = self.join()
        publisher = self.join()
        for granted in (0, 1, 2):
            link.subscribe(f"{self.topic}/{granted}", granted)
            for qos in (0, 1, 2):
                publisher.publish(f"{self.topic}/{granted}", qos=qos)
                self.assertEqual(link.take().qos, min(granted, qos))


class Order(Case):
    @shows("MQTT-4.6.0-5", "MQTT-4.6.0-6", "MQTT-4.2.0-1")
    def test_messages_of_a_topic_stay_in_order(self):
        link, publisher = self.join(), self.join()
        link.subscribe(self.topic, 2)
        for qos in (0, 1, 2):
            data = [publish(self.topic, b"%d" % number, qos=qos, packet_id=number + 1 if qos else 0) for number in range(100)]
            publisher.send(*data)
            self.assertEqual([link.take().payload for _ in data], [b"%d" % number for number in range(100)])
            for number in range(100 if qos else 0):
                answer = publisher.next()
                self.assertEqual(answer.packet_id, number + 1)
                if qos == 2:
                    publisher.send(ack(6, number + 1))
            for number in range(100 if qos == 2 else 0):
                self.assertEqual(publisher.next().packet_id, number + 1)

    @shows("MQTT-3.3.4-9", "MQTT-4.9.0-1", "MQTT-4.9.0-2", "MQTT-4.9.0-3", "MQTT-3.3.4-10", "MQTT-3.3.4-8")
    def test_the_server_keeps_to_the_receive_maximum(self):
        link = self.join("", values={"receive_maximum": 2})
        link.subscribe(self.topic, 1)
        link.subscribe(self.topic + "/0", 0)
        publisher = self.join()
        for number in range(5):
            publisher.publish(self.topic, b"%d" % number)
        publisher.publish(self.topic + "/0", b"zero", qos=0)
        self.settle(publisher, link)
        first, second, zero = link.message(), link.message(), link.message()
        self.assertEqual([first.payload, second.payload, zero.payload], [b"0", b"1", b"zero"])
        self.assertEqual(link.ping(), [])
        self.assertEqual(link.subscribe(self.topic + "/other").reasons, (0,))
        link.send(ack(PUBACK, first.packet_id))
        self.assertEqual(link.message().payload, b"2")
        link.send(ack(PUBACK, second.packet_id, 0x80))
        self.assertEqual(link.message().payload, b"3")
        self.assertEqual(link.ping(), [])

    @shows("MQTT-3.1.2-24", "MQTT-3.1.2-25")
    def test_what_is_too_large_for_a_client_is_passed_over(self):
        link = self.join("", values={"maximum_packet_size": 100, "receive_maximum": 1})
        link.subscribe("size", 1)
        publisher = self.join()
        for payload in (b"x" * 200, b"y" * 88, b"z" * 91, b"end"):
            publisher.publish("size", payload)
        self.assertEqual(link.take().payload, b"y" * 88)
        self.assertEqual(link.take().payload, b"end")


class NoLocal(Case):
    @shows("MQTT-3.8.3-3")
    def test_a_client_does_not_get_its_own(self):
        link, other = self.join(), self.join()
        link.subscribe(self.topic, 0x04)
        link.publish(self.topic, b"own", qos=0)
        self.settle(link, link)
        other.publish(self.topic, b"other", qos=0)
        self.assertEqual(link.message().payload, b"other")

    @shows("MQTT-3.8.3-3", "MQTT-3.3.4-2", "MQTT-3.3.4-3")
    def test_it_adds_nothing_to_the_copy_of_another_subscription(self):
        link = self.join()
        link.subscribe(self.topic, 0x06, {"subscription_identifier": 1})
        link.subscribe(self.topic + "/#", 0, {"subscription_identifier": 2})
        link.publish(self.topic, b"own")
        found = self.got(link, link)
        self.assertEqual([(one.qos, one.properties) for one in found], [(0, {"subscription_identifier": 2})])

    @shows("MQTT-3.8.3-3")
    def test_it_holds_for_conversations(self):
        topic = f"chat/{self.name()}/msg"
        link, other = self.join(self.name("a")), self.join()
        link.subscribe(topic, 0x05)
        link.publish(topic, b"own")
        other.publish(topic, b"other")
        self.assertEqual(link.take().payload, b"other")
        link.publish(topic, b"own")
        self.leave(link)
        link = self.join(self.name("a"))
        link.send(subscribe(1, [(topic, 0x05)], pairs=[("since", "0")]))
        self.assertEqual(link.answer(SUBACK, 1).reasons, (1,))
        other.publish(topic, b"end")
        self.assertEqual([link.take().payload, link.take().payload], [b"other", b"end"], "of the past, too")

    @shows("MQTT-3.8.3-4")
    def test_no_local_on_a_share_is_a_protocol_error(self):
        self.assertEqual(self.violation(subscribe(1, [("$share/g/a", 0x04)])), PROTOCOL_ERROR)
