"""CONNECT and CONNACK. MQTT 5 §3.1, §3.2."""

import itertools
import socket
import struct
import time

from harness import packets
from link import (CONNACK, DISCONNECT, LASTING, PINGRESP, PUBLISH, SUBACK, Case, PING, connect, disconnect, let_pass, publish, raw, shows,
                  subscribe)

MALFORMED, PROTOCOL_ERROR, VERSION, CLIENT_ID = 0x81, 0x82, 0x84, 0x85


class FirstPacket(Case):
    @shows("MQTT-3.1.0-1")
    def test_any_packet_but_connect_first_closes(self):
        for data in (PING, publish("a"), subscribe(1, [("a", 0)]), disconnect(), raw("2003000000"), raw("4003000100")):
            self.assertIsNone(self.refusal(data), data.hex())

    @shows("MQTT-3.1.0-1")
    def test_it_need_not_be_whole_for_that(self):
        """Long before `mqtt.connect_timeout`."""
        for data in (raw("30"), raw("30ffff"), raw("82ffff7f"), b"PROXY TCP4 192.0.2.7 127.0.0.1 4711 1883\r\n", b"SSH-2.0-x"):
            began = time.monotonic()
            self.assertIsNone(self.refusal(data), data.hex())
            self.assertLess(time.monotonic() - began, 5, data.hex())

    @shows("MQTT-3.1.0-2")
    def test_a_second_connect_is_a_protocol_error(self):
        self.assertEqual(self.violation(connect("again")), PROTOCOL_ERROR)

    @shows("MQTT-3.1.4-5", "MQTT-3.2.0-1", "MQTT-3.2.0-2", "MQTT-3.2.2-1")
    def test_connack_comes_first_and_once(self):
        link = self.link()
        link.send(connect(self.name()), subscribe(1, [(self.topic, 0)]), PING)
        self.assertEqual(link.next().type, CONNACK)
        self.assertEqual({link.next().type for _ in range(2)}, {SUBACK, PINGRESP})
        self.assertEqual(link.ping(), [])

    @shows("MQTT-3.2.2-1", "MQTT-2.2.2-1", "MQTT-3.2.2-2")
    def test_connack_is_these_bytes(self):
        link = self.link()
        link.send(connect(self.name()))
        # Receive Maximum 256, Maximum Packet Size 2 MiB, Topic Alias Maximum 32.
        self.assertEqual(link.exactly(16).hex(), "200e00000b" "210100" "2700200000" "220020")

    @shows("MQTT-3.1.4-1", "MQTT-3.2.2-6", "MQTT-3.2.2-7", "MQTT-3.2.2-8")
    def test_a_connect_of_the_wrong_form_is_refused(self):
        good = connect("x")
        short = packets.packet(1, 0, good[2:-3])
        self.assertEqual(self.refusal(short), MALFORMED)
        self.assertEqual(self.refusal(packets.packet(1, 0, good[2:] + b"\0")), MALFORMED)

    @shows("MQTT-3.1.4-6")
    def test_what_follows_a_refused_connect_is_not_done(self):
        watcher = self.join()
        watcher.subscribe(self.topic)
        link = self.link()
        link.send(connect("x", level=9), publish(self.topic))
        self.assertEqual([packet.reason for packet in link.end()], [VERSION])
        self.assertEqual(self.got(self.join(), watcher), [])


class Protocol(Case):
    @shows("MQTT-3.1.2-1")
    def test_another_protocol_name_is_refused(self):
        for name in ("MQTTX", "mqtt", "", "MQIsdp"):
            self.assertEqual(self.refusal(connect("x", name=name)), VERSION, name)
        for level in (3, 4):  # Whose clients know CONNACK of 3.1.1 only.
            self.assertEqual(self.refusal(connect("x", 4, name="MQTTX", level=level), 4), 1, level)

    @shows("MQTT-3.1.2-2")
    def test_another_version_is_refused(self):
        for level in (6, 127):
            self.assertEqual(self.refusal(connect("x", level=level)), VERSION, level)
            for name in ("", "x", "a-longer-name"):  # Laid out as in 3.1.1.
                self.assertEqual(self.refusal(connect(name, 4, level=level), 4), 1, (level, name))
        # The highest bit is a bridge's, which then tries without it, but only after the return code of 3.1.1.
        for level in (0, 0x83, 0x85, 255):
            self.assertEqual(self.refusal(connect("x", level=level), 4), 1, level)

    def test_what_came_on_the_earlier_connection_is_heard_before_the_next(self):
        """A client that says goodbye and comes back at once, most often by way of another thread. MQTT 5 §3.14.4"""
        watcher = self.join()
        watcher.subscribe(self.topic)
        names = [self.name(i) for i in range(40)]
        for _ in range(10):
            earlier = [self.join(name, clean=False, values=LASTING, will={"topic": self.topic}) for name in names]
            later = [self.link() for _ in names]
            for name, leaving, coming in zip(names, earlier, later):
                leaving.send(disconnect(0, {"session_expiry_interval": 0}))
                coming.send(connect(name, clean=False))
            answers = [link.expect(CONNACK) for link in later]
            self.assertEqual([name for name, answer in zip(names, answers) if answer.session_present], [])
            for link in earlier + later:
                link.close()
        self.assertEqual(self.got(watcher, watcher), [])

    @shows("MQTT-3.1.2-3", "MQTT-3.1.2-11", "MQTT-3.1.2-12", "MQTT-3.1.2-13")
    def test_connect_flags_that_mean_nothing_are_malformed(self):
        for flags in (0x03, 0x0A, 0x22, 0x2A, 0x1E):  # Reserved bit, will QoS or retain without a will, will QoS 3.
            data = connect("x", will={"topic": "w"}, flags=flags) if flags & 4 else connect("x", flags=flags)
            self.assertEqual(self.refusal(data), MALFORMED, hex(flags))

    @shows("MQTT-3.1.2-16", "MQTT-3.1.2-17", "MQTT-3.1.2-18", "MQTT-3.1.2-19", "MQTT-3.1.3-1", "MQTT-3.1.2-9")
    def test_payload_fields_are_those_that_the_flags_name(self):
        self.assertEqual(self.refusal(connect("x", flags=0x82)), MALFORMED)
        self.assertEqual(self.refusal(connect("x", flags=0x42)), MALFORMED)
        self.assertEqual(self.refusal(connect("x", user="u", flags=0x02)), MALFORMED)
        self.assertEqual(self.refusal(connect("x", password=b"p", flags=0x02)), MALFORMED)
        self.assertEqual(self.refusal(connect("x", flags=0x06)), MALFORMED)
        self.assertEqual(self.refusal(connect("x", will={"topic": "w"}, flags=0x02)), MALFORMED)

    @shows("MQTT-1.5.4-1", "MQTT-1.5.4-2", "MQTT-3.1.3-4", "MQTT-3.1.3-11", "MQTT-3.1.3-12")
    def test_strings_are_utf8(self):
        for bad in (b"\xff", b"\xc0\x80", b"\xed\xa0\x80", b"\xed\xbf\xbf", b"a\0b", b"\xf4\x90\x80\x80", b"\xc3"):
            self.assertEqual(self.refusal(connect(bad)), MALFORMED, bad)
            self.assertEqual(self.refusal(connect("x", will={"topic": bad})), MALFORMED, bad)
            self.assertEqual(self.refusal(connect("x", user=bad)), MALFORMED, bad)

    @shows("MQTT-1.5.4-3")
    def test_a_byte_order_mark_is_a_character(self):
        link = self.join()
        marked = "\ufeff" + self.topic
        link.subscribe(marked)
        link.publish(self.topic, qos=0)
        link.publish(marked, qos=0)
        self.assertEqual(link.message().topic, marked)

    @shows("MQTT-1.5.5-1", "MQTT-1.5.7-1")
    def test_integers_and_pairs_of_properties_are_well_formed(self):
        head = packets.text("MQTT") + raw("05 02 0000")
        tail = packets.text("x")
        self.assertEqual(self.refusal(packets.packet(1, 0, head + raw("8000") + tail)), MALFORMED)
        self.assertEqual(self.refusal(connect("x", pairs=[(b"\xff", "v")])), MALFORMED)
        self.assertEqual(self.refusal(packets.packet(1, 0, head + raw("07 26 0001 61 0001 ff") + tail)), MALFORMED)

    def test_properties_are_once_and_where_they_belong(self):
        head = packets.text("MQTT") + raw("05 02 0000")
        tail = packets.text("x")
        for name, block in {
                "receive maximum 0": raw("03 21 0000"), "maximum packet size 0": raw("05 27 00000000"),
                "twice": raw("0a 11 00000001 11 00000001"), "request problem information 2": raw("02 17 02"),
                "request response information 2": raw("02 19 02"), "authentication data alone": raw("04 16 0001 61"),
                "receive maximum twice": raw("06 21 0001 21 0001"),
        }.items():
            self.assertEqual(self.refusal(packets.packet(1, 0, head + block + tail)), PROTOCOL_ERROR, name)
        for block in (raw("02 7f 00"), raw("02 21 00"), raw("01 21"), raw("03 23 0001")):  # The last: of PUBLISH only.
            self.assertEqual(self.refusal(packets.packet(1, 0, head + block + tail)), MALFORMED, block)


class ClientIds(Case):
    @shows("MQTT-3.1.3-5", "MQTT-3.1.3-3")
    def test_usual_client_ids_are_taken(self):
        alphabet = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
        for name in ("a", "0", alphabet[:23], alphabet[23:46], alphabet[40:]):
            self.join(name)

    @shows("MQTT-3.1.3-6", "MQTT-3.1.3-7", "MQTT-3.2.2-16")
    def test_an_empty_client_id_gets_one_of_its_own(self):
        links = [self.join("") for _ in range(3)]
        given = [link.connack.properties["assigned_client_identifier"] for link in links]
        self.assertEqual(len(set(given)), 3)
        self.assertTrue(all(given))
        links[0].send(connect(given[0]))  # A second CONNECT, so that the session ends.
        self.join(given[0])

    @shows("MQTT-3.1.3-8")
    def test_a_client_id_that_is_too_long_is_refused(self):
        self.assertEqual(self.refusal(connect("x" * 257)), CLIENT_ID)

    @shows("MQTT-3.1.4-3", "MQTT-3.14.2-1")
    def test_the_same_client_id_again_takes_over(self):
        first = self.join(self.name())
        self.join(self.name())
        self.assertEqual([(packet.type, packet.reason) for packet in first.end()], [(DISCONNECT, 0x8E)])


class Sessions(Case):
    @shows("MQTT-3.1.2-4", "MQTT-3.1.4-4", "MQTT-3.2.2-2")
    def test_clean_start_drops_what_was(self):
        first = self.lasting()
        first.subscribe(self.topic, 1)
        self.leave(first)
        again = self.lasting(clean=True)
        self.assertFalse(again.connack.session_present)
        publisher = self.join()
        publisher.publish(self.topic)
        self.assertEqual(self.got(publisher, again), [])

    @shows("MQTT-3.1.2-5", "MQTT-3.2.2-3", "MQTT-3.1.2-23", "MQTT-3.1.3-2", "MQTT-4.1.0-1", "MQTT-4.5.0-1")
    def test_a_session_that_was_kept_goes_on(self):
        first = self.lasting()
        self.assertFalse(first.connack.session_present)
        first.subscribe(self.topic, 1)
        self.leave(first)
        self.join().publish(self.topic, b"while away")
        again = self.lasting()
        self.assertTrue(again.connack.session_present)
        self.assertEqual(again.message().payload, b"while away")

    @shows("MQTT-3.1.4-5")
    def test_what_comes_with_connect_is_done_whoever_closes_at_once(self):
        watcher = self.join()
        watcher.subscribe(self.topic, 2)
        ways = {"lasting": {"clean": False, "values": LASTING}, "clean": {},
                "will": {"will": {"topic": self.topic + "/will", "qos": 1}}}  # fmt: skip
        for (name, options), version, half in itertools.product(ways.items(), (4, 5), (False, True)):
            options = {key: value for key, value in options.items() if version == 5 or key != "values"}
            link = self.link(version)
            sent = [f"{name}{version}{half}{qos}".encode() for qos in range(3)]
            data = [publish(self.topic, payload, version, qos=qos, packet_id=qos) for qos, payload in enumerate(sent)]
            link.send(connect(self.name(f"{name}{version}{half}"), version, **options), *data, disconnect())
            if half:
                link.socket.shutdown(socket.SHUT_WR)
                self.assertEqual(link.expect(CONNACK).reason, 0)
            link.close()
            with self.subTest(f"{name}, version {version}, half-closed {half}"):
                self.assertEqual([watcher.take().payload for _ in range(3)], sent)

    @shows("MQTT-3.1.2-6")
    def test_without_a_session_a_new_one_begins(self):
        self.assertFalse(self.lasting(self.name("new")).connack.session_present)

    @shows("MQTT-4.1.0-2")
    def test_a_session_ends_with_its_interval(self):
        for values in ({}, {"session_expiry_interval": 0}, {"session_expiry_interval": 1}):
            first = self.join(self.name(), clean=False, values=values)
            first.subscribe(self.topic, 1)
            first.close()
            deadline = time.monotonic() + 10
            if values.get("session_expiry_interval"):
                let_pass(1.2)
            while True:  # The broker must first see that the connection has gone.
                again = self.join(self.name(), clean=False, values=values)
                if not again.connack.session_present or time.monotonic() > deadline:
                    break
                again.close()
                let_pass(1.2 if values.get("session_expiry_interval") else 0.01)
            self.assertFalse(again.connack.session_present)
            again.close()

    @shows("MQTT-4.1.0-2")
    def test_disconnect_may_change_the_interval(self):
        first = self.lasting()
        first.send(disconnect(0, {"session_expiry_interval": 0}))
        first.end()
        self.assertFalse(self.lasting().connack.session_present)

    def test_disconnect_may_not_make_a_session_last(self):
        self.assertEqual(self.violation(disconnect(0, {"session_expiry_interval": 5})), PROTOCOL_ERROR)


class Limited(Case):
    settings = {"mqtt_max_keepalive": "30s", "mqtt_max_session_expiry": "60s", "mqtt_max_qos": 1, "mqtt_retain_available": "false",
                "mqtt_wildcard_subscriptions": "false", "mqtt_shared_subscriptions": "false",
                "mqtt_subscription_identifiers": "false", "mqtt_max_topic_alias": 0, "mqtt_receive_maximum": 3,
                "mqtt_max_packet_size": "2KB", "mqtt_check_payload_format": "true"}  # fmt: skip

    @shows("MQTT-3.2.2-9", "MQTT-3.1.2-21", "MQTT-3.2.2-21")
    def test_connack_says_what_is_not_granted(self):
        given = self.join("", keep_alive=3600, values={"session_expiry_interval": 3600}).connack.properties
        self.assertEqual({name: given.get(name) for name in (
            "maximum_qos", "retain_available", "wildcard_subscription_available", "subscription_identifier_available",
            "shared_subscription_available", "server_keep_alive", "session_expiry_interval", "receive_maximum",
            "topic_alias_maximum", "maximum_packet_size")}, {
                "maximum_qos": 1, "retain_available": 0, "wildcard_subscription_available": 0,
                "subscription_identifier_available": 0, "shared_subscription_available": 0, "server_keep_alive": 30,
                "session_expiry_interval": 60, "receive_maximum": 3, "topic_alias_maximum": None,
                "maximum_packet_size": 2048})  # fmt: skip

    @shows("MQTT-3.2.2-22")
    def test_a_keep_alive_within_the_limit_is_left_alone(self):
        self.assertNotIn("server_keep_alive", self.join("", keep_alive=10).connack.properties)

    @shows("MQTT-3.2.2-10", "MQTT-3.8.4-7")
    def test_subscriptions_at_any_qos_are_accepted(self):
        self.assertEqual(self.join().subscribe(self.topic, 2).reasons, (1,))

    @shows("MQTT-3.2.2-11")
    def test_a_publish_above_the_maximum_qos_ends_the_connection(self):
        self.assertEqual(self.violation(publish("a", qos=2, packet_id=1)), 0x9B)

    @shows("MQTT-3.2.2-12", "MQTT-3.2.2-13")
    def test_a_will_that_is_not_supported_is_refused(self):
        self.assertEqual(self.refusal(connect("x", will={"topic": "w", "qos": 2})), 0x9B)
        self.assertEqual(self.refusal(connect("x", will={"topic": "w", "retain": True})), 0x9A)

    @shows("MQTT-3.2.2-14")
    def test_a_retained_publish_ends_the_connection(self):
        self.assertEqual(self.violation(publish("a", retain=True)), 0x9A)

    def test_subscriptions_that_are_not_available_are_refused(self):
        link = self.join()
        self.assertEqual(link.subscribe("a/#").reasons, (0xA2,))
        self.assertEqual(link.subscribe("+/b").reasons, (0xA2,))
        self.assertEqual(link.subscribe("$share/g/a").reasons, (0x9E,))
        self.assertEqual(self.violation(subscribe(1, [("a", 0)], values={"subscription_identifier": 1})), 0xA1)

    @shows("MQTT-3.2.2-15")
    def test_a_packet_that_is_too_large_ends_the_connection(self):
        self.assertEqual(self.violation(publish("a", b"x" * 2048)), 0x95)
        self.assertIsNone(self.violation(publish("a", b"x" * 2048, 4), version=4))

    @shows("MQTT-3.2.2-18", "MQTT-3.2.2-17")
    def test_an_alias_where_none_is_granted_is_invalid(self):
        self.assertEqual(self.violation(publish("a", values={"topic_alias": 1})), 0x94)

    @shows("MQTT-3.3.4-7")
    def test_more_publishes_under_way_than_granted_end_the_connection(self):
        link = self.join()
        lost = self.lasting(self.name("s"))
        lost.subscribe(self.topic, 1)
        link.send(*(publish("a", qos=1, packet_id=number) for number in range(1, 4)))
        self.assertEqual([link.next().packet_id for _ in range(3)], [1, 2, 3])

    def test_a_payload_that_is_not_what_it_says_is_refused(self):
        link = self.join()
        values = {"payload_format_indicator": 1}
        self.assertEqual(link.publish("a", b"\xff", values=values).reason, 0x99)
        self.assertLess(link.publish("a", "ü".encode(), values=values).reason, 0x80)
        self.assertEqual(self.violation(publish("a", b"\xff", values=values)), 0x99)
        self.assertEqual(self.refusal(connect("x", will={"topic": "w", "payload": b"\xff", "values": values})), 0x99)


class Requests(Case):
    @shows("MQTT-3.1.2-28")
    def test_response_information_only_where_it_is_asked_for(self):
        self.assertNotIn("response_information", self.join(self.name()).connack.properties)
        self.assertNotIn("response_information", self.join(self.name("a"), values={"request_response_information": 0}).connack.properties)
        given = self.join(self.name("b"), values={"request_response_information": 1}).connack.properties
        self.assertEqual(given["response_information"], f"client/{self.name('b')}/reply")
        # A client id with a wildcard in it has no topic of its own.
        none = self.join(self.name("c+d"), values={"request_response_information": 1}).connack.properties
        self.assertNotIn("response_information", none)

    @shows("MQTT-3.1.2-29")
    def test_without_problem_information_no_reason_strings(self):
        link = self.join("", values={"request_problem_information": 0})
        for answer in (link.subscribe("chat/x/y/z"), link.publish("$SYS/x"), link.publish("chat/lobby/nothing"),
                       link.subscribe("chat/lobby/msg"), link.publish("chat/lobby/msg"), link.unsubscribe("none")):
            self.assertNotIn("reason_string", answer.properties)
            self.assertEqual(answer.user, [])

    @shows("MQTT-3.2.2-19", "MQTT-3.2.2-20", "MQTT-3.1.2-24")
    def test_connack_fits_the_maximum_packet_size(self):
        link = self.join(self.name(), values={"maximum_packet_size": 20, "request_response_information": 1})
        self.assertNotIn("response_information", link.connack.properties)
        self.assertNotIn("reason_string", link.connack.properties)

    @shows("MQTT-3.1.2-24")
    def test_a_client_that_takes_no_connack_gets_none(self):
        for size in (1, 4):
            self.assertIsNone(self.refusal(connect(self.name(), values={"maximum_packet_size": size})))
        self.assertEqual(self.refusal(connect(self.name(), values={"maximum_packet_size": 15})), 0x95)
        # Four bytes are too few for any refusal.
        self.assertIsNone(self.refusal(connect("x", values={"maximum_packet_size": 4, "authentication_method": "NO"})))
        self.assertEqual(self.refusal(connect("x", values={"maximum_packet_size": 5, "authentication_method": "NO"})), 0x8C)

    @shows("MQTT-3.1.2-22", "MQTT-3.1.2-20")
    def test_a_silent_client_is_disconnected_after_one_and_a_half_keep_alives(self):
        link = self.join("", keep_alive=1)
        started = time.monotonic()
        self.assertEqual([packet.reason for packet in link.end()], [0x8D])
        self.assertGreater(time.monotonic() - started, 1.4)

    @shows("MQTT-3.12.4-1")
    def test_pingreq_is_answered(self):
        link = self.join()
        link.forget()
        link.send(PING)
        self.assertEqual(link.exactly(2).hex(), "d000")


class Authentication(Case):
    @shows("MQTT-4.12.0-6", "MQTT-3.1.2-30")
    def test_without_a_method_connack_has_none(self):
        self.assertNotIn("authentication_method", self.join().connack.properties)

    @shows("MQTT-4.12.0-1", "MQTT-3.1.4-2")
    def test_an_unknown_method_is_refused(self):
        self.assertEqual(self.refusal(connect("x", values={"authentication_method": "NO-SUCH-METHOD"})), 0x8C)

    @shows("MQTT-4.12.0-7")
    def test_auth_without_a_method_ends_the_connection(self):
        self.assertEqual(self.violation(raw("f000")), PROTOCOL_ERROR)

    @shows("MQTT-3.15.1-1", "MQTT-3.15.2-1")
    def test_auth_of_the_wrong_form_ends_the_connection(self):
        self.assertEqual(self.violation(raw("f100")), MALFORMED)
        self.assertEqual(self.violation(raw("f0020100")), PROTOCOL_ERROR)
