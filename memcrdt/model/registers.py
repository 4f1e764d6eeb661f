"""Registers: the keys and values that one memory is made of, and how they are read back.

This is the only place where keys are built and split. A shard's root map is flat; ID is the memory's
ULID, and one memory has these registers:

    ID          the birth: {text, scope, kind, created_at, author, device, source, salt}
    ID/x        forgotten: {at, by, device}; its presence decides
    ID/r/REV    a revision of the text: {text, at, by, device, base: [REV...]}
    ID/t/H      {tag, at}; the tag is null when it was removed
    ID/m/H      {key, value, at}, likewise
    ID/l/H      {rel, to, at}, likewise
    ID/a/NAME   {value, at}

H hides what it stands for: a BLAKE2b keyed by the birth's salt, because Yjs keeps the names of keys
for ever, also after deletion.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

from memcrdt.model.ids import ULID_CHARS, is_ulid
from memcrdt.model.values import Json

Registers: TypeAlias = Mapping[str, Json]  # of one memory in one shard: key -> value

FORGOTTEN = "x"
REVISION = "r"
TAG = "t"
METADATA = "m"
LINK = "l"
ATTRIBUTE = "a"
FIELDS = frozenset({REVISION, TAG, METADATA, LINK, ATTRIBUTE})

_HASH_BYTES = 10  # 80 bits: no two tags of one memory meet by chance


class Deleted:
    """The write that deletes a register."""

    def __repr__(self) -> str:
        return "DELETED"


DELETED = Deleted()
Writes: TypeAlias = dict[str, "Json | Deleted"]


class Key(NamedTuple):
    """A register's key in parts. The birth has an empty field; `x` an empty name."""

    id: str
    field: str
    name: str


def split(key: str) -> Key | None:
    """The parts of a register's key, or None for a key that no version of the data model has made."""
    memory_id, rest = key[:ULID_CHARS], key[ULID_CHARS:]
    if not is_ulid(memory_id):
        return None
    if rest in ("", "/" + FORGOTTEN):
        return Key(memory_id, rest[1:], "")
    if not rest.startswith("/"):
        return None
    field, _, name = rest[1:].partition("/")
    return Key(memory_id, field, name)


def part_of(memory_id: str, key: str) -> tuple[str, str]:
    """Field and name of a register of that memory, whatever version made it: the fast way for a key known to be its."""
    field, _, name = key[len(memory_id) + 1 :].partition("/")
    return field, name


def birth_key(memory_id: str) -> str:
    return memory_id


def forgotten_key(memory_id: str) -> str:
    return f"{memory_id}/{FORGOTTEN}"


def revision_key(memory_id: str, revision: str) -> str:
    return f"{memory_id}/{REVISION}/{revision}"


def tag_key(memory_id: str, salt: bytes, tag: str) -> str:
    return f"{memory_id}/{TAG}/{tag_name(salt, tag)}"


def metadata_key(memory_id: str, salt: bytes, key: str) -> str:
    return f"{memory_id}/{METADATA}/{metadata_name(salt, key)}"


def link_key(memory_id: str, salt: bytes, rel: str, to: str) -> str:
    return f"{memory_id}/{LINK}/{link_name(salt, rel, to)}"


def attribute_key(memory_id: str, name: str) -> str:
    return f"{memory_id}/{ATTRIBUTE}/{name}"


def tag_name(salt: bytes, tag: str) -> str:
    return _hidden(salt, tag)


def metadata_name(salt: bytes, key: str) -> str:
    return _hidden(salt, key)


def link_name(salt: bytes, rel: str, to: str) -> str:
    return _hidden(salt, f"{to}/{rel}")


def _hidden(salt: bytes, text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=_HASH_BYTES, key=salt).hexdigest()
