"""Memories of mem0: as JSON, as the Markdown of its plugin, or its database of changes, `history.db`.

The JSON is what `Memory.get_all()` returns, a list of such memories, or the export of OpenMemory, a zip file with
`memories.json`. Its memories have a state; those that it hides are left out.

The Markdown, `mem0-export-*.md`, has all memories in one file: each is a block of `name: value` lines between two lines
`---`, then its text. Values are no YAML: a branch may have any character.

The database has the texts, and not whose they are: owners and metadata are beside the vectors, as pickles, which
nothing here reads.
"""

from __future__ import annotations

import hashlib
import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from memcrdt.errors import InputError
from memcrdt.importing import own
from memcrdt.importing.databases import Tables, database_items, is_database, utc_time
from memcrdt.importing.folders import text_files
from memcrdt.importing.json_files import json_elements
from memcrdt.importing.rows import Item, time_of
from memcrdt.model import limits
from memcrdt.model.records import MemoryRecord

_LISTS: Final = ("results", "records", "memories", "data")
_TEXTS: Final = ("memory", "text", "content", "data")
_SHOWN: Final = ("active", "paused", None)  # states of memories in OpenMemory
_HIDDEN: Final = ("archived", "deleted")
_SUFFIX: Final = ".md"
_EXPORTS: Final = f"mem0-export-*{_SUFFIX}"
_BLOCK: Final = re.compile(r"^---[ \t]*\n((?:(?!id:)\w+:.*\n)*+id:.*\n(?:\w+:.*\n)*+)---[ \t]*(?:\n|\Z)", re.MULTILINE)
_LISTED: Final = ("files", "categories")
FILE: Final = "history.db"
FOLDER: Final = ".mem0"  # in the home of the user

_HISTORY: Final = ("id", "memory_id", "new_memory", "event", "created_at", "updated_at", "is_deleted", "actor_id")
_SCOPES: Final = {"agent": "agent_id", "conversation": "run_id", "project": "app_id"}
_OWNERS: Final = ("user_id", "agent_id", "app_id", "run_id", "actor_id")


def items(path: Path) -> Iterator[Item]:
    """Yield an item for each memory of a JSON, zip or Markdown file, a folder of them, or the database.

    Raises:
        OSError: The file or folder cannot be read.
    """
    if is_database(path):
        yield from database_items(path, "history", _lives)
    elif path.suffix == _SUFFIX and path.is_file():
        yield from _blocks(path)
    else:
        yield from _elements(path)
        for file in sorted(path.glob(_EXPORTS)):
            if file.is_file() and not file.is_symlink():
                yield from _blocks(file)


def _elements(path: Path) -> Iterator[Item]:
    for name, memory in json_elements(path, ("*.json",), _LISTS):
        if isinstance(memory, InputError):
            yield Item(name, memory)
        elif isinstance(memory, str):
            yield _item(name, {"memory": memory})
        elif not isinstance(memory, dict):
            yield Item(name, InputError("a memory of mem0 is an object or a text"))
        elif (state := memory.get("state")) not in (*_SHOWN, *_HIDDEN):
            yield Item(name, InputError(f"the state {str(state)[:80]!r} of a memory is unknown"))
        elif state in _SHOWN and not memory.get("deleted_at"):
            yield _item(name, memory)


def _blocks(file: Path) -> Iterator[Item]:
    """Yield an item for each block of an export in Markdown."""
    for name, text, _ in text_files(file, (_SUFFIX,)):
        if isinstance(text, InputError):
            yield Item(name, text)
            continue
        before, *blocks = _BLOCK.split(text)
        if before.strip():
            yield Item(name, InputError("its beginning is no block of a memory of mem0"))
        for head, body in zip(blocks[::2], blocks[1::2], strict=True):
            yield _item(name, _block(head, body))


def _block(head: str, body: str) -> dict[str, Any]:
    """Return a block as the JSON of mem0 has it."""
    lines = (line.partition(":") for line in head.splitlines())
    said: dict[str, Any] = {name: value.strip() for name, _, value in lines if value.strip()}
    for name in _LISTED:
        said[name] = [each.strip() for each in said.get(name, "").split(",") if each.strip()]
    known = ("id", "created_at", "updated_at", "categories")
    rest = {name: value for name, value in said.items() if value and name not in (*known, *_OWNERS)}
    return {**said, "memory": body.strip(), "metadata": rest}


def _lives(tables: Tables) -> Iterator[Item]:
    """Yield an item for each memory that was not deleted, with the texts that it had."""
    first: Mapping[str, Any] | None = None
    later: deque[Mapping[str, Any]] = deque(maxlen=limits.REVISIONS - 1)
    for row in tables.rows("history", _HISTORY, order=("memory_id", "rowid")):
        if first is None or row["memory_id"] != first["memory_id"]:
            yield from _life(first, later)
            first = row
            later.clear()
        else:
            later.append(row)
    yield from _life(first, later)


def _life(first: Mapping[str, Any] | None, later: Sequence[Mapping[str, Any]]) -> Iterator[Item]:
    last = later[-1] if later else first
    if first is None or last is None or last["event"] == "DELETE" or last["is_deleted"]:
        return
    created_at = utc_time(first["created_at"])
    times = {"created_at": created_at, "updated_at": utc_time(last["updated_at"]) or created_at}
    said = {"id": last["memory_id"], "memory": last["new_memory"], "actor_id": last["actor_id"]}
    name, given = _item(FILE, {**said, **times})
    texts = [{"id": row["id"], "text": row["new_memory"], "at": utc_time(row["updated_at"])} for row in (first, *later)]
    if isinstance(given, dict) and len(texts) > 1 and all(each["text"] and each["at"] for each in texts):
        given["texts"] = texts
    yield Item(name, given)


def _item(name: str, memory: Mapping[str, Any]) -> Item:
    text = next((memory[each] for each in _TEXTS if isinstance(memory.get(each), str)), None)
    if text is None:
        return Item(name, InputError(f"the memory {str(memory.get('id', ''))[:80]!r} has no text"))
    digest = hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()
    metadata, categories = memory.get("metadata"), memory.get("categories")
    metadata = dict(metadata) if isinstance(metadata, dict) else {}
    owners = {each: memory[each] for each in _OWNERS if isinstance(memory.get(each), str)}
    given = {
        "text": text,
        "tags": [each for each in categories if isinstance(each, str)] if isinstance(categories, list) else [],
        "created_at": time_of(memory.get("created_at")),
        "updated_at": time_of(memory.get("updated_at")),
    }
    is_own = own.restored(metadata.pop(own.FIELD, None), {**given, "metadata": metadata})
    key = str(memory.get("id") or digest)
    return Item(f"{name}: {key[:80]}", is_own or {**given, "key": key, "metadata": {**owners, **metadata}})


def element(record: MemoryRecord) -> dict[str, Any]:
    """Return a memory as mem0's `get_all()` writes it. The scope tells whose it is, as far as mem0 knows scopes."""
    category, _, name = record.scope.partition("/")
    owner = {_SCOPES[category]: name} if category in _SCOPES else {"user_id": category}
    rest = own.beside(record, ("text", "tags", "created_at", "updated_at", "metadata"))
    if own.FIELD in record.metadata:
        rest["metadata"] = dict(record.metadata)
    return {
        "id": record.id,
        "memory": record.text,
        "hash": hashlib.md5(record.text.encode(), usedforsecurity=False).hexdigest(),
        "metadata": {**record.metadata, own.FIELD: rest},
        "categories": list(record.tags),
        **own.said(record, ("created_at", "updated_at")),
        **owner,
    }
