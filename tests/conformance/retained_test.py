"""Retained messages. MQTT 5 §3.3.1.3, §3.8.3.1."""

from link import PUBLISH, Case, let_pass, shows, subscribe


class Retained(Case):
    def setUp(self):
        super().setUp()
        self.publisher = self.join()
        self.addCleanup(self.clear)

    def clear(self):
        link = self.link().join()
        link.publish(self.topic, b"", retain=True)

    def retain(self, payload=b"kept", **options):
        self.publisher.publish(self.topic, payload, retain=True, **options)

    def found(self, name=None, options=0, link=None):
        """What a new subscription is given."""
        link = link or self.join()
        link.subscribe(name or self.topic, options)
        return [packet for packet in self.got(self.publisher, link) if packet.topic == self.topic]

    @shows("MQTT-3.3.1-5", "MQTT-3.3.1-9")
    def test_the_last_one_is_given_to_new_subscriptions(self):
        self.retain(b"first")
        self.retain(b"second", qos=2)
        for name in (self.topic, "#", self.topic + "/#", "+/+"):
            found = self.found(name, 1)
            self.assertEqual([(packet.payload, packet.retain, packet.qos) for packet in found], [(b"second", True, 1)], name)

    @shows("MQTT-3.3.1-5")
    def test_a_qos_0_one_replaces_another(self):
        self.retain(b"first")
        self.retain(b"second", qos=0)
        self.settle(self.publisher)
        self.assertEqual([packet.payload for packet in self.found()], [b"second"])

    @shows("MQTT-3.3.1-6", "MQTT-3.3.1-7")
    def test_an_empty_payload_removes_it(self):
        watcher = self.join()
        watcher.subscribe(self.topic, 8)
        self.retain()
        self.retain(b"")
        self.assertEqual([(packet.payload, packet.retain) for packet in self.got(self.publisher, watcher)],
                         [(b"kept", True), (b"", True)])
        self.assertEqual(self.found(), [])

    @shows("MQTT-3.3.1-8")
    def test_a_message_without_retain_leaves_it(self):
        self.retain()
        self.publisher.publish(self.topic, b"passing")
        self.assertEqual([packet.payload for packet in self.found()], [b"kept"])

    @shows("MQTT-3.3.1-9", "MQTT-3.3.1-10", "MQTT-3.3.1-11", "MQTT-3.8.4-4")
    def test_retain_handling(self):
        self.retain()
        for handling, counts in ((0, (1, 1)), (1, (1, 0)), (2, (0, 0))):
            link = self.join()
            self.assertEqual(tuple(len(self.found(options=handling << 4, link=link)) for _ in range(2)), counts, handling)

    @shows("MQTT-3.3.1-12", "MQTT-3.3.1-13")
    def test_retain_as_published(self):
        plain, exact = self.join(), self.join()
        plain.subscribe(self.topic)
        exact.subscribe(self.topic, 8)
        self.retain()
        self.publisher.publish(self.topic, b"passing")
        self.assertEqual([packet.retain for packet in self.got(self.publisher, plain)], [False, False])
        self.assertEqual([packet.retain for packet in self.got(self.publisher, exact)], [True, False])

    @shows("MQTT-3.3.2-5", "MQTT-3.3.2-6")
    def test_it_expires(self):
        self.retain(values={"message_expiry_interval": 2})
        self.assertIn(self.found()[0].properties["message_expiry_interval"], (1, 2))
        let_pass(2.1)
        self.assertEqual(self.found(), [])

    @shows("MQTT-3.3.1-5", "MQTT-3.3.2-5")
    def test_an_interval_of_0_leaves_none(self):
        watcher = self.join()
        watcher.subscribe(self.topic)
        self.retain(b"old")
        self.retain(b"now", values={"message_expiry_interval": 0})
        self.assertEqual([(packet.payload, packet.properties) for packet in self.got(self.publisher, watcher)],
                         [(b"old", {}), (b"now", {"message_expiry_interval": 0})])
        self.assertEqual(self.found(), [])

    def test_it_keeps_its_properties(self):
        values = {"content_type": "a/b", "response_topic": "r", "correlation_data": b"1", "payload_format_indicator": 0}
        self.retain(values=values, pairs=[("b", "1"), ("a", "2")])
        found = self.found()[0]
        self.assertEqual((found.properties, found.user), (values, [("b", "1"), ("a", "2")]))

    @shows("MQTT-3.3.4-3")
    def test_it_has_the_identifier_of_the_subscription(self):
        self.retain()
        link = self.join()
        link.subscribe(self.topic, 0, {"subscription_identifier": 7})
        self.assertEqual(link.message().properties, {"subscription_identifier": 7})

    @shows("MQTT-3.8.3-3")
    def test_no_local_holds_for_it(self):
        self.retain()
        self.assertEqual(self.found(options=4, link=self.publisher), [])
        self.assertEqual(len(self.found(options=4)), 1)

    @shows("MQTT-3.8.3-3")
    def test_no_local_goes_by_the_client_id(self):
        for clean in (True, False):
            link = self.lasting()
            link.publish(self.topic, b"mine", retain=True)
            self.leave(link)
            link = self.lasting(clean=clean)
            self.assertEqual(self.found(options=4, link=link), [], clean)
            self.leave(link)
        self.assertEqual(len(self.found(options=4)), 1)
