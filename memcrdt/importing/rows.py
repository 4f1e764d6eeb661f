"""What an importer takes: rows, whatever the source.

A module for a source yields items: pure data, in the terms of the source. as_rows() does what all sources need: it
names the source, makes the keys unambiguous, cuts texts that are too long for one memory, and leaves out what exceeds a
limit and is not the text. The importer (memcrdt.memory.transfer) knows rows only.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from memcrdt.errors import InputError
from memcrdt.model import limits
from memcrdt.model.scopes import PROJECT, check_scope
from memcrdt.model.values import to_ms

TRUST: Final = "imported"
PART: Final = "part"  # the key in the metadata of a cut text: [number, number of all parts]

_PARAGRAPH: Final = re.compile(r"(?<=\n\n)")
_LINE: Final = re.compile(r"(?<=\n)")
_HEADING: Final = re.compile(r" {0,3}#{1,6}\s")
_FENCE: Final = re.compile(r" {0,3}(?:```|~~~)")
_encode: Final = json.JSONEncoder(ensure_ascii=False).encode  # json.dumps would make a new one for each field


class ImportRow(NamedTuple):
    """One row of an import.

    Attributes:
        number: The number of the line or item, from 1.
        name: The name of the item in its source, such as a file; None for a line.
        given: The arguments of an import, or why there are none.
        size: The approximate number of bytes that the row holds in memory.
    """

    number: int
    name: str | None
    given: Mapping[str, Any] | InputError
    size: int


class Item(NamedTuple):
    """One item of a source.

    Attributes:
        name: The name of the item in its source, for messages.
        given: The arguments of an import, or why there are none. The key is unique within the source. A text may have
            any length. A memory of memcrdt that comes back has its id instead of a key, and stays as it is. `texts` are
            the texts that it had, from the first to the present one, each with `id`, `text` and `at`.
    """

    name: str
    given: dict[str, Any] | InputError


def as_rows(source: str, items: Iterable[Item]) -> Iterator[ImportRow]:
    """Yield the rows for the items of a source."""
    number = 0
    for item, given in items:
        name = printable(item)
        if isinstance(given, InputError):
            number += 1
            yield ImportRow(number, name, given, 0)
            continue
        if "key" not in given:
            number += 1
            yield ImportRow(number, name, given, len(given["text"]) + limits.KIB)
            continue
        for part in _parts({**origin_of(source), **given, "key": f"{source}:{given['key']}"}):
            number += 1
            yield ImportRow(number, name, part, len(part["text"]) + limits.KIB)


def untrusted(row: ImportRow) -> ImportRow:
    """Return a row with the trust of imports, whatever it says itself."""
    return row if isinstance(row.given, InputError) else row._replace(given={**row.given, "trust": TRUST})


def origin_of(source: str) -> dict[str, str]:
    """Return the fields that say where the memories of a source come from."""
    return {"source": source, "trust": TRUST}


def printable(name: str) -> str:
    """Return a name that can be written as UTF-8: file names and JSON can hold half characters."""
    return name.encode(errors="backslashreplace").decode()


def project_scope(project: str) -> dict[str, str]:
    """Return the scope of a project as an argument of an import, or nothing for a name that no project has."""
    try:
        return {"scope": check_scope(f"{PROJECT}/{project}")}
    except InputError:
        return {}


def time_of(given: object) -> str | None:
    """Return a time that an import accepts, or None for anything else. A number is the seconds since 1970."""
    if isinstance(given, (int, float)) and not isinstance(given, bool):
        given = _iso(given)
    if not isinstance(given, str):
        return None
    try:
        to_ms(given)
    except InputError:
        return None
    return given


def _iso(seconds: float) -> str | None:
    from datetime import UTC, datetime

    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
    except (OverflowError, ValueError, OSError):
        return None


def sections(text: str) -> list[str]:
    """Cut a Markdown text before each heading. A heading in a block of code is none.

    Example:
        >>> sections("intro\\n# One\\na\\n## Two\\nb")
        ['intro\\n', '# One\\na\\n', '## Two\\nb']
    """
    found: list[list[str]] = [[]]
    fenced = False
    for line in text.splitlines(keepends=True):
        if _FENCE.match(line):
            fenced = not fenced
        if not fenced and _HEADING.match(line) and found[-1]:
            found.append([])
        found[-1].append(line)
    return ["".join(lines) for lines in found if lines]


def named_sections(text: str) -> Iterator[tuple[str, str]]:
    """Yield the heading and the text of each section, without headings that stand alone.

    The headings serve as keys, so that a new section does not change the others. Equal ones are numbered.
    """
    seen: dict[str, int] = {}
    for section in sections(text):
        heading = heading_of(section)
        if not section.strip() or (heading and not section.strip().count("\n")):
            continue
        seen[heading] = count = seen.get(heading, 0) + 1
        yield f"{heading}#{count}" if count > 1 else heading, section


def cut(text: str, limit: int = limits.TEXT_BYTES) -> list[str]:
    """Cut a text into parts of at most `limit` bytes: at headings, else at paragraphs, at lines, and anywhere.

    A text that fits is not cut. One that does not gets a part for each heading.
    """
    if _size(text) <= limit:
        return [text]
    parts: list[str] = []
    above = ""  # headings without a text of their own
    for section in sections(text):
        if heading_of(section) and not section.strip().count("\n"):
            above += section
        else:
            parts += _cut_at((_PARAGRAPH, _LINE), above + section, limit)
            above = ""
    return [*parts, above] if above else parts


def heading_of(section: str) -> str:
    """Return the heading of a section, without its marks; an empty text if it has none."""
    first = section.lstrip("\n").partition("\n")[0]
    return first.strip().lstrip("#").strip() if _HEADING.match(first) else ""


def _cut_at(places: tuple[re.Pattern[str], ...], text: str, limit: int) -> Iterator[str]:
    if _size(text) <= limit:
        yield text
    elif not places:
        step = limit // 4  # no character has more bytes
        yield from (text[start : start + step] for start in range(0, len(text), step))
    else:
        pieces = (piece for whole in places[0].split(text) for piece in _cut_at(places[1:], whole, limit))
        yield from _packed(pieces, limit)


def _packed(pieces: Iterable[str], limit: int) -> Iterator[str]:
    """Join neighbours while they fit together."""
    held: list[str] = []
    size = 0
    for piece in pieces:
        if held and size + _size(piece) > limit:
            yield "".join(held)
            held, size = [], 0
        held.append(piece)
        size += _size(piece)
    yield "".join(held)


def _size(text: str) -> int:
    return len(text.encode(errors="surrogatepass"))


def _parts(given: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the memory, or its parts. The first part keeps the key, so a text that grows updates its memory."""
    texts = [part.strip() for part in cut(given["text"])]
    texts = [part for part in texts if part]
    for number, text in enumerate(texts, 1):
        key = given["key"] if number == 1 else f"{given['key']}#{number}"
        metadata = dict(given.get("metadata", {}))
        if len(texts) > 1:
            metadata[PART] = [number, len(texts)]
            given = {name: value for name, value in given.items() if name != "texts"}
        yield within_limits({**given, "text": text, "key": key, "metadata": metadata})


def within_limits(given: dict[str, Any]) -> dict[str, Any]:
    """Leave out what a memory cannot have. The text stays: to refuse it for a tag would lose more."""
    kept = {name: value for name, value in given.items() if value is not None}
    if len(kept["key"]) > limits.KEY_CHARS:
        digest = hashlib.sha256(kept["key"].encode(errors="surrogatepass")).hexdigest()
        kept["key"] = f"{kept['key'][: limits.KEY_CHARS // 2]}:{digest}"
    tags = [tag for tag in dict.fromkeys(kept.get("tags", ())) if tag.strip() and len(tag) <= limits.TAG_CHARS]
    kept["tags"] = tags[: limits.TAGS]
    kind = kept.get("kind")
    if not isinstance(kind, str) or not 0 < len(kind.strip()) <= limits.LABEL_CHARS:
        kept.pop("kind", None)
    kept["metadata"] = _fitting(kept["metadata"])
    return kept


def _fitting(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields, in their order, that fit into the metadata of a memory. The number of a part comes first."""
    fitting: dict[str, Any] = {}
    size = 2
    for name, value in sorted(metadata.items(), key=lambda field: field[0] != PART):
        try:
            needed = _size(_encode({name: value}))
        except RecursionError:  # a memory cannot nest as deeply
            continue
        fits = len(name) <= limits.METADATA_KEY_CHARS and len(fitting) < limits.METADATA_KEYS
        if name.strip() and fits and size + needed <= limits.METADATA_BYTES:
            fitting[name] = value
            size += needed
    return fitting
