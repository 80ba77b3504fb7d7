"""A cluster whose nodes and Redis are each on a host of their own. Needs root."""

import subprocess

from cluster import Cluster, Node, Redis, wait_until
from harness.server import Program
from lab.network import run

PORT = 1883
PEER_PORT = 7400
REDIS_PORT = 6379


class HostRedis(Redis):
    def __init__(self, network, name):
        self.network, self.name, self.address = network, name, network.address(name)
        super().__init__()

    def start(self):
        command = ["redis-server", "--port", str(REDIS_PORT), "--bind", self.address, "--protected-mode", "no", "--save",
                   "", "--dir", self.directory]
        self.process = subprocess.Popen([*self.network.inside(self.name), *command], stdout=subprocess.DEVNULL,
                                        stderr=subprocess.DEVNULL)
        wait_until(self.answers, "redis-server answers")

    def answers(self):
        try:
            return self.command("ping").strip() == "PONG"
        except AssertionError:
            return False

    def command(self, *words):
        return run(*self.network.inside(self.name), "redis-cli", "-h", self.address, "-p", REDIS_PORT, *words)


class HostNode(Node):
    """Listens on its host's loopback interface, where the network's rules bring what comes for MQTT."""

    def __init__(self, cluster, name):
        super().__init__(cluster, name)
        self.network, self.address, self.port = cluster.network, cluster.network.address(name), PORT
        self.settings |= {
            "cluster.redis": f"redis://{cluster.redis.address}:{REDIS_PORT}",
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
