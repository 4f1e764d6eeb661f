"""The records that callers get: plain, immutable values with aware UTC times."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, TypeAlias, overload

from memcrdt.model.serialization import Record


@dataclass(frozen=True, slots=True)
class Link(Record):
    """A named relation to another memory, by its id."""

    rel: str
    to: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryRecord(Record):
    """One memory as it stands. `revision` names the text shown; `conflicted` says that it has rivals."""

    id: str
    text: str
    space: str
    scope: str
    category: str
    kind: str | None
    tags: tuple[str, ...]
    metadata: Mapping[str, Any] = field(hash=False)  # JSON; pydantic doesn't take the recursive alias Json
    links: tuple[Link, ...]
    created_at: datetime
    updated_at: datetime
    expires_at: datetime | None
    pinned: bool
    importance: float | None
    author: str | None
    device: str
    source: str | None
    trust: str | None
    superseded_by: str | None
    conflicted: bool
    revision: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision(Record):
    """One text that a memory has had. A head is one that no other revision was made from."""

    id: str
    revision: str
    text: str
    at: datetime
    by: str | None
    device: str
    base: tuple[str, ...]
    head: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit(Record):
    """A search result. `score` is calibrated between 0 and 1 and comparable between queries.

    `passage` is the part of a long text that matched, None for a short text, which matched as a whole. `marks` are
    the words of the query in it: start and end, in characters of the passage, or of the text without one.
    """

    memory: MemoryRecord
    score: float
    passage: str | None = None
    marks: tuple[tuple[int, int], ...] = ()
    parts: Mapping[str, float] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class Page(Record):
    """Some memories of a list, itself to be used as one, and the cursor of the next page, or None at the end."""

    items: tuple[MemoryRecord, ...]
    next_cursor: str | None

    def __iter__(self) -> Iterator[MemoryRecord]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)

    @overload
    def __getitem__(self, index: int) -> MemoryRecord: ...
    @overload
    def __getitem__(self, index: slice) -> tuple[MemoryRecord, ...]: ...
    def __getitem__(self, index: int | slice) -> MemoryRecord | tuple[MemoryRecord, ...]:
        return self.items[index]


ChangeKind: TypeAlias = Literal["added", "updated", "forgotten", "missed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Change(Record):
    """A change of one memory.

    `origin` says who made it: `local` for the program that listens, `process` for another process of this device,
    `retention` for a forget of an expired memory by this process, `yjs:NAME` for a Yjs client with the token of this
    name, or else the id of the device that sent it.

    The kind `missed`, with empty `id` and `space`, tells a slow subscriber that there were more changes than it took:
    of memories that changed several times meanwhile it hears only once.
    """

    kind: ChangeKind
    id: str
    space: str
    origin: str
    at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgotten(Record):
    """What a call of forget did, and how far the end of those memories has come.

    `count` is how many it forgot. `pending` means that bytes of them remain here until a reader ends; it goes on by
    itself. `confirmed` are the devices, by their ids, that have said that no byte is left in their file, and `awaited`
    those that share the space and have not.
    """

    count: int
    status: Literal["done", "pending"]
    confirmed: tuple[str, ...] = ()
    awaited: tuple[str, ...] = ()
