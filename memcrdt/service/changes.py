"""Changes after a position in the log, for clients that come back: each memory once, however often it changed.

A position names a log row. All changes up to this row are known to who has the position, so reading on from it repeats
some changes at worst, and never leaves one out. The views contain every memory that changed since, also after the log
was folded; what is lost then is how often a memory changed, and where the changes came from. That is said by `missed`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from memcrdt.errors import InputError
from memcrdt.model.filters import check_filters
from memcrdt.model.records import Change
from memcrdt.model.serialization import Record
from memcrdt.model.values import from_ms
from memcrdt.store import log, meta
from memcrdt.store.change_cursor import ChangeCursor, is_folded_past

if TYPE_CHECKING:
    from memcrdt.memory.memory import Memory
    from memcrdt.service.access import Access

BATCH: Final = 256  # changes read at once

_POSITION: Final = re.compile(r"(?P<row>[0-9]{1,18})-(?P<mark>[0-9a-f]{8})")


class LogPosition(NamedTuple):
    """A log row of one incarnation of a store. A restored store has other rows under the same numbers."""

    row: int
    mark: str

    def __str__(self) -> str:
        return f"{self.row}-{self.mark}"

    @classmethod
    def parse(cls, text: str) -> LogPosition:
        """Return the position that str() made. Raises InputError."""
        match = _POSITION.fullmatch(text)
        if match is None:
            raise InputError(f"{text[:40]!r} is not a position; take one from an earlier answer, or leave it out")
        return cls(int(match["row"]), match["mark"])


class Numbered(NamedTuple):
    """A change of a log row, and the position after it if it is the last one of its row."""

    change: Change
    row: int
    after: LogPosition | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Changes(Record):
    """The answer to a question for changes.

    Attributes:
        changes: The changes, in the order of their commits.
        next: The position to read on from.
        more: Whether there are more changes already.
    """

    changes: tuple[Change, ...]
    next: str
    more: bool


class ChangeReader:
    """Reads the changes after a position, in the spaces of a caller. Not safe between threads.

    Args:
        memory: The memory.
        access: The rights of the caller.
        space: Names of spaces to narrow to.
        since: The position to read on from. None: now.
        from_start: Begin before all memories, for a caller that has none.

    Raises:
        InputError: The position is malformed.
        NotFoundError: The caller may not read a space.

    Attributes:
        position: All changes up to it are read.
    """

    def __init__(
        self,
        memory: Memory,
        access: Access,
        space: Iterable[str] = (),
        since: str | None = None,
        *,
        from_start: bool = False,
    ) -> None:
        asked = access.to_read(tuple(space) or None)
        self._store = memory.store
        self._filters = check_filters({} if asked is None else {"space": asked})
        with self._store.reading() as db:
            now = _now(db)
            self._has_missed = False
            if from_start:
                self.position = LogPosition(0, now.mark)
            else:
                self.position = now if since is None else LogPosition.parse(since)
                self._has_missed = self._begin(db, now)
            self._cursor = ChangeCursor(db, self._filters, self.position.row)

    def _begin(self, db: Any, now: LogPosition) -> bool:
        """Return whether changes after the position cannot be told any more. If it is no row here, begin now."""
        if self.position.mark != now.mark or self.position.row > now.row:
            self.position = now
            return True
        return is_folded_past(db, self.position.row)

    def read(self, limit: int = BATCH) -> tuple[list[Numbered], bool]:
        """Return the next changes, up to `limit`, and whether more may follow now.

        The first one is `missed` if the log was folded past the position, or the store was restored meanwhile.
        """
        with self._store.reading() as db:
            now = _now(db)  # first: what the cursor finds beyond it may not be the whole of its row
            self._has_missed |= self._cursor.is_lost(db)
            steps = self._cursor.read(db, limit)
        is_full = len(steps) == limit
        found = []
        for step, following in zip(steps, [*steps, None][1:], strict=True):
            is_last = not is_full if following is None else following.seq != step.seq
            origin = self._store.origin_of(step.seq, step.origin)
            change = Change(kind=step.kind, id=step.id, space=step.space, origin=origin, at=from_ms(step.at))
            after = LogPosition(step.seq, now.mark) if is_last and step.seq <= now.row else None
            found.append(Numbered(change, step.seq, after))
        passed = [each.after for each in found if each.after is not None]
        self.position = now if not is_full else (passed[-1] if passed else self.position)
        if self._has_missed:
            self._has_missed = False
            found.insert(0, Numbered(missed(self._store.now_ms()), 0, None))
        return found, is_full


def changes(reader: ChangeReader, limit: int = BATCH) -> Changes:
    """Return the next changes of a reader for a client that keeps no connection open."""
    start = reader.position
    found, more = reader.read(limit)
    while more and reader.position == start:  # a row has more changes than the limit
        following, more = reader.read(limit)
        found += following
    return Changes(changes=tuple(each.change for each in found), next=str(reader.position), more=more)


def missed(now_ms: int) -> Change:
    """Return the change which says that there were more changes than can be told."""
    return Change(kind="missed", id="", space="", origin="local", at=from_ms(now_ms))


def _now(db: Any) -> LogPosition:
    incarnation = meta.facts(db).incarnation
    return LogPosition(log.head(db), hashlib.blake2b(incarnation.encode(), digest_size=4).hexdigest())
