"""The store's own facts: who it is, and under which Yjs client id it writes.

A client id belongs to one incarnation of the store and one boot of the machine. All processes share it:
the write lock makes its clock right. Reused in two stores it would make them diverge for ever, silently.
"""

from __future__ import annotations

import hashlib
import secrets
from base64 import b32encode
from dataclasses import dataclass

import apsw

from memcrdt.model import limits
from memcrdt.store import machine

PERSONAL = "personal"
LOCAL = "local"
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


def establish(db: apsw.Connection, device: str, now_ms: int) -> Facts:
    """Makes or reads the store's facts, inside the caller's write transaction."""
    if read(db, "incarnation") is None:
        write(db, "incarnation", secrets.token_hex(16))
        write(db, "device", device)
        for name in (PERSONAL, LOCAL):
            add_space(db, name, device, now_ms)
    if read(db, "boot") != machine.boot_id():
        renew_client_id(db)
    return facts(db)


def facts(db: apsw.Connection) -> Facts:
    found = dict(db.execute("SELECT key, value FROM meta WHERE key IN ('incarnation', 'device', 'client_id')"))
    return Facts(found["incarnation"], found["device"], found["client_id"])


def renew_client_id(db: apsw.Connection) -> None:
    write(db, "boot", machine.boot_id())
    write(db, "client_id", secrets.randbelow(1 << _CLIENT_ID_BITS) + 1)


def add_space(db: apsw.Connection, name: str, device: str, now_ms: int) -> int:
    """Makes a space whose id only its members can know. Returns its local number."""
    nonce = secrets.token_bytes(16)
    db.execute(
        "INSERT INTO spaces(id, name, creator, nonce, created_at) VALUES(?, ?, ?, ?, ?)",
        (space_id(device, nonce), name, device, nonce, now_ms),
    )
    return db.last_insert_rowid()


def space_id(creator: str, nonce: bytes) -> str:
    """52 characters: the hash of the creator's device id and a random nonce."""
    digest = hashlib.sha256(b"memcrdt-space\0" + creator.encode() + b"\0" + nonce).digest()
    return b32encode(digest).decode().rstrip("=")


assert (1 << _CLIENT_ID_BITS) <= limits.CLIENT_ID_MAX
