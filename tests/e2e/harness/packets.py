"""MQTT 5.0 and 3.1.1 packets as bytes, written by hand so that a test sees what libraries hide: PUBACK properties, packet
ids, the RETAIN flag, and packets that no library would send."""

import dataclasses
import struct

CONNECT, CONNACK, PUBLISH, PUBACK, PUBREC, PUBREL, PUBCOMP = 1, 2, 3, 4, 5, 6, 7
SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK, PINGREQ, PINGRESP, DISCONNECT, AUTH = 8, 9, 10, 11, 12, 13, 14, 15

# MQTT 5 table 2-4: identifier -> (name, type).
PROPERTIES = {
    0x01: ("payload_format_indicator", "byte"),
    0x02: ("message_expiry_interval", "four"),
    0x03: ("content_type", "text"),
    0x08: ("response_topic", "text"),
    0x09: ("correlation_data", "binary"),
    0x0B: ("subscription_identifier", "varint"),
    0x11: ("session_expiry_interval", "four"),
    0x12: ("assigned_client_identifier", "text"),
    0x13: ("server_keep_alive", "two"),
    0x15: ("authentication_method", "text"),
    0x16: ("authentication_data", "binary"),
    0x17: ("request_problem_information", "byte"),
    0x18: ("will_delay_interval", "four"),
    0x19: ("request_response_information", "byte"),
    0x1A: ("response_information", "text"),
    0x1C: ("server_reference", "text"),
    0x1F: ("reason_string", "text"),
    0x21: ("receive_maximum", "two"),
    0x22: ("topic_alias_maximum", "two"),
    0x23: ("topic_alias", "two"),
    0x24: ("maximum_qos", "byte"),
    0x25: ("retain_available", "byte"),
    0x26: ("user", "pair"),
    0x27: ("maximum_packet_size", "four"),
    0x28: ("wildcard_subscription_available", "byte"),
    0x29: ("subscription_identifier_available", "byte"),
    0x2A: ("shared_subscription_available", "byte"),
}
IDENTIFIERS = {name: (identifier, kind) for identifier, (name, kind) in PROPERTIES.items()}


@dataclasses.dataclass(slots=True)
class Packet:
    """Any packet. `properties` has the values by name; user properties are pairs in `user`, in order."""

    type: int
    flags: int = 0
    packet_id: int = 0
    reason: int = 0
    topic: str = ""
    payload: bytes = b""
    qos: int = 0
    retain: bool = False
    dup: bool = False
    session_present: bool = False
    reasons: tuple = ()
    properties: dict = dataclasses.field(default_factory=dict)
    user: list = dataclasses.field(default_factory=list)

    def value(self, name):
        """The first user property of that name, or None."""
        for key, value in self.user:
            if key == name:
                return value
        return None


# -- Writing -----------------------------------------------------------------------------------------------------------


def varint(value):
    encoded = bytearray()
    while True:
        value, digit = divmod(value, 128)
        encoded.append(digit | (0x80 if value else 0))
        if not value:
            return bytes(encoded)


def binary(data):
    return struct.pack("!H", len(data)) + data


def text(value):
    return binary(value.encode() if isinstance(value, str) else value)


def properties(values, user=()):
    """`values` by name as in PROPERTIES; `user` an iterable of pairs."""
    body = bytearray()
    for name, value in values.items():
        identifier, kind = IDENTIFIERS[name]
        body.append(identifier)
        if kind == "byte":
            body.append(value)
        elif kind == "two":
            body += struct.pack("!H", value)
        elif kind == "four":
            body += struct.pack("!I", value)
        elif kind == "varint":
            body += varint(value)
        else:
            body += text(value)
    for name, value in user:
        body.append(0x26)
        body += text(name) + text(str(value))
    return varint(len(body)) + bytes(body)


def packet(kind, flags, body):
    return bytes([kind << 4 | flags]) + varint(len(body)) + body


def connect(client_id, version=5, *, clean=True, keep_alive=60, username=None, password=None, will=None, will_values=None, will_user=(), values=None, user=()):
    """`will` is (topic, payload, qos, retain), `will_values` and `will_user` its properties."""
    flags = 0x02 if clean else 0
    tail = text(client_id)
    if will is not None:
        topic, payload, qos, retain = will
        flags |= 0x04 | qos << 3 | (0x20 if retain else 0)
        tail += (properties(will_values or {}, will_user) if version == 5 else b"") + text(topic) + binary(payload)
    if username is not None:
        flags |= 0x80
        tail += text(username)
    if password is not None:
        flags |= 0x40
        tail += text(password)
    head = text("MQTT") + bytes([version, flags]) + struct.pack("!H", keep_alive)
    if version == 5:
        head += properties(values or {}, user)
    return packet(CONNECT, 0, head + tail)


def publish(topic, payload, version=5, *, qos=0, packet_id=0, retain=False, dup=False, values=None, user=()):
    body = text(topic)
    if qos:
        body += struct.pack("!H", packet_id)
    if version == 5:
        body += properties(values or {}, user) if values or user else b"\0"
    return packet(PUBLISH, (8 if dup else 0) | qos << 1 | (1 if retain else 0), body + payload)


def acknowledge(kind, packet_id):
    """PUBACK, PUBREC, PUBREL or PUBCOMP with success, in the short form both versions share."""
    return struct.pack("!BBH", kind << 4 | (2 if kind == PUBREL else 0), 2, packet_id)


def subscribe(packet_id, filters, version=5, *, values=None, user=()):
    """`filters` is a list of (filter, options byte)."""
    body = struct.pack("!H", packet_id)
    if version == 5:
        body += properties(values or {}, user)
    for name, options in filters:
        body += text(name) + bytes([options])
    return packet(SUBSCRIBE, 2, body)


def auth(reason, method, data=b""):
    values = {"authentication_method": method} | ({"authentication_data": data} if data else {})
    return packet(AUTH, 0, bytes([reason]) + properties(values))


def disconnect(version=5, reason=0):
    return packet(DISCONNECT, 0, bytes([reason, 0]) if version == 5 and reason else b"")


# -- Reading -----------------------------------------------------------------------------------------------------------


def read_varint(data, at):
    value, shift = 0, 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return value, at
        shift += 7


def read_text(data, at):
    size = data[at] << 8 | data[at + 1]
    at += 2
    return data[at : at + size], at + size


def read_properties(data, at, into):
    size, at = read_varint(data, at)
    end = at + size
    while at < end:
        name, kind = PROPERTIES[data[at]]
        at += 1
        if kind == "byte":
            value, at = data[at], at + 1
        elif kind == "two":
            value, at = int.from_bytes(data[at : at + 2], "big"), at + 2
        elif kind == "four":
            value, at = int.from_bytes(data[at : at + 4], "big"), at + 4
        elif kind == "varint":
            value, at = read_varint(data, at)
        else:
            value, at = read_text(data, at)
            if kind == "pair":
                second, at = read_text(data, at)
                into.user.append((value.decode(), second.decode()))
                continue
            if kind == "text":
                value = value.decode()
        into.properties[name] = value
    return at


def decode(first, body, version=5):
    """One packet from its first byte and what follows the remaining length."""
    found = Packet(first >> 4, first & 15)
    kind, size = found.type, len(body)
    if kind == PUBLISH:
        found.dup, found.qos, found.retain = bool(first & 8), first >> 1 & 3, bool(first & 1)
        topic, at = read_text(body, 0)
        found.topic = topic.decode()
        if found.qos:
            found.packet_id, at = int.from_bytes(body[at : at + 2], "big"), at + 2
        if version == 5:
            at = read_properties(body, at, found)
        found.payload = bytes(body[at:])
    elif kind in (PUBACK, PUBREC, PUBREL, PUBCOMP):
        found.packet_id = int.from_bytes(body[:2], "big")
        found.reason = body[2] if size > 2 else 0
        if size > 3:
            read_properties(body, 3, found)
    elif kind == CONNACK:
        found.session_present, found.reason = bool(body[0] & 1), body[1]
        if version == 5:
            read_properties(body, 2, found)
    elif kind in (SUBACK, UNSUBACK):
        found.packet_id, at = int.from_bytes(body[:2], "big"), 2
        if version == 5:
            at = read_properties(body, at, found)
        found.reasons = tuple(body[at:])
    elif kind in (DISCONNECT, AUTH):
        found.reason = body[0] if size else 0
        if size > 1:
            read_properties(body, 1, found)
    return found


class Stream:
    """Cuts a byte stream into packets."""

    def __init__(self, version=5):
        self.version = version
        self.buffer = bytearray()

    def feed(self, data):
        """The packets that are complete with `data`."""
        self.buffer += data
        found, at, buffer = [], 0, self.buffer
        while len(buffer) - at >= 2:
            size, shift, here = 0, 0, at + 1
            while here < len(buffer):
                byte = buffer[here]
                size |= (byte & 0x7F) << shift
                shift += 7
                here += 1
                if not byte & 0x80:
                    break
            else:
                break
            if len(buffer) - here < size:
                break
            found.append(decode(buffer[at], bytes(buffer[here : here + size]), self.version))
            at = here + size
        del buffer[:at]
        return found
