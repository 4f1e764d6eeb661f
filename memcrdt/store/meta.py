"""The store's own facts: who it is, and under which Yjs client id it writes.

A client id belongs to one incarnation of the store and one boot of the machine. All processes share it:
the write lock makes its clock right. Reused in two stores it would make them diverge for ever, silently.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

import apsw

from memcrdt.model import limits
from memcrdt.model.requests import PERSONAL
from memcrdt.store.spaces import LOCAL, NONCE_BYTES, Genesis, add_space

Random: TypeAlias = Callable[[int], bytes]  # gives so many random bytes

ALARMS: Final = 16  # kept
_YIELDING_BITS = 24  # one in 256 stock Yjs clients has a lower id, and one in 2^28 of our own
_CLIENT_ID_BITS = 52  # random ones of 2^32, as Yjs takes them, meet by chance among some ten thousand


@dataclass(frozen=True, slots=True)
class Facts:
    """What `meta` says. `incarnation` is random; a store that was copied or restored gets a new one."""

    incarnation: str
    device: str
    client_id: int


def read(db: apsw.Connection, key: str) -> str | int | None:
    row = db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
    return None if row is None else row[0]


def write(db: apsw.Connection, key: str, value: str | int) -> None:
    db.execute("INSERT OR REPLACE INTO meta(key, value) VALUES(?, ?)", (key, value))


def initialize(db: apsw.Connection, device: str, now_ms: int, random: Random) -> bool:
    """Gives a new store its facts, inside the caller's transaction. Returns whether it is a new one."""
    if read(db, "incarnation") is not None:
        return False
    write(db, "incarnation", random(16).hex())
    write(db, "device", device)
    for name in (PERSONAL, LOCAL):
        add_space(db, name, Genesis(device, random(NONCE_BYTES)), now_ms)
    return True


def facts(db: apsw.Connection) -> Facts:
    known = dict(db.execute("SELECT key, value FROM meta WHERE key IN ('incarnation', 'device', 'client_id')"))
    return Facts(known["incarnation"], known["device"], known["client_id"])


def reincarnate(db: apsw.Connection, device: str, boot: str, random: Random) -> None:
    """Makes the store another one than that whose copy it is: nothing it writes can be taken for the other's."""
    write(db, "incarnation", random(16).hex())
    _found_anew(db, device, random)
    write(db, "device", device)
    renew_client_id(db, boot, random)


def _found_anew(db: apsw.Connection, device: str, random: Random) -> None:
    """Of a key that is here no more nobody can be the creator: into what it made and nobody shares yet, nobody could
    ever be invited."""
    if device not in ("", read(db, "device")):  # a salvaged store gets its device when it is opened
        for (space,) in list(db.execute(_MADE_ALONE)):
            genesis = Genesis(device, random(NONCE_BYTES))
            row = (genesis.space_id, *genesis, space)
            db.execute("UPDATE spaces SET id = ?, creator = ?, nonce = ? WHERE space = ?", row)


_MADE_ALONE = """
SELECT space FROM spaces WHERE creator = (SELECT value FROM meta WHERE key = 'device')
  AND NOT EXISTS(SELECT 1 FROM shares WHERE shares.space = spaces.space)"""


def renew_client_id(db: apsw.Connection, boot: str, random: Random) -> None:
    """From now on all processes write under another id."""
    write(db, "boot", boot)
    write(db, "client_id", (int.from_bytes(random(7), "big") >> (56 - _CLIENT_ID_BITS)) + 1)


def yielding_client_id(random: Random) -> int:
    """An id for one transaction whose writes give way to whatever others say of the same registers: of writes that did
    not know of each other Yjs lets that of the greatest id stand."""
    return int.from_bytes(random(_YIELDING_BITS // 8), "big") + 1


class Alarm(NamedTuple):
    """Something that the user should know and that does not go away by itself. `at` in ms."""

    at: int
    text: str


def alarms(db: apsw.Connection) -> list[Alarm]:
    """What was raised, oldest first."""
    return [Alarm(*each) for each in json.loads(str(read(db, "alarms") or "[]"))]


def raise_alarm(db: apsw.Connection, alarm: Alarm) -> None:
    """Keeps it for `status`; of many the last ones."""
    write(db, "alarms", json.dumps([*alarms(db), alarm][-ALARMS:]))


assert (1 << _CLIENT_ID_BITS) <= limits.CLIENT_ID_MAX
