"""Markdown files with front matter, edited in place: whatever is not changed stays as the user wrote it.

The front matter is edited by line. A YAML library would write the whole block again, in its own order and style.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from typing import Any, Final, Self

from memcrdt.importing.front_matter import split_front_matter
from memcrdt.mirror.notes import Remembered
from memcrdt.model import limits
from memcrdt.model.ids import is_ulid

FILE_BYTES: Final = limits.TEXT_BYTES + 64 * limits.KIB  # a text of the maximum size, and its front matter

_BOM: Final = "\ufeff"
_PLAIN: Final = re.compile(r"[A-Za-z_À-ɏ](?:[\w /.+()-]*[\w.+()])?", re.ASCII)
_WORDS: Final = frozenset(["true", "false", "null", "yes", "no", "on", "off", "y", "n"])
_NUMBER: Final = re.compile(r"-?(?:0|[1-9]\d{0,14})(?:\.\d{1,15})?")
_UNSAFE: Final = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")
_NAME: Final = re.compile(r"[\w][\w .-]{0,127}")

_OPENS: Final = "<<<<<<< memcrdt"
_NEXT: Final = "======= memcrdt"
_CLOSES: Final = ">>>>>>> memcrdt"
_MARK: Final = re.compile(r"^(?:<{7}|={7}|>{7}) memcrdt", re.MULTILINE)


@dataclass(slots=True)
class EditableFile:
    """The parts of a file.

    Attributes:
        fields: The front matter as values.
        head: The front matter as it is written, with its lines `---`; empty if there is none.
        body: The text after it, with the empty lines around it.
        bom: Whether the file begins with a byte order mark.
        crlf: Whether its lines end with CR LF.
    """

    fields: dict[str, Any] = field(default_factory=dict)
    head: str = ""
    body: str = ""
    bom: bool = False
    crlf: bool = False

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Return the parts of a file. Raises ValueError with the reason if it is no text."""
        try:
            text = data.decode()
        except UnicodeDecodeError:
            raise ValueError("it is not UTF-8; convert it") from None
        if "\0" in text:
            raise ValueError("it has NUL characters; remove them")
        bom, crlf = text.startswith(_BOM), "\r\n" in text
        fields, head, body = split_front_matter(text.removeprefix(_BOM).replace("\r\n", "\n"))
        return cls(fields, head, body, bom, crlf)

    def to_bytes(self) -> bytes:
        """Return the file."""
        text = self.head + self.body
        return ((_BOM if self.bom else "") + (text.replace("\n", "\r\n") if self.crlf else text)).encode()

    @property
    def text(self) -> str:
        """The text without the empty lines around it."""
        return self.body.strip()

    def set_text(self, text: str) -> None:
        """Replace the text. The empty lines before and after it stay."""
        text = text.strip()
        if text == self.text:
            return
        start = self.body[: len(self.body) - len(self.body.lstrip())]
        end = self.body[len(self.body.rstrip()) :] if self.body.strip() else ""
        if not self.body.strip():
            start = "\n" if self.head and not self.head.endswith("\n\n") else ""
        self.body = start + text + (end or "\n")

    def set_field(self, name: str, value: Any) -> None:
        """Write a field of the front matter, or remove it if the value is None. Its other lines stay.

        A field that cannot be written as one line with a plain name is left out.
        """
        if not _NAME.fullmatch(name) or name != name.strip():
            return
        if not self.head:
            if value is None:
                return
            self.head = "---\n---\n" + ("" if self.body.startswith("\n") else "\n")
        lines = self.head.split("\n")
        first, end = _place(lines, name)
        written = [] if value is None else [f"{name}: {_yaml(value)}"]
        self.head = "\n".join([*lines[:first], *written, *lines[end:]])
        if value is None:
            self.fields.pop(name, None)
        else:
            self.fields[name] = value


def has_marks(text: str) -> bool:
    """Return whether a text has lines that stand between competing texts."""
    return _MARK.search(text) is not None


def text_with_rivals(memory: Remembered) -> str:
    """Return the text of a memory, and its competing texts between marks. They are the same on every machine."""
    if not memory.rivals:
        return memory.note.text
    lines = [f"{_OPENS}: both texts are kept; leave what is right, and delete the lines with these marks"]
    lines.append(memory.note.text)
    for rival in memory.rivals:
        lines += [f"{_NEXT}: the other text, {rival.written}", rival.text]
    return "\n".join([*lines, _CLOSES])


def _place(lines: list[str], name: str) -> tuple[int, int]:
    """Return the first line of a field, and the line after it; both are the line of the end for a new field."""
    start = re.compile(rf"""["']?{re.escape(name)}["']?[ \t]*:(?:\s|$)""")
    closing = next(at for at in range(len(lines) - 1, 0, -1) if re.fullmatch(r"(?:---|\.\.\.)[ \t]*", lines[at]))
    for at in range(1, closing):
        if start.match(lines[at]):
            end = at + 1
            while end < closing and (not lines[end].strip() or lines[end].startswith((" ", "\t", "- "))):
                end += 1
            while end > at + 1 and not lines[end - 1].strip():
                end -= 1
            return at, end
    return closing, closing


def _yaml(value: Any) -> str:
    """Return a value as YAML on one line. JSON is YAML, except for a few characters."""
    if isinstance(value, str):
        if is_ulid(value):
            return value
        return value if _PLAIN.fullmatch(value) and value.lower() not in _WORDS else _quoted(value)
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(map(_yaml, value))}]"
    return _quoted(value)


def _quoted(value: Any) -> str:
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", json.dumps(value, ensure_ascii=False))
