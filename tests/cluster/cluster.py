"""Three real parleyd and a real Redis on the loopback interface, in temporary directories."""

import json
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "e2e"))

from harness.server import BINARIES, LocalConnection, Program, free_port  # noqa: E402

DEADLINE = 30.0
SECRET = "correct horse battery staple"


def wait_until(condition, what, deadline=DEADLINE, interval=0.05):
    """What `condition` gives once that is true. It asks other processes, which tell nobody, so it is asked again and again."""
    end = time.monotonic() + deadline
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {deadline} s")
        time.sleep(interval)


class Redis:
    """A redis-server that keeps nothing on disk."""

    def __init__(self):
        self.directory = tempfile.mkdtemp(prefix="parley-redis-")
        self.process = None
        for _ in range(5):  # A port that is free now may be somebody else's in a moment.
            self.port = free_port()
            self.launch()
            if wait_until(lambda: self.answers() or self.process.poll() is not None, "redis-server answers") and \
                    self.process.poll() is None:
                return
        raise AssertionError("redis-server doesn't start: is it installed?")

    def start(self):
        """Empty, also after kill()."""
        self.launch()
        wait_until(self.answers, "redis-server answers")

    def launch(self):
        self.process = subprocess.Popen(["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "",
                                         "--dir", self.directory], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def answers(self):
        try:
            return self.command("PING") == "+PONG"
        except OSError:
            return False

    def command(self, *words):
        """The first line of the reply, as it came; of a text its second."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
            pieces = [f"*{len(words)}\r\n".encode()]
            for word in words:
                pieces.append(f"${len(word.encode())}\r\n{word}\r\n".encode())
            connection.sendall(b"".join(pieces))
            answer = connection.makefile("rb")
            line = answer.readline().decode().rstrip()
            return answer.readline().decode().rstrip() if line.startswith("$") and line != "$-1" else line

    def kill(self):
        self.process.kill()
        self.process.wait(DEADLINE)

    def close(self):
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)


class Node:
    """One parleyd; killed and started again it has the same ports and directory."""

    def __init__(self, cluster, name):
        self.name = name
        self.directory = cluster.directory / name
        self.port, self.peer_port = free_port(), free_port()
        self.redis_port = cluster.redis.port
        self.settings = {
            "node.id": name,
            "node.threads": 2,
            "chat.auto_create": "true",
            "cluster.enabled": "true",
            "cluster.secret": SECRET,
            "cluster.redis": f"redis://127.0.0.1:{self.redis_port}",
            "cluster.listen": f"tcp://127.0.0.1:{self.peer_port}",
            "cluster.slots": 16,
            "cluster.lease_time": "600ms",
            "log.format": "json",
        } | cluster.settings
        self.listeners = []  # URLs of further ones.
        self.environment = {}
        self.program = None

    def start(self, ready=True):
        arguments = [f"--set={key}={value}" for key, value in self.settings.items()]
        self.program = self.program_for(BINARIES / "parleyd", "--listen", f"tcp://127.0.0.1:{self.port}", "--data-dir",
                                        self.directory, *arguments,
                                        *(f"--listen={url}" for url in self.listeners))
        if ready:
            self.program.wait_for("ready")

    def program_for(self, *arguments):
        if self.environment:
            arguments = ("env", *(f"{name}={value}" for name, value in self.environment.items()), *arguments)
        return Program(*arguments)

    def kill(self):
        self.program.kill()

    def pause(self):
        self.program.process.send_signal(signal.SIGSTOP)

    def resume(self):
        self.program.process.send_signal(signal.SIGCONT)

    def runs(self):
        return self.program is not None and self.program.process.poll() is None

    def ask(self, path, method="GET"):
        connection = LocalConnection(self.directory / "admin.sock")
        try:
            connection.request(method, path)
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        finally:
            connection.close()

    def status(self):
        return self.ask("/v1/status")[1]["cluster"]

    def nodes(self):
        return {node["name"]: node for node in self.ask("/v1/nodes")[1]}

    def slots(self):
        return self.ask("/v1/slots")[1]

    def sees_all(self, count):
        return self.status()["nodes_up"] == count


class Cluster:
    """Use it in a `with`; its nodes must end in order when told to, unless the test has failed already."""

    def __init__(self, names=("a", "b", "c"), **settings):
        self.directory = pathlib.Path(tempfile.mkdtemp(prefix="parley-cluster-"))
        self.settings = settings
        self.redis = self.make_redis()
        self.nodes = [self.make_node(name) for name in names]

    def make_redis(self):
        return Redis()

    def make_node(self, name):
        return Node(self, name)

    def __enter__(self):
        return self

    def __exit__(self, error, *_):
        wrong = []
        running = [node for node in self.nodes if node.runs()]
        for node in running:
            if error is not None:
                node.kill()
                sys.stderr.write("".join(f"{node.name}: {line}\n" for line in node.program.raw[-40:]))
            else:
                node.program.process.terminate()
        for node in running:
            if error is None and (status := node.program.stop()) != 0:
                wrong += [f"{node.name} ended with status {status}:", *node.program.raw[-20:]]
            wrong += node.program.reports()
        self.redis.close()
        shutil.rmtree(self.directory, ignore_errors=True)
        if wrong:
            raise AssertionError("\n".join(wrong))

    def add(self, name, **settings):
        node = self.make_node(name)
        node.settings |= settings
        self.nodes.append(node)
        return node

    def start(self):
        """All nodes, and they see each other."""
        for node in self.nodes:
            node.start(ready=False)
        for node in self.nodes:
            node.program.wait_for("ready")
        self.wait_linked()

    def wait_linked(self):
        running = [node for node in self.nodes if node.runs()]
        for node in running:
            wait_until(lambda node=node: node.sees_all(len(running)), f"{node.name} sees {len(running)} nodes")

    def level(self):
        """Every replica of every slot is as far as its leader."""
        seen = [node.slots() for node in self.nodes]
        return all(len({slot["commit"] for slot in slots}) == 1 and slots[0]["leader"] for slots in zip(*seen, strict=True))

    def with_others_gone(self, node):
        """What `node` shows is looked at as it is, and then with each of the others gone in turn."""
        yield
        for gone in self.nodes:
            if gone is node:
                continue
            gone.kill()
            wait_until(lambda gone=gone: all(slot["leader"] not in (None, "", gone.name) for slot in node.slots()), "a leader")
            yield
            gone.start()
            self.wait_linked()
            self.wait_spread(60)

    def wait_spread(self, deadline=DEADLINE):
        """Every slot has its replicas and a leader, on whom all agree, and every node leads some."""
        running = [node for node in self.nodes if node.runs()]
        replicas = min(len(running), int(self.settings.get("cluster.replicas", 3)))

        def spread():
            seen = [node.slots() for node in running]
            for slots in zip(*seen, strict=False):
                if len({slot["leader"] for slot in slots}) != 1 or not slots[0]["leader"]:
                    return False
                if any(len(slot["replicas"]) != replicas or slot["learners"] for slot in slots):
                    return False
            return all(len(slots) == 16 for slots in seen) and len({slot["leader"] for slot in seen[0]}) == len(running)

        wait_until(spread, "slots are spread", deadline, 0.2)
