"""Thousands of users who come and go together, in processes of their own, and watchers who check what presence they are shown."""

import asyncio
import json
import multiprocessing
import socket
import struct
import time
import traceback

from . import flow, packets

PER_GROUP = 90  # Users of a group, beside its watchers: small enough for presence/+.
AT_ONCE = 200  # Connections that one process opens at the same time.
# What is said of a user within so long of a change may be older than the change.
LAG = 1.5
# Also where the machine has other things to do.
DEADLINE = 240.0
flow.DEADLINE = DEADLINE


def name_of(number):
    return f"u{number:05}"


def group_of(number):
    return f"crowd-{number // PER_GROUP}"


class Device(asyncio.Protocol):
    """A user's connection."""

    def __init__(self):
        self.stream = packets.Stream(5)
        self.connack = asyncio.get_running_loop().create_future()
        self.transport = None
        self.wanted = True

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        for packet in self.stream.feed(data):
            if packet.type == packets.CONNACK and not self.connack.done():
                self.connack.set_result(packet)

    def connection_lost(self, exc):
        if not self.connack.done():
            self.connack.set_exception(ConnectionResetError())


class Crowd:
    """Some of the users. Runs in a process of its own and does what it is told."""

    def __init__(self, numbers):
        self.numbers = numbers
        self.devices = {}

    async def open(self, number, port, options):
        user = name_of(number)
        connection = socket.socket()
        connection.setblocking(False)
        # Closing it is a reset, as when a device loses its network, and leaves nothing behind in the kernel.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.bind((f"127.0.{1 + number // 10_000}.{1 + number % 200}", 0))
        loop = asyncio.get_running_loop()
        try:
            await loop.sock_connect(connection, ("127.0.0.1", port))
            _, device = await loop.create_connection(Device, sock=connection)
        except OSError:
            connection.close()
            raise
        values = {"session_expiry_interval": options.get("expiry", 0)}
        will, will_values = options.get("will"), None
        if will is not None:
            will, will_values = (f"presence/{user}", will[0], 0, False), {"will_delay_interval": will[1]}
        device.transport.write(packets.connect(user, username=user, keep_alive=0, will=will, will_values=will_values, values=values))
        connack = await asyncio.wait_for(device.connack, DEADLINE)
        if connack.reason != 0:
            raise AssertionError(f"{user} is refused: {connack}")
        return device

    async def connect(self, ports, **options):
        """All of `only`, or all; each at the port of its. Gives when each was there."""
        limit = asyncio.Semaphore(AT_ONCE)
        times = {}

        async def one(number):
            async with limit:
                end = time.monotonic() + DEADLINE
                while True:
                    try:
                        device = await self.open(number, ports[number % len(ports)], options)
                        break
                    except (OSError, asyncio.TimeoutError):
                        if time.monotonic() > end:
                            raise
                        await asyncio.sleep(0.05)
            self.devices[number] = device
            times[number] = time.monotonic()

        await asyncio.gather(*(one(number) for number in options.pop("only", None) or self.numbers))
        return times

    async def drop(self, only=None):
        """Gives when each was gone."""
        times = {}
        for number in only or self.numbers:
            device = self.devices.pop(number, None)
            if device is not None:
                device.transport.abort()
                times[number] = time.monotonic()
        await asyncio.sleep(0)
        return times

    async def storm(self, ports, **options):
        """All lose their connections and come back at once."""
        gone = await self.drop()
        return gone, await self.connect(ports, **options)


class Watcher:
    """Sees the presence of all users, by presence/+ or one by one, in a session that outlives its connection."""

    def __init__(self, name, users, one_by_one):
        self.name, self.users, self.one_by_one = name, users, one_by_one
        self.seen = []  # (when, user, online, devices, status, retained)
        self.connection = None

    def take(self, packet):
        if packet.type == packets.PUBLISH and packet.topic.startswith("presence/u"):
            body = json.loads(packet.payload)
            self.seen.append((time.monotonic(), packet.topic[9:], body["state"] == "online", body["devices"],
                              body.get("status", ""), packet.retain))

    async def connect(self, port, subscribes):
        end = time.monotonic() + DEADLINE
        while True:
            try:
                self.connection, _ = await flow.connect(port, self.name, self.take, clean=False, username=self.name, keep_alive=0,
                                                        values={"session_expiry_interval": 3600})
                break
            except (OSError, asyncio.TimeoutError):
                if time.monotonic() > end:
                    raise
                await asyncio.sleep(0.05)
        if not subscribes:
            return
        if not self.one_by_one:
            await flow.subscribe(self.connection, "presence/+", 0)
            return
        filters = [(f"presence/{name_of(number)}", 0) for number in range(self.users)]
        for at in range(0, len(filters), 100):
            while True:
                suback = await self.connection.ask(packets.subscribe(1, filters[at:at + 100]), packets.SUBACK, 1)
                if all(reason < 0x80 for reason in suback.reasons):
                    break
                refused = {name for (name, _), reason in zip(filters[at:at + 100], suback.reasons) if reason >= 0x80}
                if time.monotonic() > end:
                    raise AssertionError(f"{self.name} may not see {sorted(refused)[:5]}: {suback.reasons}")
                await asyncio.sleep(0.5)  # The memberships are new.


class Watchers:
    """All of them, in a process of their own."""

    def __init__(self, users, kinds):
        self.watchers = [Watcher(f"watcher{number}", users, one_by_one) for number, one_by_one in enumerate(kinds)]

    async def connect(self, ports, subscribes=False, only=None):
        await asyncio.gather(*(watcher.connect(ports[place % len(ports)], subscribes)
                               for place, watcher in enumerate(self.watchers) if only is None or place in only))

    async def seen(self):
        """Since it was asked the last time, by watcher."""
        found = [watcher.seen for watcher in self.watchers]
        for watcher in self.watchers:
            watcher.seen = []
        return found


async def serve(pipe, actor):
    while True:
        command = await asyncio.to_thread(pipe.recv)
        if command is None:
            return
        method, arguments, options = command
        try:
            pipe.send((await getattr(actor, method)(*arguments, **options), None))
        except Exception:  # noqa: BLE001: it is told who asked
            pipe.send((None, traceback.format_exc()))


class Process:
    """An actor in a process of its own: `ask` says what to do, `answer` waits until it is done."""

    def __init__(self, make, *arguments):
        self.pipe, theirs = multiprocessing.Pipe()
        self.process = multiprocessing.Process(target=self.run, args=(theirs, make, arguments), daemon=True)
        self.process.start()

    @staticmethod
    def run(pipe, make, arguments):
        asyncio.run(serve(pipe, make(*arguments)))

    def ask(self, method, *arguments, **options):
        self.pipe.send((method, arguments, options))

    def answer(self):
        if not self.pipe.poll(DEADLINE * 2):
            raise AssertionError("a process of clients doesn't answer")
        result, error = self.pipe.recv()
        if error is not None:
            raise AssertionError(error)
        return result

    def do(self, method, *arguments, **options):
        self.ask(method, *arguments, **options)
        return self.answer()

    def end(self):
        self.process.terminate()
        self.process.join()


class Storm:
    """The users, their watchers, and the judge. `kinds`: of each watcher whether it subscribes to the users one by one."""

    def __init__(self, users, processes, kinds, grace):
        self.users, self.grace, self.kinds = users, grace, kinds
        self.crowds = [Process(Crowd, list(range(place, users, processes))) for place in range(processes)]
        self.watchers = Process(Watchers, users, kinds)
        self.there = {}  # Of each user [from, until], one after the other; until infinity where it is there.
        self.last = [{} for _ in kinds]  # What each watcher was shown last of each user.
        self.graces = {}  # Of users that had another grace time than the usual one.
        self.phase_begin = time.monotonic()
        self.figures = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in [*self.crowds, self.watchers]:
            process.end()

    # -- What users do --

    def each(self, method, *arguments, only=None, **options):
        """Of all processes of users together."""
        asked = []
        for place, crowd in enumerate(self.crowds):
            part = None if only is None else [number for number in only if number % len(self.crowds) == place]
            if part == []:
                continue
            crowd.ask(method, *arguments, **options, **({} if part is None else {"only": part}))
            asked.append(crowd)
        return [crowd.answer() for crowd in asked]

    def arrived(self, times):
        for number, when in times.items():
            spans = self.there.setdefault(number, [])
            if not spans or spans[-1][1] != float("inf"):
                spans.append([when, float("inf")])

    def gone(self, times):
        for number, when in times.items():
            if self.there.get(number):
                self.there[number][-1][1] = min(self.there[number][-1][1], when)

    def connect(self, ports, **options):
        begin = time.monotonic()
        count = 0
        for times in self.each("connect", ports, **options):
            self.arrived(times)
            count += len(times)
        took = time.monotonic() - begin
        return count, took

    def drop(self, only=None):
        for times in self.each("drop", only=only):
            self.gone(times)

    def reconnect(self, ports, **options):
        begin = time.monotonic()
        for gone, times in self.each("storm", ports, **options):
            self.gone(gone)
            self.arrived(times)
        return self.users, time.monotonic() - begin

    def killed(self, numbers):
        """Their node is dead since now."""
        now = time.monotonic()
        self.gone(dict.fromkeys(numbers, now))

    # -- What watchers see --

    def make_groups(self, client):
        """`client` is watcher0's, and makes the groups."""
        for number in range(0, self.users, PER_GROUP):
            members = [*(f"watcher{watcher}" for watcher in range(1, len(self.kinds))),
                       *(name_of(member) for member in range(number, min(number + PER_GROUP, self.users)))]
            self.command(client, group_of(number), op="create")
            for member in members:
                self.command(client, group_of(number), qos=int(member == members[-1]), op="add", user=member)

    @staticmethod
    def command(client, group, qos=0, **fields):
        client.publish(f"chat/{group}/ctl", json.dumps(fields), qos=qos)

    @staticmethod
    def observe(seconds):
        """So long the watchers watch: what mustn't be shown has this time to be shown, the grace time above all. No event ends it."""
        time.sleep(seconds)

    def begin(self):
        self.watchers.do("seen")
        self.phase_begin = time.monotonic()

    def judge(self, title, *, offline=(), quiet=True):
        """Every state that was shown since begin() is held against what was true; afterwards those `offline` are shown as such,
        each once, and all others online. `quiet`: of whoever else wasn't away for its grace time nothing may be said at all."""
        waiting = time.monotonic() + 30
        offline = set(offline)
        seen = self.watchers.do("seen")
        while not self.is_true(offline, seen) and time.monotonic() < waiting:
            time.sleep(0.2)
            for events, more in zip(seen, self.watchers.do("seen")):
                events += more
        wrong, messages, most = [], 0, 0
        for place, events in enumerate(seen):
            counts, went = {}, {}
            for when, user, online, devices, status, retain in events:
                number = int(user[1:])
                self.last[place][number] = (online, devices, status)
                if not retain:
                    counts[number] = counts.get(number, 0) + 1
                    messages += 1
                    if quiet and number not in offline and not self.was_away(number):
                        wrong.append(f"watcher{place} was told of {user} for nothing: {online}, {devices} devices")
                if not online:
                    went[number] = went.get(number, 0) + (not retain)
                    if self.was_there(number, when):
                        wrong.append(f"watcher{place} was shown {user} offline at {when - self.phase_begin:.2f} s: there {self.spans(number)}")
                elif not self.may_be_online(number, when):
                    wrong.append(f"watcher{place} was shown {user} online at {when - self.phase_begin:.2f} s: there {self.spans(number)}")
            for number in range(self.users):
                state = self.last[place].get(number)
                if state is None or state[0] == (number in offline):
                    wrong.append(f"watcher{place} ends with {name_of(number)} {state}: there {self.spans(number)}")
                elif state[0] and state[1] != 1:
                    wrong.append(f"watcher{place} ends with {name_of(number)} at {state[1]} devices")
                if went.get(number, 0) > 1:
                    wrong.append(f"watcher{place} was shown {name_of(number)} going {went[number]} times")
            # One a second of each user at most: whatever the storm, it is conflated.
            lasted = time.monotonic() - self.phase_begin
            most = max([most, *counts.values()])
            wrong += [f"watcher{place} got {count} messages of {name_of(number)} in {lasted:.0f} s"
                      for number, count in counts.items() if count > lasted + 2]
        if wrong:
            raise AssertionError(f"{title}: {len(wrong)} things\n" + "\n".join(wrong[:20]))
        return messages, most

    def is_true(self, offline, seen):
        last = [dict(states) for states in self.last]
        for states, events in zip(last, seen):
            for _, user, online, devices, status, _ in events:
                states[int(user[1:])] = (online, devices, status)
        return all(number in states and states[number][0] == (number not in offline) and states[number][1] == (number not in offline)
                   for states in last for number in range(self.users))

    def spans(self, number):
        return [tuple(round(at - self.phase_begin, 2) for at in span) for span in self.there.get(number, [])]

    def was_there(self, number, when):
        """It was there, or was less than its grace time ago: nobody may be shown that it is gone."""
        grace = self.graces.get(number, self.grace)
        return any(begin < when - LAG and end > when - grace + 0.3 for begin, end in self.there.get(number, []))

    def was_away(self, number):
        """For nearly its grace time or longer, in this phase."""
        spans = [span for span in self.there.get(number, []) if span[1] > self.phase_begin]
        edges = [self.phase_begin, *(at for span in spans for at in span), float("inf")]
        return any(end - begin > self.grace - 1 for begin, end in zip(edges[::2], edges[1::2]) if end != begin and end != float("inf"))

    def may_be_online(self, number, when):
        grace = self.graces.get(number, self.grace)
        return any(begin < when + 0.3 and end + grace + LAG > when for begin, end in self.there.get(number, []))
