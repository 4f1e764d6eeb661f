"""The JSON export of mcp-memory-service: an object with `memories`. Its database is not read."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from memcrdt.errors import InputError
from memcrdt.importing.json_files import json_elements
from memcrdt.importing.rows import Item, time_of


def items(path: Path) -> Iterator[Item]:
    """Yield an item for each memory of a JSON file, a zip file, or a folder of both. Raises OSError."""
    for name, memory in json_elements(path, ("*.json",), ("memories",)):
        if isinstance(memory, InputError):
            yield Item(name, memory)
        elif not isinstance(memory, dict) or not isinstance(memory.get("content"), str):
            yield Item(name, InputError("a memory of mcp-memory-service is an object with a content"))
        elif not memory.get("deleted_at"):
            yield _item(name, memory)


def _item(name: str, memory: Mapping[str, Any]) -> Item:
    text, metadata = memory["content"], memory.get("metadata")
    key = str(memory.get("content_hash") or hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest())
    created_at = time_of(memory.get("created_at")) or time_of(memory.get("created_at_iso"))
    given = {
        "text": text,
        "key": key,
        "kind": memory.get("memory_type"),
        "tags": _tags(memory.get("tags")),
        "created_at": created_at,
        "updated_at": time_of(memory.get("updated_at")) or time_of(memory.get("updated_at_iso")) or created_at,
        "metadata": metadata if isinstance(metadata, dict) else {},
    }
    return Item(f"{name}: {key[:80]}", given)


def _tags(given: Any) -> list[str]:
    """Return the tags of a list, or of a text with commas between them."""
    listed = given.split(",") if isinstance(given, str) else given if isinstance(given, list) else []
    return [tag.strip() for tag in listed if isinstance(tag, str)]
