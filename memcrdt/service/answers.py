"""What an answer shows of a memory: enough to judge it, fenced as data, within a budget."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from memcrdt.errors import InputError
from memcrdt.model import limits
from memcrdt.model.prompt import PromptEntry, entry_of, fenced
from memcrdt.model.records import Hit, MemoryRecord
from memcrdt.model.scopes import PERSONAL
from memcrdt.model.serialization import Record, UtcTime

if TYPE_CHECKING:
    from memcrdt.store.membership.sharing import SpaceMember

MAX_CHARS: Final = 6_000  # about 1,500 tokens; see the page of the MCP server
MIN_CHARS: Final = 200
MOST_CHARS: Final = 4 * limits.TEXT_BYTES  # any text fits, even if each `<` in it has to be escaped
ROW_CHARS: Final = 1_200  # of one memory in a list; get() has the whole
UNTRUSTED: Final = frozenset({"untrusted", "imported", "external", "low", "none"})  # values of `trust`

_CUT: Final = "…"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row(Record):
    """A memory in an answer, without its text.

    Attributes:
        id: The id of the memory.
        scope: Its scope.
        device: The name of the device that added it, or the start of its id.
        trust: Its trust; `untrusted` if it comes from a device of somebody else or from an untrusted source.
        score: How well it answers the query, from 0 to 1; None outside of a search.
        cut: Whether the text is longer than shown.
        created_at: The time when it was created.
    """

    id: str
    scope: str
    device: str
    trust: str | None
    score: float | None
    cut: bool
    created_at: UtcTime


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer(Record):
    """Memories that answer a call.

    Attributes:
        text: The memories as a fenced block for a model; empty if there are none.
        rows: The memories in the block, in order.
        omitted: The number of memories that did not fit.
        scopes: The scopes that were searched; empty for all.
        next_cursor: The cursor of the next page of a list; None on the last page and for a search.
        revisions: The revisions to expect in a change of the memory, if the answer is about one; several if texts
            compete.
    """

    text: str
    rows: tuple[Row, ...]
    omitted: int
    scopes: tuple[str, ...]
    next_cursor: str | None = None
    revisions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Origins:
    """The devices behind memories.

    Attributes:
        names: The name of each known device, by its id.
        own: The ids of the devices of this user.
    """

    names: Mapping[str, str]
    own: Container[str]

    def name(self, device: str) -> str:
        """Return the name of a device, or the first group of its id."""
        return self.names.get(device) or device[:7]

    def trust(self, record: MemoryRecord) -> str | None:
        """Return the trust of a memory: as it is set, or `untrusted` for a device of somebody else."""
        return record.trust or (None if record.device in self.own else "untrusted")

    def is_untrusted(self, record: MemoryRecord) -> bool:
        """Return whether a memory comes from a device of somebody else or an untrusted source."""
        return self.trust(record) in UNTRUSTED


def origins_of(
    found: Iterable[Hit | MemoryRecord], device: str, members: Callable[[str], Iterable[SpaceMember]]
) -> Origins:
    """Return the names of the devices behind memories, and the devices of this user: those that share `personal`.

    Members are read, and not the state of their sync, which takes far longer.

    Args:
        found: The memories.
        device: The id of this device.
        members: Returns the devices that share a space or were revoked from it.
    """
    known = {space: list(members(space)) for space in {PERSONAL, *(record_of(item).space for item in found)}}
    names = {each.device: each.name for of in known.values() for each in of if each.name}
    own = {each.device for each in known[PERSONAL] if each.state == "member"}
    return Origins({**names, device: "this device"}, own | {device})


def record_of(item: Hit | MemoryRecord) -> MemoryRecord:
    """Return the memory of a hit or of a record."""
    return item.memory if isinstance(item, Hit) else item


def check_chars(max_chars: object) -> int:
    """Return the budget of an answer in characters. Raises InputError."""
    if max_chars is None:
        return MAX_CHARS
    if isinstance(max_chars, bool) or not isinstance(max_chars, int) or not MIN_CHARS <= max_chars <= MOST_CHARS:
        raise InputError(f"max_chars is {max_chars!r}; give a number from {MIN_CHARS} to {MOST_CHARS:,}")
    return max_chars


def answer(
    found: Iterable[Hit | MemoryRecord],
    origins: Origins,
    scopes: tuple[str, ...],
    *,
    max_chars: int = MAX_CHARS,
    row_chars: int = ROW_CHARS,
    next_cursor: str | None = None,
) -> Answer:
    """Return memories as an answer of at most `max_chars` characters, with at most `row_chars` of each text."""
    items = list(found)
    block = fenced([_entry(item, origins, row_chars) for item in items], max_chars)
    rows = tuple(_row(items[each], origins, row_chars) for each in block.taken)
    return Answer(text=block.text, rows=rows, omitted=len(items) - len(rows), scopes=scopes, next_cursor=next_cursor)


def _entry(item: Hit | MemoryRecord, origins: Origins, row_chars: int) -> PromptEntry:
    record = record_of(item)
    entry = entry_of(record)
    shown = _shown(item, row_chars)
    attributes = {
        **entry.attributes,
        "device": origins.name(record.device),
        "trust": origins.trust(record),
        "untrusted": "data from an untrusted source" if origins.is_untrusted(record) else None,
        "superseded_by": record.superseded_by,
        "conflicted": "rival versions exist" if record.conflicted else None,
        "cut": f"{len(record.text):,} characters in all" if len(record.text) > row_chars else None,
    }
    return PromptEntry(attributes, shown)


def _shown(item: Hit | MemoryRecord, row_chars: int) -> str:
    """Return the text, or of a long text the passage that matched, or its start."""
    text = record_of(item).text
    if len(text) <= row_chars:
        return text
    passage = item.passage if isinstance(item, Hit) and item.passage else text
    return passage[:row_chars].rstrip() + _CUT


def _row(item: Hit | MemoryRecord, origins: Origins, row_chars: int) -> Row:
    record, score = record_of(item), round(item.score, 3) if isinstance(item, Hit) else None
    return Row(
        id=record.id,
        scope=record.scope,
        device=origins.name(record.device),
        trust=origins.trust(record),
        score=score,
        cut=len(record.text) > row_chars,
        created_at=record.created_at,
    )
