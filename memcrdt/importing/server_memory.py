"""The file of the MCP server `@modelcontextprotocol/server-memory`: one JSON object per line.

An entity is `{"type": "entity", "name", "entityType", "observations"}`, a relation `{"type": "relation", "from", "to",
"relationType"}`. Lines in the wild may lack `type` and have more fields, which are left out.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from memcrdt.errors import InputError

SOURCE: Final = "server-memory"


def translate(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of an import for the object of a line. Raises InputError if it is no entity or relation.

    An entity becomes one memory: its name, then its observations, each on a line. A relation becomes the sentence
    `FROM RELATION TO`. The key is made of the names alone, so an entity with new observations updates its memory.
    """
    if given.get("type", "entity") == "entity" and "name" in given:
        return _entity(given)
    if given.get("type", "relation") == "relation" and "from" in given:
        return _relation(given)
    raise InputError("the line is neither an entity with a name nor a relation of server-memory")


def _entity(given: Mapping[str, Any]) -> dict[str, Any]:
    name, observations = _text(given, "name"), given.get("observations", [])
    if not isinstance(observations, list) or not all(isinstance(each, str) for each in observations):
        raise InputError("the observations of an entity must be a list of texts")
    kind = given.get("entityType")
    return {
        **_memory("\n".join((name, *observations)), "entity", name),
        **({"kind": kind} if isinstance(kind, str) and kind else {}),
    }


def _relation(given: Mapping[str, Any]) -> dict[str, Any]:
    ends = _text(given, "from"), _text(given, "relationType"), _text(given, "to")
    return {**_memory(" ".join(ends), "relation", *ends), "kind": "relation"}


def _memory(text: str, *key: str) -> dict[str, Any]:
    named = json.dumps(key, ensure_ascii=False)  # no name can end where another begins
    return {"text": text, "key": f"{SOURCE}:{named}", "source": SOURCE, "trust": "imported"}


def _text(given: Mapping[str, Any], name: str) -> str:
    value = given.get(name)
    if not isinstance(value, str) or not value:
        raise InputError(f"the {name!r} of the line must be a text")
    return value
