"""Extended authentication by SCRAM-SHA-256. MQTT 5 §4.12; RFC 5802, RFC 7677."""

import atexit
import base64
import hashlib
import hmac
import os
import tempfile

from harness import packets
from harness.packets import AUTH, CONNACK
from link import Case, connect, shows

METHOD, PASSWORD, ROUNDS, SALT = "SCRAM-SHA-256", "pencil", 4096, b"0123456789abcdef"
SALTED = hashlib.pbkdf2_hmac("sha256", PASSWORD.encode(), SALT, ROUNDS)
CLIENT_KEY = hmac.digest(SALTED, b"Client Key", "sha256")


def bare(data):
    return base64.b64encode(data).decode().rstrip("=")


def users_file():
    """One user, `ann`, as docs/formats/users.md has it."""
    keys = hashlib.sha256(CLIENT_KEY).digest(), hmac.digest(SALTED, b"Server Key", "sha256")
    handle, path = tempfile.mkstemp(prefix="parley-users-")
    os.write(handle, f"ann:$scram-sha-256$i={ROUNDS}${bare(SALT)}${bare(keys[0])}${bare(keys[1])}\n".encode())
    os.close(handle)
    atexit.register(os.unlink, path)
    return path


class Scram(Case):
    settings = {"auth_users_file": users_file()}

    def first(self):
        self.bare = f"n=ann,r={bare(os.urandom(12))}"
        return f"n,,{self.bare}".encode()

    def last(self, challenge, right=True):
        nonce = challenge.decode().split(",")[0][2:]
        message = f"{self.bare},{challenge.decode()},c=biws,r={nonce}".encode()
        signature = hmac.digest(hashlib.sha256(CLIENT_KEY).digest(), message, "sha256")
        proof = bytes(a ^ b ^ (0 if right else 1) for a, b in zip(CLIENT_KEY, signature))
        return f"c=biws,r={nonce},p={base64.b64encode(proof).decode()}".encode()

    def begin(self):
        """A link whose CONNECT was answered by a challenge, which is returned, too."""
        link = self.link()
        link.send(connect("scram-" + bare(os.urandom(6)).replace("/", "-").replace("+", "-"),
                          values={"authentication_method": METHOD, "authentication_data": self.first()}))
        return link, link.expect(AUTH)

    def joined(self):
        link, challenge = self.begin()
        link.send(packets.auth(0x18, METHOD, self.last(challenge.properties["authentication_data"])))
        return link, link.expect(CONNACK)

    @shows("MQTT-4.12.0-2", "MQTT-4.12.0-5")
    def test_a_challenge_and_the_answer_lead_to_connack(self):
        link, challenge = self.begin()
        self.assertEqual((challenge.reason, challenge.properties["authentication_method"]), (0x18, METHOD))
        link.send(packets.auth(0x18, METHOD, self.last(challenge.properties["authentication_data"])))
        connack = link.expect(CONNACK)
        self.assertEqual((connack.reason, connack.properties["authentication_method"]), (0, METHOD))
        link.ping()

    @shows("MQTT-3.15.2-2", "MQTT-3.15.2-3")
    def test_an_auth_fits_the_maximum_packet_size(self):
        for largest in (300, 150, 40, 20):
            link = self.link()
            link.send(connect(self.name(), values={"authentication_method": METHOD, "authentication_data": self.first(),
                                                   "maximum_packet_size": largest}))
            first = link.next()
            if first is not None and first.type == AUTH:
                self.assertEqual(set(first.properties), {"authentication_method", "authentication_data"})
                self.assertLessEqual(len(link.bytes), largest)
                link.close()
            else:
                # Without room for the challenge there is no way to go on.
                self.assertLess(largest, 150)
                link.end()
                self.assertLessEqual(len(link.bytes), largest)

    @shows("MQTT-4.12.0-4")
    def test_a_wrong_answer_is_refused(self):
        link, challenge = self.begin()
        link.send(packets.auth(0x18, METHOD, self.last(challenge.properties["authentication_data"], right=False)))
        self.assertEqual(link.expect(CONNACK).reason, 0x87)
        link.end()

    @shows("MQTT-3.1.2-30")
    def test_another_packet_before_connack_ends_it(self):
        link, _ = self.begin()
        link.send(bytes([0xC0, 0]))
        self.assertEqual(link.expect(CONNACK).reason, 0x82)
        link.end()

    @shows("MQTT-4.12.1-1")
    def test_a_client_may_authenticate_again(self):
        link, connack = self.joined()
        self.assertEqual(connack.reason, 0)
        link.send(packets.auth(0x19, METHOD, self.first()))
        challenge = link.expect(AUTH)
        link.ping()
        link.send(packets.auth(0x18, METHOD, self.last(challenge.properties["authentication_data"])))
        done = link.expect(AUTH)
        self.assertEqual((done.reason, done.properties["authentication_method"]), (0, METHOD))

    @shows("MQTT-4.12.1-2")
    def test_a_failure_to_do_so_ends_the_connection(self):
        link, _ = self.joined()
        link.send(packets.auth(0x19, METHOD, self.first()))
        challenge = link.expect(AUTH)
        link.send(packets.auth(0x18, METHOD, self.last(challenge.properties["authentication_data"], right=False)))
        self.assertEqual(link.end()[0].reason, 0x87)

    @shows("MQTT-4.12.1-1")
    def test_another_method_ends_the_connection(self):
        link, _ = self.joined()
        link.send(packets.auth(0x19, "JWT", b"x"))
        self.assertEqual(link.end()[0].reason, 0x82)
