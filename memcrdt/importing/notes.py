"""A memory as a Markdown file, and back: its fields as front matter, then its text.

The field `memcrdt` has the id, and says that the other fields are memcrdt's own. They have the names of the arguments
of add(). Everything is text to YAML, so that nothing depends on how a program guesses types; metadata is JSON.
"""

from __future__ import annotations

import json
import re
import unicodedata
from typing import Any, Final

from memcrdt.importing.front_matter import read_front_matter
from memcrdt.importing.own import DATED, FIELD, restored, said
from memcrdt.model.records import MemoryRecord

SUFFIX: Final = ".md"
NAME_CHARS: Final = 48  # of the text, in the name of a file: with the id, no file system cuts it
ID_CHARS: Final = 10  # of the id, in the name of a file
ENDING_CHARS: Final = ID_CHARS + len(SUFFIX)

_PLAIN: Final = re.compile(r"[\w/](?:[\w ./@+-]*[\w/])?", re.ASCII)  # needs no quotes in YAML
_NO_NAME: Final = re.compile(r"[^\w]+")


def note(record: MemoryRecord) -> str:
    """Return the Markdown file of a memory, with its present text. read_note() gives all of it back.

    Example:
        >>> print(note(memory.get(memory_id)))
        ---
        memcrdt: 01JDXK5V3N8QZJ4W2R7T9YB6CM
        space: personal
        tags: [release]
        created_at: '2026-02-03T04:05:06.000+00:00'
        scope: project/acme
        updated_at: '2026-02-03T04:05:06.000+00:00'
        ---
        <BLANKLINE>
        Deploys go out on Tuesdays
        <BLANKLINE>
    """
    fields = said(record, [name for name in DATED if name != "text"])
    lines = [f"{FIELD}: {fields.pop('id')}", *(f"{name}: {_yaml(value)}" for name, value in fields.items())]
    return "\n".join(("---", *lines, "---", "", record.text, ""))


def note_name(record: MemoryRecord, *, whole_id: bool = False) -> str:
    """Return a name for the file of a memory: the beginning of its text, and the end of its id, or the whole id."""
    words = _NO_NAME.sub(" ", unicodedata.normalize("NFC", record.text[: 4 * NAME_CHARS])).strip()
    ending = f"{record.id.lower()}{SUFFIX}" if whole_id else name_ending(record.id)
    return "-".join(filter(None, (words[:NAME_CHARS].strip(), ending)))


def name_ending(memory_id: str) -> str:
    """Return the ending of the name of a memory's file, which has ENDING_CHARS. It stays when the text changes."""
    return f"{memory_id[-ID_CHARS:].lower()}{SUFFIX}"


def head(memory_id: str = "") -> str:
    """Return the first lines of the note of a memory, or what every note of memcrdt begins with."""
    return f"---\n{FIELD}: {memory_id}\n" if memory_id else f"---\n{FIELD}: "


def read_note(text: str) -> dict[str, Any] | None:
    """Return the arguments of an import for the text of a note, or None if it is none of memcrdt's.

    Fields that memcrdt does not know, such as those that somebody added, become metadata.
    """
    if not text.startswith(head()):
        return None
    fields, body = read_front_matter(text, typed=False)
    body = body.removeprefix("\n").removesuffix("\n")
    known = {name: _value(name, value) for name, value in fields.items() if name in DATED}
    metadata = known.get("metadata", {})
    added = fields.keys() - {FIELD, *DATED}
    if added and isinstance(metadata, dict):
        typed, _ = read_front_matter(text)
        known["metadata"] = {**{name: typed[name] for name in added}, **metadata}
    return restored({**known, "id": fields.get(FIELD)}, {"text": body})


def _value(name: str, value: Any) -> Any:
    """Return the value of a field for what YAML has read: texts, and lists of them."""
    try:
        match name:
            case "metadata":
                return json.loads(value) if isinstance(value, str) else value
            case "importance":
                return float(value)
            case "pinned":
                return value == "true"
    except (ValueError, TypeError, RecursionError):
        return value  # the check of the import says what is wrong
    return value


def _yaml(value: Any) -> str:
    match value:
        case bool() | int() | float():
            return json.dumps(value)
        case list():
            return f"[{', '.join(map(_yaml, value))}]"
        case str():
            return value if _PLAIN.fullmatch(value) else _quoted(value)
    return _quoted(json.dumps(value, ensure_ascii=False))


def _quoted(text: str) -> str:
    """Return a text in quotes. YAML would change control characters and odd ends of lines, so they are escaped."""
    if text.isprintable():
        return "'" + text.replace("'", "''") + "'"
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + "".join(each if each.isprintable() else f"\\U{ord(each):08x}" for each in escaped) + '"'
