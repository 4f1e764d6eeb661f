"""The table of spaces: names, ids, local numbers, and whether this device may write.

A space has a local number, which never leaves the machine, and an id, which its members use. The id is the hash of the
space's genesis, so only devices that know the genesis can know the id.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from memcrdt.errors import InputError, NotFoundError
from memcrdt.model.normalization import nfc
from memcrdt.store.sql import SqlConnection

LOCAL: Final = "local"  # the space that never leaves the machine
NONCE_BYTES: Final = 16


class Genesis(NamedTuple):
    """The origin of a space: the device id of its creator, and a random nonce."""

    creator: str
    nonce: bytes

    @property
    def space_id(self) -> str:
        """The id of the space, 52 characters: a hash of the creator and the nonce."""
        import hashlib  # takes 5 ms to load, and readers make no spaces
        from base64 import b32encode

        digest = hashlib.sha256(b"memcrdt-space\0" + self.creator.encode() + b"\0" + self.nonce).digest()
        return b32encode(digest).decode().rstrip("=")


def add_space(db: SqlConnection, name: str, genesis: Genesis, now_ms: int) -> int:
    """Add a space and return its local number."""
    sql = "INSERT INTO spaces(id, name, creator, nonce, created_at) VALUES(?, ?, ?, ?, ?) RETURNING space"
    return int(db.execute(sql, (genesis.space_id, nfc(name), *genesis, now_ms)).get)


def find_space(db: SqlConnection, name: str) -> int | None:
    """Return the local number of the space called `name`, or None if there is none."""
    number: int | None = db.execute("SELECT space FROM spaces WHERE name = ?", (nfc(name),)).get
    return number


_RENAME: Final = "UPDATE spaces SET name = ?1 WHERE space = ?2 AND NOT EXISTS(SELECT 1 FROM spaces WHERE name = ?1)"


def compose_names(db: SqlConnection) -> None:
    """Write the names of all spaces in NFC. Of two spaces with one composed name, the second keeps its spelling."""
    for space, name in db.execute("SELECT space, name FROM spaces").fetchall():
        db.execute(_RENAME, (nfc(str(name)), space))


def space_number(db: SqlConnection, name: str) -> int:
    """Return the local number of the space called `name`.

    Raises:
        NotFoundError: There is no such space.
    """
    number = find_space(db, name)
    if number is None:
        raise NotFoundError(f"there is no space called {name!r} here; the spaces are {', '.join(space_names(db))}")
    return number


def space_names(db: SqlConnection) -> list[str]:
    """Return the names of the spaces, oldest first."""
    return [str(name) for (name,) in db.execute("SELECT name FROM spaces ORDER BY space")]


def shareable_space_number(db: SqlConnection, name: str) -> int:
    """Return the local number of a space that can be shared.

    Raises:
        InputError: The space is `local`.
        NotFoundError: There is no such space.
    """
    if name == LOCAL:
        raise InputError("the space 'local' never leaves this machine; share another one")
    return space_number(db, name)


def shareable_space(db: SqlConnection, space_id: str) -> int | None:
    """Return the local number of the space with the id `space_id`, or None if there is none.

    The space `local` never leaves the machine, so this function does not find its id.
    """
    number = db.execute("SELECT space FROM spaces WHERE id = ? AND name <> ?", (space_id, LOCAL)).get
    return None if number is None else int(number)


def space_name(db: SqlConnection, space: int) -> str:
    """Return the name of the space with the local number `space`."""
    return str(db.execute("SELECT name FROM spaces WHERE space = ?", (space,)).get)


def id_of_space(db: SqlConnection, space: int) -> str:
    """Return the id of the space with the local number `space`."""
    return str(db.execute("SELECT id FROM spaces WHERE space = ?", (space,)).get)


def is_read_only(db: SqlConnection, space: int) -> bool:
    """Return whether this device may only read the space (its local number)."""
    return bool(db.execute("SELECT read_only FROM spaces WHERE space = ?", (space,)).get)
