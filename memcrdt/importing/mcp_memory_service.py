"""The memories of mcp-memory-service: its SQLite database, or its JSON export, an object with `memories`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from memcrdt.errors import InputError
from memcrdt.importing.databases import Tables, database_items, is_database, json_of
from memcrdt.importing.json_files import json_elements
from memcrdt.importing.rows import Item, time_of
from memcrdt.model import limits

FILE: Final = "sqlite_vec.db"

_COLUMNS: Final = (
    *("content_hash", "content", "tags", "memory_type", "metadata", "deleted_at"),
    *("created_at", "updated_at", "created_at_iso", "updated_at_iso"),
)


def items(path: Path) -> Iterator[Item]:
    """Yield an item for each memory of the database, a JSON file, a zip file, or a folder of both. Raises OSError."""
    database = path / FILE if (path / FILE).is_file() else path
    if is_database(database):
        yield from database_items(database, "memories", _rows)
        return
    for name, memory in json_elements(path, ("*.json",), ("memories",)):
        if isinstance(memory, InputError):
            yield Item(name, memory)
        elif not isinstance(memory, dict) or not isinstance(memory.get("content"), str):
            yield Item(name, InputError("a memory of mcp-memory-service is an object with a content"))
        elif not memory.get("deleted_at"):
            yield _item(name, memory)


def _rows(tables: Tables) -> Iterator[Item]:
    for row in tables.rows("memories", _COLUMNS, order=("id",)):
        if row["deleted_at"] is None:
            links = tables.rows("memory_graph", ("target_hash",), where={"source_hash": row["content_hash"]})
            related = [each["target_hash"] for each in links if isinstance(each["target_hash"], str)]
            yield _item(FILE, {**row, "metadata": json_of(row["metadata"])}, related[: limits.LINKS])


def _item(name: str, memory: Mapping[str, Any], related: Sequence[str] = ()) -> Item:
    text, metadata = memory["content"], memory.get("metadata")
    if not isinstance(text, str):
        return Item(name, InputError(f"the memory {str(memory.get('content_hash'))[:80]!r} has no text"))
    key = str(memory.get("content_hash") or hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest())
    created_at = time_of(memory.get("created_at")) or time_of(memory.get("created_at_iso"))
    given = {
        "text": text,
        "key": key,
        "kind": memory.get("memory_type"),
        "tags": _tags(memory.get("tags")),
        "created_at": created_at,
        "updated_at": time_of(memory.get("updated_at")) or time_of(memory.get("updated_at_iso")) or created_at,
        "metadata": {
            **(metadata if isinstance(metadata, dict) else {}),
            **({"links_to": list(related)} if related else {}),
        },
    }
    return Item(f"{name}: {key[:80]}", given)


def _tags(given: Any) -> list[str]:
    """Return the tags of a list, or of a text with commas between them."""
    listed = given.split(",") if isinstance(given, str) else given if isinstance(given, list) else []
    return [tag.strip() for tag in listed if isinstance(tag, str)]
