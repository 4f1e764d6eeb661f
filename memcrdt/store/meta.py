"""The facts of the store: its incarnation, device and Yjs client id.

A client id belongs to one incarnation of the store and one boot of the machine. All processes share it, and the write
lock keeps its clock correct. Two stores with the same client id would diverge permanently and silently.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, TypeAlias

from memcrdt.model import limits
from memcrdt.model.scopes import PERSONAL
from memcrdt.store.spaces import LOCAL, NONCE_BYTES, Genesis, add_space
from memcrdt.store.sql import SqlConnection

Random: TypeAlias = Callable[[int], bytes]  # returns the given number of random bytes

_YIELDING_BITS = 24  # one in 256 stock Yjs clients has a lower id, and one in 2^28 of our stores
_CLIENT_ID_BITS: Final = 52  # Yjs draws from 2^32 ids: among ten thousand of them, two are equal with a chance of 1 %

_ASSERTING_STEP: Final = 1 << 38  # leaves room for 16,000 steps
_ASSERTING_MAX: Final = limits.CLIENT_ID_MAX - _ASSERTING_STEP
FORMER_CLIENTS: Final = 64  # former client ids that are remembered: one for each boot of the machine


@dataclass(frozen=True, slots=True)
class Facts:
    """The facts of a store. `incarnation` is random; a store that was copied or restored gets a new one."""

    incarnation: str
    device: str
    client_id: int


def read(db: SqlConnection, key: str) -> str | int | None:
    """Return the value of a key, or None."""
    row = db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return None if row is None else row[0]


def write(db: SqlConnection, key: str, value: str | int) -> None:
    """Set the value of a key."""
    db.execute(
        "INSERT INTO meta(key, value) VALUES(?, ?) ON CONFLICT(key) DO UPDATE SET value = excluded.value", (key, value)
    )


def initialize(db: SqlConnection, device: str, now_ms: int, random: Random) -> bool:
    """Write the facts of a new store, inside the caller's transaction. Return whether the store is new."""
    if read(db, "incarnation") is not None:
        return False
    write(db, "incarnation", random(16).hex())
    write(db, "device", device)
    for name in (PERSONAL, LOCAL):
        add_space(db, name, Genesis(device, random(NONCE_BYTES)), now_ms)
    return True


def facts(db: SqlConnection) -> Facts:
    """Return the facts of the store."""
    known = dict(db.execute("SELECT key, value FROM meta WHERE key IN ('incarnation', 'device', 'client_id')"))
    return Facts(known["incarnation"], known["device"], int(known["client_id"]))


def reincarnate(db: SqlConnection, device: str, boot: str, random: Random) -> None:
    """Make a copy another incarnation, so that its writes are not confused with those of the original."""
    write(db, "incarnation", random(16).hex())
    _take_over_spaces(db, device, random)
    write(db, "device", device)
    renew_client_id(db, boot, random)


def _take_over_spaces(db: SqlConnection, device: str, random: Random) -> None:
    """Make this device the creator of the unshared spaces that the lost device key created.

    Otherwise no device could ever be invited into them.
    """
    if device not in ("", read(db, "device")):  # a salvaged store gets its device when it is opened
        for (space,) in list(db.execute(_MADE_ALONE)):
            genesis = Genesis(device, random(NONCE_BYTES))
            row = (genesis.space_id, *genesis, space)
            db.execute("UPDATE spaces SET id = ?, creator = ?, nonce = ? WHERE space = ?", row)


_MADE_ALONE = """
SELECT space FROM spaces WHERE creator = (SELECT value FROM meta WHERE key = 'device')
  AND NOT EXISTS(SELECT 1 FROM shares WHERE shares.space = spaces.space)"""


def renew_client_id(db: SqlConnection, boot: str, random: Random) -> None:
    """Change the client id of all processes."""
    write(db, "boot", boot)
    if (former := read(db, "client_id")) is not None:
        write(db, "former_clients", json.dumps([*former_client_ids(db), former][-FORMER_CLIENTS:]))
    write(db, "client_id", (int.from_bytes(random(7), "big") >> (56 - _CLIENT_ID_BITS)) + 1)


def former_client_ids(db: SqlConnection) -> list[int]:
    """Return the last client ids that this store wrote under before its present one, oldest first."""
    return [int(client) for client in json.loads(str(read(db, "former_clients") or "[]"))]


def asserting_client_id(random: Random, known: Iterable[int]) -> int:
    """Return a client id for one transaction whose writes win over other writes of the same registers.

    It is greater than every id that a store takes otherwise, and than the asserting ids in `known`, the client ids of
    the document. Ids at the very top are disregarded: no store takes them, and they would leave no room.
    """
    highest = max((client for client in known if client <= _ASSERTING_MAX), default=0)
    return max(highest, 1 << _CLIENT_ID_BITS) + 1 + (int.from_bytes(random(5), "big") & (_ASSERTING_STEP - 1))


def is_asserting(client_id: int) -> bool:
    """Return whether asserting_client_id() may have made a client id."""
    return client_id > 1 << _CLIENT_ID_BITS


def yielding_client_id(random: Random) -> int:
    """Return a client id for one transaction whose writes yield to other writes of the same registers.

    Of concurrent writes, Yjs keeps the write with the greatest client id.
    """
    return int.from_bytes(random(_YIELDING_BITS // 8), "big") + 1


assert 1 << _CLIENT_ID_BITS <= _ASSERTING_MAX < limits.CLIENT_ID_MAX
