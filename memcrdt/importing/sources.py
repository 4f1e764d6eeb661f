"""The sources of imports by name."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from memcrdt.errors import InputError
from memcrdt.importing import (
    chatgpt,
    chroma,
    claude,
    claude_code,
    claude_mem,
    codex,
    letta,
    lines,
    markdown,
    mcp_memory_service,
    mem0,
    server_memory,
    sessions,
    text,
)
from memcrdt.importing.rows import ImportRow, Item, as_rows, untrusted
from memcrdt.paths import Stream

# The rows of a file or a stream, by format.
LINES: Final[Mapping[str, Callable[[Path | Stream], Iterator[ImportRow]]]] = {
    "jsonl": lambda file: lines.rows(file, lambda given: given),
    server_memory.SOURCE: server_memory.rows,
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
    "mem0": Source(mem0.items, f"{mem0.FOLDER}/{mem0.FILE}"),
    "claude": Source(claude.items),
    "chatgpt": Source(chatgpt.items),
    "codex": Source(codex.items, codex.FOLDER),
    "letta": Source(letta.items),
    "mcp-memory-service": Source(mcp_memory_service.items),
    "claude-mem": Source(claude_mem.items, f"{claude_mem.FOLDER}/{claude_mem.FILE}"),
    "chroma": Source(chroma.items),
    "text": Source(text.items),
    "transcripts": Source(sessions.items),
}
NAMES: Final = (*SOURCES, *LINES)
FORMATS: Final = (*LINES, "markdown", "mem0")  # of files that an export writes


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
    """Yield the rows of a source. Raises OSError if the file or folder cannot be read.

    Whoever wrote the files of another program, nothing in them says how far to trust them.
    """
    found = exported_rows(name, path)
    return found if name == "jsonl" else map(untrusted, found)


def exported_rows(form: str, file: Path | Stream) -> Iterator[ImportRow]:
    """Yield the rows of a file that an export wrote, with the trust that it had. Raises InputError and OSError."""
    if form in LINES:
        return LINES[form](file)
    if not isinstance(file, Path):
        raise InputError(f"the format {form} is no stream of lines; name a file or folder")
    return as_rows(form, SOURCES[form].items(file))
