"""The messages of a connection to a space, which carries the messages of all its shards. One in each WebSocket frame.

    0                               heartbeat, without effect
    1 shard, message                a message of y-protocols about a shard, as in protocol.py
    2 text                          the list of shards as JSON; the server sends it first, and whenever it changes
    3 shard, number                 the server has committed the client's first `number` updates of this shard
    4 shard, code, text             the server takes nothing more for this shard: a close code, and the reason

Numbers are unsigned LEB128, texts are UTF-8 behind their size. A client only sends the messages 0 and 1.
"""

from __future__ import annotations

from typing import Final

from memcrdt.model import limits
from memcrdt.model.clocks import read_varuint, varuint
from memcrdt.yjs import protocol

FRAME_BYTES: Final = protocol.FRAME_BYTES + 16  # with the header before the message

_HEARTBEAT, _OF_SHARD, _LIST, _STORED, _CLOSED = range(5)

HEARTBEAT: Final = bytes((_HEARTBEAT,))


def read(frame: bytes) -> tuple[int | None, bytes]:
    """Return the shard of a client's frame, and the message about it. The shard is None if the frame has no effect.

    Raises:
        RemoteProtocolError: The frame is malformed.
    """
    kind, at = read_varuint(frame, 0, limits.CLIENT_ID_MAX)
    if kind != _OF_SHARD:
        return None, b""
    shard, at = read_varuint(frame, at, limits.CLIENT_ID_MAX)
    return shard, frame[at:]


def of_shard(shard: int, message: bytes) -> bytes:
    """Return the frame of a message about a shard."""
    return bytes((_OF_SHARD,)) + varuint(shard) + message


def listed(shards: str) -> bytes:
    """Return the frame of the list of shards, given as JSON."""
    return bytes((_LIST,)) + _text(shards)


def stored(shard: int, number: int) -> bytes:
    """Return the frame that tells a client how many of its updates of a shard are committed."""
    return bytes((_STORED,)) + varuint(shard) + varuint(number)


def closed(shard: int, code: int, reason: str) -> bytes:
    """Return the frame that ends the exchange about a shard."""
    return bytes((_CLOSED,)) + varuint(shard) + varuint(code) + _text(reason)


def _text(text: str) -> bytes:
    data = text.encode()
    return varuint(len(data)) + data
