"""Transcripts of coding agents as memories: one for each session, with its title and what the user typed.

Nobody reads transcripts unless the user names this source: they say much that nobody wanted to keep. Answers of the
model, results of tools and sessions of subagents are not read at all.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from memcrdt.errors import InputError
from memcrdt.importing.claude_code import scope_of
from memcrdt.importing.conversations import conversation_text
from memcrdt.importing.folders import named_files
from memcrdt.importing.rows import Item, time_of
from memcrdt.importing.transcripts import read_transcript


def items(path: Path) -> Iterator[Item]:
    """Yield an item for each session of a folder, or for one transcript. Raises OSError."""
    for file, name in named_files(path, (".jsonl",)):
        if "/subagents/" not in name:
            yield _session(file, name)


def _session(file: Path, name: str) -> Item:
    try:
        found = read_transcript(file)
    except InputError as exc:
        return Item(name, exc)
    created_at, updated_at = map(time_of, found.times)
    return Item(
        name,
        {
            "text": conversation_text(found.title or "", found.turns),
            "key": f"session/{file.stem}",
            "kind": "conversation",
            "created_at": created_at,
            "updated_at": updated_at,
            "metadata": {"path": name, "title": found.title or "", "folder": found.cwd},
            **scope_of(found.cwd),
        },
    )
