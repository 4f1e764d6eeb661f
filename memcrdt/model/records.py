"""The records that callers receive: plain, immutable values with aware UTC times."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias, overload

from memcrdt.model.serialization import Record, UtcTime


@dataclass(frozen=True, slots=True)
class Link(Record):
    """A named relation to another memory.

    Attributes:
        rel: The name of the relation.
        to: The id of the other memory.
    """

    rel: str
    to: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryRecord(Record):
    """A memory.

    Attributes:
        id: The ULID of the memory, 26 characters.
        text: The text of the revision that is shown.
        space: The name of the space that contains the memory.
        scope: The project, agent or conversation that the memory belongs to.
        category: The category of the scope: "global", "project", "agent" or "conversation".
        kind: What sort of memory this is.
        tags: The tags, sorted.
        metadata: JSON values by key.
        links: The relations to other memories.
        created_at: The time when the memory was created.
        updated_at: The time of the last change.
        expires_at: The time from which the memory is hidden.
        pinned: Whether the memory is pinned.
        importance: A number from 0 to 1.
        author: The agent or person who added the memory.
        device: The id of the device that added the memory.
        source: Where the memory comes from, such as an address or a path.
        trust: How far to trust the memory.
        superseded_by: The id of the memory that replaces this one.
        imported_from: The id of the device that added the memory before it was imported, as the file says.
        conflicted: Whether the text has rivals: concurrent edits that no later edit has settled.
        revision: The ULID of the revision that is shown; the id of the memory for the first text.
    """

    id: str
    text: str
    space: str
    scope: str
    category: str
    kind: str | None
    tags: tuple[str, ...]
    metadata: Mapping[str, Any] = field(hash=False)  # JSON; pydantic does not accept the recursive alias Json
    links: tuple[Link, ...]
    created_at: UtcTime
    updated_at: UtcTime
    expires_at: UtcTime | None
    pinned: bool
    importance: float | None
    author: str | None
    device: str
    source: str | None
    trust: str | None
    superseded_by: str | None
    imported_from: str | None
    conflicted: bool
    revision: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Revision(Record):
    """One version of a memory's text.

    Attributes:
        id: The id of the memory.
        revision: The ULID of the revision; the id of the memory for the first text.
        text: The text.
        at: The time of the change.
        by: The agent or person who wrote the text.
        device: The id of the device on which the text was written.
        base: The revisions that this one was made from.
        head: Whether no other revision was made from this one.
    """

    id: str
    revision: str
    text: str
    at: UtcTime
    by: str | None
    device: str
    base: tuple[str, ...]
    head: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit(Record):
    """A search result.

    Attributes:
        memory: The memory that was found.
        score: How well the memory answers the query, from 0 to 1. Scores of different queries are comparable.
        passage: The part of a long text that matched; None for a short text, which matched as a whole.
        marks: Start and end of each word of the query, in characters of the passage, or of the text if there is no
            passage.
        parts: What each part of the ranking adds, by its name, if `explain` was asked for.
    """

    memory: MemoryRecord
    score: float
    passage: str | None = None
    marks: tuple[tuple[int, int], ...] = ()
    parts: Mapping[str, float] = field(default_factory=dict, hash=False)


@dataclass(frozen=True, slots=True)
class Page(Record):
    """One page of a list of memories. A page is itself a sequence of its memories.

    Attributes:
        items: The memories of this page.
        next_cursor: The cursor of the next page; None on the last page.
    """

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

    Attributes:
        kind: "added", "updated" or "forgotten". The kind "missed", with empty `id` and `space`, tells a slow
            subscriber that there were more changes than it took. It gets only one change for a memory that changed
            several times in between.
        id: The id of the memory.
        space: The name of the space that contains the memory.
        origin: `local` for the subscribing program, `process` for another process of this device, `retention` when
            this process forgets an expired memory, `yjs:NAME` for a Yjs client with the token of this name, or the id
            of the device that sent the change.
        at: The time of the change.
    """

    kind: ChangeKind
    id: str
    space: str
    origin: str
    at: UtcTime


@dataclass(frozen=True, slots=True, kw_only=True)
class Forgotten(Record):
    """The result of forgetting memories, here and on other devices.

    Attributes:
        count: The number of memories that were forgotten.
        status: "pending" while bytes of the memories remain in this store because a reader is still open. They are
            removed automatically after that.
        confirmed: The ids of the devices that have confirmed that no byte is left in their file.
        awaited: The ids of the devices that share the space and have not confirmed yet.
    """

    count: int
    status: Literal["done", "pending"]
    confirmed: tuple[str, ...] = ()
    awaited: tuple[str, ...] = ()
