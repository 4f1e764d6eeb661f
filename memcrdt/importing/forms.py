"""The forms of exported files. Folders of Markdown are in notes.py."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final

from memcrdt.importing import mem0, own, server_memory
from memcrdt.model.records import MemoryRecord

JSONL: Final = "jsonl"
MARKDOWN: Final = "markdown"
MEM0: Final = "mem0"

# The object of a memory, by form.
ELEMENTS: Final[Mapping[str, Callable[[MemoryRecord], dict[str, Any]]]] = {
    JSONL: own.said,
    server_memory.SOURCE: server_memory.line,
    MEM0: mem0.element,
}
NAMES: Final = (*ELEMENTS, MARKDOWN)


def encoded(form: str, elements: Iterable[Mapping[str, Any]]) -> Iterator[bytes]:
    """Yield the bytes of a file with these objects: each on a line, or for mem0 all in one object."""
    lines = (json.dumps(each, ensure_ascii=False).encode() for each in elements)
    if form != MEM0:
        yield from (line + b"\n" for line in lines)
        return
    yield b'{"results": [\n'
    yield from (b",\n" * (number > 0) + line for number, line in enumerate(lines))
    yield b"\n]}\n"
