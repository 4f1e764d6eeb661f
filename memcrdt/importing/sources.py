"""The sources of imports by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from memcrdt.errors import InputError
from memcrdt.importing import (
    chatgpt,
    claude,
    claude_code,
    codex,
    letta,
    lines,
    markdown,
    mcp_memory_service,
    mem0,
    server_memory,
    text,
)
from memcrdt.importing.rows import ImportRow, Item, as_rows

# The translation of the object of a line into arguments of an import, by format.
LINES: Final[Mapping[str, lines.Translation]] = {
    "jsonl": lambda given: given,
    server_memory.SOURCE: server_memory.translate,
}


@dataclass(frozen=True, slots=True)
class Source:
    """A source.

    Attributes:
        items: Yields the items of a file or folder.
        usual: Where its files are, below the home of the user; None if the user must say it.
    """

    items: Callable[[Path], Iterator[Item]]
    usual: str | None = None


SOURCES: Final[Mapping[str, Source]] = {
    "markdown": Source(markdown.items),
    "claude-code": Source(claude_code.items, claude_code.FOLDER),
    "mem0": Source(mem0.items),
    "claude": Source(claude.items),
    "chatgpt": Source(chatgpt.items),
    "codex": Source(codex.items, codex.FOLDER),
    "letta": Source(letta.items),
    "mcp-memory-service": Source(mcp_memory_service.items),
    "text": Source(text.items),
}
NAMES: Final = (*SOURCES, *LINES)


def check_source(name: str, path: Path | None) -> Path:
    """Return the path to read. Raises InputError for an unknown source, or a missing path."""
    if name not in NAMES:
        raise InputError(f"the source {str(name)[:80]!r} is unknown; the sources are {', '.join(NAMES)}")
    if path is not None:
        return path
    usual = SOURCES[name].usual if name in SOURCES else None
    if usual is None:
        raise InputError(f"{name} has no usual place; name the file or folder")
    try:
        return Path.home() / usual
    except RuntimeError as exc:
        raise InputError("this user has no home folder; name the file or folder") from exc


def rows(name: str, path: Path) -> Iterator[ImportRow]:
    """Yield the rows of a source. Raises OSError if the file or folder cannot be read."""
    return lines.rows(path, LINES[name]) if name in LINES else as_rows(name, SOURCES[name].items(path))
