"""The flows of QoS 1 and 2, in both directions and over lost connections. MQTT 5 §3.4 to §3.7, §4.3, §4.4."""

from link import (LASTING, PUBACK, PUBCOMP, PUBLISH, PUBREC, PUBREL, Case, ack, connect, disconnect, let_pass, publish, raw, shows, subscribe)


class Inbound(Case):
    @shows("MQTT-4.3.2-4", "MQTT-2.2.1-5", "MQTT-3.3.4-1", "MQTT-3.4.2-1")
    def test_a_qos_1_publish_gets_this_puback(self):
        link = self.join()
        link.subscribe(self.topic)
        link.forget()
        link.send(publish(self.topic, qos=1, packet_id=513))
        self.settle(link)
        self.assertIn(raw("40 02 0201"), bytes(link.bytes))

    @shows("MQTT-4.3.2-5")
    def test_after_puback_the_packet_identifier_is_free(self):
        link, watcher = self.join(), self.join()
        watcher.subscribe(self.topic, 1)
        for dup in (False, True):
            link.send(publish(self.topic, b"%d" % dup, qos=1, packet_id=7, dup=dup))
            self.assertEqual(link.expect(PUBACK).packet_id, 7)
        self.assertEqual([watcher.take().payload for _ in range(2)], [b"0", b"1"])

    @shows("MQTT-4.3.3-8", "MQTT-4.3.3-10", "MQTT-4.3.3-11", "MQTT-4.3.3-12", "MQTT-3.5.2-1", "MQTT-3.7.2-1", "MQTT-3.6.2-1")
    def test_a_qos_2_publish_is_delivered_once(self):
        link, watcher = self.join(), self.join()
        watcher.subscribe(self.topic, 2)
        for dup in (False, True, True):
            link.send(publish(self.topic, b"one", qos=2, packet_id=9, dup=dup))
            self.assertEqual(link.expect(PUBREC).packet_id, 9)
        link.send(ack(PUBREL, 9))
        self.assertEqual((link.next().type, watcher.take().payload), (PUBCOMP, b"one"))
        link.send(publish(self.topic, b"two", qos=2, packet_id=9))
        link.expect(PUBREC)
        self.assertEqual(watcher.take().payload, b"two")
        link.send(ack(PUBREL, 9), ack(PUBREL, 9))
        self.assertEqual([link.expect(PUBCOMP).reason for _ in range(2)], [0, 0x92])

    @shows("MQTT-4.3.3-11")
    def test_each_pubrel_has_its_pubcomp(self):
        for link in (self.join(), self.lasting()):
            link.send(publish(self.topic, qos=2, packet_id=9))
            link.expect(PUBREC)
            link.send(raw("62 02 0009") * 3)
            self.assertEqual([link.expect(PUBCOMP).packet_id for _ in range(3)], [9, 9, 9])

    @shows("MQTT-4.3.3-4")
    def test_each_pubrec_has_its_pubrel(self):
        for link in (self.join(), self.lasting()):
            link.subscribe(self.topic, 2)
            self.join().publish(self.topic, qos=2)
            packet_id = link.message().packet_id
            link.send(ack(PUBREC, packet_id) * 2)
            self.assertEqual([link.expect(PUBREL).packet_id for _ in range(2)], [packet_id] * 2)

    @shows("MQTT-4.3.3-10", "MQTT-4.4.0-1")
    def test_a_qos_2_publish_is_delivered_once_over_connections(self):
        watcher = self.join()
        watcher.subscribe(self.topic, 2)
        link = self.lasting()
        link.send(publish(self.topic, b"one", qos=2, packet_id=9))
        link.expect(PUBREC)
        link.close()
        link = self.lasting()
        link.send(publish(self.topic, b"one", qos=2, packet_id=9, dup=True), ack(PUBREL, 9))
        self.assertEqual([link.next().type, link.next().type], [PUBREC, PUBCOMP])
        self.assertEqual(watcher.take().payload, b"one")
        self.assertEqual(self.got(link, watcher), [])

    @shows("MQTT-4.3.3-9")
    def test_after_a_refusing_pubrec_the_packet_identifier_is_free(self):
        link = self.join()
        link.send(publish("$SYS/x", qos=2, packet_id=5))
        self.assertEqual(link.expect(PUBREC).reason, 0x87)
        watcher = self.join()
        watcher.subscribe(self.topic, 2)
        link.send(publish(self.topic, qos=2, packet_id=5, dup=True))
        self.assertLess(link.expect(PUBREC).reason, 0x80)
        watcher.take()

    @shows("MQTT-3.4.2-2", "MQTT-3.4.2-3", "MQTT-3.5.2-2", "MQTT-3.5.2-3")
    def test_reasons_fit_the_maximum_packet_size(self):
        link = self.join(self.name(), values={"maximum_packet_size": 30})
        for qos in (1, 2):
            answer = link.publish("chat/lobby/nothing", qos=qos)
            self.assertGreaterEqual(answer.reason, 0x80)
            self.assertEqual((answer.properties, answer.user), ({}, []))

    @shows("MQTT-3.6.1-1", "MQTT-2.1.3-1", "MQTT-3.6.2-1", "MQTT-3.4.2-1", "MQTT-3.5.2-1", "MQTT-3.7.2-1")
    def test_acknowledgements_of_the_wrong_form_end_the_connection(self):
        for data in ("6002 0001", "6402 0001", "4202 0001", "5202 0001", "7202 0001", "4001 00", "4002 0000", "6202 0000",
                     "4003 0001 77", "5003 0001 92", "6203 0001 10", "7003 0001 97", "4004 0001 0005",
                     "4008 0001 00 04 1f 0001 ff"):  # fmt: skip
            with self.subTest(data):
                self.assertIn(self.violation(raw(data)), (0x81, 0x82))

    def test_receive_maximum_counts_what_is_not_released(self):
        link = self.join()
        most = link.connack.properties["receive_maximum"]
        link.send(*(publish("a", qos=2, packet_id=number) for number in range(1, most + 2)))
        self.assertEqual(link.end()[-1].reason, 0x93)


class Outbound(Case):
    @shows("MQTT-4.3.2-1", "MQTT-4.3.2-2", "MQTT-4.3.2-3", "MQTT-2.2.1-4", "MQTT-3.3.1-3", "MQTT-4.3.3-1", "MQTT-4.3.3-2")
    def test_messages_are_sent_with_dup_0_and_identifiers_of_their_own(self):
        link, publisher = self.join(), self.join()
        link.subscribe(self.topic, 2)
        for number in range(1, 21):
            publisher.send(publish(self.topic, qos=1 + number % 2, packet_id=number, dup=True))
        came = [link.message() for _ in range(20)]
        self.assertEqual(len({packet.packet_id for packet in came}), 20)
        self.assertTrue(all(packet.packet_id and not packet.dup for packet in came))
        self.assertEqual(link.ping(), [])  # Nothing is sent again on a connection that stands.

    @shows("MQTT-4.6.0-6")
    def test_messages_of_several_qos_keep_their_order(self):
        """More than the specification asks for: it speaks of those of one QoS."""
        payloads = [b"%d" % number for number in range(60)]
        sent = b"".join(publish(self.topic, payload, qos=1 + number % 2, packet_id=number + 1)
                        for number, payload in enumerate(payloads))
        for link in (self.join(self.name("once")), self.lasting()):
            link.subscribe(self.topic, 2)
            self.join().send(sent)
            self.assertEqual([link.message().payload for _ in payloads], payloads)
        link.close()
        self.leave(self.lasting(values=LASTING | {"receive_maximum": 1}))
        publisher = self.join()
        publisher.send(sent)
        self.settle(publisher)
        again = self.lasting()
        self.assertEqual([again.message().payload for _ in range(2 * len(payloads))], payloads * 2)

    @shows("MQTT-4.4.0-1", "MQTT-3.3.1-1", "MQTT-4.6.0-1", "MQTT-4.3.2-3", "MQTT-4.3.3-3")
    def test_what_is_unacknowledged_is_sent_again_on_a_reconnect(self):
        link = self.lasting()
        link.subscribe(self.topic, 2)
        publisher = self.join()
        for number in range(6):
            publisher.publish(self.topic, b"%d" % number, qos=1 + number % 2)
        first = [link.message() for _ in range(6)]
        link.send(ack(PUBACK, first[0].packet_id), ack(PUBACK, first[2].packet_id, 0x80))
        self.settle(link)
        link.close()
        link = self.lasting()
        again = [link.message() for _ in range(4)]
        wanted = [first[1], *first[3:]]
        self.assertEqual([(packet.packet_id, packet.payload, packet.qos) for packet in again],
                         [(packet.packet_id, packet.payload, packet.qos) for packet in wanted])
        self.assertTrue(all(packet.dup for packet in again))
        self.assertEqual(link.ping(), [])

    @shows("MQTT-4.3.3-4", "MQTT-4.3.3-5", "MQTT-4.3.3-6", "MQTT-4.4.0-1", "MQTT-2.2.1-5")
    def test_after_pubrec_only_pubrel_is_sent_again(self):
        link = self.lasting()
        link.subscribe(self.topic, 2)
        self.join().publish(self.topic, qos=2)
        came = link.message()
        link.send(ack(PUBREC, came.packet_id))
        self.assertEqual(link.expect(PUBREL).packet_id, came.packet_id)
        link.close()
        for _ in range(2):
            link = self.lasting()
            self.assertEqual(link.expect(PUBREL).packet_id, came.packet_id)
            self.assertEqual(link.ping(), [])
            link.close()
        link = self.lasting()
        link.expect(PUBREL)
        link.send(ack(PUBCOMP, came.packet_id))
        self.settle(link)
        link.close()
        self.assertEqual(self.lasting().ping(), [])

    @shows("MQTT-4.4.0-2")
    def test_a_refusing_pubrec_settles_a_message(self):
        link = self.lasting()
        link.subscribe(self.topic, 2)
        self.join().publish(self.topic, qos=2)
        link.send(ack(PUBREC, link.message().packet_id, 0x83))
        self.assertEqual(link.ping(), [])
        link.close()
        self.assertEqual(self.lasting().ping(), [])

    @shows("MQTT-4.3.3-7", "MQTT-4.3.3-13")
    def test_a_message_whose_delivery_has_begun_does_not_expire(self):
        link = self.lasting()
        link.subscribe(self.topic, 2)
        self.join().publish(self.topic, qos=2, values={"message_expiry_interval": 1})
        first = link.message()
        link.close()
        let_pass(1.2)
        link = self.lasting()
        again = link.take()
        self.assertEqual((again.packet_id, again.dup), (first.packet_id, True))

    @shows("MQTT-3.6.2-2", "MQTT-3.6.2-3", "MQTT-3.7.2-2", "MQTT-3.7.2-3")
    def test_pubrel_and_pubcomp_have_no_reason_strings(self):
        link = self.join(self.name(), values={"maximum_packet_size": 30})
        link.send(ack(PUBREL, 77), ack(PUBREC, 78))
        self.assertEqual([(link.next().type) for _ in range(2)], [PUBCOMP, PUBREL])

    def test_acknowledging_what_was_not_sent_is_tolerated_or_refused_but_never_counted(self):
        link = self.join("", values={"receive_maximum": 1})
        link.subscribe(self.topic, 1)
        link.send(ack(PUBACK, 9), ack(PUBCOMP, 9))
        publisher = self.join()
        for _ in range(3):
            publisher.publish(self.topic)
        link.message()
        self.assertEqual(link.ping(), [])
