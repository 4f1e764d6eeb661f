"""Registers: the keys and values that a memory consists of.

Keys are built and split only here. The root map of a shard is flat. A memory whose ULID is ID has these registers:

    ID          the birth: {text, scope, kind, created_at, author, device, source, salt}
    ID/x        the tombstone: {at, by, device}; if it is present, the memory is forgotten
    ID/r/REV    a revision of the text: {text, at, by, device, base: [REV...]}
    ID/t/H      a tag: {tag, at}; `tag` is null once it is removed
    ID/m/H      an entry of the metadata: {key, value, at}; `key` is null once it is removed
    ID/l/H      a link: {rel, to, at}; `rel` is null once it is removed
    ID/a/NAME   an attribute: {value, at}; model/attributes.py has the names

H hides the text that it stands for: it is a BLAKE2b hash, keyed by the salt of the birth. Yjs keeps the names of keys
permanently, even the names of deleted keys.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

from memcrdt.model.ids import ULID_CHARS, is_ulid
from memcrdt.model.values import Json

Registers: TypeAlias = Mapping[str, Json]  # of one memory in one shard, by key

FORGOTTEN = "x"
REVISION = "r"
TAG = "t"
METADATA = "m"
LINK = "l"
ATTRIBUTE = "a"
FIELDS = frozenset({REVISION, TAG, METADATA, LINK, ATTRIBUTE})

_HASH_BYTES = 10  # 80 bits: no two tags of one memory collide by chance


class Deleted:
    """The type of DELETED, which stands for the deletion of a register."""

    def __repr__(self) -> str:
        return "DELETED"


DELETED = Deleted()
Writes: TypeAlias = dict[str, "Json | Deleted"]


class Key(NamedTuple):
    """The parts of a register's key. A birth has an empty field, and a tombstone an empty name."""

    id: str
    field: str
    name: str


def split(key: str) -> Key | None:
    """Return the parts of a register's key, or None for a key that no version of the data model makes."""
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
    """Return field and name of a key that is known to belong to the memory. Faster than split()."""
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
