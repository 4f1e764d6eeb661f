"""Signed statements about members in the file: reading, checking, and adding them within limits.

The rules of statements are imported only where there are any: most stores are not shared.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import TYPE_CHECKING

from memcrdt.errors import RemoteProtocolError
from memcrdt.store.sql import SqlConnection

if TYPE_CHECKING:
    from memcrdt.model.membership import Membership
    from memcrdt.model.statements import Statement

_OF_SPACE = "SELECT statement FROM members WHERE space = ? ORDER BY id"
_MET = "SELECT device FROM peers WHERE seen_at IS NOT NULL"


@lru_cache(4_096)  # only what was taken into a roll, which has a limit
def _stored(data: bytes) -> Statement:
    from memcrdt.model.statements import unpack

    return unpack(data)


@lru_cache(16)  # spaces; the members are asked for much more often than they change
def _derived(creator: str, statements: tuple[bytes, ...]) -> Membership:
    from memcrdt.model.membership import membership

    return membership(creator, [_stored(data) for data in statements])


def packed(db: SqlConnection, space: int) -> list[bytes]:
    """Return all statements of a space (its local number), packed for sending."""
    return [bytes(data) for (data,) in db.execute(_OF_SPACE, (space,))]


def statements_of(db: SqlConnection, space: int) -> list[Statement]:
    """Return all statements of a space (its local number)."""
    return [_stored(data) for data in packed(db, space)]


def statement_ids(db: SqlConnection, space: int) -> frozenset[bytes]:
    """Return the ids of all statements of a space (its local number)."""
    return frozenset(bytes(each) for (each,) in db.execute("SELECT id FROM members WHERE space = ?", (space,)))


def revocations(db: SqlConnection, space: int, device: str) -> list[Statement]:
    """Return the statements that revoke the device from the space."""
    return [each for each in statements_of(db, space) if (each.claim.kind, each.claim.device) == ("revoke", device)]


def revoked_by(db: SqlConnection, space: int, signer: str) -> set[str]:
    """Return the devices that the signer has revoked from the space (its local number)."""
    return {each.claim.device for each in statements_of(db, space) if (each.claim.kind, each.by) == ("revoke", signer)}


def known_members(db: SqlConnection, space: int) -> Membership:
    """Return the members of a space (its local number) by its signed statements."""
    return _derived(creator_of(db, space), tuple(packed(db, space)))


def creator_of(db: SqlConnection, space: int) -> str:
    """Return the id of the device that created the space (its local number)."""
    return str(db.execute("SELECT creator FROM spaces WHERE space = ?", (space,)).get)


def checked(data: bytes, space: str) -> Statement:
    """Return the statement in `data`.

    Raises:
        RemoteProtocolError: The statement is malformed, is about another space, or has a wrong signature.
    """
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from memcrdt.model.statements import CONTEXT, unpack

    statement = unpack(data)
    if statement.claim.space != space:
        raise RemoteProtocolError("a statement is about another space")
    try:
        key = Ed25519PublicKey.from_public_bytes(statement.key)
        key.verify(statement.signature, CONTEXT + statement.claim.packed())
    except InvalidSignature:
        raise RemoteProtocolError(f"a statement of {statement.by} has a wrong signature") from None
    return statement


def add_statements(db: SqlConnection, space: int, statements: Iterable[Statement]) -> bool:
    """Add the statements that have an effect. In a full roll they may displace others. Return whether it changed."""
    from memcrdt.model.roll import retained

    known = {each.id: each for each in statements_of(db, space)}
    together = known | {each.id: each for each in statements}
    if len(together) == len(known):
        return False
    roll = {each.id: each for each in retained(creator_of(db, space), together.values())}
    displaced, added = known.keys() - roll.keys(), roll.keys() - known.keys()
    db.executemany("DELETE FROM members WHERE space = ? AND id = ?", [(space, each) for each in displaced])
    db.executemany(
        "INSERT INTO members(space, id, statement) VALUES(?, ?, ?)",
        [(space, each, roll[each].packed()) for each in added],
    )
    return bool(displaced or added)


def adds_to_keep(db: SqlConnection, space: int, device: str) -> list[bytes]:
    """Return the ids of the adds by the device that its revocation keeps: those that stand, of devices that we know.

    If there are too many, the devices with which we had contact come first.
    """
    from memcrdt.model.statements import KEPT

    standing = known_members(db, space).standing
    met = {str(each) for (each,) in db.execute(_MET)}
    adds = [each for each in statements_of(db, space) if each.by == device and each.id in standing]
    return [each.id for each in sorted(adds, key=lambda add: (add.claim.device not in met, add.id))][:KEPT]


def names_claimed(db: SqlConnection, space: int, device: str) -> set[str]:
    """Return the names that a device has given itself."""
    return {each.claim.name for each in statements_of(db, space) if each.by == each.claim.device == device}
