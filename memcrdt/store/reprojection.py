"""What an older version left out of the views: registers of attributes that it did not know.

A version keeps the registers of attributes that it does not know, and shows nothing of them. After an upgrade the
documents then say more than the views in the file. `meta` says which attributes the views were written with (the first
versions noted none); where this version knows more, the memories that have them are projected again.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Collection
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final

from memcrdt.errors import CorruptError, StoreError
from memcrdt.model import registers
from memcrdt.model.attributes import IN_REGISTERS
from memcrdt.store import log, meta
from memcrdt.store.transaction import Transaction

if TYPE_CHECKING:
    import apsw

    from memcrdt.store.store import Store

_KEY: Final = "attributes"

_log = logging.getLogger(__name__)


def note_all(db: apsw.Connection) -> None:
    """Note that the views know every attribute that this version knows."""
    meta.write(db, _KEY, json.dumps(sorted(IN_REGISTERS)))


def catch_up(store: Store) -> None:
    """Project again, a shard at a time, the memories with attributes that the views do not know.

    It costs nothing unless the file comes from an older version. A full disk or a file that is in use must not keep
    the store from opening: what fails is tried again when it is opened next time.
    """
    with store.reading() as db:
        unknown = IN_REGISTERS.keys() - json.loads(str(meta.read(db, _KEY) or "[]"))
        shards = log.shard_numbers(db) if unknown else []
    if not unknown:
        return
    try:
        for shard in shards:
            with suppress(CorruptError):  # the views stay as they are
                store.commit(partial(_reproject, shard, unknown))
        with store.writing() as db:
            note_all(db)
    except StoreError as exc:
        _log.warning("memories may lack attributes that a newer version gave them, until the next start: %s", exc)


def _reproject(shard: int, names: Collection[str], transaction: Transaction) -> None:
    if log.shard_row(transaction.db, shard).damaged:
        return  # the views are all that is left of what it has lost; it is projected when it is whole again
    ids = {
        memory_id
        for memory_id, found in transaction.registers_of(shard)
        if any(registers.attribute_key(memory_id, name) in found for name in names)
    }
    transaction.reproject(shard, ids)
