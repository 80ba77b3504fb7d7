"""Where the broker puts names: base/bytes.hpp, broker/shard/options.hpp."""


def stable_hash(text):
    """As base/bytes.hpp has it."""
    mask = (1 << 64) - 1
    value = 0xCBF29CE484222325
    for byte in text.encode():
        value = (value ^ byte) * 0x100000001B3 & mask
    value ^= value >> 32
    value = value * 0xD6E8FEB86659FD93 & mask
    return value ^ value >> 32


def slot_of(name, slots):
    return stable_hash(name) % slots


def shard_of(name, threads, slots=256):
    """Which of a node's threads has the conversation or client id of that name."""
    return slot_of(name, slots) % threads
