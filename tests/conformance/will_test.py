"""Wills in all their cases. MQTT 5 §3.1.2.5, §3.1.3.2, §3.14."""

import time

from link import LASTING, PUBLISH, Case, connect, disconnect, let_pass, shows, subscribe


class Wills(Case):
    def setUp(self):
        super().setUp()
        self.watcher = self.join()
        self.watcher.subscribe(self.topic, 2 | 8)  # Retain As Published

    def will(self, **options):
        return {"topic": self.topic, "payload": b"gone"} | options

    def assert_none(self, wait=0.0):
        let_pass(wait)
        self.assertEqual(self.got(self.join(), self.watcher), [])

    @shows("MQTT-3.1.2-7", "MQTT-3.1.2-8", "MQTT-3.1.2-14", "MQTT-3.1.2-10")
    def test_a_lost_connection_publishes_the_will_once(self):
        self.join(self.name(), will=self.will(qos=1)).close()
        will = self.watcher.message()
        self.assertEqual((will.payload, will.qos, will.retain), (b"gone", 1, False))
        self.assert_none()

    @shows("MQTT-3.1.2-15")
    def test_a_retained_will_is_retained(self):
        self.join(self.name(), will=self.will(retain=True)).close()
        self.assertTrue(self.watcher.message().retain)
        late = self.join()
        late.subscribe(self.topic)
        self.assertEqual(late.message().payload, b"gone")
        late.publish(self.topic, b"", retain=True)

    @shows("MQTT-3.14.4-3", "MQTT-3.1.2-10", "MQTT-3.14.4-1", "MQTT-3.14.4-2")
    def test_a_normal_disconnect_drops_the_will(self):
        self.leave(self.join(self.name(), will=self.will()))
        self.assert_none()

    @shows("MQTT-3.1.2-8")
    def test_any_other_disconnect_publishes_the_will(self):
        for reason in (0x04, 0x80, 0x81, 0x97):
            link = self.join(self.name(), will=self.will())
            link.send(disconnect(reason))
            self.assertEqual(link.end(), [])
            self.assertEqual(self.watcher.message().payload, b"gone")

    @shows("MQTT-3.1.2-8")
    def test_a_violation_publishes_the_will(self):
        link = self.join(self.name(), will=self.will())
        link.send(connect("again"))
        link.end()
        self.assertEqual(self.watcher.message().payload, b"gone")

    @shows("MQTT-3.1.2-8", "MQTT-3.1.2-22")
    def test_a_keep_alive_timeout_publishes_the_will(self):
        self.join(self.name(), keep_alive=1, will=self.will())
        self.assertEqual(self.watcher.message().payload, b"gone")

    @shows("MQTT-3.1.2-8", "MQTT-3.1.4-3")
    def test_a_take_over_publishes_the_will(self):
        self.join(self.name(), will=self.will())
        self.join(self.name())
        self.assertEqual(self.watcher.message().payload, b"gone")

    @shows("MQTT-3.1.2-8")
    def test_the_delay_is_waited_for(self):
        link = self.lasting(will=self.will(values={"will_delay_interval": 1}))
        started = time.monotonic()
        link.close()
        self.watcher.message()
        self.assertGreater(time.monotonic() - started, 0.95)

    @shows("MQTT-3.1.3-9")
    def test_a_connection_within_the_delay_keeps_the_will_back(self):
        self.lasting(will=self.will(values={"will_delay_interval": 1})).close()
        self.lasting()
        self.assert_none(wait=1.3)

    @shows("MQTT-3.1.2-8", "MQTT-4.1.0-2")
    def test_the_end_of_the_session_publishes_the_will_before_its_delay(self):
        link = self.join(self.name(), values={"session_expiry_interval": 1}, will=self.will(values={"will_delay_interval": 60}))
        link.close()
        self.assertEqual(self.watcher.message().payload, b"gone")
        self.join(self.name("b"), will=self.will(values={"will_delay_interval": 60})).close()
        self.assertEqual(self.watcher.message().payload, b"gone")

    @shows("MQTT-3.1.2-8")
    def test_a_clean_start_within_the_delay_publishes_the_will(self):
        self.lasting(will=self.will(values={"will_delay_interval": 60})).close()
        self.lasting(clean=True)
        self.assertEqual(self.watcher.message().payload, b"gone")

    @shows("MQTT-3.1.3-10")
    def test_the_will_carries_its_properties(self):
        pairs = [("b", "1"), ("a", "2"), ("b", "1"), ("", "")]
        values = {"payload_format_indicator": 1, "content_type": "text/plain", "response_topic": "answers",
                  "correlation_data": b"\0\1", "message_expiry_interval": 60, "will_delay_interval": 0}  # fmt: skip
        self.join(self.name(), will=self.will(values=values, pairs=pairs)).close()
        will = self.watcher.message()
        self.assertEqual(will.user, pairs)
        self.assertLessEqual(will.properties.pop("message_expiry_interval"), 60)
        self.assertEqual(will.properties, {"payload_format_indicator": 1, "content_type": "text/plain",
                                           "response_topic": "answers", "correlation_data": b"\0\1"})  # fmt: skip

    @shows("MQTT-3.3.2-5", "MQTT-3.3.2-6")
    def test_an_interval_of_0_counts_from_the_publication(self):
        will = self.will(retain=True, values={"message_expiry_interval": 0, "will_delay_interval": 1})
        self.lasting(will=will).close()
        self.assertEqual(self.watcher.message().properties, {"message_expiry_interval": 0})
        late = self.join()
        late.subscribe(self.topic)
        self.assertEqual(self.got(self.join(), late), [])

    @shows("MQTT-3.8.3-3")
    def test_a_retained_will_is_not_for_its_own_client_without_local(self):
        name = self.name("own")
        self.join(name, will=self.will(retain=True)).close()
        self.watcher.message()
        link = self.join(name)
        link.subscribe(self.topic, 4)
        self.assertEqual(self.got(self.join(), link), [])
        link.publish(self.topic, b"", retain=True)

    def test_a_will_topic_has_no_wildcards_and_a_character(self):
        for topic in ("a/+", "#", ""):
            self.assertIn(self.refusal(connect("x", will={"topic": topic})), (0x81, 0x90), topic)

    def test_a_will_that_nobody_may_publish_is_refused(self):
        for topic, reason in (("$SYS/x", 0x87), ("$share/g/x", 0x87), ("client/other/reply", 0x87), ("chat/x/nonsense", 0x90),
                              ("/" * 201, 0x90)):  # fmt: skip
            link = self.link()
            link.send(connect("x", will={"topic": topic, "retain": True}))
            # [MQTT-3.2.2-6]: no session is present.
            self.assertEqual(link.exactly(65536)[2:4], bytes([0, reason]), topic)
            old = self.link(4)
            old.send(connect("x", 4, will={"topic": topic}))
            self.assertEqual(old.exactly(65536).hex(), "20020005", topic)

    @shows("MQTT-3.1.2-5")
    def test_the_session_goes_on_after_its_will(self):
        self.lasting(will=self.will()).close()
        self.watcher.message()
        self.assertTrue(self.lasting().connack.session_present)
