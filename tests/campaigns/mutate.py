"""Hostile Yjs updates: mutations of honest updates, and named attacks.

This module uses no code of memcrdt, because a test of the scan must not share its mistakes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Final

_MAP: Final = b"\x08memories"
_KEY: Final = b"\x1a01JD8Z6Q4M0000000000000001"
_NO_DELETES: Final = b"\x00"
_MINUS_TWO: Final = b"\xfe\xff\xff\xff\x0f"  # 2^32 - 2
_TWO_TO_28: Final = b"\x80\x80\x80\x80\x01"


def mutated(update: bytes, others: Sequence[bytes], rng: Random) -> bytes:
    """Return `update` after one to four mutations: flipped bits, set bytes, cut, doubled, or spliced from `others`."""
    data = update
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        data = rng.choice(_MUTATIONS)(data, others, rng)
    return data


def _flip(data: bytes, others: Sequence[bytes], rng: Random) -> bytes:
    return _with_byte(data, rng, lambda old: old ^ (1 << rng.randrange(8)))


def _set(data: bytes, others: Sequence[bytes], rng: Random) -> bytes:
    """Set a byte, most often to a value with a meaning in the format."""
    new = rng.choice((0, 1, 8, 10, 0x28, 0x7F, 0x80, 0xA8, 0xC8, 0xFF, 117, 118, 119, rng.randrange(256)))
    return _with_byte(data, rng, lambda old: new)


def _step(data: bytes, others: Sequence[bytes], rng: Random) -> bytes:
    """Change a number by one: a clock, a count or a length."""
    return _with_byte(data, rng, lambda old: (old + rng.choice((-1, 1))) % 256)


def _cut(data: bytes, others: Sequence[bytes], rng: Random) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def _remove(data: bytes, others: Sequence[bytes], rng: Random) -> bytes:
    start, end = _span(data, rng)
    return data[:start] + data[end:]


def _double(data: bytes, others: Sequence[bytes], rng: Random) -> bytes:
    start, end = _span(data, rng)
    return data[:end] + data[start:]


def _splice(data: bytes, others: Sequence[bytes], rng: Random) -> bytes:
    donor = rng.choice(others)
    start, end = _span(donor, rng)
    at = rng.randrange(len(data) + 1)
    return data[:at] + donor[start:end] + data[at + rng.choice((0, end - start)) :]


_MUTATIONS: Final = (_flip, _flip, _set, _step, _step, _cut, _remove, _double, _splice)


def _with_byte(data: bytes, rng: Random, change: Callable[[int], int]) -> bytes:
    if not data:
        return data
    at = rng.randrange(len(data))
    return data[:at] + bytes([change(data[at])]) + data[at + 1 :]


def _span(data: bytes, rng: Random) -> tuple[int, int]:
    start = rng.randrange(len(data) + 1)
    return start, min(len(data), start + rng.choice((1, 2, 4, 16, 64)))


def _item(content: bytes, *, client: bytes = b"\x09", clock: bytes = b"\x00", kind: int = 8) -> bytes:
    """Return an update of one item at the key of a register. `content` follows the key."""
    head = b"\x01\x01" + client + clock + bytes([kind | 0x20]) + b"\x01" + _MAP + _KEY
    return head + content + _NO_DELETES


def _blocks(*blocks: bytes, clock: bytes = b"\x00") -> bytes:
    return b"\x01" + bytes([len(blocks)]) + b"\x09" + clock + b"".join(blocks) + _NO_DELETES


def _many(count: int, blocks: bytes) -> bytes:
    """Return an update of one client with the given number of blocks."""
    size = bytes([count & 127 | 128, count >> 7 & 127 | 128, count >> 14 & 127 | 128, count >> 21])
    return b"\x01" + size + b"\x09\x00" + blocks + _NO_DELETES


def _keys(count: int) -> bytes:
    """Return the given number of items, each with its own key."""
    blocks = bytearray()  # a list of the blocks would take ten times the memory, and hide the memory use of the attack
    for number in range(count):
        blocks += b"\x28\x01" + _MAP + b"\x07" + b"%07d" % number + _ANY_NULL
    return bytes(blocks)


_ANY_NULL: Final = b"\x01\x7e"
_NULL_ITEM: Final = b"\x28\x01" + _MAP + _KEY + _ANY_NULL

#: Updates that no honest client makes, by their fault. A scan must refuse every one of them.
ATTACKS: Final[Mapping[str, bytes]] = {
    "nothing at all": b"",
    "arrays nested 20,000 deep": _item(b"\x01" + b"\x75\x01" * 20_000 + b"\x7e"),
    "objects nested 20,000 deep": _item(b"\x01" + b"\x76\x01\x01a" * 20_000 + b"\x7e"),
    "a claim of 2^28 clients": _TWO_TO_28,
    "a claim of 2^28 blocks": b"\x01" + _TWO_TO_28 + b"\x09\x00" + _NULL_ITEM + _NO_DELETES,
    "a claim of 2^28 values": _item(_TWO_TO_28),
    "a claim of an array of 2^28": _item(b"\x01\x75" + _TWO_TO_28),
    "a claim of an object of 2^28": _item(b"\x01\x76" + _TWO_TO_28),
    "a claim of a text of 2^28 bytes": _item(b"\x01\x77" + _TWO_TO_28),
    "a claim of 2^28 clients that deleted": b"\x00" + _TWO_TO_28,
    "a claim of 2^28 deleted ranges": b"\x00\x01\x09" + _TWO_TO_28,
    "two million empty objects": _item(b"\x01\x75\x80\x80\x80\x01" + b"\x76\x00" * (1 << 21)),
    "eight million values": _item(b"\x80\x80\x80\x04" + b"\x7e" * (1 << 23)),
    "half a million keys": _many(1 << 19, _keys(1 << 19)),
    "two million collected blocks": _many(1 << 21, b"\x00\x01" * (1 << 21)),
    "a collected block of 2^32 - 2": _blocks(b"\x00" + _MINUS_TWO),
    "a deleted block of 2^32 - 2": _item(_MINUS_TWO, kind=1),
    "a skipped block of 2^32 - 2": _blocks(b"\x0a" + _MINUS_TWO, _NULL_ITEM),
    "a clock of 2^32 - 2": _item(_ANY_NULL, clock=_MINUS_TWO),
    "blocks that reach beyond the last clock": _blocks(_NULL_ITEM, _NULL_ITEM, clock=b"\xff\xff\xff\xff\x07"),
    "a deleted range of 2^32 - 2": b"\x00\x01\x09\x01\x00" + _MINUS_TWO,
    "a client id of 2^53": _item(_ANY_NULL, client=b"\x80\x80\x80\x80\x80\x80\x80\x10"),
    "a client id of 2^53 that deleted": b"\x00\x01\x80\x80\x80\x80\x80\x80\x80\x10\x01\x00\x01",
    "a number without an end": b"\x80" * 20,
    "a signed number without an end": _item(b"\x01\x7d" + b"\xff" * 20 + b"\x00"),
    "a collected block of no length": _blocks(b"\x00\x00"),
    "a deleted block of no length": _item(b"\x00", kind=1),
    "an item without a value": _item(b"\x00"),
    "a skipped block of no length": _blocks(b"\x0a\x00"),
    "a deleted range of no length": b"\x00\x01\x09\x01\x00\x00",
    "a client without blocks": b"\x01\x00\x09\x00" + _NO_DELETES,
    "one client twice": b"\x02" + 2 * (b"\x01\x09\x00" + _NULL_ITEM) + _NO_DELETES,
    "one client twice among the deletes": b"\x00\x02" + 2 * b"\x09\x01\x00\x01",
    "another root": _blocks(b"\x28\x01\x05other" + _KEY + _ANY_NULL),
    "a root whose name begins with ours": _blocks(b"\x28\x01\x09memories2" + _KEY + _ANY_NULL),
    "a parent by its id": _blocks(b"\x28\x00\x09\x00" + _KEY + _ANY_NULL),
    "a parent of no known sort": _blocks(b"\x28\x02" + _KEY + _ANY_NULL),
    "a list item in the root": _blocks(b"\x08\x01" + _MAP + _ANY_NULL),
    "a deleted list item": b"\x01\x01\x09\x00\x01\x01" + _MAP + b"\x01" + b"\x01\x09\x00",
    "a key that is no UTF-8": _blocks(b"\x28\x01" + _MAP + b"\x02\xc3\x28" + _ANY_NULL),
    "a key with half a surrogate pair": _blocks(b"\x28\x01" + _MAP + b"\x03\xed\xa0\x80" + _ANY_NULL),
    "a text that is no UTF-8": _item(b"\x01\x77\x01\xff"),
    "a field name that is no UTF-8": _item(b"\x01\x76\x01\x01\xff\x7e"),
    "an item that stands behind itself": _blocks(b"\xa8\x09\x00" + _ANY_NULL),
    "an item that stands before another one": _blocks(_NULL_ITEM, b"\x68\x09\x00" + _ANY_NULL),
    "an item between two others": _blocks(_NULL_ITEM, _NULL_ITEM, b"\xc1\x09\x00\x09\x01\x05"),
    "JSON content": _item(b"\x01\x04null", kind=2),
    "binary content": _item(b"\x02ab", kind=3),
    "text content": _item(b"\x02ab", kind=4),
    "an embed": _item(b"\x04null", kind=5),
    "a text format": _item(b"\x01b\x04true", kind=6),
    "a nested type": _item(b"\x01", kind=7),
    "a document within the document": _item(b"\x01g\x76\x00", kind=9),
    "content of kind 11": _item(b"\x01", kind=11),
    "bytes within a value": _item(b"\x01\x74\x02ab"),
    "a value with an unknown tag": _item(b"\x01\x73"),
    "bytes behind the end": _item(_ANY_NULL) + b"\x00",
    "no delete set": _item(_ANY_NULL)[:-1],
}
