#!/usr/bin/env python3
"""Who may come in and what they may do: every way of authentication with clients as people use them, and the bad cases, each
refused with its code and one log line without secrets."""

import base64
import hashlib
import hmac
import http.server
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import threading
import time
import unittest

from harness import packets
from harness.certificates import temporary_authority
from harness.client import Client
from harness.server import BINARIES, Server, clean_environment, free_port

HERE = pathlib.Path(__file__).resolve().parent
DEADLINE = 20
CTL = BINARIES / "parleyctl"
PASSWORD = "correct horse"
ACCESS = """
deny  readwrite all      plant/secret/#
allow read      user ann plant/#
allow readwrite user bob plant/#
allow readwrite all      home/%u/#
allow readwrite all      echo/#
allow readwrite all      plain/#
allow read      all      $SYS/#
"""


def ctl(*arguments, text=None, status=0):
    result = subprocess.run([str(part) for part in (CTL, *arguments)], input=text, capture_output=True, text=True,
                            timeout=60, check=False, env=clean_environment())
    if result.returncode != status:
        raise AssertionError(f"parleyctl {arguments}: {result.returncode} {result.stdout}{result.stderr}")
    return result.stdout


def base64url(data):
    return base64.urlsafe_b64encode(data.encode() if isinstance(data, str) else data).rstrip(b"=").decode()


class Scram:
    """A client of SCRAM-SHA-256, written from RFC 5802 §3."""

    def __init__(self, user, password):
        self.password = password
        self.bare = f"n={user},r={base64.b64encode(os.urandom(18)).decode()}"
        self.first = f"n,,{self.bare}".encode()

    def last(self, challenge):
        challenge = challenge.decode()
        nonce, salt, count = (part[2:] for part in challenge.split(","))
        salted = hashlib.pbkdf2_hmac("sha256", self.password.encode(), base64.b64decode(salt), int(count))
        message = f"{self.bare},{challenge},c=biws,r={nonce}".encode()
        key = hmac.digest(salted, b"Client Key", "sha256")
        signature = hmac.digest(hashlib.sha256(key).digest(), message, "sha256")
        proof = base64.b64encode(bytes(a ^ b for a, b in zip(key, signature))).decode()
        return f"c=biws,r={nonce},p={proof}".encode()


class AuthTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory, cls.authority = temporary_authority(cls, "parley-auth-")
        cls.authority.make("ann")
        cls.users = cls.directory / "users"
        for name in ("ann", "bob"):
            ctl("users", "add", "--file", cls.users, name, text=PASSWORD + "\n")
        cls.private = cls.directory / "private.json"
        cls.keys = cls.directory / "keys.json"
        made = [json.loads(ctl("token", "key", "--algorithm", algorithm, "--kid", algorithm))["keys"][0]
                for algorithm in ("RS256", "ES256", "EdDSA")]  # fmt: skip
        cls.private.write_text(json.dumps({"keys": made}), encoding="ascii")
        cls.keys.write_text(ctl("token", "publish", "--keys", cls.private), encoding="ascii")
        cls.keys.chmod(0o640)
        cls.access = cls.directory / "access"
        cls.access.write_text(ACCESS, encoding="ascii")
        cls.port, cls.mutual = free_port(), free_port()
        settings = {"auth.users_file": cls.users, "auth.keys_file": cls.keys, "auth.access_file": cls.access,
                    "auth.clock_skew": "1s", "mqtt.connect_timeout": "15s"}  # fmt: skip
        ca = cls.authority.directory
        listeners = (f'[[listener]]\nurl = "tcp://127.0.0.1:{cls.port}"\nallow_anonymous = false\n'
                     f'[[listener]]\nurl = "tls://127.0.0.1:{cls.mutual}"\nallow_anonymous = false\n'
                     f'client_certificate = "required"\nclient_ca = "{ca}/ca.crt"\n'
                     f'[[listener.certificate]]\nchain = "{ca}/server.crt"\nkey = "{ca}/server.key"\n')  # fmt: skip
        cls.server = cls.enterClassContext(Server(listeners=listeners, settings=settings))

    def token(self, user="ann", lifetime="1h", kid="ES256", claims=()):
        extra = [part for claim in claims for part in ("--claim", claim)]
        return ctl("token", "make", "--keys", self.private, "--user", user, "--lifetime", lifetime, "--kid", kid, *extra).strip()

    def connect(self, client_id, **options):
        return self.enterContext(Client(self.port, client_id, **options))

    def extended(self, client_id, method, data):
        client = self.enterContext(Client(self.port, None))
        client.send(packets.connect(client_id, values={"authentication_method": method, "authentication_data": data}))
        return client

    def scram(self, client_id, user="ann", password=PASSWORD):
        """(client, SCRAM's side, last message) once the broker has answered."""
        scram = Scram(user, password)
        client = self.extended(client_id, "SCRAM-SHA-256", scram.first)
        challenge = client.expect(packets.AUTH)
        self.assertEqual(challenge.reason, 0x18)
        last = scram.last(challenge.properties["authentication_data"])
        client.send(packets.auth(0x18, "SCRAM-SHA-256", last))
        return client, scram, last

    def refused_line(self, client_id, why):
        """The one line about it."""
        is_it = lambda line: line.get("event") == "refusing a connection" and line["client_id"] == client_id
        line = self.server.broker.wait_for(is_it, DEADLINE)
        self.assertIn(why, line["why"])
        self.assertEqual(self.server.broker.count(is_it), 1)


class BadCases(AuthTest):
    def refused(self, client_id, reason, why, version=5, **options):
        client = self.connect(client_id, version=version, **options)
        self.assertEqual(client.connack.reason, reason, why)
        client.expect_end()
        self.refused_line(client_id, why)

    def test_wrong_credentials(self):
        for at, (version, reason) in enumerate(((5, 0x86), (4, 4))):
            for name, password, why in (("ann", "wrong", "is wrong"), ("nobody", PASSWORD, "is wrong"), (None, None, "wants credentials")):
                self.refused(f"wrong-{at}-{name}", reason, why, version, username=name, password=password)

    def test_tokens(self):
        claims = json.dumps({"sub": "ann", "exp": int(time.time()) + 600})
        unsigned = base64url('{"alg":"none"}') + "." + base64url(claims) + "."
        keys = json.loads(self.keys.read_text(encoding="ascii"))["keys"]
        rsa = next(key for key in keys if key["kty"] == "RSA")
        # HS256 with what is public of the RSA key, as PEM-less bytes and as the text of the file.
        head = base64url('{"alg":"HS256","kid":"RS256"}') + "." + base64url(claims)
        forged = [head + "." + base64url(hmac.digest(secret.encode(), head.encode(), "sha256"))
                  for secret in (rsa["n"], json.dumps(rsa))]  # fmt: skip
        good = self.token()
        broken = good[:-4] + ("AAAA" if not good.endswith("AAAA") else "BBBB")
        cases = {"none": (unsigned, "none that this server takes"), "hs-1": (forged[0], "isn't its key's"),
                 "hs-2": (forged[1], "isn't its key's"), "expired": (self.token(lifetime="0"), "expired"),
                 "broken": (broken, "signature is wrong"), "audience": (self.token(claims=["aud=other"]), "audience")}  # fmt: skip
        # The broker's clock skew is a second.
        deadline = time.monotonic() + DEADLINE
        while self.connect("early-" + os.urandom(4).hex(), password=cases["expired"][0]).connack.reason == 0:
            self.assertLess(time.monotonic(), deadline)
        for name, (token, why) in cases.items():
            self.refused(f"token-{name}", 0x86, why, username="ann", password=token)
            self.refused(f"token3-{name}", 4, why, 4, username="ann", password=token)
            client = self.extended(f"method-{name}", "JWT", token.encode())
            self.assertEqual(client.expect(packets.CONNACK).reason, 0x87)
            self.refused_line(f"method-{name}", why)
            for line in self.server.broker.raw:
                self.assertNotIn(token[-20:], line)

    def test_another_users_token(self):
        self.refused("other-token", 0x86, "another user", username="bob", password=self.token("ann"))

    def test_scram(self):
        client, _, last = self.scram("scram-good")
        connack = client.expect(packets.CONNACK)
        self.assertEqual((connack.reason, connack.properties["authentication_method"]), (0, "SCRAM-SHA-256"))
        self.assertTrue(connack.properties["authentication_data"].startswith(b"v="))
        # The same last message for another challenge.
        replay = self.extended("scram-replay", "SCRAM-SHA-256", Scram("ann", PASSWORD).first)
        replay.expect(packets.AUTH)
        replay.send(packets.auth(0x18, "SCRAM-SHA-256", last))
        self.assertEqual(replay.expect(packets.CONNACK).reason, 0x87)
        replay.expect_end()
        self.refused_line("scram-replay", "of another exchange")
        wrong, _, _ = self.scram("scram-wrong", password="wrong")
        self.assertEqual(wrong.expect(packets.CONNACK).reason, 0x87)
        self.refused_line("scram-wrong", "proof is wrong")
        nobody, _, _ = self.scram("scram-nobody", user="nobody")
        self.assertEqual(nobody.expect(packets.CONNACK).reason, 0x87)

    def test_a_whole_scram_exchange_replayed(self):
        scram = Scram("ann", PASSWORD)
        first = self.extended("replay-1", "SCRAM-SHA-256", scram.first)
        last = scram.last(first.expect(packets.AUTH).properties["authentication_data"])
        first.send(packets.auth(0x18, "SCRAM-SHA-256", last))
        self.assertEqual(first.expect(packets.CONNACK).reason, 0)
        second = self.extended("replay-2", "SCRAM-SHA-256", scram.first)
        second.expect(packets.AUTH)
        second.send(packets.auth(0x18, "SCRAM-SHA-256", last))
        self.assertEqual(second.expect(packets.CONNACK).reason, 0x87)
        self.refused_line("replay-2", "of another exchange")

    def test_an_unknown_method(self):
        client = self.extended("kerberos", "GS2-KRB5", b"x")
        self.assertEqual(client.expect(packets.CONNACK).reason, 0x8C)
        self.refused_line("kerberos", "isn't served here")

    def test_passwords_are_not_logged(self):
        self.refused("logged", 0x86, "is wrong", username="ann", password="a very special password")
        for line in self.server.broker.raw:
            self.assertNotIn("special", line)

    def test_a_listener_that_nobody_guards_is_refused_at_start(self):
        for settings, words in (([], "doesn't allow_anonymous"), ([f"--set=auth.users_file={self.directory}/none"], "auth.users_file")):
            result = subprocess.run([BINARIES / "parleyd", "--listen", "tcp://0.0.0.0:0", "--data-dir", self.directory / "d", *settings],
                                    capture_output=True, text=True, timeout=60, check=False, env=clean_environment())
            self.assertEqual(result.returncode, 1)
            self.assertIn(words, result.stderr)


class LiveConnections(AuthTest):
    def test_expired_credentials_end_the_connection(self):
        client = self.connect("short", password=self.token(lifetime="2s"))
        self.assertEqual(client.connack.reason, 0)
        self.assertEqual(client.expect_end().reason, 0x87)
        self.server.broker.wait_for(lambda line: line.get("client_id") == "short" and "have expired" in line.get("why", ""))

    def test_reauthentication_prolongs_it(self):
        client = self.extended("prolonged", "JWT", self.token(lifetime="2s").encode())
        self.assertEqual(client.expect(packets.CONNACK).reason, 0)
        client.subscribe("client/prolonged/reply")
        self.assertEqual(client.message().value("notice"), "reauthenticate")
        client.send(packets.auth(0x19, "JWT", self.token(lifetime="1h").encode()))
        self.assertEqual(client.expect(packets.AUTH).reason, 0)
        self.assertIsNone(client.receive(deadline=4), "the first token has expired since then")
        client.send(packets.auth(0x19, "JWT", self.token("bob").encode()))
        self.assertEqual(client.expect_end().reason, 0x87)

    def test_reauthentication_by_scram(self):
        client, _, _ = self.scram("again")
        self.assertEqual(client.expect(packets.CONNACK).reason, 0)
        scram = Scram("ann", PASSWORD)
        client.send(packets.auth(0x19, "SCRAM-SHA-256", scram.first))
        last = scram.last(client.expect(packets.AUTH).properties["authentication_data"])
        client.send(packets.auth(0x18, "SCRAM-SHA-256", last))
        self.assertEqual(client.expect(packets.AUTH).reason, 0)

    def reload(self, event):
        count = lambda: self.server.broker.count(lambda line: line.get("event", "").startswith(event))
        before = count()
        self.server.broker.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + DEADLINE
        while count() == before:
            self.assertLess(time.monotonic(), deadline)
            threading.Event().wait(0.02)

    def until(self, holds):
        """Each thread hears of new rights in its next turn."""
        deadline = time.monotonic() + DEADLINE
        while not holds():
            self.assertLess(time.monotonic(), deadline)

    def test_users_are_read_again(self):
        name = "late-" + os.urandom(4).hex()
        self.assertEqual(self.connect("late-1", username=name, password=PASSWORD).connack.reason, 0x86)
        ctl("users", "add", "--file", self.users, name, text=PASSWORD + "\n")
        self.reload("users, keys and rights are loaded")
        self.until(lambda: self.connect("late-2", username=name, password=PASSWORD).connack.reason == 0)
        good = self.users.read_text(encoding="utf-8")
        self.users.write_text(good + "broken\n", encoding="utf-8")
        self.reload("a file of users, keys or rights can't be taken")
        self.assertEqual(self.connect("late-3", username=name, password=PASSWORD).connack.reason, 0)
        self.users.write_text(good, encoding="utf-8")
        ctl("users", "passwd", "--file", self.users, name, text="another\n")
        self.reload("users, keys and rights are loaded")
        self.until(lambda: self.connect("late-4", username=name, password=PASSWORD).connack.reason == 0x86)
        self.assertEqual(self.connect("late-5", username=name, password="another").connack.reason, 0)
        ctl("users", "remove", "--file", self.users, name)
        self.assertNotIn(name, ctl("users", "list", "--file", self.users))

    def test_rights_are_asked_about(self):
        ann = self.connect("rights-ann", username="ann", password=PASSWORD)
        bob = self.connect("rights-bob", username="bob", password=PASSWORD)
        self.assertEqual(ann.subscribe("plant/#").reasons, (1,))
        self.assertEqual(ann.subscribe("home/bob/#").reasons, (0x87,))
        self.assertEqual(ann.publish("plant/1", "x").reason, 0x87)
        self.assertEqual(bob.publish("plant/1", "x").reason, 0)
        self.assertEqual(ann.message().topic, "plant/1")
        self.assertEqual(bob.publish("plant/secret/1", "x").reason, 0x87)
        will = self.connect("rights-will", username="ann", password=PASSWORD, will=("plant/1", b"gone", 0, False))
        self.assertEqual(will.connack.reason, 0x87)
        self.access.write_text(ACCESS.replace("user ann plant", "user nobody plant"), encoding="ascii")
        self.reload("users, keys and rights are loaded")
        self.until(lambda: ann.subscribe("plant/1").reasons == (0x87,))
        bob.publish("plant/1", "y")
        self.access.write_text(ACCESS, encoding="ascii")
        self.reload("users, keys and rights are loaded")
        self.until(lambda: ann.subscribe("plant/1").reasons == (1,))
        bob.publish("plant/1", "w")
        self.assertEqual(ann.message().payload, b"w", "what came when she had no right is lost to her")


class UserService(unittest.TestCase):
    """[auth.http] with a service of ours."""

    def setUp(self):
        test = self
        self.asked = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                test.asked.append(body)
                right = body.get("password") == "secret"
                self.send_response(200 if right else 401)
                answer = json.dumps({"user": "service-" + body["user_name"]}).encode() if right else b""
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_):
                pass

        service = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=service.serve_forever, daemon=True)
        thread.start()
        self.addCleanup(thread.join)
        self.addCleanup(service.server_close)
        self.addCleanup(service.shutdown)
        self.service = service
        self.port = free_port()
        listeners = f'[[listener]]\nurl = "tcp://127.0.0.1:{self.port}"\nallow_anonymous = false\n'
        settings = {"auth.http.url": f"http://127.0.0.1:{service.server_address[1]}/login", "auth.http.cache": "1s"}
        self.server = self.enterContext(Server(listeners=listeners, settings=settings))

    def connect(self, name, password):
        with Client(self.port, name, username="ann", password=password) as client:
            return client.connack.reason

    def test_it_decides(self):
        self.assertEqual(self.connect("a", "secret"), 0)
        self.assertEqual(self.asked, [{"client_id": "a", "secure": False, "user_name": "ann", "password": "secret"}])
        self.assertEqual(self.connect("a", "secret"), 0)
        self.assertEqual(len(self.asked), 1, "the second answer was remembered")
        self.assertEqual(self.connect("a", "wrong"), 0x86)
        self.service.shutdown()
        self.service.server_close()
        self.assertEqual(self.connect("b", "secret"), 0x88)
        self.server.broker.wait_for("the user service can't be asked, refusing whom only it knows")


class Bridge(AuthTest):
    """HTTP with the same credentials; the broker decides. Its own listener for the bridge takes names on trust."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        settings = {"auth.users_file": cls.users, "auth.keys_file": cls.keys, "bridge.allow_anonymous": "false"}
        cls.server = cls.enterClassContext(Server(bridge=True, settings=settings))

    def ask(self, method="GET", path="messages", body=None, authorization=None):
        headers = {"Authorization": authorization} if authorization else {}
        status, found, answer = self.server.request(method, f"/v1/conversations/room/{path}", body=body, headers=headers)
        return status, found, answer

    def basic(self, user, password):
        return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()

    def test_everything_needs_credentials(self):
        good = self.basic("ann", PASSWORD), "Bearer " + self.token()
        for authorization in good:
            status, _, answer = self.ask("POST", body={"text": "hello"}, authorization=authorization)
            self.assertEqual(status, 201, answer)
            status, _, answer = self.ask(authorization=authorization)
            self.assertEqual((status, answer["data"][-1]["from"]), (200, "ann"))
        for authorization in (None, self.basic("ann", "wrong"), self.basic("ann", ""), self.basic("carol", ""), self.basic("carol", "x"),
                              "Bearer " + self.token()[:-5] + "AAAAA", "Bearer x", "Digest x"):
            for method, body in (("GET", None), ("POST", {"text": "hello"})):
                status, headers, answer = self.ask(method, body=body, authorization=authorization)
                self.assertEqual((status, answer["code"]), (401, "not-authenticated"), authorization)
                self.assertIn("WWW-Authenticate", headers)
            status, _, _ = self.ask(path="stream", authorization=authorization)
            self.assertEqual(status, 401)
        for line in self.server.broker.raw + self.server.bridge.raw:
            self.assertNotIn(PASSWORD, line)

    def test_what_is_not_there_is_not_made_by_reading(self):
        status, _, _ = self.server.request("GET", "/v1/conversations/nowhere/messages",
                                           headers={"Authorization": self.basic("ann", PASSWORD)})
        self.assertEqual(status, 404)
        status, _, _ = self.server.request("GET", "/v1/conversations/nowhere/messages")
        self.assertEqual(status, 401)


class Clients(AuthTest):
    def run_program(self, *command, status=0, **environment):
        result = subprocess.run([str(part) for part in command], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                                timeout=90, check=False, env=clean_environment() | environment)  # fmt: skip
        self.assertEqual(result.returncode == 0, status == 0, f"{command}: {result.stdout}{result.stderr}")
        return result.stdout

    def ways(self):
        """Each kind of credentials that goes into user name and password."""
        yield "ann", PASSWORD
        for kid in ("RS256", "ES256", "EdDSA"):
            yield "ann", self.token(kid=kid)

    def test_mosquitto(self):
        for at, (user, password) in enumerate(self.ways()):
            for version in (5, 311):
                topic = f"plain/{at}/{version}"
                who = ["-p", self.port, "-V", version, "-u", user, "-P", password]
                for qos in range(3):
                    self.run_program("mosquitto_pub", *who, "-q", qos, "-r", "-t", topic, "-m", "hello")
                    heard = self.run_program("mosquitto_sub", *who, "-q", 2, "-t", topic, "-C", 1, "-W", 20, "-F", "%q %p")
                    self.assertEqual(heard, f"{qos} hello\n")
        self.run_program("mosquitto_pub", "-p", self.port, "-u", "ann", "-P", "wrong", "-t", "plain/x", "-m", "x", status=1)

    def test_mosquitto_with_a_certificate(self):
        who = ["-h", "localhost", "-p", self.mutual, "--cafile", self.authority.file("ca.crt"), "-V", 5,
               "--cert", self.authority.file("ann.crt"), "--key", self.authority.file("ann.key")]  # fmt: skip
        self.run_program("mosquitto_pub", *who, "-q", 1, "-r", "-t", "home/ann/cert", "-m", "hello")
        self.assertEqual(self.run_program("mosquitto_sub", *who, "-t", "home/ann/#", "-C", 1, "-W", 20), "hello\n")

    def test_paho_python(self):
        for user, password in self.ways():
            self.run_program(sys.executable, HERE / "paho_echo.py", "tcp", self.port, self.authority.file("ca.crt"),
                             MQTT_USER=user, MQTT_PASSWORD=password)

    def test_paho_c_and_cpp(self):
        for user, password in self.ways():
            for program in ("paho_echo", "paho_c_echo"):
                self.run_program(BINARIES / program, f"tcp://localhost:{self.port}", self.authority.file("ca.crt"),
                                 MQTT_USER=user, MQTT_PASSWORD=password)

    def test_mosquitto_rr(self):
        """A request whose answer comes by Response Topic and Correlation Data (MQTT 5 §4.10)."""
        for user, password in self.ways():
            with self.connect("service", username=user, password=password) as service:
                service.subscribe("plain/rpc", qos=1)
                who = ["-p", self.port, "-V", 5, "-u", user, "-P", password, "-q", 1, "-i", f"{user}-rr"]
                request = subprocess.Popen([str(part) for part in ("mosquitto_rr", *who, "-t", "plain/rpc", "-e", "plain/rpc/answer",
                                                                   "-m", "ping", "-W", 20)], stdout=subprocess.PIPE, text=True,
                                           stdin=subprocess.DEVNULL, env=clean_environment())  # fmt: skip
                asked = service.message()
                service.publish(asked.properties["response_topic"], asked.payload + b" pong", qos=1)
                output, _ = request.communicate(timeout=60)
                self.assertEqual((request.returncode, output), (0, "ping pong\n"))

    def test_mqttjs(self):
        from clients_test import install_mqttjs

        program = install_mqttjs().parent / "echo-auth.mjs"
        shutil.copy(HERE / "mqttjs/echo.mjs", program)
        run = lambda **who: self.run_program("node", program, f"mqtt://localhost:{self.port}", self.authority.file("ca.crt"), **who)
        for user, password in self.ways():
            run(MQTT_USER=user, MQTT_PASSWORD=password)
        run(MQTT_USER="ann", MQTT_PASSWORD=PASSWORD, MQTT_METHOD="SCRAM-SHA-256")
        run(MQTT_PASSWORD=self.token(), MQTT_METHOD="JWT")
        run(MQTT_USER="ann", MQTT_PASSWORD="wrong", MQTT_METHOD="SCRAM-SHA-256", status=1)


if __name__ == "__main__":
    unittest.main(verbosity=2)
