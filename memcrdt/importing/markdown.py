"""Folders of Markdown files: basic-memory, Obsidian, and any others. A file becomes one memory.

In the front matter, `title`, `type` (the kind), `tags`, `permalink` (the key), and the usual names of dates are known.
The other fields become metadata. In the text, `#tag` is a tag and `[[Target|shown]]` names another note. Both stay.
Notes that memcrdt has exported become the memories that they were.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any, Final

from memcrdt.errors import InputError
from memcrdt.importing.folders import TextFile, text_files
from memcrdt.importing.front_matter import read_front_matter
from memcrdt.importing.notes import read_note
from memcrdt.importing.rows import Item, named_sections, time_of
from memcrdt.model import limits

SUFFIXES: Final = (".md", ".markdown")

_CREATED: Final = ("created_at", "created", "date created", "date")
_UPDATED: Final = ("updated_at", "updated", "modified", "date modified")
_KNOWN: Final = frozenset(("title", "type", "tags", "tag", "permalink", *_CREATED, *_UPDATED))
_CODE: Final = re.compile(r"```.*?(?:```|\Z)|`[^`\n]*`", re.DOTALL)
PROSE_TAG: Final = re.compile(r"(?:^|(?<=\s))#([^\W\d][\w/-]{0,127})")
_LINK: Final = re.compile(r"(?<!!)\[\[([^\[\]|#^\n]{1,300})")


def items(path: Path) -> Iterator[Item]:
    """Yield an item for each Markdown file of a folder, or for one file. Raises OSError."""
    for file in text_files(path, SUFFIXES):
        if isinstance(file.text, InputError):
            yield Item(file.name, file.text)
        else:
            yield Item(file.name, read_note(file.text) or _note(file, file.text))


def _note(file: TextFile, text: str) -> dict[str, Any]:
    fields, body = read_front_matter(text)
    title = _text(fields.get("title")) or PurePosixPath(file.name).stem
    prose = without_code(body)
    changed_at = _time(fields, _UPDATED) or time_of(file.changed_at)
    links = list(dict.fromkeys(link.strip() for link in _LINK.findall(prose)))
    return {
        "text": titled(title, body),
        "key": _key(file.name, _text(fields.get("permalink"))),
        "kind": _text(fields.get("type")) or None,
        "tags": [*_tags(fields.get("tags", fields.get("tag"))), *PROSE_TAG.findall(prose)],
        "created_at": _time(fields, _CREATED) or changed_at,
        "updated_at": changed_at,
        "metadata": {
            "path": file.name,
            "title": title,
            **({"links_to": links[: limits.LINKS]} if links else {}),
            **{name: value for name, value in fields.items() if name not in _KNOWN},
        },
    }


def section_items(
    name: str, text: str, changed_at: float, *, kind: str | None, metadata: dict[str, Any]
) -> Iterator[Item]:
    """Yield an item for each section of a file, with its heading in the key.

    Args:
        name: The name of the file, which is unique within its source.
        text: The text of the file.
        changed_at: The time of its last change, in seconds since 1970.
        kind: The kind of the memories.
        metadata: The metadata of the memories.
    """
    for heading, section in named_sections(text):
        times = dict.fromkeys(("created_at", "updated_at"), time_of(changed_at))
        yield Item(name, {"text": section, "key": f"{name}#{heading}", "kind": kind, **times, "metadata": metadata})


def without_code(body: str) -> str:
    """Return a text without its code, in which # and [[ have no meaning."""
    return _CODE.sub(" ", body)


def titled(title: str, body: str) -> str:
    """Return the body under its title, unless its first heading says the same."""
    body = body.strip()
    first = body.partition("\n")[0].lstrip("#").strip()
    return body if not body or first.casefold() == title.casefold() else f"# {title}\n\n{body}"


def _key(name: str, permalink: str) -> str:
    """Return the permalink, else the path. Both begin with the folder: two folders may have a file of one name."""
    return f"{name.partition('/')[0]}:{permalink}" if permalink else name


def _tags(given: object) -> list[str]:
    """Return the tags of a list, or of a text with commas or spaces between them."""
    listed = given if isinstance(given, list) else re.split(r"[,\s]+", given) if isinstance(given, str) else []
    return [str(tag).strip().removeprefix("#") for tag in listed if isinstance(tag, (str, int, float))]


def _time(fields: Mapping[str, Any], names: tuple[str, ...]) -> str | None:
    return next((time for name in names if isinstance(fields.get(name), str) and (time := time_of(fields[name]))), None)


def _text(value: object) -> str:
    return " ".join(str(value).split()) if isinstance(value, (str, int, float)) else ""
