"""Real parleyd and parley-bridge processes, each in a temporary directory, on free ports of the loopback interface."""

import fcntl
import http.client
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import urllib.parse

from harness.client import Client

BINARIES = pathlib.Path(os.environ.get("PARLEY_BINARY_DIR", "build/dev/bin"))
START_DEADLINE = 60.0
STOP_DEADLINE = 60.0
SANITIZER_MARKS = ("ERROR: AddressSanitizer", "ERROR: LeakSanitizer", "WARNING: ThreadSanitizer", ": runtime error: ")


# Below those that the system gives to whoever connects or asks for any.
PORTS = range(12_000, 32_000)
BLOCK = 250
ports_left = []
blocks = []  # Their files are locked as long as this process lives.


def take_block():
    """Ports that no other test uses at this time, also where this one has ended who listened there and will start him again."""
    starts = list(PORTS[::BLOCK])
    random.SystemRandom().shuffle(starts)  # Tests that run at the same time may have seeded the usual one alike.
    for start in starts:
        file = open(pathlib.Path(tempfile.gettempdir()) / f"parley-test-ports-{start}", "w")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            continue
        blocks.append(file)
        ports_left.extend(range(start, start + BLOCK))
        return
    raise AssertionError("other tests have all ports")


def free_port():
    """One that nobody listens on, and another one each time."""
    while True:
        if not ports_left:
            take_block()
        port = ports_left.pop()
        with socket.socket() as listener:
            try:
                listener.bind(("127.0.0.1", port))
            except OSError:
                continue
        return port


# ThreadSanitizer leaves little more than a terabyte of addresses.
SMALL_MAPS = {"PARLEY_STORAGE_MAP_SIZE": "16GB", "PARLEY_STORAGE_LOG_MAP_SIZE": "16GB",
              "PARLEY_STORAGE_PLAIN_MAP_SIZE": "16GB"}


class LocalConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket, as the admin socket speaks it."""

    def __init__(self, path):
        super().__init__("node", timeout=10)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))


def clean_environment():
    """Without what a developer may have set for a broker of his own."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PARLEY_")} | SMALL_MAPS


class Program:
    """One process whose log lines (JSON) are read by a thread of ours, so that a test can wait for one."""

    def __init__(self, *arguments):
        self.arguments = [str(argument) for argument in arguments]
        self.lines = []
        self.raw = []
        self.arrived = threading.Condition()
        self.ended = False
        self.process = subprocess.Popen(self.arguments, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.PIPE, env=clean_environment())
        self.reader = threading.Thread(target=self.read_log, daemon=True)
        self.reader.start()

    @property
    def pid(self):
        return self.process.pid

    def read_log(self):
        for line in self.process.stderr:
            line = line.decode(errors="replace").rstrip("\n")
            try:
                entry = json.loads(line)
            except ValueError:
                entry = {}
            with self.arrived:
                self.raw.append(line)
                self.lines.append(entry if isinstance(entry, dict) else {})
                self.arrived.notify_all()
        self.process.stderr.close()
        with self.arrived:
            self.ended = True
            self.arrived.notify_all()

    def wait_for(self, wanted, deadline=START_DEADLINE):
        """The first log line for which `wanted` (a predicate, or the event's name) holds, also of those that came before."""
        predicate = wanted if callable(wanted) else (lambda line: line.get("event") == wanted)
        end, at = time.monotonic() + deadline, 0
        with self.arrived:
            while True:
                while at < len(self.lines):
                    if predicate(self.lines[at]):
                        return self.lines[at]
                    at += 1
                left = end - time.monotonic()
                if self.ended or left <= 0:
                    what = "ended" if self.ended else f"said nothing of {wanted} within {deadline} s"
                    raise AssertionError("\n".join([f"{self.arguments[0]} {what}:", *self.raw[-20:]]))
                self.arrived.wait(left)

    def count(self, predicate):
        with self.arrived:
            return sum(1 for line in self.lines if predicate(line))

    def kill(self):
        """As kill -9 does."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(STOP_DEADLINE)
        self.reader.join(STOP_DEADLINE)

    def stop(self):
        """As systemd does; the exit status."""
        if self.process.poll() is None:
            self.process.terminate()
        try:
            status = self.process.wait(STOP_DEADLINE)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError("\n".join([f"{self.arguments[0]} does not stop:", *self.raw[-20:]])) from None
        self.reader.join(STOP_DEADLINE)
        return status

    def reports(self):
        """What sanitizers said, with what stands behind it."""
        with self.arrived:
            for at, line in enumerate(self.raw):
                if any(mark in line for mark in SANITIZER_MARKS):
                    return self.raw[at : at + 60]
        return []

    def memory(self):
        """Anonymous resident memory in bytes: what isn't pages of the databases."""
        for line in pathlib.Path(f"/proc/{self.pid}/status").read_text(encoding="ascii").splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
        raise AssertionError("the process has gone")


class Server:
    """A broker and, when asked for, a bridge beside it, over one data directory. Use it in a `with`."""

    def __init__(self, *, bridge=False, directory=None, settings=None, listeners=""):
        self.own_directory = directory is None
        self.directory = pathlib.Path(directory or tempfile.mkdtemp(prefix="parley-e2e-"))
        self.data = self.directory / "data"
        self.port = free_port()
        self.http_port = free_port()
        self.wants_bridge = bridge
        self.settings = settings or {}
        self.listeners = listeners  # Further ones, as they stand in the file.
        self.broker = None
        self.bridge = None
        self.programs = []

    def __enter__(self):
        try:
            self.start()
        except BaseException as error:
            self.__exit__(type(error))
            raise
        return self

    def __exit__(self, error=None, *_):
        """Both must end in order when told to, unless the test has failed already."""
        wrong = []
        for program in (self.bridge, self.broker):
            if program is None or program.process.poll() is not None:
                continue
            if error is not None:
                program.kill()
            elif (status := program.stop()) != 0:
                wrong += [f"{program.arguments[0]} ended with status {status}:", *program.raw[-20:]]
        for program in self.programs:
            wrong += program.reports()
        if self.own_directory:
            shutil.rmtree(self.directory, ignore_errors=True)
        if wrong:
            raise AssertionError("\n".join(wrong))

    def configuration(self):
        lines = [
            "[[listener]]", f'url = "tcp://127.0.0.1:{self.port}"', "allow_anonymous = true",
            self.listeners,
            "[node]", f'data_dir = "{self.data}"',
            "[chat]", "auto_create = true",
            "[bridge]", f'listen = "http://127.0.0.1:{self.http_port}"', f'broker = "tcp://127.0.0.1:{self.port}"',
            "allow_anonymous = true",
            "[log]", 'format = "json"',
        ]  # fmt: skip
        path = self.directory / "parley.toml"
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return path

    def command(self, program):
        options = [f"--set={key}={value}" for key, value in self.settings.items()]
        return [BINARIES / program, "--config", self.configuration(), *options]

    def start(self):
        self.start_broker()
        if self.wants_bridge:
            self.start_bridge()

    def start_broker(self):
        self.broker = Program(*self.command("parleyd"))
        self.programs.append(self.broker)
        self.broker.wait_for("ready")

    def start_bridge(self):
        self.bridge = Program(*self.command("parley-bridge"))
        self.programs.append(self.bridge)
        self.bridge.wait_for("ready")

    def get(self, path, **query):
        """(status, headers, JSON body) of a GET at the bridge."""
        return self.request("GET", path, query=query)

    def request(self, method, path, *, query=None, body=None, headers=None):
        if query:
            path += "?" + urllib.parse.urlencode(query)
        connection = http.client.HTTPConnection("127.0.0.1", self.http_port, timeout=30)
        try:
            data = None if body is None else json.dumps(body)
            given = {"Content-Type": "application/json"} if data is not None else {}
            connection.request(method, path, body=data, headers=given | (headers or {}))
            response = connection.getresponse()
            content = response.read()
            return response.status, response.headers, json.loads(content) if content else None
        finally:
            connection.close()

    def history(self, conversation, limit=1000):
        """Every entry of a conversation, read from its beginning: page by page at the bridge, else by replay."""
        if not self.wants_bridge:
            return self.replay(conversation)
        entries, after = [], 0
        while True:
            path = f"/v1/conversations/{urllib.parse.quote(conversation, safe='')}/messages"
            status, _, body = self.get(path, after=f"seq:{after}", limit=limit)
            if status != 200:
                raise AssertionError(f"GET {path} after seq:{after}: {status} {body}")
            if not body["data"]:
                return entries
            entries += body["data"]
            after = entries[-1]["seq"]

    def replay(self, conversation):
        """Every entry of a conversation as a subscriber is shown it."""
        with Client(self.port, "replay") as client:
            suback = client.subscribe(f"chat/{conversation}/json", user=(("since", 0),))
            return [json.loads(client.message().payload) for _ in range(int(suback.value("head")))]
