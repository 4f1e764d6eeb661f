"""Memories of mem0 as JSON: what `Memory.get_all()` returns, a list of such memories, or the export of OpenMemory.

OpenMemory exports a zip file with `memories.json`. Its memories have a state; those that it hides are left out.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from memcrdt.errors import InputError
from memcrdt.importing.json_files import json_elements
from memcrdt.importing.rows import Item, time_of

_LISTS: Final = ("results", "records", "memories", "data")
_TEXTS: Final = ("memory", "text", "content", "data")
_STATES: Final = ("active", "paused")
_OWNERS: Final = ("user_id", "agent_id", "app_id", "run_id", "actor_id")


def items(path: Path) -> Iterator[Item]:
    """Yield an item for each memory of a JSON file, a zip file, or a folder of both. Raises OSError."""
    for name, memory in json_elements(path, ("*.json",), _LISTS):
        if isinstance(memory, InputError):
            yield Item(name, memory)
        elif isinstance(memory, str):
            yield _item(name, {"memory": memory})
        elif isinstance(memory, dict):
            if memory.get("state", "active") in _STATES and not memory.get("deleted_at"):
                yield _item(name, memory)
        else:
            yield Item(name, InputError("a memory of mem0 is an object or a text"))


def _item(name: str, memory: Mapping[str, Any]) -> Item:
    text = next((memory[each] for each in _TEXTS if isinstance(memory.get(each), str)), None)
    if text is None:
        return Item(name, InputError(f"the memory {str(memory.get('id', ''))[:80]!r} has no text"))
    digest = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
    metadata, categories = memory.get("metadata"), memory.get("categories")
    owners = {each: memory[each] for each in _OWNERS if isinstance(memory.get(each), str)}
    return Item(
        f"{name}: {str(memory.get('id', digest))[:80]}",
        {
            "text": text,
            "key": str(memory.get("id") or digest),
            "tags": [each for each in categories if isinstance(each, str)] if isinstance(categories, list) else [],
            "created_at": time_of(memory.get("created_at")),
            "updated_at": time_of(memory.get("updated_at")),
            "metadata": {**owners, **(metadata if isinstance(metadata, dict) else {})},
        },
    )
