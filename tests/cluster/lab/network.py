"""Hosts of their own for a cluster: network namespaces on one bridge, whose links a test can cut. Needs root."""

import ctypes
import os
import subprocess

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000

# What comes for MQTT's port goes to a listener on the loopback interface, which may be open without passwords.
RULES = """
table ip lab {
  set silent { type ipv4_addr; }
  chain incoming { type filter hook prerouting priority raw; ip saddr @silent drop; }
  chain forwarding { type nat hook prerouting priority dstnat; tcp dport 1883 dnat to 127.0.0.1:1883; }
}
"""


def run(*command, text=None):
    result = subprocess.run([str(word) for word in command], input=text, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise AssertionError(f"{' '.join(map(str, command))}: {result.stderr.strip()}")
    return result.stdout


class Network:
    """`with Network(["a", "b"]) as network`: hosts by name, each with an address, all reach each other until cut."""

    def __init__(self, names):
        self.names = list(names)
        self.prefix = f"pl{os.getpid()}"
        self.made = []

    def address(self, name):
        return f"10.77.0.{self.names.index(name) + 1}"

    def namespace(self, name):
        return f"{self.prefix}-{name}"

    def inside(self, name):
        """What a command begins with to run on that host."""
        return ["ip", "netns", "exec", self.namespace(name)]

    def __enter__(self):
        try:
            self.add_namespace("switch")
            run("ip", "-n", self.namespace("switch"), "link", "add", "bridge0", "type", "bridge")
            run("ip", "-n", self.namespace("switch"), "link", "set", "bridge0", "up")
            for name in self.names:
                self.add_host(name)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for name in reversed(self.made):
            subprocess.run(["ip", "netns", "delete", self.namespace(name)], capture_output=True, check=False)
        self.made.clear()

    def add_namespace(self, name):
        run("ip", "netns", "add", self.namespace(name))
        self.made.append(name)

    def add_host(self, name):
        self.add_namespace(name)
        switch, host = self.namespace("switch"), self.namespace(name)
        run("ip", "-n", switch, "link", "add", f"to-{name}", "type", "veth", "peer", "name", "eth0", "netns", host)
        run("ip", "-n", switch, "link", "set", f"to-{name}", "master", "bridge0", "up")
        run("ip", "-n", host, "address", "add", f"{self.address(name)}/24", "dev", "eth0")
        for device in ("lo", "eth0"):
            run("ip", "-n", host, "link", "set", device, "up")
        run(*self.inside(name), "sh", "-c", "echo 1 > /proc/sys/net/ipv4/conf/eth0/route_localnet")
        run(*self.inside(name), "nft", "-f", "-", text=RULES)

    def cut(self, sender, receiver):
        """Nothing of `sender` reaches `receiver` any more; the other way goes on. Says nothing to either."""
        run(*self.inside(receiver), "nft", "add", "element", "ip", "lab", "silent", f"{{ {self.address(sender)} }}")

    def cut_both(self, one, other):
        self.cut(one, other)
        self.cut(other, one)

    def isolate(self, name, others):
        for other in others:
            if other != name:
                self.cut_both(name, other)

    def heal(self):
        for name in self.names:
            run(*self.inside(name), "nft", "flush", "set", "ip", "lab", "silent")

    def enter(self, name):
        """This process, and what it starts from now on, goes on on that host. Before it has threads."""
        with open(f"/var/run/netns/{self.namespace(name)}", "rb") as file:
            if LIBC.setns(file.fileno(), CLONE_NEWNET) != 0:
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
