#!/usr/bin/env python3
"""One Paho Python client that hears itself at every QoS: paho_echo.py tcp|tls|ws|wss PORT CA_FILE [1.2].
Ends with 0 when it has. 1.2: that version of TLS. MQTT_USER and MQTT_PASSWORD are its credentials."""

import os
import ssl
import sys
import threading

import paho.mqtt.client as mqtt

kind, port, authority = sys.argv[1], int(sys.argv[2]), sys.argv[3]
texts = {f"qos {qos} " + "x" * 70_000 * qos for qos in range(3)}
heard = set()
finished = threading.Event()


def speak(client, *_):
    for qos, text in enumerate(sorted(texts)):
        client.publish(f"echo/paho/{kind}", text, qos)


def hear(_client, _data, message):
    heard.add(message.payload.decode())
    if heard == texts:
        finished.set()


client = mqtt.Client(f"echo-{kind}", protocol=mqtt.MQTTv5, transport="tcp" if kind in ("tls", "tcp") else "websockets")
if kind in ("tls", "wss"):
    context = ssl.create_default_context(cafile=authority)
    if sys.argv[4:] == ["1.2"]:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    client.tls_set_context(context)
if "MQTT_USER" in os.environ:
    client.username_pw_set(os.environ["MQTT_USER"] or None, os.environ.get("MQTT_PASSWORD"))
client.on_connect = lambda client, *_: client.subscribe(f"echo/paho/{kind}", 2)
client.on_subscribe = speak
client.on_message = hear
client.connect("localhost" if kind in ("tls", "wss") else "127.0.0.1", port)
client.loop_start()
if not finished.wait(30):
    sys.exit(f"heard only {[text[:6] for text in heard]}")
client.disconnect()
client.loop_stop()
