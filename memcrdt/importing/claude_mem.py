"""The database of claude-mem: its observations, and its summaries of sessions. What the user typed is not read.

Its tables have gained columns from version to version, so each may be missing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from memcrdt.errors import InputError
from memcrdt.importing.databases import Tables, Value, database_items, json_of, utc_time
from memcrdt.importing.rows import Item, project_scope

FOLDER: Final = ".claude-mem"  # in the home of the user
FILE: Final = "claude-mem.db"

_SESSION: Final = ("id", "memory_session_id", "sdk_session_id", "project", "created_at", "created_at_epoch")
_OBSERVATION: Final = ("type", "title", "subtitle", "text", "narrative", "facts", "concepts")
_FILES: Final = ("files_read", "files_modified", "files_edited")
_SUMMARY: Final = ("request", "investigated", "learned", "completed", "next_steps", "notes")


def items(path: Path) -> Iterator[Item]:
    """Yield an item for each observation and each summary of a session. Raises OSError."""
    return database_items(path, "observations", _items)


def _items(tables: Tables) -> Iterator[Item]:
    for row in tables.rows("observations", (*_SESSION, *_OBSERVATION, *_FILES), order=("id",)):
        title = _text(row["title"])
        body = [_text(row["subtitle"]), _text(row["narrative"]) or _text(row["text"]), _listed(_texts(row["facts"]))]
        text = "\n\n".join(filter(None, (f"# {title}" if title else "", *body)))
        yield _item("observation", row, text, _text(row["type"]), _texts(row["concepts"]))
    for row in tables.rows("session_summaries", (*_SESSION, *_SUMMARY, *_FILES), order=("id",)):
        told = [f"{name.replace('_', ' ').capitalize()}: {text}" for name in _SUMMARY if (text := _text(row[name]))]
        yield _item("summary", row, "\n\n".join(told), "summary", [])


def _item(what: str, row: Mapping[str, Value], text: str, kind: str, tags: list[str]) -> Item:
    name = f"{what} {row['id']}"
    if not text:
        return Item(name, InputError(f"the {what} has no text"))
    session = _text(row["memory_session_id"]) or _text(row["sdk_session_id"])
    digest = hashlib.sha256(text.encode()).hexdigest()[:32]  # ids count from 1 on each machine
    at = utc_time(row["created_at_epoch"]) or utc_time(row["created_at"])
    project = _text(row["project"])
    files = {name: found for name in _FILES if (found := _texts(row.get(name)))}
    given: dict[str, Any] = {
        "text": text,
        "key": f"{what}/{session}/{digest}",
        "kind": kind or None,
        "tags": tags,
        "created_at": at,
        "updated_at": at,
        "metadata": {"project": project, "session": session, **files},
    }
    return Item(name, {**given, **project_scope(project)})


def _text(value: Value) -> str:
    return value.strip() if isinstance(value, str) else ""


def _texts(value: Value) -> list[str]:
    """Return the texts of a JSON list."""
    found = json_of(value)
    return [each for each in found if isinstance(each, str)] if isinstance(found, list) else []


def _listed(texts: list[str]) -> str:
    return "\n".join(f"- {each}" for each in texts)
