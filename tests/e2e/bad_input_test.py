#!/usr/bin/env python3
"""What is wrong gets a clear answer: the reason code, one log line, one sentence; never a crash."""

import os
import pathlib
import subprocess
import tempfile
import unittest

from harness import packets
from harness.client import Client
from harness.server import BINARIES, Server, clean_environment

MALFORMED = 0x81
PROTOCOL_ERROR = 0x82
PACKET_TOO_LARGE = 0x95

# What is sent after CONNECT, and the reason code of the DISCONNECT. MQTT 5 §4.13.
WRONG = [
    ("a reserved packet type", b"\x00\x00", MALFORMED),
    ("QoS 3", b"\x36\x04\x00\x01ax", MALFORMED),
    ("a topic that isn't UTF-8", b"\x30\x04\x00\x01\xff\x00", MALFORMED),
    ("a remaining length of five bytes", b"\x30\xff\xff\xff\xff\x01", MALFORMED),
    ("reserved flags", b"\x80\x06\x00\x01\x00\x00\x01a", MALFORMED),
    ("a packet id of zero", b"\x82\x07\x00\x00\x00\x00\x01a\x00", MALFORMED),
    ("a second CONNECT", packets.connect("again"), PROTOCOL_ERROR),
    ("an unknown topic alias", packets.publish("", b"x", values={"topic_alias": 7}), PROTOCOL_ERROR),
    ("a packet above the limit", b"\x30\xff\xff\xff\x7f", PACKET_TOO_LARGE),
]


def run(program, *arguments):
    return subprocess.run([BINARIES / program, *map(str, arguments)], capture_output=True, text=True, timeout=60,
                          check=False, env=clean_environment())


class Packets(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.server = cls.enterClassContext(Server())

    def test_a_malformed_packet_gets_its_reason_code_and_one_log_line(self):
        for number, (what, data, reason) in enumerate(WRONG):
            with self.subTest(what), Client(self.server.port, f"wrong-{number}") as client:
                client.send(data)
                end = client.expect_end()
                self.assertIsNotNone(end, "closed without DISCONNECT")
                self.assertEqual(end.reason, reason)
                mine = lambda line, name=f"wrong-{number}": line.get("client_id") == name and line["level"] != "debug"
                line = self.server.broker.wait_for(mine)
                self.assertTrue(any("127.0.0.1" in str(value) for value in line.values()), line)
                self.assertEqual(self.server.broker.count(mine), 1)

    def test_what_is_no_mqtt_at_all_is_closed(self):
        for data in (b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00", b"\x10\x04\x00\x04MQ"):
            with self.subTest(data), Client(self.server.port, None) as client:
                client.send(data)
                client.expect_end()
        with Client(self.server.port, "after") as client:
            self.assertEqual(client.connack.reason, 0)

    def test_a_refused_publish_says_why(self):
        with Client(self.server.port, "refused") as client:
            for topic, payload, user, reason, word in [
                ("chat/lobby/msg/more", b"x", (), 0x90, "invalid-topic"),
                ("chat/lobby/nothing", b"x", (), 0x90, "invalid-topic"),
                ("chat/lobby/json", b"not json", (), 0x99, "invalid-payload"),
                ("chat/lobby/msg", b"x", (("id", "x" * 129),), 0x99, "invalid-id"),
                ("chat/lobby/msg", b"x" * 300_000, (), 0x97, "too-large"),
            ]:
                with self.subTest(topic=topic, word=word):
                    answer = client.publish(topic, payload, qos=1, user=user)
                    self.assertEqual((answer.reason, answer.value("error")), (reason, word))
                    self.assertTrue(answer.properties.get("reason_string"))


class Start(unittest.TestCase):
    def setUp(self):
        self.directory = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory(prefix="parley-e2e-")))

    def refused(self, *arguments, program="parleyd"):
        """The one sentence on standard error."""
        result = run(program, *arguments)
        self.assertNotEqual(result.returncode, 0)
        self.assertGreater(result.returncode, 0, "it must not die of a signal")
        sentences = [line for line in result.stderr.splitlines() if line.startswith(f"{program}: ")]
        self.assertEqual(len(sentences), 1, result.stderr)
        return sentences[0]

    def listening(self, *arguments):
        return ("--listen", "tcp://127.0.0.1:0", "--data-dir", self.directory / "data", *arguments)

    def test_an_unknown_setting_names_the_nearest_known_one(self):
        for program in ("parleyd", "parley-bridge"):
            sentence = self.refused("--set", "mqtt.max_packet_sise=1MB", program=program)
            self.assertIn("mqtt.max_packet_sise", sentence)
            self.assertIn("mqtt.max_packet_size", sentence)
            path = self.directory / "wrong.toml"
            path.write_text("[chat]\nautocreate = true\n", encoding="utf-8")
            sentence = self.refused("--config", path, program=program)
            self.assertIn("chat.autocreate", sentence)
            self.assertIn("chat.auto_create", sentence)

    def test_a_value_of_the_wrong_kind_names_the_setting(self):
        for pair in ("mqtt.max_qos=3", "mqtt.max_keepalive=soon", "storage.log_size=-1", "log.level=loud"):
            self.assertIn(pair.split("=")[0], self.refused("--set", pair))

    def test_an_open_door_is_refused(self):
        self.assertIn("0.0.0.0", self.refused("--listen", "tcp://0.0.0.0:0", "--data-dir", self.directory / "data"))

    def test_a_data_directory_in_use_is_refused(self):
        with Server() as server:
            sentence = self.refused("--listen", "tcp://127.0.0.1:0", "--data-dir", server.data)
            self.assertIn(str(server.data), sentence)
            self.assertIn("use", sentence)

    def test_a_data_directory_that_is_a_file_is_refused(self):
        path = self.directory / "file"
        path.write_text("", encoding="utf-8")
        self.assertIn(str(path), self.refused("--listen", "tcp://127.0.0.1:0", "--data-dir", path))

    @unittest.skipIf(os.geteuid() != 0, "needs root to become somebody else")
    def test_a_data_directory_that_is_not_writable_is_refused(self):
        path = self.directory / "locked"
        path.mkdir(mode=0o555)
        self.directory.chmod(0o755)
        command = [BINARIES / "parleyd", "--listen", "tcp://127.0.0.1:0", "--data-dir", path]
        result = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *map(str, command)],
                                capture_output=True, text=True, timeout=60, check=False, env=clean_environment())
        self.assertGreater(result.returncode, 0)
        self.assertIn(str(path), result.stderr)
        self.assertIn("parleyd: ", result.stderr)

    def test_a_newer_format_is_refused(self):
        with Server(directory=self.directory) as server:
            with Client(server.port, "alice") as alice:
                alice.publish("chat/lobby/msg", "hello")
            server.broker.stop()
        found = raise_format_version(self.directory / "data")
        self.assertTrue(found, "no format version was found to be raised")
        sentence = self.refused(*self.listening())
        self.assertIn("newer", sentence)


def raise_format_version(data):
    """Writes 999 where log.mdb says its format's version: docs/formats/log.md."""
    path = data / "storage-0/log.mdb"
    content = bytearray(path.read_bytes())
    magic, found, at = b"parley log", 0, 0
    while (at := content.find(magic, at)) >= 0:
        at += len(magic)
        content[at : at + 4] = (999).to_bytes(4, "big")
        found += 1
    path.write_bytes(content)
    return found > 0


if __name__ == "__main__":
    unittest.main(verbosity=2)
