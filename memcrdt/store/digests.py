"""Digests of shards: computed on demand, outside the write lock, and kept until the shard changes."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from typing import Final, NamedTuple

from memcrdt.errors import DiskFullError
from memcrdt.model import clocks
from memcrdt.store import log
from memcrdt.store.base import BaseStore
from memcrdt.store.sql import SqlConnection


class ShardDigest(NamedTuple):
    """16 bytes over the canonical state of a shard at log row `head`. `head` is 0 for a damaged shard."""

    number: int
    digest: bytes
    head: int


_KNOWN: Final = """
SELECT shard, number, digest, CASE damaged WHEN 0 THEN head ELSE 0 END FROM shards
WHERE space = ? AND state_vector <> ? ORDER BY number"""


def of_space(store: BaseStore[SqlConnection], space: int) -> list[ShardDigest]:
    """Return the digest of every non-empty shard of a space, lowest number first.

    Forgotten memories count. A shard is empty only if all its rows were lost.
    """
    with store.reading() as db:
        rows = list(db.execute(_KNOWN, (space, clocks.encode_state_vector({}))))
    known = [ShardDigest(number, digest, head) for _, number, digest, head in rows if digest is not None]
    computed = _computed(store, [shard for shard, _, digest, _ in rows if digest is None])
    if computed:
        _keep(store, space, computed)
    return sorted([*known, *computed])


def whole(digests: list[ShardDigest]) -> str:
    """Return one digest of a space in hexadecimal. It is equal on devices with equal content."""
    state = hashlib.blake2b(digest_size=16, person=b"memcrdt space")
    for shard in digests:
        state.update(shard.number.to_bytes(4, "big") + shard.digest)
    return state.hexdigest()


def _computed(store: BaseStore[SqlConnection], shards: list[int]) -> list[ShardDigest]:
    if not shards:
        return []  # do not wait for a commit
    with store.documents() as (_, documents):
        loaded = documents.loaded
    # Loaded shards first: loading documents pushes others out of the cache.
    return [_compute(store, shard) for shard in sorted(shards, key=lambda shard: shard not in loaded)]


def _compute(store: BaseStore[SqlConnection], shard: int) -> ShardDigest:
    with store.documents() as (db, documents):
        row = log.shard_row(db, shard)
        head = 0 if row.damaged else row.head
        return ShardDigest(row.number, documents.current(db, row).live.digest(), head)


def _keep(store: BaseStore[SqlConnection], space: int, digests: list[ShardDigest]) -> None:
    if store.options.read_only:
        return
    with suppress(DiskFullError), store.writing_unsynced() as db:  # a digest that is not kept is computed again
        _write(db, space, digests)


def _write(db: SqlConnection, space: int, digests: list[ShardDigest]) -> None:
    db.executemany(
        "UPDATE shards SET digest = ? WHERE space = ? AND number = ? AND head = ?",
        [(shard.digest, space, shard.number, shard.head) for shard in digests],
    )
