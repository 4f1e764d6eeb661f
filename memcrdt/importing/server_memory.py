"""The graph of the MCP server `@modelcontextprotocol/server-memory`: as lines of its file, and as memories.

In the file, an entity is `{"type": "entity", "name", "entityType", "observations"}`, and a relation `{"type":
"relation", "from", "to", "relationType"}`. Lines in the wild may lack `type` and have more fields, which are left out.

An entity becomes one memory: its name, then each observation as the item of a list. A relation becomes the sentence
`FROM RELATION TO`. Their names also stand in the metadata, so that a change of the text does not change the graph.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from memcrdt.errors import InputError

SOURCE: Final = "server-memory"
ENTITY: Final = "entity"  # the key of the name in the metadata of an entity
RELATION: Final = "relation"  # the key of [FROM, RELATION, TO] in the metadata of a relation

_ITEM, _REST = "- ", "  "


def translate(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of an import for the object of a line. Raises InputError if it is no entity or relation.

    The key is made of the names alone, so an entity with new observations updates its memory.
    """
    if given.get("type", "entity") == "entity" and "name" in given:
        memory = entity(_text(given, "name"), given.get("entityType"), given.get("observations", []))
    elif given.get("type", "relation") == "relation" and "from" in given:
        memory = relation(_text(given, "from"), _text(given, "relationType"), _text(given, "to"))
    else:
        raise InputError("the line is neither an entity with a name nor a relation of server-memory")
    return {**memory, "trust": "imported"}


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
