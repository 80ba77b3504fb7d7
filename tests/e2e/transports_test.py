#!/usr/bin/env python3
"""Every way to connect, with clients as people use them, and what must not come in: TLS, WebSocket, both, Unix sockets, the
PROXY protocol, certificates."""

import base64
import os
import pathlib
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
import threading
import unittest

from harness import packets
from harness.certificates import Authority, temporary_authority
from harness.client import Client
from harness.server import BINARIES, Server, clean_environment, free_port

HERE = pathlib.Path(__file__).resolve().parent
DEADLINE = 20
CONNECT = packets.connect("raw", 5)


def receive(connection, count):
    data = b""
    while len(data) < count:
        part = connection.recv(count - len(data))
        if not part:
            raise AssertionError(f"the connection ended after {data}")
        data += part
    return data


def frame(payload, opcode=2, final=True, masked=True):
    """RFC 6455 §5.2, payloads below 64 KiB."""
    length = bytes([len(payload)]) if len(payload) < 126 else b"\x7e" + struct.pack(">H", len(payload))
    mask = os.urandom(4)
    head = bytes([opcode | (0x80 if final else 0), length[0] | (0x80 if masked else 0)]) + length[1:]
    if not masked:
        return head + payload
    return head + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))


def read_frame(connection):
    first, length = receive(connection, 2)
    if length == 126:
        (length,) = struct.unpack(">H", receive(connection, 2))
    return first & 0x0F, receive(connection, length)


def upgrade(connection, path="/mqtt", **headers):
    """The status and the header of the answer."""
    fields = {
        "Host": "broker", "Upgrade": "websocket", "Connection": "keep-alive, Upgrade", "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": base64.b64encode(os.urandom(16)).decode(), "Sec-WebSocket-Protocol": "mqtt",
    } | {name.replace("_", "-"): value for name, value in headers.items()}  # fmt: skip
    lines = [f"{name}: {value}" for name, value in fields.items() if value is not None]
    connection.sendall("\r\n".join([f"GET {path} HTTP/1.1", *lines, "", ""]).encode())
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        answer += receive(connection, 1)
    return int(answer.split()[1]), answer.decode()


class Transports(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory, cls.authority = temporary_authority(cls, "parley-tls-")
        cls.authority.make("other", common_name="other.example", alternative="DNS:other.example")
        cls.authority.make("rsa", common_name="rsa.example", alternative="DNS:rsa.example", rsa=True)
        cls.authority.make("alice")
        cls.authority.make("mallory")
        cls.authority.make("late", days=-1)
        cls.authority.revoke("mallory")
        cls.stranger = Authority(cls.directory / "stranger")
        cls.stranger.make("alice")
        cls.ports = {name: free_port() for name in ("tls", "tls13", "mutual", "ws", "wss", "proxy", "proxied", "closed")}
        cls.unix = cls.directory / "mqtt.sock"
        cls.server = cls.enterClassContext(Server(listeners=cls.listeners(), settings={"mqtt.connect_timeout": "5s"}))

    @classmethod
    def listeners(cls):
        ca = cls.authority.directory
        certificate = f'[[listener.certificate]]\nchain = "{ca}/server.crt"\nkey = "{ca}/server.key"\n'
        other = f'[[listener.certificate]]\nchain = "{ca}/other.crt"\nkey = "{ca}/other.key"\n'
        rsa = f'[[listener.certificate]]\nchain = "{ca}/rsa.crt"\nkey = "{ca}/rsa.key"\n'
        mutual = f'client_certificate = "required"\nclient_ca = "{ca}/ca.crt"\nclient_crl = "{ca}/ca.crl"\n'
        origins = 'origins = ["https://good.example"]\n'
        begin = lambda scheme, name: f'[[listener]]\nurl = "{scheme}://127.0.0.1:{cls.ports[name]}"\n'
        return "".join([
            begin("tls", "tls"), certificate, other, rsa,
            begin("tls", "tls13"), 'tls_min = "1.3"\n', certificate,
            begin("tls", "mutual"), mutual, certificate,
            begin("ws", "ws"), origins,
            begin("wss", "wss"), origins, certificate,
            begin("tcp", "proxy"), 'proxy_protocol = ["127.0.0.0/8"]\n',
            begin("tls", "proxied"), 'proxy_protocol = ["127.0.0.0/8"]\n', certificate,
            begin("tcp", "closed"), 'proxy_protocol = ["192.0.2.0/24"]\n',
            f'[[listener]]\nurl = "unix://{cls.unix}"\n',
        ])  # fmt: skip

    def connect(self, name):
        connection = socket.create_connection(("127.0.0.1", self.ports[name]), timeout=DEADLINE)
        self.addCleanup(connection.close)
        return connection

    def context(self, client=None, authority=None):
        context = ssl.create_default_context(cafile=self.authority.file("ca.crt"))
        if client:
            files = authority or self.authority
            context.load_cert_chain(files.file(f"{client}.crt"), files.file(f"{client}.key"))
        return context

    def secure(self, name, context=None, host="localhost", **options):
        connection = (context or self.context()).wrap_socket(self.connect(name), server_hostname=host, **options)
        self.addCleanup(connection.close)
        return connection

    def expect_connack(self, connection, data=CONNECT):
        connection.sendall(data)
        self.assertEqual(receive(connection, 2)[0], 0x20)

    def why(self, event, connection_port, why):
        line = self.server.broker.wait_for(
            lambda line: line.get("event", "").startswith(event) and line["address"].endswith(f":{connection_port}"), DEADLINE)
        self.assertIn(why, line["why"])

    def refused(self, context, why, name="mutual"):
        raw = self.connect(name)
        port = raw.getsockname()[1]
        # In TLS 1.3 a client hears of it only when it reads.
        with self.assertRaises((ssl.SSLError, ConnectionError)):
            with context.wrap_socket(raw, server_hostname="localhost") as connection:
                connection.sendall(CONNECT)
                if not connection.recv(1):
                    raise ConnectionError("closed")
        self.why("TLS handshake failed", port, why)


class Certificates(Transports):
    def test_tls_serves_both_versions_and_alpn(self):
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context = self.context()
            context.minimum_version = context.maximum_version = version
            context.set_alpn_protocols(["mqtt"])
            connection = self.secure("tls", context)
            self.assertEqual(connection.selected_alpn_protocol(), "mqtt")
            self.expect_connack(connection)

    def test_other_protocols_are_refused(self):
        context = self.context()
        context.set_alpn_protocols(["h2"])
        self.refused(context, "", "tls")

    def test_the_name_chooses_the_certificate(self):
        for host in ("localhost", "other.example"):
            names = [value for _, value in self.secure("tls", host=host).getpeercert()["subjectAltName"]]
            self.assertIn(host, names)

    def test_a_downgrade_is_refused(self):
        context = self.context()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        self.refused(context, "protocol", "tls13")

    def test_sessions_are_resumed(self):
        context = self.context()
        context.maximum_version = ssl.TLSVersion.TLSv1_2  # Its ticket comes with the handshake.
        first = self.secure("tls", context)
        self.expect_connack(first)
        self.assertTrue(self.secure("tls", context, session=first.session).session_reused)

    def test_a_client_certificate_is_asked_for(self):
        self.expect_connack(self.secure("mutual", self.context("alice")))
        self.refused(self.context(), "certificate")

    def test_a_wrong_one_is_refused(self):
        self.refused(self.context("alice", self.stranger), "")

    def test_an_expired_one_is_refused(self):
        self.refused(self.context("late"), "expired")

    def test_a_revoked_one_is_refused(self):
        self.refused(self.context("mallory"), "revoked")

    def test_plain_bytes_are_refused(self):
        connection = self.connect("tls")
        connection.sendall(CONNECT)
        self.why("TLS handshake failed", connection.getsockname()[1], "")

    def test_certificates_are_loaded_again(self):
        before = self.secure("tls13").getpeercert()["serialNumber"]
        self.authority.make("server", common_name="localhost", alternative="DNS:localhost,IP:127.0.0.1")
        self.server.broker.process.send_signal(signal.SIGHUP)
        url = f"tls://127.0.0.1:{self.ports['tls13']}"
        self.server.broker.wait_for(lambda line: line.get("event", "").startswith("certificates") and line["listener"] == url)
        connection = self.secure("tls13")
        self.assertNotEqual(connection.getpeercert()["serialNumber"], before)
        self.expect_connack(connection)


class Tls12(Transports):
    """TLS 1.2 with each of its suites, where the broker goes on with the records itself after the handshake."""

    SUITES = [(f"ECDHE-{key}-{cipher}", host) for cipher in ("AES128-GCM-SHA256", "AES256-GCM-SHA384", "CHACHA20-POLY1305")
              for key, host in (("ECDSA", "localhost"), ("RSA", "rsa.example"))]  # fmt: skip

    def context12(self, suite=None):
        context = self.context()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        if suite:
            context.set_ciphers(suite)
        return context

    def exchange(self, connection, size):
        """A message to itself at QoS 1, there and back."""
        payload = os.urandom(size)
        connection.sendall(packets.subscribe(1, [("plain/big", 0)], 4) + packets.publish("plain/big", payload, 4, qos=1, packet_id=2))
        received = b""
        while payload not in received or b"\x40" not in received:
            part = connection.recv(100_000)
            self.assertTrue(part, "the connection ended")
            received += part

    def test_each_suite_carries_big_messages(self):
        for suite, host in self.SUITES:
            with self.subTest(suite):
                connection = self.secure("tls", self.context12(suite), host=host)
                self.assertEqual((connection.version(), connection.cipher()[0]), ("TLSv1.2", suite))
                self.expect_connack(connection, packets.connect(f"big-{suite}", 4))
                for size in (1, 100, 16_384, 1_000_000):
                    self.exchange(connection, size)

    def test_each_suite_resumes_sessions(self):
        for suite, host in self.SUITES:
            with self.subTest(suite):
                context = self.context12(suite)
                connection = self.secure("tls", context, host=host)
                for round_ in range(3):
                    self.assertEqual(connection.session_reused, round_ > 0)
                    self.expect_connack(connection, packets.connect(f"again-{suite}", 4))
                    self.exchange(connection, 30_000)
                    connection = self.secure("tls", context, host=host, session=connection.session)

    def test_other_suites_are_refused(self):
        for suite in ("ECDHE-ECDSA-AES128-SHA256", "ECDHE-ECDSA-AES256-CCM", "ECDHE-RSA-AES256-SHA384", "AES128-GCM-SHA256",
                      "DHE-RSA-AES128-GCM-SHA256"):  # fmt: skip
            with self.subTest(suite):
                self.refused(self.context12(suite), "no shared cipher", "tls")

    def test_what_was_tampered_with_ends_the_connection(self):
        raw = self.connect("tls")
        port = raw.getsockname()[1]
        connection = self.context12().wrap_socket(raw, server_hostname="localhost")
        self.addCleanup(connection.close)
        self.expect_connack(connection)
        forged = b"\x17\x03\x03\x00\x30" + os.urandom(0x30)
        with socket.socket(fileno=os.dup(connection.fileno())) as below:
            below.sendall(forged)
        with self.assertRaisesRegex(ssl.SSLError, "BAD_RECORD_MAC"):
            while connection.recv(1000):
                pass
        self.why("transport refused", port, "tampered")

    def test_close_is_said_and_heard(self):
        connection = self.secure("tls", self.context12())
        self.expect_connack(connection)
        connection.sendall(packets.disconnect())
        rest = receive(connection, 1)
        while connection.recv(1000):  # An end without close_notify would be an error.
            pass
        self.assertTrue(rest)


class Reloads(Transports):
    def reload(self, name, event):
        before = len(self.server.broker.lines)
        self.server.broker.process.send_signal(signal.SIGHUP)
        url = f"tls://127.0.0.1:{self.ports[name]}"
        return self.server.broker.wait_for(
            lambda line: line.get("event") == event and line["listener"] == url
            and any(line is one for one in self.server.broker.lines[before:]), DEADLINE)  # fmt: skip

    def test_what_is_broken_changes_nothing(self):
        file = self.authority.file("server.crt")
        good = file.read_bytes()
        before = self.secure("tls").getpeercert()["serialNumber"]
        for content in (b"", good[: len(good) // 2], b"no certificate\n"):
            file.write_bytes(content)
            line = self.reload("tls", "certificates can't be loaded, the old ones stay")
            self.assertEqual(line["level"], "error")
            self.assertIn(str(file), line["error"])
            connection = self.secure("tls")
            self.assertEqual(connection.getpeercert()["serialNumber"], before)
            self.expect_connack(connection)
        file.write_bytes(good)
        self.reload("tls", "certificates are loaded again")

    def test_who_is_revoked_stays_out(self):
        self.authority.make("carol")
        context = self.context("carol")
        self.expect_connack(self.secure("mutual", context))
        self.authority.revoke("carol")
        self.reload("mutual", "certificates are loaded again")
        self.refused(context, "revoked")


class Handshakes(Transports):
    """Handshakes that don't end, and many at once, beside clients that are served."""

    def half_a_hello(self):
        """The first bytes of a ClientHello, which the server has to wait behind."""
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        try:
            self.context().wrap_bio(incoming, outgoing, server_hostname="localhost").do_handshake()
        except ssl.SSLWantReadError:
            pass
        hello = outgoing.read()
        return hello[: len(hello) // 2]

    def test_what_does_not_go_on_is_cut(self):
        silent, halfway = self.connect("tls"), self.connect("tls")
        halfway.sendall(self.half_a_hello())
        for connection in (silent, halfway):
            port = connection.getsockname()[1]
            line = self.server.broker.wait_for(
                lambda line, port=port: line.get("address", "").endswith(f":{port}") and "no CONNECT" in line["event"], DEADLINE)
            self.assertEqual(line["waited_for"], "TLS handshake")
            self.assertEqual(connection.recv(1), b"")

    def test_half_open_ones_keep_nobody_out(self):
        half = self.half_a_hello()
        opened = [self.connect("tls") for _ in range(600)]
        for connection in opened:
            connection.sendall(half)
        self.expect_connack(self.secure("tls"))

    def test_many_at_once_are_all_served(self):
        served, failed = [], []

        def connect():
            try:
                with socket.create_connection(("127.0.0.1", self.ports["tls"]), timeout=60) as raw:
                    with self.context().wrap_socket(raw, server_hostname="localhost") as connection:
                        connection.sendall(packets.connect("", 5))
                        served.append(receive(connection, 2)[0])
            except OSError as error:
                failed.append(error)

        with Client(self.server.port, "beside") as beside:
            threads = [threading.Thread(target=connect) for _ in range(100)]
            for thread in threads:
                thread.start()
            while any(thread.is_alive() for thread in threads):
                beside.send(bytes([0xC0, 0]))
                beside.expect(packets.PINGRESP)
            for thread in threads:
                thread.join()
        self.assertEqual((failed, served), ([], [0x20] * 100))


class WebSockets(Transports):
    def open(self, **headers):
        connection = self.connect("ws")
        status, _ = upgrade(connection, **headers)
        self.assertEqual(status, 101)
        return connection

    def expect_close(self, connection, code):
        opcode, payload = read_frame(connection)
        self.assertEqual((opcode, payload[:2]), (8, struct.pack(">H", code)))
        self.assertEqual(connection.recv(1), b"")

    def test_packets_may_be_cut_anywhere(self):
        connection = self.open()
        last = len(CONNECT) - 1
        for at, byte in enumerate(CONNECT):
            connection.sendall(frame(bytes([byte]), opcode=0 if at else 2, final=at == last))
            connection.sendall(frame(b"between", opcode=9))
        answers = [read_frame(connection) for _ in range(len(CONNECT) + 1)]
        self.assertEqual(sum(answer == (10, b"between") for answer in answers), len(CONNECT))
        self.assertEqual([payload[0] for opcode, payload in answers if opcode == 2], [0x20])

    def test_frames_may_be_cut_anywhere_inside_tls(self):
        connection = self.secure("wss")
        self.assertEqual(upgrade(connection)[0], 101)
        middle = len(CONNECT) // 2
        stream = frame(CONNECT[:middle], final=False) + frame(b"ping", opcode=9) + frame(CONNECT[middle:], opcode=0)
        for byte in stream:
            connection.sendall(bytes([byte]))  # A record each.
        self.assertEqual(read_frame(connection), (10, b"ping"))
        opcode, payload = read_frame(connection)
        self.assertEqual((opcode, payload[0]), (2, 0x20))

    def test_a_frame_may_hold_several_packets(self):
        connection = self.open()
        connection.sendall(frame(CONNECT + bytes([0xC0, 0]) * 100))
        answers = b""
        while not answers.endswith(bytes([0xD0, 0]) * 100):
            opcode, payload = read_frame(connection)
            self.assertEqual(opcode, 2)
            answers += payload

    def test_what_breaks_the_rules_is_closed_with_its_code(self):
        for bad, code in ((frame(CONNECT, masked=False), 1002), (frame(b"text", opcode=1), 1003),
                          (frame(b"x", opcode=0), 1002), (frame(b"x", opcode=9, final=False), 1002)):  # fmt: skip
            connection = self.open()
            connection.sendall(bad)
            self.expect_close(connection, code)

    def test_close_is_answered(self):
        connection = self.open()
        self.expect_connack(connection, frame(packets.connect("closing", 5)))
        connection.settimeout(DEADLINE)
        connection.sendall(frame(struct.pack(">H", 1001) + b"away", opcode=8))
        data = b""
        while part := connection.recv(4096):
            data += part
        self.assertTrue(data.endswith(b"\x88\x02\x03\xe9"), data)

    def expect_connack(self, connection, data=CONNECT):
        connection.sendall(data)
        opcode, payload = read_frame(connection)
        self.assertEqual((opcode, payload[0]), (2, 0x20))

    def test_origins(self):
        self.open(Origin="https://good.example")
        connection = self.connect("ws")
        status, _ = upgrade(connection, Origin="https://evil.example")
        self.assertEqual(status, 403)
        self.why("transport refused", connection.getsockname()[1], "origin")

    def test_other_requests_are_refused(self):
        for headers, wanted in (({"Sec_WebSocket_Protocol": "chat"}, 400), ({"Upgrade": None}, 426),
                                ({"Sec_WebSocket_Version": "8"}, 426), ({"X": "x" * 9000}, 431)):  # fmt: skip
            status, _ = upgrade(self.connect("ws"), **headers)
            self.assertEqual(status, wanted, headers)


class Proxies(Transports):
    def test_the_client_is_the_one_the_header_names(self):
        version_2 = b"\r\n\r\n\0\r\nQUIT\n\x21\x11" + struct.pack(">H4B4BHH", 12, 192, 0, 2, 9, 127, 0, 0, 1, 4712, 1883)
        for header, address in ((b"PROXY TCP4 192.0.2.7 127.0.0.1 4711 1883\r\n", "192.0.2.7:4711"), (version_2, "192.0.2.9:4712")):
            connection = self.connect("proxy")
            connection.sendall(header[:9])
            connection.sendall(header[9:] + b"\xc0\x00")  # No CONNECT, so that a line names the address.
            self.server.broker.wait_for(
                lambda line, address=address: line.get("address") == address and "no CONNECT" in line["event"], DEADLINE)

    def test_tls_comes_behind_the_header(self):
        connection = self.connect("proxied")
        connection.sendall(b"PROXY TCP4 192.0.2.8 127.0.0.1 4713 1883\r\n")
        with self.context().wrap_socket(connection, server_hostname="localhost") as secure:
            self.expect_connack(secure)

    def test_what_is_no_header_is_refused(self):
        signature = b"\r\n\r\n\0\r\nQUIT\n"
        for bad in (b"PROXY TCP4 192.0.2.7 127.0.0.1 4711 1883" + b" " * 100, b"PROXY TCP4 999.0.2.7 127.0.0.1 4711 1883\r\n",
                    b"PROXY TCP4 192.0.2.7 127.0.0.1 4711 65536\r\n", b"PROXY TCP9 x\r\n", b"PROXX", signature + b"\x31\x11\0\x0c",
                    signature + b"\x21\x11\xff\xff", signature + b"\x21\x11\0\x04" + bytes(4), signature + b"\x22\x11\0\0",
                    signature[:-1] + b"\r", b"GET / HTTP/1.1\r\n\r\n", os.urandom(64)):  # fmt: skip
            with self.subTest(bad=bad):
                connection = self.connect("proxy")
                connection.sendall(bad)
                self.why("transport refused", connection.getsockname()[1], "PROXY header")

    def test_a_missing_header_is_refused(self):
        connection = self.connect("proxy")
        connection.sendall(CONNECT)
        self.why("transport refused", connection.getsockname()[1], "PROXY header")

    def test_others_are_refused(self):
        connection = self.connect("closed")
        connection.sendall(b"PROXY TCP4 192.0.2.7 127.0.0.1 4711 1883\r\n" + CONNECT)
        self.why("transport refused", connection.getsockname()[1], "trusted")


class Clients(Transports):
    def run_program(self, *command):
        result = subprocess.run([str(part) for part in command], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                timeout=60, check=False, env=clean_environment())
        self.assertEqual(result.returncode, 0, f"{command}: {result.stdout}{result.stderr}")
        return result.stdout

    def mosquitto(self, *where):
        topic = "plain/" + self.id().rsplit(".", 1)[1]
        for qos in range(3):
            self.run_program("mosquitto_pub", *where, "-V", 5, "-q", qos, "-r", "-t", topic, "-m", "hello")
            heard = self.run_program("mosquitto_sub", *where, "-V", 5, "-q", 2, "-t", topic, "-C", 1, "-W", 20, "-F", "%q %p")
            self.assertEqual(heard, f"{qos} hello\n")

    def test_mosquitto_over_tls(self):
        self.mosquitto("-h", "localhost", "-p", self.ports["tls"], "--cafile", self.authority.file("ca.crt"))

    def test_mosquitto_over_tls12(self):
        self.mosquitto("-h", "localhost", "-p", self.ports["tls"], "--cafile", self.authority.file("ca.crt"),
                       "--tls-version", "tlsv1.2")

    def test_openssl_speaks_tls12(self):
        for suite in ("ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305"):
            command = ["openssl", "s_client", "-connect", f"127.0.0.1:{self.ports['tls']}", "-CAfile", self.authority.file("ca.crt"),
                       "-tls1_2", "-cipher", suite]  # fmt: skip
            accepted = [(b"", b"Verify return code"), (packets.connect("openssl", 5), self.ACCEPTED)]
            self.interact(command, [*accepted, *[(self.PING, self.PONG)] * 3])
            # What asks for another handshake is refused, and ends.
            self.interact(command, [*accepted, (b"R\n", b"no renegotiation")])

    def test_mosquitto_with_a_certificate(self):
        self.mosquitto("-h", "localhost", "-p", self.ports["mutual"], "--cafile", self.authority.file("ca.crt"),
                       "--cert", self.authority.file("alice.crt"), "--key", self.authority.file("alice.key"))

    def interact(self, command, steps):
        """Each step: what the program is told, and what must then be heard of it."""
        with subprocess.Popen([str(part) for part in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, env=clean_environment(), bufsize=0) as program:  # fmt: skip
            watchdog = threading.Timer(60, program.kill)
            watchdog.start()
            try:
                heard = b""
                for told, wanted in steps:
                    self.assertIsNone(program.poll(), f"{command} ended: {heard}")
                    program.stdin.write(told)
                    heard = b""
                    while wanted not in heard:
                        part = program.stdout.read(4096)
                        self.assertTrue(part, f"{command} ended: {heard}")
                        heard += part
            finally:
                watchdog.cancel()
                program.kill()

    PING, PONG = (b"\xc0\x00", b"\xd0\x00")
    ACCEPTED = b"\x00\x00"  # Of CONNACK; what the programs say is text.

    def test_openssl_changes_keys(self):
        update = [(b"K\n", b"KEYUPDATE"), (self.PING, self.PONG), (b"k\n", b"KEYUPDATE"), (self.PING, self.PONG)]
        for suite in ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"):
            self.interact(["openssl", "s_client", "-connect", f"127.0.0.1:{self.ports['tls']}", "-CAfile",
                           self.authority.file("ca.crt"), "-tls1_3", "-ciphersuites", suite],
                          [(b"", b"Verify return code"), (packets.connect("openssl", 5), self.ACCEPTED), *update, *update])  # fmt: skip

    def test_gnutls_changes_keys(self):
        if shutil.which("gnutls-cli") is None:
            self.skipTest("gnutls-cli isn't there")
        # A command must begin a line.
        line = packets.publish("plain", b"\n", qos=1, packet_id=1)
        update = [(line, b"\x40"), (b"^rekey^\n", b"Rekey was completed"), (self.PING, self.PONG)]
        self.interact(["gnutls-cli", "--inline-commands", "--x509cafile", self.authority.file("ca.crt"), "-p", self.ports["tls"],
                       "localhost"], [(b"", b"Handshake was completed"), (packets.connect("gnutls", 5), self.ACCEPTED), *update, *update])

    def test_mosquitto_over_a_unix_socket(self):
        self.mosquitto("--unix", self.unix)

    def test_paho_python(self):
        for kind in ("tls", "ws", "wss"):
            self.run_program(sys.executable, HERE / "paho_echo.py", kind, self.ports[kind], self.authority.file("ca.crt"))
        for kind in ("tls", "wss"):
            self.run_program(sys.executable, HERE / "paho_echo.py", kind, self.ports[kind], self.authority.file("ca.crt"), "1.2")

    def test_paho_c_and_cpp(self):
        authority, client = self.authority.file("ca.crt"), [self.authority.file("alice.crt"), self.authority.file("alice.key")]
        for scheme, name, files in (("tcp", None, []), ("ssl", "tls", []), ("ssl", "mutual", client), ("ws", "ws", []), ("wss", "wss", [])):
            port = self.ports[name] if name else self.server.port
            for program in ("paho_echo", "paho_c_echo"):
                self.run_program(BINARIES / program, f"{scheme}://localhost:{port}", authority, *files)

    def test_mqttjs(self):
        from clients_test import install_mqttjs

        program = install_mqttjs().parent / "echo.mjs"
        shutil.copy(HERE / "mqttjs/echo.mjs", program)
        urls = {"mqtt": self.server.port, "mqtts": self.ports["tls"], "ws": self.ports["ws"], "wss": self.ports["wss"]}
        for scheme, port in urls.items():
            self.run_program("node", program, f"{scheme}://localhost:{port}/mqtt", self.authority.file("ca.crt"))


if __name__ == "__main__":
    unittest.main(verbosity=2)
