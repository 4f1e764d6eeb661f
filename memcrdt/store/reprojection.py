"""Project memories again whose attributes an older version did not know.

A version keeps the registers of unknown attributes, but does not show them. After an upgrade the documents have more
attributes than the views in the file. `meta` lists the attributes that the views were written with (the earliest
schemas have no list). If this version knows more attributes, memories that have them are projected again.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from functools import partial
from typing import TYPE_CHECKING, Final

from memcrdt.model import registers
from memcrdt.model.attributes import IN_REGISTERS
from memcrdt.store import log, meta
from memcrdt.store.transaction import Transaction

if TYPE_CHECKING:
    import apsw

_KEY: Final = "attributes"


def note_all(db: apsw.Connection) -> None:
    """Note that the views know every attribute that this version knows."""
    meta.write(db, _KEY, json.dumps(sorted(IN_REGISTERS)))


def unknown_attributes(db: apsw.Connection) -> set[str]:
    """Return the names of attributes that the views lack. There are none unless an older version wrote the file."""
    known: list[str] = json.loads(str(meta.read(db, _KEY) or "[]"))
    return IN_REGISTERS.keys() - known


def plans(db: apsw.Connection, names: Collection[str]) -> list[Callable[[Transaction], None]]:
    """Return plans, one for each shard, that project the memories with these attributes again."""
    return [partial(_reproject, shard, names) for shard in log.shard_numbers(db)]


def _reproject(shard: int, names: Collection[str], transaction: Transaction) -> None:
    if log.shard_row(transaction.db, shard).damaged:
        return  # the views are all that is left of its lost rows; it is projected when it is whole again
    ids = {
        memory_id
        for memory_id, found in transaction.registers_of(shard)
        if any(registers.attribute_key(memory_id, name) in found for name in names)
    }
    transaction.reproject(shard, ids)
