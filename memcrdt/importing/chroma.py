"""The database of Chroma, in the folder of a persistent client: each document becomes a memory. Vectors are not read.

`embedding_metadata` has the document and the metadata of an embedding, a row for each key. Changes that Chroma has not
worked in yet are in `embeddings_queue`, with an operation, and metadata as JSON.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any, Final, NamedTuple

from memcrdt.errors import InputError
from memcrdt.importing.databases import Tables, Value, database_items, json_of, utc_time
from memcrdt.importing.rows import Item

FILE: Final = "chroma.sqlite3"

_DOCUMENT: Final = "chroma:document"
_TEXTS: Final = (_DOCUMENT, "data", "text", "content")  # mem0 and others keep the text in the metadata
_VALUES: Final = ("string_value", "int_value", "float_value", "bool_value")
_ADD: Final = 0  # operations of the queue; 2 adds or updates
_UPDATE: Final = 1
_DELETE: Final = 3


class _Segment(NamedTuple):
    """Where the metadata of a collection is.

    Attributes:
        id: The id of the segment.
        name: The name of the collection.
        collection: The id of the collection.
        worked_in: The number of the last change that is in the segment.
    """

    id: Value
    name: str
    collection: str
    worked_in: int


def items(path: Path) -> Iterator[Item]:
    """Yield an item for each document of a database, or of the database in a folder. Raises OSError."""
    return database_items(path / FILE if path.is_dir() else path, "embedding_metadata", _items)


def _items(tables: Tables) -> Iterator[Item]:
    for segment in _segments(tables):
        changed = {row["id"] for row in _changes(tables, segment)}
        columns = ("id", "embedding_id", "created_at")
        for row in tables.rows("embeddings", columns, where={"segment_id": segment.id}, order=("id",)):
            if row["embedding_id"] not in changed:
                yield _item(segment, row, _metadata(tables, row["id"]))
        for name, changes in groupby(_changes(tables, segment), lambda row: row["id"]):
            yield from _changed(tables, segment, name, changes)


def _segments(tables: Tables) -> Iterator[_Segment]:
    names = {row["id"]: str(row["name"]) for row in tables.rows("collections", ("id", "name"))}
    for row in tables.rows("segments", ("id", "scope", "collection"), order=("id",)):
        if row["scope"] == "METADATA" and row["collection"] in names:
            known = [each["seq_id"] for each in tables.rows("max_seq_id", ("seq_id",), where={"segment_id": row["id"]})]
            last = max((each for each in known if isinstance(each, int)), default=0)
            yield _Segment(row["id"], names[row["collection"]], str(row["collection"]), last)


def _changes(tables: Tables, segment: _Segment) -> Iterator[dict[str, Value]]:
    """Yield the changes that are not in the segment yet, those of one embedding together and in order."""
    columns = ("seq_id", "created_at", "operation", "topic", "id", "metadata")
    for row in tables.rows("embeddings_queue", columns, order=("id", "seq_id")):
        is_of_it = str(row["topic"]).rpartition("/")[2] == segment.collection
        if is_of_it and isinstance(row["seq_id"], int) and row["seq_id"] > segment.worked_in:
            yield row


def _changed(tables: Tables, segment: _Segment, name: Value, changes: Iterator[Mapping[str, Value]]) -> Iterator[Item]:
    """Yield the item of an embedding after its changes, unless they delete it."""
    where = {"segment_id": segment.id, "embedding_id": name}
    row = next(tables.rows("embeddings", ("id", "embedding_id", "created_at"), where=where), None)
    known = None if row is None else _metadata(tables, row["id"])
    for change in changes:
        row = row or {**change, "embedding_id": name}
        known = _after(known, change)
    if known is not None and row is not None:
        yield _item(segment, row, known)


def _after(known: dict[str, Any] | None, change: Mapping[str, Value]) -> dict[str, Any] | None:
    """Return the metadata of an embedding after a change; None for an embedding that does not exist."""
    said, operation = json_of(change["metadata"]), change["operation"]
    if operation == _DELETE or (operation == _UPDATE and known is None):
        return None
    if (operation == _ADD and known is not None) or not isinstance(said, dict):
        return known
    return {key: value for key, value in {**(known or {}), **said}.items() if value is not None}


def _metadata(tables: Tables, number: Value) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for row in tables.rows("embedding_metadata", ("key", *_VALUES), where={"id": number}):
        name, value = next(((each, row[each]) for each in _VALUES if row[each] is not None), ("", None))
        if isinstance(row["key"], str) and value is not None:
            found[row["key"]] = bool(value) if name == "bool_value" else value
    return found


def _item(segment: _Segment, row: Mapping[str, Value], metadata: dict[str, Any]) -> Item:
    name = f"{segment.name}/{row['embedding_id']}"
    field = next((each for each in _TEXTS if isinstance(metadata.get(each), str) and metadata[each].strip()), None)
    if field is None:
        return Item(name, InputError("it has no document, and no text in its metadata"))
    text = metadata.pop(field)
    at = utc_time(row["created_at"])
    rest = {key: value for key, value in metadata.items() if not key.startswith("chroma:")}
    given = {"text": text, "key": name, "created_at": at, "metadata": {"collection": segment.name, **rest}}
    return Item(name, given)
