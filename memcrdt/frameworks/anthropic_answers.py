"""What the memory tool of the Anthropic SDK makes of paths and texts: edits, listings, numbered lines, rivals.

The words are those of the SDK's own tool for the file system, to the letter: models know them.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Iterator
from typing import Any, Final

from memcrdt.frameworks.extras import needs
from memcrdt.frameworks.files import StoredFile

with needs("anthropic"):
    from anthropic.lib.tools import ToolError

TOP: Final = "/memories"
CONTEXT_LINES: Final = 2  # before and after a replacement
LEVELS: Final = 2  # of folders in a listing

_NUMBER_WIDTH: Final = 6


def relative(path: str) -> str:
    """Return the path of a file in the tree; empty for /memories itself."""
    if path != TOP and not path.startswith(TOP + "/"):
        raise ToolError(f"Path must start with {TOP}, got: {path}")
    plain = posixpath.normpath("/".join(part for part in path.split("/") if part))
    if plain != TOP[1:] and not plain.startswith(TOP[1:] + "/"):
        raise ToolError(f"Path {path} would escape {TOP} directory")
    return plain[len(TOP) :]


def missing(shown: str) -> ToolError:
    """Return the error for a path that a command reads or edits."""
    return ToolError(f"The path {shown} does not exist. Please provide a valid path.")


def absent(shown: str) -> ToolError:
    """Return the error for a path that a command moves or deletes."""
    return ToolError(f"The path {shown} does not exist")


def listing(shown: str, folder: str, inside: Iterable[StoredFile]) -> str:
    """Return what is in a folder, with sizes.

    Args:
        shown: The path of the folder as the model knows it.
        folder: Its path in the tree.
        inside: The files in it and below it.
    """
    files = list(inside)
    sizes = _sizes(folder, files)
    lines = [
        f"Here're the files and directories up to {LEVELS} levels deep in {shown}, excluding hidden items:",
        f"{_size(sum(_bytes(file) for file in files))}\t{shown}",
        *(f"{_size(sizes[name])}\t{shown}/{'/'.join(name)}" for name in sorted(sizes)),
    ]
    return "\n".join(lines)


def content(file: StoredFile, command: Any) -> str:
    """Return the numbered lines of a file, or those in the range of the command."""
    lines, first = file.text.split("\n"), 0
    if command.view_range and len(command.view_range) == 2:
        first, last = max(1, command.view_range[0]) - 1, command.view_range[1]
        lines = lines[first : len(lines) if last == -1 else last]
    return f"Here's the content of {command.path} with line numbers:\n" + _numbered(lines, first + 1) + rivals(file)


def replaced(text: str, command: Any) -> str:
    """Return a text with the replacement of a command. Raises ToolError unless the text has the old part once."""
    found = text.count(command.old_str)
    if not found:
        raise ToolError(
            f"No replacement was performed, old_str `{command.old_str}` did not appear verbatim in {command.path}."
        )
    if found > 1:
        lines = [text[:at].count("\n") + 1 for at in _occurrences(text, command.old_str)]
        raise ToolError(
            f"No replacement was performed. Multiple occurrences of old_str `{command.old_str}` in lines:"
            f" {', '.join(map(str, lines))}. Please ensure it is unique"
        )
    return text.replace(command.old_str, command.new_str)


def snippet(before: str, after: str, command: Any) -> str:
    """Return the lines around the replacement of a command, numbered."""
    line = before[: before.find(command.old_str)].count("\n")
    first = max(0, line - CONTEXT_LINES)
    heading = "The memory file has been edited. Here is the snippet showing the change (with line numbers):\n"
    return heading + _numbered(after.split("\n")[first : line + CONTEXT_LINES + 1], first + 1)


def inserted(text: str, command: Any) -> str:
    """Return a text with the lines that a command inserts. Raises ToolError for a line that the text has not."""
    lines = text.split("\n")
    if not lines[-1]:
        lines.pop()
    if not 0 <= command.insert_line <= len(lines):
        raise ToolError(
            f"Invalid `insert_line` parameter: {command.insert_line}. It should be within the range [0, {len(lines)}]."
        )
    lines.insert(command.insert_line, command.insert_text.rstrip("\n"))
    return "\n".join(lines).removesuffix("\n") + "\n"


def rivals(file: StoredFile) -> str:
    """Return what the model has to know of texts that were written apart, so that an edit loses none of them."""
    heading = "\n\nAnother device wrote, while disconnected, this version, which the next edit drops:\n"
    return "".join(heading + text for text in file.others)


def _occurrences(text: str, part: str) -> Iterator[int]:
    """Yield every place of a part in a text, also those that overlap."""
    at = text.find(part)
    while at != -1:
        yield at
        at = text.find(part, at + 1)


def _numbered(lines: Iterable[str], first: int) -> str:
    return "\n".join(f"{number:>{_NUMBER_WIDTH}}\t{line}" for number, line in enumerate(lines, first))


def _sizes(folder: str, inside: Iterable[StoredFile]) -> dict[tuple[str, ...], int]:
    """Return the bytes of what a view of a folder lists, by the parts of its path; a folder has an empty last one."""
    sizes: dict[tuple[str, ...], int] = {}
    for file in inside:
        parts = tuple(file.path.removeprefix(folder).strip("/").split("/"))
        listed = [(*parts[:level], "") for level in range(1, len(parts))] + [parts]
        for name in listed[:LEVELS]:
            if not any(part.startswith(".") for part in name):
                sizes[name] = sizes.get(name, 0) + _bytes(file)
    return sizes


def _bytes(file: StoredFile) -> int:
    return len(file.text.encode())


def _size(size: int) -> str:
    return f"{size / 1024:.1f}K".replace(".0K", "K") if size >= 1024 else f"{size}B"
