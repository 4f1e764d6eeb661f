"""Signed statements about members: their packed form, and what is refused."""

from __future__ import annotations

import msgpack
import pytest

from memcrdt.errors import RemoteProtocolError
from memcrdt.model.device_ids import device_id
from memcrdt.model.statements import KEPT, STATEMENT_BYTES, Claim, Statement, unpack

KEYS = {name: name.encode() * 32 for name in "CA"}
A = device_id(KEYS["A"])
SPACE = "S" * 52


def says(key: str, kind: str, device: str, at: int = 1, **fields: object) -> Statement:
    """Return a statement by the device with that key. Its signature does not matter here."""
    return Statement(Claim(kind=kind, space=SPACE, device=device, at=at, **fields), KEYS[key], b"s" * 64)


def test_a_statement_survives_packing() -> None:
    """The id stays the same, too."""
    statement = says("C", "revoke", A, at=1_800_000_000_000, keep=(b"i" * 16,))
    assert unpack(statement.packed()) == statement
    assert unpack(statement.packed()).id == statement.id


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        msgpack.packb([]),
        msgpack.packb([b"", b"", b""]),
        msgpack.packb([msgpack.packb([0, SPACE, A, 1, "", False, []]), b"short", b"s" * 64]),
        msgpack.packb([msgpack.packb([7, SPACE, A, 1, "", False, []]), b"k" * 32, b"s" * 64]),
        msgpack.packb([msgpack.packb([0, SPACE, A, -1, "", False, []]), b"k" * 32, b"s" * 64]),
        msgpack.packb([msgpack.packb([0, SPACE, A, 1, "n" * 201, False, []]), b"k" * 32, b"s" * 64]),
        msgpack.packb([msgpack.packb([0, SPACE, A, 1, "", False, [b"short"]]), b"k" * 32, b"s" * 64]),
        msgpack.packb([msgpack.packb([0, SPACE, A, 1, "", 1, []]), b"k" * 32, b"s" * 64]),
        msgpack.packb([msgpack.packb([0, SPACE, A.lower(), 1, "", False, []]), b"k" * 32, b"s" * 64]),
        msgpack.packb([msgpack.packb([0, SPACE, A[:-1], 1, "", False, []]), b"k" * 32, b"s" * 64]),
        msgpack.packb([msgpack.packb([0, SPACE, A, 1, "", False, [b"i" * 16] * (KEPT + 1)]), b"k" * 32, b"s" * 64]),
        b"x" * (STATEMENT_BYTES + 1),
    ],
)
def test_a_malformed_statement_is_refused(data: bytes) -> None:
    """The cases are invalid fields, fields that differ from their signed form, and too many bytes."""
    with pytest.raises(RemoteProtocolError):
        unpack(data)


def test_a_statement_has_only_the_fields_of_its_kind() -> None:
    """An add keeps nothing and a revocation has no name. Otherwise each could be made eight kilobytes long."""
    for odd in (says("C", "add", A, keep=(bytes(16),)), says("C", "revoke", A, name="x")):
        with pytest.raises(RemoteProtocolError, match="canonical form"):
            unpack(odd.packed())
