"""JSON Lines: a row for each line, with the arguments of an import, or with what `translate` makes of its object."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any, Final, TypeAlias

from memcrdt.errors import InputError
from memcrdt.importing.rows import ImportRow
from memcrdt.model import limits
from memcrdt.model.values import parse_json
from memcrdt.paths import Stream

LINE_BYTES: Final = 512 * limits.KIB  # a text of 64 KiB, escaped, with all other fields of a memory

Translation: TypeAlias = Callable[[dict[str, Any]], dict[str, Any]]


def rows(file: Path | Stream, translate: Translation) -> Iterator[ImportRow]:
    """Yield a row for each line that is not empty.

    Args:
        file: The file, or a binary stream, which stays open.
        translate: Returns the arguments of an import for the object of a line. May raise InputError.

    Raises:
        OSError: The file cannot be read.
    """
    with file.open("rb") if isinstance(file, Path) else nullcontext(file) as lines:
        for number, line in enumerate(_lines(lines), 1):
            if line is None or line.strip():
                yield ImportRow(number, None, _given(line, translate), len(line or b""))


def _given(line: bytes | None, translate: Translation) -> dict[str, Any] | InputError:
    try:
        return translate(_object(line))
    except InputError as exc:
        return exc


def _lines(file: Stream) -> Iterator[bytes | None]:
    """Yield the lines, and None for a line that is too long to be kept in memory."""
    while line := file.readline(LINE_BYTES + 1):
        if len(line) <= LINE_BYTES:
            yield line
            continue
        while line and not line.endswith(b"\n"):
            line = file.readline(LINE_BYTES)
        yield None


def _why(problem: Exception) -> str:
    """Return the reason why a line is not JSON, without advice about Python."""
    match problem:
        case json.JSONDecodeError():
            return f"{problem.msg} at character {problem.pos + 1}"
        case UnicodeDecodeError():
            return "it is not UTF-8"
    if isinstance(problem.__cause__, RecursionError):
        return str(problem)
    return "a number has too many digits"


def _object(line: bytes | None) -> dict[str, Any]:
    """Return the object of a line, or an object for its text. Raises InputError."""
    if line is None:
        raise InputError(f"the line is longer than {LINE_BYTES // limits.KIB} KiB, the maximum")
    try:
        item = parse_json(line)
    except ValueError as exc:
        raise InputError(f"the line is not JSON: {_why(exc)}") from exc
    given = {"text": item} if isinstance(item, str) else item
    if not isinstance(given, dict):
        raise InputError("the line is neither a JSON object nor a JSON string")
    return given
