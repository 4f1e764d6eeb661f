"""The elements of JSON files, alone or in zip files, one at a time: exports may be larger than the memory of a machine.

Nothing is unpacked to a disk, so no name in a zip file leads anywhere.
"""

from __future__ import annotations

import io
import json
import zipfile
import zlib
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath
from typing import IO, Any, Final

from memcrdt.errors import InputError
from memcrdt.model import limits

ELEMENT_CHARS: Final = 32 * limits.MIB  # of one element, which takes several times as much memory once it is read
MEMBER_BYTES: Final = 4 * 1024 * limits.MIB  # of a file in a zip file, unpacked
MEMBERS: Final = 100_000

_CHUNK_CHARS: Final = 64 * limits.KIB
_ENDING_CHARS: Final = 4  # of a number that is cut, such as 1.5e+
_CUT_CHARS: Final = 16  # from the end of a cut text: an escaped character has 6, half a pair of them 12
_SPACE: Final = " \t\r\n"
_ZIP_ERRORS: Final = (zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError, EOFError)


def json_elements(
    path: Path, patterns: Collection[str], lists: Collection[str] = ()
) -> Iterator[tuple[str, Any | InputError]]:
    """Yield the name of each JSON file and, one by one, the elements of its list.

    Args:
        path: A JSON file or a zip file of any name, or a folder of both.
        patterns: Patterns for the names of files in a zip file or a folder, such as `conversations*.json`. The elements
            of the first pattern come first.
        lists: The names under which an object may have the list. An object with none of them is an element itself.

    Yields:
        The name and an element. The last one of a file that cannot be read further is an InputError with the reason.

    Raises:
        OSError: The file or folder cannot be read.
    """
    if path.is_dir():
        for pattern in patterns:
            for file in sorted((*path.glob("*.zip"), *path.glob(pattern))):
                if file.is_file() and not file.is_symlink():
                    yield from _of_file(file, (pattern,), lists)
    else:
        yield from _of_file(path, patterns, lists)


def _of_file(file: Path, patterns: Collection[str], lists: Collection[str]) -> Iterator[tuple[str, Any | InputError]]:
    if zipfile.is_zipfile(file):
        for pattern in patterns:
            yield from _of_members(file, pattern, lists)
    elif file.suffix.lower() == ".zip":
        yield file.name, InputError("the zip file is damaged or was not downloaded to its end")
    else:
        with file.open("rb") as data:
            yield from ((file.name, element) for element in elements(data, lists))


def _of_members(file: Path, pattern: str, lists: Collection[str]) -> Iterator[tuple[str, Any | InputError]]:
    try:
        with zipfile.ZipFile(file) as members:
            for member in members.infolist()[:MEMBERS]:
                if not PurePosixPath(member.filename).match(pattern):
                    continue
                if member.file_size > MEMBER_BYTES:
                    yield (
                        member.filename,
                        InputError(f"it is larger than {MEMBER_BYTES // limits.MIB} MiB, the maximum"),
                    )
                    continue
                with members.open(member) as data:
                    yield from ((member.filename, element) for element in elements(data, lists))
    except _ZIP_ERRORS as exc:
        yield file.name, InputError(f"the zip file is damaged or encrypted ({exc})")


def elements(data: IO[bytes], lists: Collection[str] = ()) -> Iterator[Any | InputError]:
    """Yield the elements of the list in a JSON file. See json_elements()."""
    text = io.TextIOWrapper(data, encoding="utf-8-sig")
    try:
        yield from _Reader(text).elements(lists)
    except UnicodeDecodeError:
        yield InputError("it is not UTF-8")
    except RecursionError:
        yield InputError("it is nested too deeply")
    except ValueError as exc:
        yield InputError(f"it is not JSON from here on ({exc})")
    finally:
        with suppress(ValueError):  # the file is closed already
            text.detach()  # the caller closes the file


class _Reader:
    """Reads the values of a JSON text in turn. Its methods raise ValueError for a text that is not JSON."""

    def __init__(self, text: io.TextIOBase) -> None:
        self._text = text
        self._held = ""
        self._at = 0
        self._decoder = json.JSONDecoder(parse_constant=_refuse)

    def elements(self, lists: Collection[str]) -> Iterator[Any]:
        match self._peek():
            case "[":
                yield from self._list()
            case "{" if lists:
                yield from self._named_list(lists)
            case _:
                yield self._value()

    def _list(self) -> Iterator[Any]:
        self._at += 1
        while self._peek() != "]":
            yield self._value()
            self._comma("]")
        self._at += 1

    def _named_list(self, lists: Collection[str]) -> Iterator[Any]:
        """Yield the elements of the lists with these names, and pass over the other values of the object."""
        self._at += 1
        while self._peek() != "}":
            name = self._value()
            if self._peek() != ":":
                raise ValueError("a colon is missing")
            self._at += 1
            if name in lists and self._peek() == "[":
                yield from self._list()
            else:
                self._value()
            self._comma("}")

    def _comma(self, end: str) -> None:
        if self._peek() == ",":
            self._at += 1
        elif self._peek() != end:
            raise ValueError("a comma is missing")

    def _peek(self) -> str:
        """Return the next character that is no space, without reading it; an empty text at the end."""
        while True:
            while self._at < len(self._held) and self._held[self._at] in _SPACE:
                self._at += 1
            if self._at < len(self._held) or not self._more(_CHUNK_CHARS):
                return self._held[self._at : self._at + 1]

    def _value(self) -> Any:
        """Return the next value. A value that the held text cuts is read again with twice the text."""
        self._peek()
        while True:
            try:
                value, end = self._decoder.raw_decode(self._held, self._at)
            except json.JSONDecodeError as exc:
                is_cut = exc.pos > len(self._held) - _CUT_CHARS or exc.msg.startswith("Unterminated string")
                if is_cut and self._more(max(_CHUNK_CHARS, len(self._held) - self._at)):
                    continue
                raise ValueError(exc.msg) from exc  # its position counts from the held text
            if len(self._held) - end < _ENDING_CHARS and self._more(_CHUNK_CHARS):
                continue  # a number may go on
            self._at = end
            return value

    def _more(self, chars: int) -> bool:
        """Hold more of the text. Return False at its end. Raises ValueError for an element that is too large."""
        if len(self._held) - self._at > ELEMENT_CHARS:
            raise ValueError(f"a value is larger than {ELEMENT_CHARS // limits.MIB} MiB, the maximum")
        read = self._text.read(chars)
        if read:
            self._held, self._at = self._held[self._at :] + read, 0
        return bool(read)


def _refuse(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")
