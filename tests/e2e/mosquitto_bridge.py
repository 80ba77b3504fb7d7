#!/usr/bin/env python3
"""mosquitto as a bridge to Parley, as it is without further settings: what is published on either side is heard on the other,
once, and what is retained stays so."""

import pathlib
import subprocess
import tempfile
import time
import unittest

from harness.client import Client
from harness.server import Server, clean_environment, free_port

DEADLINE = 30


class MosquittoBridge(unittest.TestCase):
    def setUp(self):
        self.server = self.enterContext(Server())
        self.port = free_port()

    def start(self, *options):
        """Returns once the bridge is connected."""
        directory = pathlib.Path(self.enterContext(tempfile.TemporaryDirectory(prefix="parley-e2e-")))
        configuration = directory / "mosquitto.conf"
        lines = [f"listener {self.port} 127.0.0.1", "allow_anonymous true", "connection parley",
                 f"address 127.0.0.1:{self.server.port}", "topic # both 1", "notification_topic bridge/state",
                 "restart_timeout 1", *options]  # fmt: skip
        configuration.write_text("\n".join(lines) + "\n", encoding="utf-8")
        with open(directory / "log", "wb") as log:
            bridge = subprocess.Popen(["mosquitto", "-c", configuration], stdin=subprocess.DEVNULL, stdout=log,
                                      stderr=subprocess.STDOUT, env=clean_environment())
        self.addCleanup(self.stop, bridge)
        watcher = self.client(self.server.port, "watcher")
        watcher.subscribe("bridge/state")
        try:
            while watcher.message(DEADLINE).payload != b"1":
                pass
        except AssertionError as error:
            raise AssertionError((directory / "log").read_text()) from error
        # It says so before it subscribes.
        prober, hearer = self.client(self.server.port, "prober"), self.client(self.port, "hearer")
        hearer.subscribe("probe")
        end = time.monotonic() + DEADLINE
        prober.publish("probe", "x")
        while hearer.receive(0.1) is None and time.monotonic() < end:
            prober.publish("probe", "x")

    def stop(self, bridge):
        bridge.kill()
        bridge.wait()

    def client(self, port, client_id):
        return self.enterContext(Client(port, client_id, 4))

    def check(self):
        here, there = self.client(self.server.port, "here"), self.client(self.port, "there")
        for client in (here, there):
            client.subscribe("t/#")
        for speaker, hearer, topic in ((here, there, "t/here"), (there, here, "t/there")):
            speaker.publish(topic, "text")
            speaker.publish(topic, "kept", retain=True)
            for client in (hearer, speaker):
                self.assertEqual([client.message().payload for _ in range(2)], [b"text", b"kept"])
        for client in (here, there):
            self.assertIsNone(client.receive(0.5), "something came back")
        for port in (self.server.port, self.port):
            late = self.client(port, "late")
            late.subscribe("t/#")
            found = late.messages(2)
            self.assertEqual({one.topic for one in found if one.retain and one.payload == b"kept"}, {"t/here", "t/there"})
            late.disconnect()

    def test_as_it_is(self):
        self.start()
        self.check()

    def test_with_3_1(self):
        self.start("bridge_protocol_version mqttv31")
        self.check()

    def test_with_mqtt_5(self):
        self.start("bridge_protocol_version mqttv50")
        self.check()


if __name__ == "__main__":
    unittest.main(verbosity=2)
