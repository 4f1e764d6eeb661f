"""The graph of the MCP server `@modelcontextprotocol/server-memory`: as lines of its file, and as memories.

In the file, an entity is `{"type": "entity", "name", "entityType", "observations"}`, and a relation `{"type":
"relation", "from", "to", "relationType"}`, each on a line. Lines in the wild may lack `type`, have other spellings of
the names, and have more fields, which are left out. Some files are one object `{"entities": [...], "relations": [...]}`
instead, or one list, on one line or on many.

An entity becomes one memory: its name, then each observation as the item of a list. A relation becomes the sentence
`FROM RELATION TO`. Their names also stand in the metadata, so that a change of the text does not change the graph.
"""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from memcrdt.errors import InputError
from memcrdt.importing import lines, own
from memcrdt.importing.json_files import elements
from memcrdt.importing.rows import ImportRow
from memcrdt.model import limits
from memcrdt.model.records import MemoryRecord
from memcrdt.paths import Stream

SOURCE: Final = "server-memory"
ENTITY: Final = "entity"  # the key of the name in the metadata of an entity
RELATION: Final = "relation"  # the key of [FROM, RELATION, TO] in the metadata of a relation

TITLE_CHARS: Final = 60  # of a text, in the name of its entity
ID_CHARS: Final = 8  # of an id, there

_ITEM, _REST = "- ", "  "
_LISTS: Final = ("entities", "relations")
_WHOLE: Final = re.compile(rb'(?:\xef\xbb\xbf)?\s*(?:\[|\{\s*(?:\n|"(?:entities|relations)"\s*:\s*\[))')
_SPELLINGS: Final = {
    "name": ("name", "entityName", "id"),
    "entityType": ("entityType", "entity_type"),
    "from": ("from", "from_id"),
    "to": ("to", "to_id"),
    "relationType": ("relationType", "relation_type"),
}


def rows(file: Path | Stream) -> Iterator[ImportRow]:
    """Yield a row for each entity and relation of a file, or of a binary stream, which stays open.

    The first bytes tell whether each stands on a line, or the file is one JSON value.

    Raises:
        OSError: The file cannot be read.
    """
    if isinstance(file, Path):
        with file.open("rb") as opened:
            yield from _rows(opened)
        return
    buffered = io.BufferedReader(file)
    try:
        yield from _rows(buffered)
    finally:
        buffered.detach()  # the caller closes the stream


def _rows(file: io.BufferedReader[Any]) -> Iterator[ImportRow]:
    if not _WHOLE.match(file.peek()):
        yield from lines.rows(file, translate)
        return
    for number, element in enumerate(elements(file, _LISTS), 1):
        yield ImportRow(number, f"element {number}", *_given(element))


def _given(element: object) -> tuple[dict[str, Any] | InputError, int]:
    """Return the arguments of an import for an element of a list, and the bytes that they hold."""
    try:
        if isinstance(element, InputError):
            raise element
        if not isinstance(element, dict):
            raise InputError("an element is neither an entity nor a relation of server-memory")
        given = translate(element)
        return given, len(given["text"]) + limits.KIB
    except InputError as exc:
        return exc, 0


def translate(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of an import for the object of a line. Raises InputError if it is no entity or relation.

    The key is made of the names alone, so an entity with new observations updates its memory.
    """
    if memory := _restored(given):
        return memory
    said = _spelled(given)
    if given.get("type", "relation") == "relation" and {"from", "to"} <= said.keys():
        memory = relation(_text(said, "from"), _text(said, "relationType"), _text(said, "to"))
    elif given.get("type", "entity") == "entity" and "name" in said:
        memory = entity(_text(said, "name"), said.get("entityType"), given.get("observations", []))
    else:
        raise InputError("the line is neither an entity with a name nor a relation of server-memory")
    return {**memory, "trust": "imported"}


def _spelled(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a line under their usual names."""
    found = {name: next((each for each in names if each in given), None) for name, names in _SPELLINGS.items()}
    return {name: given[spelling] for name, spelling in found.items() if spelling is not None}


def line(record: MemoryRecord) -> dict[str, Any]:
    """Return the object of a line for a memory.

    A memory that an import of such a line made becomes this line again. Any other memory becomes an entity with its
    text as the only observation, and the name of its first words. What the line does not say is in the field `memcrdt`.
    """
    name, ends = record.metadata.get(ENTITY), record.metadata.get(RELATION)
    said: dict[str, Any]
    if isinstance(name, str):
        said = {"name": name, "entityType": record.kind or "", "observations": observations_of(record.text)}
        said = {"type": "entity", **said}
    elif isinstance(ends, list) and len(ends) == 3 and all(isinstance(each, str) for each in ends):
        said = {"type": "relation", "from": ends[0], "to": ends[2], "relationType": ends[1]}
    else:
        title = f"{' '.join(record.text.split())[:TITLE_CHARS].strip()} ({record.id[-ID_CHARS:]})"
        said = {"type": "entity", "name": title, "entityType": record.kind or "memory", "observations": [record.text]}
    taken = ("text",) if _told(said, record.metadata) == record.text else ()
    return {**said, own.FIELD: own.beside(record, taken)}


def _restored(given: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the arguments of an import for the line of an exported memory, or None for another line."""
    fields = given.get(own.FIELD)
    metadata = fields.get("metadata") if isinstance(fields, dict) else None
    return own.restored(fields, {"text": _told(given, metadata if isinstance(metadata, dict) else {})})


def _told(line: Mapping[str, Any], metadata: Mapping[str, Any]) -> str:
    """Return the text of an exported memory, as far as its line has it."""
    told = line.get("observations")
    observations = [each for each in told if isinstance(each, str)] if isinstance(told, list) else []
    if line.get("type") == "relation":
        return " ".join(str(line.get(name)) for name in ("from", "relationType", "to"))
    name = metadata.get(ENTITY)
    return entity_text(name, observations) if isinstance(name, str) else "\n".join(observations)


def entity(name: str, kind: object, observations: object) -> dict[str, Any]:
    """Return the arguments of Memory.add() for an entity. Raises InputError."""
    if not isinstance(observations, list) or not all(isinstance(each, str) for each in observations):
        raise InputError("the observations of an entity must be a list of texts")
    return {
        **_memory(entity_text(name, observations), {ENTITY: name}, "entity", name),
        **({"kind": kind} if isinstance(kind, str) and kind else {}),
    }


def relation(start: str, kind: str, end: str) -> dict[str, Any]:
    """Return the arguments of Memory.add() for a relation."""
    ends = start, kind, end
    return {**_memory(" ".join(ends), {RELATION: list(ends)}, "relation", *ends), "kind": "relation"}


def entity_text(name: str, observations: Iterable[str]) -> str:
    """Return the text of an entity's memory. The lines of an observation after the first are indented."""
    items = (_ITEM + each.replace("\n", f"\n{_REST}") for each in observations)
    return "\n".join((" ".join(name.split()), *items))


def observations_of(text: str) -> list[str]:
    """Return the observations in the text of an entity. A line that is no list item is an observation too.

    Example:
        >>> observations_of(entity_text("Ada", ["likes tea", "lives in Bern"]))
        ['likes tea', 'lives in Bern']
    """
    found: list[str] = []
    for line in text.split("\n")[1:]:
        if line.startswith(_REST) and found:
            found[-1] += "\n" + line.removeprefix(_REST)
        else:
            found.append(line.removeprefix(_ITEM))
    return found


def _memory(text: str, metadata: dict[str, Any], *key: str) -> dict[str, Any]:
    named = json.dumps(key, ensure_ascii=False)  # no name can end where another begins
    return {"text": text, "key": f"{SOURCE}:{named}", "source": SOURCE, "metadata": metadata}


def _text(given: Mapping[str, Any], name: str) -> str:
    value = given.get(name)
    if not isinstance(value, str) or not value.strip():
        raise InputError(f"the {name!r} of the line must be a text")
    return value
