"""The messages of y-protocols. Each WebSocket frame contains one message.

Source: sync.js, awareness.js and auth.js of y-protocols 1.0, y-websocket.js of y-websocket 3.1, encoding.js of lib0.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, NoReturn, TypeAlias

from memcrdt.errors import RemoteProtocolError
from memcrdt.model import limits
from memcrdt.model.clocks import StateVector, decode_state_vector, encode_state_vector, read_varuint, varuint

FRAME_BYTES: Final = limits.UPDATE_BYTES + 16  # the largest update, and the message header before it
PRESENCES: Final = 1024  # in one message; a client also repeats the presences of other clients
PRESENCE_BYTES: Final = 16 * limits.KIB

_SYNC, _AWARENESS, _AUTH, _QUERY_AWARENESS = range(4)
_DENIED = 0  # the only message of auth.js
_STEP_1, _STEP_2, _UPDATE = 0, 1, 2
_GONE: Final = "null"  # the state of a client that left


@dataclass(frozen=True, slots=True)
class Step1:
    """Sync step 1: the sender's copy has reached the state vector `known`, and the sender asks for the rest."""

    known: StateVector


@dataclass(frozen=True, slots=True)
class Update:
    """An update of the document. `is_step_2`: it answers our step 1 with everything that our copy lacks."""

    update: bytes
    is_step_2: bool


@dataclass(frozen=True, slots=True)
class Presence:
    """The awareness state of one client. Of several states, the one with the greatest clock counts.

    Attributes:
        client: The Yjs client id.
        clock: The version of the state.
        state: The state as JSON text; "null" if the client has left.
    """

    client: int
    clock: int
    state: str

    @property
    def is_gone(self) -> bool:
        """Whether the client has left."""
        return self.state == _GONE

    def left(self) -> Presence:
        """Return the presence that tells other clients that this client has left."""
        return Presence(self.client, self.clock, _GONE)


@dataclass(frozen=True, slots=True)
class Awareness:
    """New or changed presences of clients."""

    presences: tuple[Presence, ...]


@dataclass(frozen=True, slots=True)
class QueryAwareness:
    """A request for the presences of all clients."""


Message: TypeAlias = Step1 | Update | Awareness | QueryAwareness


def read(frame: bytes) -> Message | None:
    """Return the message in a frame; None for a message kind that y-protocols leaves to applications.

    Raises:
        RemoteProtocolError: The frame is malformed. Sizes are checked before memory is allocated.
    """
    reader = _Reader(frame)
    kind = reader.number(limits.CLIENT_ID_MAX)
    message: Message
    if kind == _SYNC:
        message = _read_sync(reader)
    elif kind == _AWARENESS:
        message = _read_awareness(_Reader(reader.chunk(FRAME_BYTES)))
    elif kind == _QUERY_AWARENESS:
        message = QueryAwareness()
    else:
        return None
    reader.end()
    return message


def step_1(known: StateVector) -> bytes:
    """Return the frame of a sync step 1."""
    return bytes((_SYNC, _STEP_1)) + _chunk(encode_state_vector(known))


def step_2(update: bytes) -> bytes:
    """Return the frame of a sync step 2."""
    return bytes((_SYNC, _STEP_2)) + _chunk(update)


def update(update: bytes) -> bytes:
    """Return the frame of an update."""
    return bytes((_SYNC, _UPDATE)) + _chunk(update)


def awareness(presences: Iterable[Presence]) -> bytes:
    """Return the frame of an awareness message."""
    told = list(presences)
    entries = (varuint(one.client) + varuint(one.clock) + _chunk(one.state.encode()) for one in told)
    return bytes((_AWARENESS,)) + _chunk(varuint(len(told)) + b"".join(entries))


def denied(reason: str) -> bytes:
    """Return the frame that tells a client that its update was not accepted. y-websocket logs the reason."""
    return bytes((_AUTH, _DENIED)) + _chunk(reason.encode())


def _chunk(data: bytes) -> bytes:
    return varuint(len(data)) + data


class _Reader:
    """Reads the fields of a frame in order."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    def number(self, maximum: int) -> int:
        value, self._at = read_varuint(self._data, self._at, maximum)
        return value

    def chunk(self, maximum: int) -> bytes:
        size = self.number(maximum)
        start = self._at
        self._at = start + size
        if self._at > len(self._data):
            _refuse(f"has a field of {size} bytes, but only {len(self._data) - start} bytes follow")
        return self._data[start : self._at]

    def end(self) -> None:
        if self._at != len(self._data):
            _refuse(f"has {len(self._data) - self._at} extra bytes at its end")


def _read_sync(reader: _Reader) -> Message:
    step = reader.number(limits.CLIENT_ID_MAX)
    if step == _STEP_1:
        return Step1(decode_state_vector(reader.chunk(limits.STATE_VECTOR_BYTES)))
    if step not in (_STEP_2, _UPDATE):
        _refuse(f"has the kind {step}, which the sync protocol does not define")
    return Update(reader.chunk(limits.UPDATE_BYTES), step == _STEP_2)


def _read_awareness(reader: _Reader) -> Message:
    count = reader.number(PRESENCES)
    presences = tuple(_read_presence(reader) for _ in range(count))
    reader.end()
    return Awareness(presences)


def _read_presence(reader: _Reader) -> Presence:
    client, clock = reader.number(limits.CLIENT_ID_MAX), reader.number(limits.UPDATE_CLOCK)
    state = reader.chunk(PRESENCE_BYTES)
    try:
        # The state is relayed to other clients, which would fail on anything but JSON.
        value = json.loads(state, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as exc:
        raise RemoteProtocolError(f"a message has a presence that is not JSON: {exc}") from exc
    return Presence(client, clock, _GONE if value is None else state.decode())


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _refuse(what: str) -> NoReturn:
    raise RemoteProtocolError(f"a message {what}")
