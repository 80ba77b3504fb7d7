#!/usr/bin/env python3
"""One Paho Python client that takes part in a shared subscription: paho_worker.py PORT VERSION NAME FILTER. It prints what it gets, a
line each, before it acknowledges, and comes back whenever its connection goes."""

import sys

import paho.mqtt.client as mqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

port, version, name, share = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4]
v5 = version == "5"


def connected(client, *_):
    if v5:
        client.subscribe(share, options=mqtt.SubscribeOptions(qos=1))
    else:
        client.subscribe(share, 1)


client = mqtt.Client(name, protocol=mqtt.MQTTv5 if v5 else mqtt.MQTTv311, **({} if v5 else {"clean_session": False}))
client.username_pw_set(name)
client.on_connect = connected
client.on_message = lambda _client, _data, message: print(message.payload.decode(), flush=True)
client.reconnect_delay_set(1, 1)
lasting = {}
if v5:
    properties = Properties(PacketTypes.CONNECT)
    properties.SessionExpiryInterval = 300
    lasting = {"clean_start": False, "properties": properties}
client.connect("127.0.0.1", port, **lasting)
client.loop_forever()
