"""Digests of shards: computed when somebody asks, outside the write lock, and kept until the shard changes."""

from __future__ import annotations

import hashlib
from contextlib import suppress
from typing import NamedTuple

import apsw

from memcrdt.errors import DiskFullError
from memcrdt.store import log
from memcrdt.store.log import ShardRow
from memcrdt.store.store import Store


class ShardDigest(NamedTuple):
    """16 bytes over the shard's canonical state, as of row `head` of the log; 0 for a damaged one, where rows wait."""

    number: int
    digest: bytes
    head: int


def of_space(store: Store, space: int) -> list[ShardDigest]:
    """The digest of every shard of the space that holds anything, lowest number first. What was forgotten counts; an
    empty one is left by lost rows only."""
    with store.reading() as db:
        rows = [row for row in log.shards_of(db, space) if log.state_vector_of(row)]
    known = [ShardDigest(row.number, row.digest, _head(row)) for row in rows if row.digest is not None]
    computed = _computed(store, [row.shard for row in rows if row.digest is None])
    if computed:
        _keep(store, space, computed)
    return sorted([*known, *computed])


def whole(digests: list[ShardDigest]) -> str:
    """One digest of a space: equal on devices that hold the same, in hexadecimal."""
    state = hashlib.blake2b(digest_size=16, person=b"memcrdt space")
    for shard in digests:
        state.update(shard.number.to_bytes(4, "big") + shard.digest)
    return state.hexdigest()


def _computed(store: Store, shards: list[int]) -> list[ShardDigest]:
    if not shards:
        return []  # without waiting for a commit
    with store.documents() as (_, documents):
        loaded = documents.loaded
    # These first: documents that have to be loaded take the place of others.
    return [_compute(store, shard) for shard in sorted(shards, key=lambda shard: shard not in loaded)]


def _compute(store: Store, shard: int) -> ShardDigest:
    with store.documents() as (db, documents):
        row = log.shard_row(db, shard)
        return ShardDigest(row.number, documents.current(db, row).live.digest(), _head(row))


def _head(row: ShardRow) -> int:
    return 0 if row.damaged else row.head


def _keep(store: Store, space: int, digests: list[ShardDigest]) -> None:
    if store.options.read_only:
        return
    with suppress(DiskFullError), store.writing_unsynced() as db:  # then they are computed anew the next time
        _write(db, space, digests)


def _write(db: apsw.Connection, space: int, digests: list[ShardDigest]) -> None:
    db.executemany(
        "UPDATE shards SET digest = ? WHERE space = ? AND number = ? AND head = ?",
        [(shard.digest, space, shard.number, shard.head) for shard in digests],
    )
