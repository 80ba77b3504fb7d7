#!/usr/bin/env python3
"""One Paho Python client in the conversation: paho_chat.py PORT VERSION NAME COUNT. It subscribes from the beginning, says
one thing, prints what it gets as JSON lines, and ends once it has COUNT messages (and its receipt, in MQTT 5)."""

import json
import sys
import threading

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

port, version, name, count = int(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4])
v5 = version == "5"
reply = f"client/{name}/reply"
finished = threading.Event()
seen = {"messages": 0, "receipts": 0 if v5 else 1}


def show(_client, _data, message):
    user = dict(getattr(message.properties, "UserProperty", [])) if v5 else {}
    if message.topic == reply:
        print(json.dumps({"receipt": user, "correlation": message.properties.CorrelationData.decode()}), flush=True)
        seen["receipts"] += 1
    else:
        print(json.dumps({"message": message.payload.decode(), "retain": bool(message.retain)} | user), flush=True)
        seen["messages"] += 1
    if seen["messages"] >= count and seen["receipts"] >= 1:
        finished.set()


def speak(client, *_):
    if not v5:
        client.subscribe("$since/0/chat/lobby/msg", 1)
        client.publish("chat/lobby/msg", f"hello from {name}", 1)
        return
    client.subscribe(reply, options=mqtt.SubscribeOptions(qos=1))
    since = Properties(PacketTypes.SUBSCRIBE)
    since.UserProperty = ("since", "0")
    client.subscribe("chat/lobby/msg", options=mqtt.SubscribeOptions(qos=1), properties=since)
    properties = Properties(PacketTypes.PUBLISH)
    properties.UserProperty = ("id", f"{name}-1")
    properties.ResponseTopic = reply
    properties.CorrelationData = name.encode()
    client.publish("chat/lobby/msg", f"hello from {name}", 1, properties=properties)


client = mqtt.Client(name, protocol=mqtt.MQTTv5 if v5 else mqtt.MQTTv311)
client.username_pw_set(name)
client.on_connect = speak
client.on_message = show
client.connect("127.0.0.1", port)
client.loop_start()
if not finished.wait(30):
    sys.exit(f"only {seen} within 30 s")
client.disconnect()
client.loop_stop()
