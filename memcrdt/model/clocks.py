"""State vectors: how far a document knows each client, as pure data.

A state vector maps a client id to its next clock. On the wire it is Yjs' encoding: the number of
entries, then client and clock of each, all as LEB128 unsigned integers.
Source: encoding.js of yjs 13 and lib0.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, TypeAlias

from memcrdt.errors import RemoteProtocolError
from memcrdt.model import limits

StateVector: TypeAlias = Mapping[int, int]

_ONE_BYTE: Final = [bytes((value,)) for value in range(128)]


def covers(ours: StateVector, theirs: StateVector) -> bool:
    """Return whether `ours` knows everything that `theirs` knows."""
    return all(ours.get(client, 0) >= clock for client, clock in theirs.items())


def encode_state_vector(vector: StateVector) -> bytes:
    """Return the vector in Yjs' encoding with ascending clients, so that equal vectors have equal bytes."""
    numbers = [len(vector)]
    for client in sorted(vector):
        numbers += client, vector[client]
    return b"".join(map(varuint, numbers))


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
    numbers = _varuints(data)
    count = numbers[0]
    if count > (limits.CLIENT_ID_MAX if own else limits.UPDATE_CLIENTS):
        raise RemoteProtocolError(f"a state vector claims {count} clients; at most {limits.UPDATE_CLIENTS} are allowed")
    if len(numbers) < 1 + 2 * count:
        raise RemoteProtocolError(f"the bytes end within a state vector of {count} clients")
    if len(numbers) > 1 + 2 * count:
        raise RemoteProtocolError(f"{len(numbers) - 1 - 2 * count} numbers after the end of a state vector")
    clients, known = numbers[1::2], numbers[2::2]
    if count and (max(clients) > limits.CLIENT_ID_MAX or max(known) > limits.UPDATE_CLOCK):
        raise RemoteProtocolError("a state vector has a client id or a clock that is too large")
    vector = dict(zip(clients, known, strict=True))
    if len(vector) != count:
        raise RemoteProtocolError("a state vector names a client twice")
    return vector


def _varuints(data: bytes) -> list[int]:
    """Return all LEB128 integers of at most nine bytes that `data` consists of, and at least one.

    One loop over the bytes without a call for each number: state vectors are decoded at every step of sync.
    """
    numbers: list[int] = []
    value = shift = 0
    for byte in data:
        if byte < 128:
            numbers.append(value | byte << shift)
            value = shift = 0
        elif shift > 49:
            raise RemoteProtocolError("a number has no end")
        else:
            value |= (byte & 127) << shift
            shift += 7
    if shift or not numbers:
        raise RemoteProtocolError("the bytes end within a number")
    return numbers


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
    if value < 128:
        return _ONE_BYTE[value]
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)
