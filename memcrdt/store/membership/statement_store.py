"""Signed statements about members in the file: reading, checking, and adding them within limits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import apsw

from memcrdt.errors import RemoteProtocolError
from memcrdt.model.statements import (
    BY_ONE,
    CONTEXT,
    FOR_REVOCATIONS,
    KEPT,
    REVOCATION_BYTES,
    ROLL_BYTES,
    STATEMENTS,
    Membership,
    Statement,
    heard,
    membership,
    unpack,
)

_OF_SPACE = "SELECT statement FROM members WHERE space = ? ORDER BY id"


def packed(db: apsw.Connection, space: int) -> list[bytes]:
    """Return all statements of a space (its local number), packed for sending."""
    return [bytes(data) for (data,) in db.execute(_OF_SPACE, (space,))]


def statements_of(db: apsw.Connection, space: int) -> list[Statement]:
    """Return all statements of a space (its local number)."""
    return [unpack(data) for data in packed(db, space)]


def revocations(db: apsw.Connection, space: int, device: str) -> list[Statement]:
    """Return the statements that revoke the device from the space."""
    return [each for each in statements_of(db, space) if (each.claim.kind, each.claim.device) == ("revoke", device)]


def known_members(db: apsw.Connection, space: int) -> Membership:
    """Return the members of a space (its local number) by its signed statements."""
    return membership(_creator(db, space), statements_of(db, space))


def checked(data: bytes, space: str) -> Statement:
    """Return the statement in `data`.

    Raises:
        RemoteProtocolError: The statement is malformed, is about another space, or has a wrong signature.
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    statement = unpack(data)
    if statement.claim.space != space:
        raise RemoteProtocolError("a statement is about another space")
    try:
        key = Ed25519PublicKey.from_public_bytes(statement.key)
        key.verify(statement.signature, CONTEXT + statement.claim.packed())
    except InvalidSignature:
        raise RemoteProtocolError(f"a statement of {statement.by} has a wrong signature") from None
    return statement


def add_statements(db: apsw.Connection, space: int, statements: Iterable[Statement]) -> bool:
    """Add the statements that have an effect, within the limits of the space. Return whether one of them is new."""
    fresh = {each.id: each for each in statements}
    known = statements_of(db, space)
    for each in known:
        fresh.pop(each.id, None)
    says = {each.id for each in heard(_creator(db, space), [*known, *fresh.values()])}
    room = _Room(known)
    taken = [statement for statement in fresh.values() if statement.id in says and room.take(statement)]
    for statement in taken:
        row = (space, statement.id, statement.packed())
        db.execute("INSERT INTO members(space, id, statement) VALUES(?, ?, ?)", row)
    return bool(taken)


class _Room:
    """The room for further statements of one space after the `known` statements.

    Part of the room is reserved for a few revocations by each device, so no member can prevent its own revocation.
    """

    def __init__(self, known: Iterable[Statement]) -> None:
        self._count = self._bytes = 0
        self._revocations: Counter[str] = Counter()
        for statement in known:
            self._put(statement)

    def take(self, statement: Statement) -> bool:
        """Take the statement if there is room. Return whether there was."""
        reserved = statement.claim.kind == "revoke" and self._revocations[statement.by] < BY_ONE
        kept_free = 0 if reserved else FOR_REVOCATIONS
        fits = self._count < STATEMENTS - kept_free
        fits &= self._bytes + len(statement.packed()) <= ROLL_BYTES - kept_free * REVOCATION_BYTES
        if fits:
            self._put(statement)
        return fits

    def _put(self, statement: Statement) -> None:
        self._count += 1
        self._bytes += len(statement.packed())
        self._revocations[statement.by] += statement.claim.kind == "revoke"


def added_by(db: apsw.Connection, space: int, device: str) -> list[bytes]:
    """Return the ids of all known claims with which the device added others. Its revocation keeps them."""
    return [each.id for each in statements_of(db, space) if each.by == device and each.claim.kind == "add"][:KEPT]


def names_claimed(db: apsw.Connection, space: int, device: str) -> set[str]:
    """Return the names that a device has given itself."""
    return {each.claim.name for each in statements_of(db, space) if each.by == each.claim.device == device}


def _creator(db: apsw.Connection, space: int) -> str:
    return str(db.execute("SELECT creator FROM spaces WHERE space = ?", (space,)).get)
