"""State vectors: how far a document knows each client, as pure data.

A state vector maps a client id to its next clock. On the wire it is Yjs' encoding: the number of
entries, then client and clock of each, all as LEB128 unsigned integers.
Source: encoding.js of yjs 13 and lib0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

from memcrdt.errors import RemoteProtocolError
from memcrdt.model import limits

StateVector: TypeAlias = Mapping[int, int]


def covers(ours: StateVector, theirs: StateVector) -> bool:
    """Return whether `ours` knows everything that `theirs` knows."""
    return all(ours.get(client, 0) >= clock for client, clock in theirs.items())


def encode_state_vector(vector: StateVector) -> bytes:
    """Return the vector in Yjs' encoding with ascending clients, so that equal vectors have equal bytes."""
    out = bytearray(varuint(len(vector)))
    for client in sorted(vector):
        out += varuint(client) + varuint(vector[client])
    return bytes(out)


def decode_state_vector(data: bytes, *, own: bool = False) -> dict[int, int]:
    """Return the vector that `data` encodes.

    Args:
        data: The vector, in Yjs' encoding.
        own: Whether it is the vector of a document of ours, which may have any number of clients: they entered within
            the limits, and our own came on top.

    Raises:
        RemoteProtocolError: It is not well-formed or has more than 65,536 clients. No memory was allocated for the
            number of entries that it claims.
    """
    if len(data) > limits.STATE_VECTOR_BYTES and not own:
        raise RemoteProtocolError(
            f"a state vector has {len(data)} bytes; at most {limits.STATE_VECTOR_BYTES} are allowed"
        )
    count, at = read_varuint(data, 0, limits.CLIENT_ID_MAX if own else limits.UPDATE_CLIENTS)
    vector: dict[int, int] = {}
    for _ in range(count):
        client, at = read_varuint(data, at, limits.CLIENT_ID_MAX)
        clock, at = read_varuint(data, at, limits.UPDATE_CLOCK)
        if client in vector:
            raise RemoteProtocolError(f"a state vector names client {client} twice")
        vector[client] = clock
    if at != len(data):
        raise RemoteProtocolError(f"{len(data) - at} bytes after the end of a state vector")
    return vector


def client_count(vector: bytes) -> int:
    """Return the number of clients in an encoded state vector of ours, without decoding the rest."""
    return read_varuint(vector, 0, limits.CLIENT_ID_MAX)[0]


def read_varuint(data: bytes, at: int, maximum: int) -> tuple[int, int]:
    """Return the LEB128 integer at offset `at`, and the offset after it.

    Raises RemoteProtocolError if the bytes end, or if the number is over `maximum` (at most 2^53 - 1).
    """
    value = shift = 0
    while at < len(data) and shift <= 56:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        if byte < 128:
            if value > maximum:
                raise RemoteProtocolError(f"a number of {value} where at most {maximum} is allowed")
            return value, at
        shift += 7
    raise RemoteProtocolError("a number has no end" if at < len(data) else "the bytes end within a number")


def varuint(value: int) -> bytes:
    """Return the LEB128 encoding of an unsigned integer."""
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)
