"""Every packet type in a malformed, a forbidden and an oversized form, by table. MQTT 5 §2, §4.13; exact reasons."""

from link import DISCONNECT, Case, connect, disconnect, publish, raw, shows, subscribe, unsubscribe

MALFORMED, PROTOCOL_ERROR, TOO_LARGE = 0x81, 0x82, 0x95

# Bytes sent after CONNECT of MQTT 5 and the DISCONNECT's reason.
WRONG = {
    "reserved type 0": ("00 00", MALFORMED),
    "CONNECT with flags": ("11 00", MALFORMED),
    "CONNECT again": (connect("again").hex(), PROTOCOL_ERROR),
    "CONNACK": ("20 03 00 00 00", PROTOCOL_ERROR),
    "CONNACK with flags": ("21 03 00 00 00", MALFORMED),
    "PUBLISH QoS 3": ("36 06 0001 61 0001 00", MALFORMED),
    "PUBLISH DUP at QoS 0": ("38 04 0001 61 00", MALFORMED),
    "PUBLISH empty": ("30 00", MALFORMED),
    "PUBLISH cut": ("30 02 0005", MALFORMED),
    "PUBACK empty": ("40 00", MALFORMED),
    "PUBACK with flags": ("41 02 0001", MALFORMED),
    "PUBACK id 0": ("40 02 0000", MALFORMED),
    "PUBACK reason": ("40 03 0001 05", PROTOCOL_ERROR),
    "PUBACK too long": ("40 05 0001 00 00 00", MALFORMED),
    "PUBREC with flags": ("52 02 0001", MALFORMED),
    "PUBREC reason": ("50 03 0001 92", PROTOCOL_ERROR),
    "PUBREL without flags": ("60 02 0001", MALFORMED),
    "PUBREL reason": ("62 03 0001 80", PROTOCOL_ERROR),
    "PUBCOMP with flags": ("71 02 0001", MALFORMED),
    "PUBCOMP reason": ("70 03 0001 80", PROTOCOL_ERROR),
    "SUBSCRIBE without flags": ("80 07 0001 00 0001 61 00", MALFORMED),
    "SUBSCRIBE without filters": ("82 03 0001 00", PROTOCOL_ERROR),
    "SUBSCRIBE reserved options": ("82 07 0001 00 0001 61 c0", MALFORMED),
    "SUBSCRIBE QoS 3": ("82 07 0001 00 0001 61 03", PROTOCOL_ERROR),
    "SUBSCRIBE handling 3": ("82 07 0001 00 0001 61 30", PROTOCOL_ERROR),
    "SUBACK": ("90 04 0001 00 00", PROTOCOL_ERROR),
    "UNSUBSCRIBE without flags": ("a0 06 0001 00 0001 61", MALFORMED),
    "UNSUBSCRIBE without filters": ("a2 03 0001 00", PROTOCOL_ERROR),
    "UNSUBACK": ("b0 04 0001 00 00", PROTOCOL_ERROR),
    "PINGREQ with flags": ("c1 00", MALFORMED),
    "PINGREQ with a body": ("c0 01 00", MALFORMED),
    "PINGRESP": ("d0 00", PROTOCOL_ERROR),
    "DISCONNECT with flags": ("e1 00", MALFORMED),
    "DISCONNECT reason": ("e0 01 85", PROTOCOL_ERROR),
    "DISCONNECT properties cut": ("e0 02 00 05", MALFORMED),
    "AUTH with flags": ("f1 00", MALFORMED),
    "AUTH": ("f0 00", PROTOCOL_ERROR),
    "remaining length of five bytes": ("30 ff ff ff ff 01", MALFORMED),
    "PUBLISH above the limit": ("30 ff ff ff 7f", TOO_LARGE),
    "SUBSCRIBE above the limit": ("82 ff ff ff 7f", TOO_LARGE),
    "UNSUBSCRIBE above the limit": ("a2 ff ff ff 7f", TOO_LARGE),
    "PUBACK above the limit": ("40 ff ff ff 7f", TOO_LARGE),
    "PUBREC above the limit": ("50 ff ff ff 7f", TOO_LARGE),
    "PUBREL above the limit": ("62 ff ff ff 7f", TOO_LARGE),
    "PUBCOMP above the limit": ("70 ff ff ff 7f", TOO_LARGE),
    "DISCONNECT above the limit": ("e0 ff ff ff 7f", TOO_LARGE),
    "AUTH above the limit": ("f0 ff ff ff 7f", TOO_LARGE),
}


class Input(Case):
    @shows("MQTT-4.13.1-1", "MQTT-2.1.3-1", "MQTT-3.14.1-1", "MQTT-3.14.2-1", "MQTT-4.13.2-1", "MQTT-1.5.5-1", "MQTT-3.15.1-1",
           "MQTT-3.14.2-2")
    def test_wrong_packets_get_their_reason(self):
        for name, (data, reason) in WRONG.items():
            with self.subTest(name):
                link = self.join()
                link.send(raw(data))
                said = link.end()
                self.assertEqual([(packet.type, packet.reason) for packet in said], [(DISCONNECT, reason)])
                self.assertNotIn("session_expiry_interval", said[0].properties)

    @shows("MQTT-3.14.0-1", "MQTT-3.1.4-1")
    def test_before_connack_there_is_no_disconnect(self):
        for name, (data, _) in WRONG.items():
            if name == "CONNECT again":
                continue
            with self.subTest(name):
                link = self.link()
                link.send(raw(data))
                self.assertEqual([packet for packet in link.end() if packet.type == DISCONNECT], [])

    @shows("MQTT3-4.8.0-1")
    def test_3_1_1_is_closed_without_a_word(self):
        for name, data in {
                "type 0": "00 00", "CONNECT again": connect("again", 4).hex(), "CONNACK": "20 02 0000", "QoS 3": "36 05 0001 61 0001",
                "PUBLISH cut": "30 02 0005", "PUBREL without flags": "60 02 0001", "SUBSCRIBE without filters": "82 02 0001",
                "SUBSCRIBE options": "82 06 0001 0001 61 04", "UNSUBSCRIBE without filters": "a2 02 0001", "SUBACK": "90 03 0001 00",
                "DISCONNECT with flags": "e1 00", "DISCONNECT with a body": "e0 01 00", "AUTH": "f0 00", "too large": "30 ff ff ff 7f",
                "no topic": "30 02 0000", "wildcard": "30 03 0001 23",
        }.items():
            with self.subTest(name):
                self.assertIsNone(self.violation(raw(data), version=4))

    @shows("MQTT-3.14.2-3", "MQTT-3.14.2-4")
    def test_a_disconnect_fits_the_maximum_packet_size(self):
        link = self.join("", values={"maximum_packet_size": 20})
        link.forget()
        link.send(raw("00 00"))
        link.end()
        self.assertLessEqual(len(link.bytes), 20)

    def test_a_first_packet_of_any_size_is_refused_in_time(self):
        for data in (raw("10 ff ff ff 7f"), raw("10 ff ff ff ff 01"), raw("10 ff ff 7f")):
            link = self.link()
            link.send(data)
            self.assertEqual([packet for packet in link.end() if packet.reason < 0x80], [])

    @shows("MQTT-3.14.4-1", "MQTT-3.14.4-2", "MQTT-4.13.2-1")
    def test_after_disconnect_the_server_closes_and_does_nothing_more(self):
        watcher = self.join()
        watcher.subscribe(self.topic)
        link = self.join()
        link.send(disconnect(), publish(self.topic))
        self.assertEqual(link.end(), [])
        self.assertEqual(self.got(self.join(), watcher), [])

    def test_packets_cut_anywhere_are_put_together(self):
        data = connect(self.name()) + subscribe(1, [(self.topic, 0)]) + publish(self.topic, b"x" * 300) + unsubscribe(2, [self.topic])
        link = self.link()
        for at in range(0, len(data), 7):
            link.send(data[at : at + 7])
        self.assertEqual({link.next().type for _ in range(4)}, {2, 9, 3, 11})
