"""MQTT over WebSocket. MQTT 5 §6."""

import base64
import os
import socket
import struct

from harness.server import Server, free_port
from link import RUNNING, Case, connect, packets, shows


class Frames(Case):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.port = free_port()
        cls.web = Server(listeners=f'[[listener]]\nurl = "ws://127.0.0.1:{cls.port}"\nallow_anonymous = true')
        cls.web.__enter__()
        RUNNING.append(cls.web)

    def open(self, target="/mqtt", protocol="mqtt", fields=""):
        """A WebSocket; the answer's head."""
        link = socket.create_connection(("127.0.0.1", self.port), timeout=20)
        self.addCleanup(link.close)
        key = base64.b64encode(os.urandom(16)).decode()
        link.sendall(f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                     f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Protocol: {protocol}\r\n{fields}\r\n".encode())
        head = b""
        while b"\r\n\r\n" not in head:
            head += link.recv(1)
        return link, head.decode()

    def frame(self, data, opcode=2, final=True):
        mask = b"\1\2\3\4"
        masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(data))
        return struct.pack("!BB", (0x80 if final else 0) | opcode, 0x80 | len(data)) + mask + masked

    @shows("MQTT-6.0.0-3", "MQTT-6.0.0-4")
    def test_the_server_chooses_mqtt(self):
        _, head = self.open()
        self.assertIn("101", head.splitlines()[0])
        self.assertIn("sec-websocket-protocol: mqtt", head.lower())

    def test_a_request_may_look_otherwise(self):
        for options, protocol in (({"protocol": "MQTT"}, "MQTT"), ({"fields": "Content-Length: 0\r\n"}, "mqtt"),
                                  ({"target": f"http://127.0.0.1:{self.port}/mqtt"}, "mqtt")):  # fmt: skip
            _, head = self.open(**options)
            self.assertIn("101", head.splitlines()[0], options)
            self.assertIn(f"Sec-WebSocket-Protocol: {protocol}\r\n", head)

    @shows("MQTT-6.0.0-2", "MQTT-6.0.0-1")
    def test_packets_and_frames_need_not_meet(self):
        link, _ = self.open()
        data = connect("ws1") + packets.publish("a", b"x", qos=1, packet_id=1) + b"\xc0\0"
        for at in range(0, len(data), 5):
            link.sendall(self.frame(data[at : at + 5]))
        came = b""
        while not came.endswith(b"\xd0\0"):
            more = link.recv(4096)
            self.assertTrue(more)
            came += more
        self.assertEqual(came[0], 0x82)

    @shows("MQTT-6.0.0-1")
    def test_a_text_frame_closes(self):
        link, _ = self.open()
        link.sendall(self.frame(b"text", opcode=1))
        while link.recv(4096):
            pass
