"""Project memories again whose registers mean more to this version than to the one that wrote the views.

A version keeps the registers of unknown attributes, but does not show them. After an upgrade the documents have more
attributes than the views in the file. `meta` lists the attributes that the views were written with (the earliest
schemas have no list). If this version knows more attributes, memories that have them are projected again.

Earlier versions also showed names in any Unicode form. `meta` notes that the views are in NFC; without that note,
memories that have a text in another form are projected again, and the names of spaces are composed.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final, TypeAlias

from memcrdt.model import registers
from memcrdt.model.attributes import IN_REGISTERS
from memcrdt.model.normalization import nfc_json
from memcrdt.model.registers import Registers
from memcrdt.model.values import canonical
from memcrdt.store import log, meta, spaces
from memcrdt.store.transaction import Transaction

if TYPE_CHECKING:
    from memcrdt.store.sql import SqlConnection

IsOutdated: TypeAlias = Callable[[str, Registers], bool]  # of the views of a memory, by its id and its registers

_KEY: Final = "attributes"
_FORM_KEY: Final = "unicode_form"
_FORM: Final = "NFC"


def note_all(db: SqlConnection) -> None:
    """Note that the views know every attribute that this version knows, and are in its Unicode form."""
    meta.write(db, _KEY, json.dumps(sorted(IN_REGISTERS)))
    if meta.read(db, _FORM_KEY) != _FORM:
        spaces.compose_names(db)
        meta.write(db, _FORM_KEY, _FORM)


def outdated(db: SqlConnection) -> IsOutdated | None:
    """Return which memories have outdated views. None unless an older version wrote the file."""
    known: list[str] = json.loads(str(meta.read(db, _KEY) or "[]"))
    names = IN_REGISTERS.keys() - known
    is_composed = meta.read(db, _FORM_KEY) == _FORM
    if not names and is_composed:
        return None

    def is_outdated(memory_id: str, found: Registers) -> bool:
        has_unknown = any(registers.attribute_key(memory_id, name) in found for name in names)
        return has_unknown or (not is_composed and not _is_composed(found))

    return is_outdated


def plans(db: SqlConnection, is_outdated: IsOutdated) -> list[Callable[[Transaction], None]]:
    """Return plans, one for each shard, that project the memories with outdated views again."""
    return [partial(_reproject, shard, is_outdated) for shard in log.shard_numbers(db)]


def _reproject(shard: int, is_outdated: IsOutdated, transaction: Transaction) -> None:
    if log.shard_row(transaction.db, shard).damaged:
        return  # the views are all that is left of its lost rows; it is projected when it is whole again
    ids = {memory_id for memory_id, found in transaction.registers_of(shard) if is_outdated(memory_id, found)}
    transaction.reproject(shard, ids)


def _is_composed(found: Registers) -> bool:
    return all(canonical(value).isascii() or nfc_json(value) == value for value in found.values())
