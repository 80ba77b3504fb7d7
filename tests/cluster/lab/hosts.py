"""A cluster whose nodes and Redis are each on a host of their own. Needs root."""

import pathlib
import shutil
import subprocess
import tempfile
import time

from cluster import Cluster, Node, Redis, wait_until
from harness.server import Program
from lab.network import run

PORT = 1883
PEER_PORT = 7400
REDIS_PORT = 6379


def last(seconds):
    """The fault itself takes so long; nothing is waited for."""
    time.sleep(seconds)


class HostRedis(Redis):
    def __init__(self, network, name):
        self.network, self.name, self.address = network, name, network.address(name)
        self.url = f"redis://{self.address}:{REDIS_PORT}"
        super().__init__()

    def launch(self):
        command = ["redis-server", "--port", str(REDIS_PORT), "--bind", self.address, "--protected-mode", "no", "--save",
                   "", "--dir", self.directory]
        self.process = subprocess.Popen([*self.network.inside(self.name), *command], stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)

    def answers(self):
        try:
            return self.command("ping").strip() == "PONG"
        except AssertionError:
            return False

    def role(self):
        """The words of ROLE; none while it changes, when connections are closed."""
        try:
            return set(self.command("role").split())
        except AssertionError:
            return set()

    def command(self, *words):
        return run(*self.network.inside(self.name), "redis-cli", "-h", self.address, "-p", REDIS_PORT, *words)


class SentinelRedis:
    """Two Redis, each on a host of its own, and a Sentinel on a third that says which is the master."""

    NAME = "parley"
    PORT = 26379

    def __init__(self, network, names, watcher):
        self.port = self.PORT
        self.network, self.watcher = network, watcher
        self.servers = [HostRedis(network, name) for name in names]
        self.servers[1].command("replicaof", self.servers[0].address, REDIS_PORT)
        self.address = network.address(watcher)
        self.url = f"sentinel://{self.address}:{self.PORT}/{self.NAME}"
        self.directory = tempfile.mkdtemp(prefix="parley-sentinel-")
        path = pathlib.Path(self.directory, "sentinel.conf")
        lines = [f"port {self.PORT}", f"bind {self.address}", "protected-mode no",
                 f"sentinel monitor {self.NAME} {self.servers[0].address} {REDIS_PORT} 1",
                 f"sentinel down-after-milliseconds {self.NAME} 1000", f"sentinel failover-timeout {self.NAME} 4000"]
        path.write_text("\n".join(lines) + "\n", encoding="ascii")
        self.sentinel = subprocess.Popen([*network.inside(watcher), "redis-server", str(path), "--sentinel"],
                                         stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_until(lambda: self.ask("replicas", self.NAME), "the Sentinel knows the replica")

    def ask(self, *words):
        try:
            return run(*self.network.inside(self.watcher), "redis-cli", "-h", self.address, "-p", self.PORT, "sentinel",
                       *words).split()
        except AssertionError:
            return []

    def master(self):
        address = self.ask("get-master-addr-by-name", self.NAME)
        return next((server for server in self.servers if address and server.address == address[0]), None)

    def command(self, *words):
        return self.master().command(*words)

    def kill(self):
        """The master; with nobody to say so for a second, until the other one is."""
        self.killed = self.master()
        self.killed.kill()

    def start(self):
        self.killed.start()

    def fail_over(self, network, seconds):
        """The replica hears nothing of its master for so long, then the master dies and the replica takes its place."""
        old = wait_until(self.master, "there is a master")
        heir = next(server for server in self.servers if server is not old)
        wait_until(lambda: {"slave", "connected"} <= heir.role(), f"{heir.name} follows {old.name}",
                   90)  # A Sentinel that has just promoted somebody waits before it tells the others.
        network.cut_both(old.name, heir.name)
        last(seconds)
        old.kill()
        wait_until(lambda: self.master() is heir and "master" in heir.role(), f"{heir.name} is the master")
        network.heal()
        old.start()  # The Sentinel makes it a replica.
        return f"{old.name} to {heir.name}"

    def close(self):
        self.sentinel.kill()
        self.sentinel.wait()
        for server in self.servers:
            server.close()
        shutil.rmtree(self.directory, ignore_errors=True)


class HostNode(Node):
    """Listens on its host's loopback interface, where the network's rules bring what comes for MQTT."""

    def __init__(self, cluster, name):
        super().__init__(cluster, name)
        self.network, self.address, self.port = cluster.network, cluster.network.address(name), PORT
        self.settings |= {
            "cluster.redis": cluster.redis.url,
            "cluster.listen": f"tcp://{self.address}:{PEER_PORT}",
        }

    def program_for(self, *arguments):
        return Program(*self.network.inside(self.name), *arguments)


class Hosts(Cluster):
    """This process goes on on the host `clients`."""

    def __init__(self, network, names=("one", "two", "three"), **settings):
        self.network = network
        network.enter("clients")
        super().__init__(names, **settings)

    def make_redis(self):
        return HostRedis(self.network, "redis")

    def make_node(self, name):
        return HostNode(self, name)

    def addresses(self):
        return [(node.address, PORT) for node in self.nodes]


class SentinelHosts(Hosts):
    def make_redis(self):
        return SentinelRedis(self.network, ["redis", "spare"], "sentinel")
