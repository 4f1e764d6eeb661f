"""Forty calls that every face takes, and how an outcome looks without the ids and times that differ in each run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

ACME: Final = "project/acme"
OTHER: Final = "project/other"
GLOBAL: Final = "global"
UNKNOWN_ID: Final = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
SECRET: Final = "deploy with " + "AKIA" + "Z7Q2M4X3K3T6W5RA"

#: An id is "#" and its number, in the order in which the face returned ids first.
Call: TypeAlias = tuple[str, Mapping[str, Any]]

#: What a face did: the kind of outcome and its value, with the numbers of ids.
Outcome: TypeAlias = tuple[str, Any]

CALLS: Final[tuple[Call, ...]] = (
    ("list", {"scope": "all"}),
    ("add", {"text": "Deploys are on Tuesdays", "scope": ACME, "tags": ["deploy"], "kind": "decision"}),
    ("add", {"text": "The user prefers tea to coffee", "scope": GLOBAL, "kind": "preference", "pinned": True}),
    ("add", {"text": "Deploys are on Tuesdays", "scope": ACME}),
    ("add", {"text": "Invoices are sent as PDF", "scope": OTHER, "metadata": {"year": 2026, "client": "Umbrella"}}),
    ("add", {"text": "Staging is at port 8443", "scope": ACME, "key": "staging-port", "tags": ["deploy", "network"]}),
    ("add", {"text": "Staging is at port 9443", "scope": ACME, "key": "staging-port"}),
    (
        "add_many",
        {"items": [{"text": f"Note {n} of the retrospective", "scope": ACME, "tags": ["retro"]} for n in range(4)]},
    ),
    ("add", {"text": "", "scope": ACME}),
    ("add", {"text": "text", "scope": "acme"}),
    ("add", {"text": SECRET, "scope": ACME}),
    ("add", {"text": "text", "scope": ACME, "importance": 7.0}),
    ("get", {"id": "#0"}),
    ("get", {"id": UNKNOWN_ID}),
    ("get", {"id": "not an id"}),
    ("search", {"query": "when do we deploy?", "scope": ACME, "tags": ["deploy"]}),
    ("search", {"query": "tea or coffee", "scope": GLOBAL}),
    ("search", {"query": "invoices", "scope": ACME, "kind": "decision"}),
    ("search", {"query": "invoices PDF", "scope": "all", "metadata": {"client": "Umbrella"}}),
    ("search", {"query": "retrospective", "scope": ACME, "limit": 2}),
    ("search", {"query": "retrospective", "scope": ACME, "limit": 0}),
    ("list", {"scope": ACME}),
    ("list", {"scope": ACME, "limit": 3}),
    ("list", {"scope": "all", "category": "project"}),
    ("list", {"scope": ACME, "tags": ["deploy", "network"], "tag_match": "all"}),
    ("list", {"scope": "all", "after": "2999-01-01"}),
    ("list", {"scope": "all", "after": "the other day"}),
    ("update", {"id": "#0", "text": "Deploys are on Fridays"}),
    ("update", {"id": "#1", "importance": 0.9, "tags": ["drinks"]}),
    ("update", {"id": UNKNOWN_ID, "text": "x"}),
    ("history", {"id": "#0"}),
    ("history", {"id": UNKNOWN_ID}),
    ("link", {"id": "#0", "rel": "see", "to": "#3"}),
    ("link", {"id": UNKNOWN_ID, "rel": "see", "to": "#3"}),
    ("update", {"id": "#3", "text": "Nobody has read it since", "expected": "#3"}),
    ("update", {"id": "#3", "text": "Somebody changed it", "expected": "#3"}),
    ("forget", {"id": "#3", "expected": "#3"}),
    ("forget", {"id": "#2", "expected": "#2"}),
    ("forget", {"id": "#2"}),
    ("forget", {"tags": ["retro"], "dry_run": True}),
    ("forget", {"tags": ["retro"]}),
    ("forget", {"tags": ["retro"], "confirmed": True}),
    ("sync_status", {}),
)


@dataclass(slots=True)
class Ids:
    """The ids of one face by their numbers, in the order of their first appearance."""

    seen: list[str] = field(default_factory=list)

    def number(self, id: str) -> str:
        """Return the number of an id."""
        if id not in self.seen:
            self.seen.append(id)
        return f"#{self.seen.index(id)}"

    def fill(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments of a call with the ids of this face."""
        return {
            name: self.seen[int(value[1:])] if isinstance(value, str) and value.startswith("#") else value
            for name, value in arguments.items()
        }
