"""Every packet type in a malformed, a forbidden and an oversized form, by table. MQTT 5 §2, §4.13; exact reasons."""

from link import DISCONNECT, Case, connect, disconnect, publish, raw, shows, subscribe, unsubscribe

MALFORMED, PROTOCOL_ERROR, TOPIC_NAME, ALIAS, TOO_LARGE = 0x81, 0x82, 0x90, 0x94, 0x95

# Bytes sent after CONNECT of MQTT 5 and the DISCONNECT's reason.
# CONNECT comes with flags, properties and fields in an order of its own: connect_test.
WRONG = {
    "reserved type 0": ("00 00", MALFORMED),
    "remaining length of five bytes": ("30 ff ff ff ff 01", MALFORMED),
    "remaining length with a needless byte": ("c0 80 00", MALFORMED),
    "CONNECT with flags": ("11 00", MALFORMED),
    "CONNECT again": (connect("again").hex(), PROTOCOL_ERROR),
    "CONNACK": ("20 03 00 00 00", PROTOCOL_ERROR),
    "CONNACK with flags": ("21 03 00 00 00", MALFORMED),
    "PUBLISH QoS 3": ("36 06 0001 61 0001 00", MALFORMED),
    "PUBLISH DUP at QoS 0": ("38 04 0001 61 00", MALFORMED),
    "PUBLISH empty": ("30 00", MALFORMED),
    "PUBLISH cut in its topic": ("30 02 0005", MALFORMED),
    "PUBLISH cut in its packet id": ("32 04 0001 61 00", MALFORMED),
    "PUBLISH cut in its properties": ("30 05 0001 61 02 01", MALFORMED),
    "PUBLISH without properties": ("30 03 0001 61", MALFORMED),
    "PUBLISH topic not UTF-8": ("30 05 0002 c328 00", MALFORMED),
    "PUBLISH topic with NUL": ("30 05 0002 6100 00", MALFORMED),
    "PUBLISH topic with a surrogate": ("30 06 0003 eda080 00", MALFORMED),
    "PUBLISH id 0": ("32 06 0001 61 0000 00", MALFORMED),
    "PUBLISH property unknown": ("30 06 0001 61 02 7f00", MALFORMED),
    "PUBLISH property of CONNECT": ("30 07 0001 61 03 210001", MALFORMED),
    "PUBLISH property twice": ("30 08 0001 61 04 0100 0100", PROTOCOL_ERROR),
    "PUBLISH payload format 2": ("30 06 0001 61 02 0102", PROTOCOL_ERROR),
    "PUBLISH subscription identifier": ("30 06 0001 61 02 0b01", PROTOCOL_ERROR),
    "PUBLISH response topic with a wildcard": ("30 08 0001 61 04 08 0001 23", PROTOCOL_ERROR),
    "PUBLISH without topic and alias": ("30 03 0000 00", PROTOCOL_ERROR),
    "PUBLISH topic with a wildcard": ("30 04 0001 23 00", TOPIC_NAME),
    "PUBLISH alias 0": ("30 07 0001 61 03 230000", ALIAS),
    "PUBLISH alias above the maximum": ("30 07 0001 61 03 23ffff", ALIAS),
    "PUBLISH alias that stands for nothing": ("30 06 0000 03 230001", PROTOCOL_ERROR),
    "PUBACK empty": ("40 00", MALFORMED),
    "PUBACK cut": ("40 01 00", MALFORMED),
    "PUBACK with flags": ("41 02 0001", MALFORMED),
    "PUBACK id 0": ("40 02 0000", MALFORMED),
    "PUBACK reason": ("40 03 0001 05", PROTOCOL_ERROR),
    "PUBACK too long": ("40 05 0001 00 00 00", MALFORMED),
    "PUBACK properties cut": ("40 04 0001 00 05", MALFORMED),
    "PUBACK property of CONNECT": ("40 07 0001 00 03 210001", MALFORMED),
    "PUBREC empty": ("50 00", MALFORMED),
    "PUBREC cut": ("50 01 00", MALFORMED),
    "PUBREC with flags": ("52 02 0001", MALFORMED),
    "PUBREC id 0": ("50 02 0000", MALFORMED),
    "PUBREC reason": ("50 03 0001 92", PROTOCOL_ERROR),
    "PUBREC too long": ("50 05 0001 00 00 00", MALFORMED),
    "PUBREC properties cut": ("50 04 0001 00 05", MALFORMED),
    "PUBREC property of CONNECT": ("50 07 0001 00 03 210001", MALFORMED),
    "PUBREL empty": ("62 00", MALFORMED),
    "PUBREL cut": ("62 01 00", MALFORMED),
    "PUBREL without flags": ("60 02 0001", MALFORMED),
    "PUBREL id 0": ("62 02 0000", MALFORMED),
    "PUBREL reason": ("62 03 0001 80", PROTOCOL_ERROR),
    "PUBREL too long": ("62 05 0001 00 00 00", MALFORMED),
    "PUBREL properties cut": ("62 04 0001 00 05", MALFORMED),
    "PUBREL property of CONNECT": ("62 07 0001 00 03 210001", MALFORMED),
    "PUBCOMP empty": ("70 00", MALFORMED),
    "PUBCOMP cut": ("70 01 00", MALFORMED),
    "PUBCOMP with flags": ("71 02 0001", MALFORMED),
    "PUBCOMP id 0": ("70 02 0000", MALFORMED),
    "PUBCOMP reason": ("70 03 0001 80", PROTOCOL_ERROR),
    "PUBCOMP too long": ("70 05 0001 00 00 00", MALFORMED),
    "PUBCOMP properties cut": ("70 04 0001 00 05", MALFORMED),
    "PUBCOMP property of CONNECT": ("70 07 0001 00 03 210001", MALFORMED),
    "SUBSCRIBE without flags": ("80 07 0001 00 0001 61 00", MALFORMED),
    "SUBSCRIBE empty": ("82 00", MALFORMED),
    "SUBSCRIBE id 0": ("82 07 0000 00 0001 61 00", MALFORMED),
    "SUBSCRIBE without filters": ("82 03 0001 00", PROTOCOL_ERROR),
    "SUBSCRIBE cut in its filter": ("82 06 0001 00 0005 61", MALFORMED),
    "SUBSCRIBE without options": ("82 06 0001 00 0001 61", MALFORMED),
    "SUBSCRIBE filter not UTF-8": ("82 08 0001 00 0002 c328 00", MALFORMED),
    "SUBSCRIBE reserved options": ("82 07 0001 00 0001 61 c0", MALFORMED),
    "SUBSCRIBE QoS 3": ("82 07 0001 00 0001 61 03", PROTOCOL_ERROR),
    "SUBSCRIBE handling 3": ("82 07 0001 00 0001 61 30", PROTOCOL_ERROR),
    "SUBSCRIBE identifier 0": ("82 09 0001 02 0b00 0001 61 00", PROTOCOL_ERROR),
    "SUBSCRIBE identifier twice": ("82 0b 0001 04 0b01 0b02 0001 61 00", PROTOCOL_ERROR),
    "SUBSCRIBE property of PUBLISH": ("82 09 0001 02 0101 0001 61 00", MALFORMED),
    "SUBSCRIBE share without local": ("82 0b 0001 00 0005 2473686172652f67 00", MALFORMED),
    "SUBSCRIBE share with no local": ("82 10 0001 00 000a 24736861 72652f672f61 04", PROTOCOL_ERROR),
    "SUBACK": ("90 04 0001 00 00", PROTOCOL_ERROR),
    "SUBACK with flags": ("91 04 0001 00 00", MALFORMED),
    "UNSUBSCRIBE without flags": ("a0 06 0001 00 0001 61", MALFORMED),
    "UNSUBSCRIBE empty": ("a2 00", MALFORMED),
    "UNSUBSCRIBE id 0": ("a2 06 0000 00 0001 61", MALFORMED),
    "UNSUBSCRIBE without filters": ("a2 03 0001 00", PROTOCOL_ERROR),
    "UNSUBSCRIBE cut in its filter": ("a2 06 0001 00 0005 61", MALFORMED),
    "UNSUBSCRIBE filter not UTF-8": ("a2 07 0001 00 0002 c328", MALFORMED),
    "UNSUBSCRIBE property of SUBSCRIBE": ("a2 08 0001 02 0b01 0001 61", MALFORMED),
    "UNSUBACK": ("b0 04 0001 00 00", PROTOCOL_ERROR),
    "UNSUBACK with flags": ("b1 04 0001 00 00", MALFORMED),
    "PINGREQ with flags": ("c1 00", MALFORMED),
    "PINGREQ with a body": ("c0 01 00", MALFORMED),
    "PINGRESP": ("d0 00", PROTOCOL_ERROR),
    "PINGRESP with flags": ("d1 00", MALFORMED),
    "DISCONNECT with flags": ("e1 00", MALFORMED),
    "DISCONNECT reason": ("e0 01 85", PROTOCOL_ERROR),
    "DISCONNECT properties cut": ("e0 02 00 05", MALFORMED),
    "DISCONNECT too long": ("e0 03 00 00 00", MALFORMED),
    "DISCONNECT property of CONNECT": ("e0 05 00 03 210001", MALFORMED),
    "DISCONNECT with an expiry where there was none": ("e0 07 00 05 11 00000001", PROTOCOL_ERROR),
    "AUTH with flags": ("f1 00", MALFORMED),
    "AUTH": ("f0 00", PROTOCOL_ERROR),
    "AUTH reason": ("f0 02 01 00", PROTOCOL_ERROR),
    "AUTH properties cut": ("f0 02 19 05", MALFORMED),
    "AUTH property of CONNECT": ("f0 05 19 03 210001", MALFORMED),
} | {
    f"{name} above the limit": (f"{first:02x} ff ff ff 7f", TOO_LARGE)
    for name, first in {
        "CONNECT": 0x10, "PUBLISH": 0x30, "PUBLISH QoS 1": 0x32, "PUBACK": 0x40, "PUBREC": 0x50, "PUBREL": 0x62, "PUBCOMP": 0x70,
        "SUBSCRIBE": 0x82, "UNSUBSCRIBE": 0xA2, "DISCONNECT": 0xE0, "AUTH": 0xF0,
    }.items()
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
                self.assertEqual(bytes(link.bytes[-3:]), bytes([0xE0, 1, reason]))
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
        link = self.join(self.name(), values={"maximum_packet_size": 20})
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
