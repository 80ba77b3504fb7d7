"""Bytes of a node's log.mdb that change while the node is down."""

import re

from cluster import wait_until


def log_of(node):
    return node.directory / "storage-0" / "log.mdb"


def stored(node, text):
    """Whether the node's store has it, which follows the log."""
    return text.encode() in (node.directory / "storage-0" / "store.mdb").read_bytes()


def change(node, text, most=None, chance=None):
    """Another bit in the places where `text` stands in the node's log, in `most` of them drawn by `chance`; returns in how many."""
    with open(log_of(node), "r+b") as file:
        content = file.read()
        places = [found.start() + len(text) // 2 for found in re.finditer(re.escape(text), content)]
        if most is not None:
            places = chance.sample(places, min(most, len(places)))
        for place in places:
            file.seek(place)
            file.write(bytes([content[place] ^ 0x10]))
    return len(places)


def start_anew(node):
    """Starts a node whose log is damaged, a second time if it finds that out while it runs; returns whether that was so.
    It has begun its log anew then, or cut it behind what its store has."""
    is_mended = lambda line: any(word in line.get("event", "") for word in ("beginning it anew", "cutting it behind"))
    mended = lambda: node.program.count(is_mended)
    node.start(ready=False)
    wait_until(lambda: mended() or node.program.process.poll() is not None, f"{node.name} notices that its log is damaged")
    stopped = not mended()
    if stopped:
        if (status := node.program.process.wait(30)) != 1 or not node.program.count(
                lambda line: "this node stops" in line.get("event", "")):
            raise AssertionError(f"{node.name} ended with status {status}: {node.program.raw[-20:]}")
        node.start(ready=False)
        node.program.wait_for(is_mended)
    node.program.wait_for("ready")
    return stopped
