#!/usr/bin/env python3
"""A chat client in one conversation, with Paho MQTT for Python (1.6 or 2). README.md says what one types.

    chat.py HOST PORT USER PASSWORD CONVERSATION [SINCE]
"""

import json
import sys
import threading
import uuid

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties


def show(line):
    print(line, flush=True)


def user_properties(properties):
    return dict(getattr(properties, "UserProperty", []))


class Chat:
    def __init__(self, user, password, conversation, since):
        self.conversation = conversation
        self.since = since  # The last entry that was shown, where the next connection begins; a real client stores both.
        self.epoch = None  # Of the conversation. Should it be another one, `since` means nothing any more.
        self.outbox = {}  # Messages without a receipt, by id, in their order.
        self.changed = threading.Condition()  # Guards `outbox`: Paho calls back on a thread of its own.
        client_id = f"example-py-{user}-{uuid.uuid4().hex[:8]}"
        self.reply = f"client/{client_id}/reply"
        version = [mqtt.CallbackAPIVersion.VERSION2] if hasattr(mqtt, "CallbackAPIVersion") else []
        self.client = mqtt.Client(*version, client_id=client_id, protocol=mqtt.MQTTv5)
        self.client.username_pw_set(user, password)
        self.client.reconnect_delay_set(min_delay=1, max_delay=8)
        self.client.on_connect = self.connected
        self.client.on_subscribe = self.subscribed
        self.client.on_message = self.received

    def topic(self, what):
        return f"chat/{self.conversation}/{what}"

    def connected(self, _client, _data, _flags, reason, _properties):
        show(f"connected: {reason}")
        if reason != 0:
            return self.client.disconnect()
        self.client.subscribe(self.reply, options=mqtt.SubscribeOptions(qos=1))
        self.client.subscribe([(self.topic(what), mqtt.SubscribeOptions(qos=0)) for what in ("typing", "read")])
        self.subscribe()
        # Nobody knows whether these have arrived. With the same id each of them counts once.
        with self.changed:
            unanswered = list(self.outbox.items())
        for message_id, text in unanswered:
            self.publish(message_id, text)

    def subscribe(self):
        properties = Properties(PacketTypes.SUBSCRIBE)
        properties.UserProperty = ("since", str(self.since))
        if self.epoch is not None:
            properties.UserProperty = ("epoch", self.epoch)
        self.client.subscribe(self.topic("msg"), options=mqtt.SubscribeOptions(qos=1), properties=properties)

    def subscribed(self, _client, _data, _packet_id, _reasons, properties):
        user = user_properties(properties)
        if user.get("error") == "other-epoch":
            self.since, self.epoch = 0, None
            self.subscribe()
        elif "error" in user:
            show(f"refused: {user['error']}")
        self.epoch = user.get("epoch", self.epoch)

    def send(self, text):
        message_id = uuid.uuid4().hex
        with self.changed:
            self.outbox[message_id] = text
        if self.client.is_connected():  # Else connected() sends it.
            self.publish(message_id, text)

    def publish(self, message_id, text):
        properties = Properties(PacketTypes.PUBLISH)
        properties.PayloadFormatIndicator = 1
        properties.UserProperty = ("id", message_id)
        # Paho doesn't show PUBACK's properties, so the receipt is asked for where it can be seen.
        properties.ResponseTopic = self.reply
        properties.CorrelationData = message_id.encode()
        self.client.publish(self.topic("msg"), text, qos=1, properties=properties)

    def ask(self, what, payload):
        properties = Properties(PacketTypes.PUBLISH)
        properties.ResponseTopic = self.reply
        self.client.publish(self.topic(what), payload, qos=1, properties=properties)

    def received(self, _client, _data, message):
        user = user_properties(message.properties)
        what = message.topic.rsplit("/", 1)[1]
        if message.topic == self.reply:
            message_id = getattr(message.properties, "CorrelationData", b"").decode()
            if "retry-after" not in user:  # Else it is sent again with the next connection.
                with self.changed:
                    self.outbox.pop(message_id, None)
                    self.changed.notify_all()
        if what != "msg":
            show(f"{what} {message.payload.decode()}")
        elif user.get("kind") == "gap":  # Retention has taken away what would come here.
            show(f"#{user.get('first')} to #{user.get('last')} are gone")
        elif int(user["seq"]) > self.since:
            self.since = int(user["seq"])
            ref = f" {user['kind']} #{user.get('ref', '')}" if "kind" in user else ""
            show(f"#{self.since} {user['from']}{ref}: {message.payload.decode(errors='replace')}")

    def type_in(self, line):
        word, _, rest = line.partition(" ")
        if word == "/typing":
            self.client.publish(self.topic("typing"), b"", qos=0)
        elif word == "/read":
            self.ask("read", rest)
        elif word == "/edit":
            seq, _, text = rest.partition(" ")
            self.ask("ctl", json.dumps({"op": "edit", "seq": int(seq) if seq.isdecimal() else seq, "text": text}))
        elif word.startswith("/"):
            show(f"unknown: {word}")
        else:
            self.send(line)

    def run(self, host, port):
        self.client.connect(host, port)
        self.client.loop_start()  # It connects again by itself.
        for line in sys.stdin:
            self.type_in(line.rstrip("\n"))
        with self.changed:
            everything = self.changed.wait_for(lambda: not self.outbox, 30)
        self.client.disconnect()
        self.client.loop_stop()
        return 0 if everything else 1


if __name__ == "__main__":
    host, port, user, password, conversation, *rest = sys.argv[1:]
    sys.exit(Chat(user, password, conversation, int(rest[0]) if rest else 0).run(host, int(port)))
