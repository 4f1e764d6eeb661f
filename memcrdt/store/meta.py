"""The store's own facts: who it is, and under which Yjs client id it writes.

A client id belongs to one incarnation of the store and one boot of the machine. All processes share it:
the write lock makes its clock right. Reused in two stores it would make them diverge for ever, silently.
"""

from __future__ import annotations

import hashlib
import json
from base64 import b32encode
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeAlias

import apsw

from memcrdt.errors import NotFoundError
from memcrdt.model import limits

Random: TypeAlias = Callable[[int], bytes]  # gives so many random bytes

PERSONAL = "personal"
LOCAL = "local"
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


def found(db: apsw.Connection, device: str, now_ms: int, random: Random) -> bool:
    """Gives a new store its facts, inside the caller's transaction. Returns whether it is a new one."""
    if read(db, "incarnation") is not None:
        return False
    write(db, "incarnation", random(16).hex())
    write(db, "device", device)
    for name in (PERSONAL, LOCAL):
        add_space(db, name, device, now_ms, random)
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
            nonce = random(16)
            row = (space_id(device, nonce), device, nonce, space)
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


def add_space(db: apsw.Connection, name: str, device: str, now_ms: int, random: Random) -> int:
    """Makes a space whose id only its members can know. Returns its local number."""
    nonce = random(16)
    db.execute(
        "INSERT INTO spaces(id, name, creator, nonce, created_at) VALUES(?, ?, ?, ?, ?)",
        (space_id(device, nonce), name, device, nonce, now_ms),
    )
    return db.last_insert_rowid()


def find_space(db: apsw.Connection, name: str) -> int | None:
    """Return the local number of the space of this name, or None when it is not here."""
    number: int | None = db.execute("SELECT space FROM spaces WHERE name = ?", (name,)).get
    return number


def space_number(db: apsw.Connection, name: str) -> int:
    """Return the local number of the space of this name. Raises NotFoundError."""
    number = find_space(db, name)
    if number is None:
        names = ", ".join(found for (found,) in db.execute("SELECT name FROM spaces ORDER BY space"))
        raise NotFoundError(f"there is no space called {name!r} here; there are {names}")
    return number


def id_of_space(db: apsw.Connection, number: int) -> str:
    """Return the id of the space with that local number."""
    return str(db.execute("SELECT id FROM spaces WHERE space = ?", (number,)).get)


def shareable_space(db: apsw.Connection, space: str) -> int | None:
    """Return the local number of the space with the id `space`, or None if no such space is here (any more).

    The space `local` never leaves the machine, so its id is not found either.
    """
    number = db.execute("SELECT space FROM spaces WHERE id = ? AND name <> ?", (space, LOCAL)).get
    return None if number is None else int(number)


def space_id(creator: str, nonce: bytes) -> str:
    """52 characters: the hash of the creator's device id and a random nonce."""
    digest = hashlib.sha256(b"memcrdt-space\0" + creator.encode() + b"\0" + nonce).digest()
    return b32encode(digest).decode().rstrip("=")


assert (1 << _CLIENT_ID_BITS) <= limits.CLIENT_ID_MAX
