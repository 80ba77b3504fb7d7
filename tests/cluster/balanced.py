"""Three nodes, each with its bridge, behind a real HAProxy with conf/haproxy.cfg."""

import os
import pathlib
import socket
import subprocess

from cluster import DEADLINE, Cluster, Node, wait_until
from harness.server import BINARIES, Program, free_port

CONFIGURATION = pathlib.Path(__file__).resolve().parents[2] / "conf" / "haproxy.cfg"
FROM = "127.0.0.1"  # Where HAProxy is.


class BalancedNode(Node):
    """Has listeners that take HAProxy alone, and one for its bridge and for tests that ask this node."""

    def __init__(self, cluster, name):
        super().__init__(cluster, name)
        self.authority = cluster.authority
        self.ports = {kind: free_port() for kind in ("mqtt", "tls", "ws", "ready")}
        self.bridge = None

    def configuration(self):
        proxied = 'proxy_protocol = ["127.0.0.0/8"]\nallow_anonymous = true\n'
        lines = [f'[[listener]]\nurl = "tcp://127.0.0.1:{self.port}"\nallow_anonymous = true']
        for scheme in ("tcp", "tls", "ws"):
            port = self.ports["mqtt" if scheme == "tcp" else scheme]
            lines.append(f'[[listener]]\nurl = "{scheme}://127.0.0.1:{port}"\n{proxied}')
            if scheme == "tls":
                ca = self.authority.directory
                lines.append(f'[[listener.certificate]]\nchain = "{ca}/server.crt"\nkey = "{ca}/server.key"')
        lines.append(f'[bridge]\nlisten = "http://127.0.0.1:{self.ports["ready"]}"\nallow_anonymous = true')
        lines.append(f'broker = "tcp://127.0.0.1:{self.port}"')
        path = self.directory.with_suffix(".toml")
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    def start(self, ready=True):
        settings = self.settings | {"node.data_dir": self.directory}
        arguments = ["--config", self.configuration(), *(f"--set={key}={value}" for key, value in settings.items())]
        self.program = Program(BINARIES / "parleyd", *arguments)
        if self.bridge is None:
            self.bridge = Program(BINARIES / "parley-bridge", *arguments)
        if ready:
            self.program.wait_for("ready")


class Balanced(Cluster):
    def __init__(self, authority, **settings):
        self.authority = authority
        super().__init__(**settings)
        self.balancer = None
        self.ports = {kind: free_port() for kind in ("mqtt", "tls", "ws")}
        self.statistics = self.directory / "haproxy.sock"

    def make_node(self, name):
        return BalancedNode(self, name)

    def __exit__(self, error, *rest):
        if self.balancer is not None:
            self.balancer.kill()
            self.balancer.wait(DEADLINE)
        for node in self.nodes:
            if node.bridge is not None:
                node.bridge.kill()
        super().__exit__(error, *rest)

    def start(self):
        super().start()
        self.wait_spread()
        self.start_balancer()

    def start_balancer(self):
        environment = dict(os.environ)
        for node in self.nodes:
            name = node.name.upper()
            for kind in ("mqtt", "tls", "ws"):
                environment[f"{name}_{kind.upper()}"] = f"127.0.0.1:{node.ports[kind]}"
            environment[f"{name}_READY"] = str(node.ports["ready"])
        for kind, port in self.ports.items():
            environment[f"{kind.upper()}_BIND"] = f"127.0.0.1:{port}"
        extra = self.directory / "statistics.cfg"
        extra.write_text(f"global\n  stats socket {self.statistics} mode 600 level admin\n", encoding="ascii")
        self.balancer = subprocess.Popen(["haproxy", "-db", "-f", extra, "-f", CONFIGURATION], env=environment,
                                         stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for node in self.nodes:
            self.wait_standing(node, "UP")

    def ask_balancer(self, words):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self.statistics))
            connection.sendall(words.encode() + b"\n")
            return connection.makefile(encoding="utf-8").read()

    def standing(self, node):
        """As HAProxy sees it: UP or DOWN, perhaps followed by how often it was so."""
        try:
            lines = self.ask_balancer("show stat nodes 4 -1").splitlines()
        except OSError:
            return ""
        names = lines[0].lstrip("# ").split(",")
        for line in lines[1:]:
            values = dict(zip(names, line.split(","), strict=False))
            # The first checks aren't over yet.
            if values.get("svname") == node.name:
                return values["status"] if values["check_status"] not in ("", "INI") else ""
        return ""

    def wait_standing(self, node, wanted):
        wait_until(lambda: self.standing(node) == wanted, f"HAProxy sees {node.name} {wanted}")

    def sticks_to(self, client_id):
        """The node to which HAProxy sends that client."""
        for line in self.ask_balancer("show table nodes").splitlines():
            fields = dict(field.split("=", 1) for field in line.split() if "=" in field)
            if fields.get("key") == client_id:
                return next(node for node in self.nodes if node.name == fields["server_key"])
        return None
