"""One change of the store, under its write lock: what it may read and do, and how it becomes rows.

Writes are gathered per shard and made as one Yjs transaction each when the change is finished, so that
a batch of any size costs one update a shard. Reads see what was gathered.
"""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import apsw

from memcrdt.errors import CorruptError, ReadOnlyError, RemoteProtocolError
from memcrdt.model import clocks, edits, limits, registers
from memcrdt.model.edits import Stamp
from memcrdt.model.projection import LiveMemory, State, Tombstone, project, rivals
from memcrdt.model.registers import DELETED, Deleted, Registers, Writes
from memcrdt.model.values import Json
from memcrdt.store import log, views
from memcrdt.store.documents import Document, Documents
from memcrdt.store.log import Append, ShardRow
from memcrdt.store.meta import Random
from memcrdt.store.spaces import is_read_only, space_name
from memcrdt.store.views import Projected

if TYPE_CHECKING:
    from memcrdt.crdt.scan import Scan
    from memcrdt.crdt.shard import Edit, Shard


_REGISTER_BYTES = 200  # its key, and all but the text of what a birth holds

# What to do about a space that we may only read: for what is new, and for what is there.
_ADD_ELSEWHERE = "write into another space; `memcrdt space list` shows which there are"
_KEPT_BY_OTHERS = (
    "do that on one that may write, or run memcrdt space leave {name}, which makes what is here a space of your own"
)


class ImpostorError(RemoteProtocolError):
    """Somebody else writes under our client id: this store was copied. Nothing was changed; take another id."""


class GapError(RemoteProtocolError):
    """An update needs others before it that are not here. Nothing was changed; ask for them."""


@dataclass(slots=True)
class _Work:
    """One shard in this transaction. `pending` holds what is gathered, by memory."""

    row: ShardRow
    document: Document
    births: int  # with the gathered ones
    registers: int
    size: int  # bytes, of what is gathered only roughly
    changed: bool = False  # the document holds what the log does not
    mended: bool = False  # a damaged shard that is whole again
    to_scrub: bool = False  # text was deleted whose bytes are still in the log
    pending: dict[str, dict[str, Json | Deleted]] = field(default_factory=lambda: defaultdict(dict))
    born: dict[str, Registers] = field(default_factory=dict)  # all of what was not there before, as it was written
    updates: list[tuple[bytes, str]] = field(default_factory=list)  # update, origin
    touched: set[str] = field(default_factory=set)
    unborn: set[str] = field(default_factory=set)

    def concerns(self, memory_id: str) -> bool:
        return memory_id in self.pending or memory_id in self.touched


class Transaction:
    """What a change may do. Made by Store.commit; `stamp` says when and on which device it happens, and `random`
    gives so many random bytes, for ids and salts."""

    def __init__(
        self, db: apsw.Connection, documents: Documents, stamp: Stamp, random: Random = secrets.token_bytes
    ) -> None:
        self.db = db
        self.stamp = stamp
        self.random = random
        self._documents = documents
        self._works: dict[int, _Work] = {}
        self._births: dict[int, int] = {}  # space -> shard that new memories go to
        self._read_only: dict[int, bool] = {}  # by space

    @property
    def rows(self) -> list[ShardRow]:
        """The shards that were used, as they stand."""
        return [work.row for work in self._works.values()]

    @property
    def leaves_bytes(self) -> bool:
        """Whether bytes of something forgotten are still in the file."""
        return any(work.to_scrub and work.updates for work in self._works.values())

    @property
    def changed_shards(self) -> Iterable[int]:
        """The shards whose live documents are ahead of the log until this transaction is committed."""
        return [shard for shard, work in self._works.items() if work.changed]

    def state(self, space: int, memory_id: str) -> State:
        """What a memory is, with what was gathered so far."""
        return project(memory_id, [self._registers(work, memory_id) for work in self._homes(space, memory_id)])

    def add(self, space: int, memory_id: str, writes: Writes, *, shard: int | None = None) -> None:
        """Gathers the registers of a new memory, in the shard that is open for births, or in the one where it was."""
        self._check_writable(space, _ADD_ELSEWHERE)
        work = self._birth_shard(space) if shard is None else self._work(log.shard_row(self.db, shard))
        work.pending[memory_id].update(writes)
        work.births += 1
        work.registers += len(writes)
        work.size += sum(_size(value) for value in writes.values())

    def edit(self, space: int, memory_id: str, writes: Writes) -> None:
        """Gathers changes of a memory that is there: in its lowest shard, and wherever a register already is."""
        self._check_writable(space, _KEPT_BY_OTHERS)
        for place, work in enumerate(self._homes(space, memory_id)):
            found = self._registers(work, memory_id)
            here: Writes = {key: value for key, value in writes.items() if place == 0 or key in found}
            work.pending[memory_id].update(edits.kept_fields(here, found))

    def forget(self, space: int, memory_id: str, stamp: Stamp | None = None) -> None:
        """Gathers the end of a memory, in every shard that holds anything of it; `stamp` if it was at another time."""
        self._check_writable(space, _KEPT_BY_OTHERS)
        for work in self._homes(space, memory_id):
            found = self._registers(work, memory_id)
            work.pending[memory_id].update(edits.forgotten(memory_id, found, stamp or self.stamp))
            work.to_scrub = True

    def apply(self, space: int, number: int, update: bytes, scanned: Scan, origin: str) -> None:
        """Takes an update from outside into a shard. Raises GapError, or RemoteProtocolError if it is refused."""
        work = self._work(log.make_shard(self.db, space, number))
        live = work.document.live
        if not clocks.covers(live.state_vector(), scanned.needs):
            raise GapError(f"an update for shard {number} has a gap before it")
        self._check_own(update, scanned, live)
        work.changed = True
        self._note(work, live.apply(update, scanned), origin)
        if work.row.damaged:
            self._settle(work)

    def prune(self, shard: int, most: int) -> int:
        """Gathers the end of the oldest revisions of at most so many memories that have had too many of them.

        Returns how many revisions.
        """
        work = self._work(log.shard_row(self.db, shard))
        count = 0
        for memory_id in views.much_revised(self.db, work.row.space, work.document.live.ids())[:most]:
            state = self.state(work.row.space, memory_id)
            if isinstance(state, LiveMemory):
                count += self._let_go(state, self._homes(work.row.space, memory_id))
        return count

    def registers_of(self, shard: int) -> Iterator[tuple[str, Registers]]:
        """Give the id and the registers of every memory that a shard holds."""
        live = self._work(log.shard_row(self.db, shard)).document.live
        with live.reading():
            for memory_id in live.ids():
                yield memory_id, live.registers(memory_id)

    def reproject(self, shard: int, ids: Iterable[str]) -> None:
        """Makes the views say anew what these memories of the shard are."""
        self._work(log.shard_row(self.db, shard)).touched.update(ids)

    def finish(self) -> Projected:
        """Makes rows of everything gathered: the log, the heads of the shards, the views."""
        self._write_gathered()
        states = self._sweep()
        seq = self._append()
        self._note_homes()
        return views.write(self.db, states, seq)

    def _check_writable(self, space: int, advice: str) -> None:
        if self._is_read_only(space):
            name = space_name(self.db, space)
            raise ReadOnlyError(f"this device may read the space {name!r} and not write it; {advice.format(name=name)}")

    def _is_read_only(self, space: int) -> bool:
        if space not in self._read_only:
            self._read_only[space] = is_read_only(self.db, space)
        return self._read_only[space]

    def _check_own(self, update: bytes, scanned: Scan, live: Shard) -> None:
        """Raises ImpostorError if the update has blocks under our client id that are not ours."""
        from memcrdt.crdt.block_diff import first_difference

        own, known = self._documents.client_id, live.state_vector()
        if scanned.after.get(own, 0) > known.get(own, 0):
            raise ImpostorError(f"an update has blocks under our own client id {own} that this store did not write")
        if (first := scanned.first.get(own)) is None:
            return
        clock = first_difference(update, live.diff({**known, own: first}), own)
        if clock is not None:
            raise ImpostorError(f"an update says under our own client id {own} what this store did not, at {clock}")

    def _settle(self, work: _Work) -> None:
        """Takes in rows of a damaged shard that fit now; when none waits any more, the shard is whole again."""
        for edit in work.document.settle():
            work.touched |= edit.touched
            work.unborn |= edit.unborn
        if not work.document.waiting:
            work.row = work.row._replace(damaged=False)
            work.mended = True
            self._touch_all(work)

    def _touch_all(self, work: _Work) -> None:
        work.touched |= work.document.live.ids()
        work.touched |= views.at_home_in(self.db, work.row.shard)

    def _registers(self, work: _Work, memory_id: str) -> Registers:
        found: Registers = work.born.get(memory_id) or work.document.live.registers(memory_id)
        gathered = work.pending.get(memory_id)
        if gathered:
            united = {**found, **gathered}
            found = {key: value for key, value in united.items() if not isinstance(value, Deleted)}
        return found

    def _homes(self, space: int, memory_id: str) -> list[_Work]:
        """The shards that hold registers of a memory, lowest number first, gathered ones among them."""
        known = set(views.homes_of(self.db, space, memory_id))
        works = [self._works.get(shard) or self._work(log.shard_row(self.db, shard)) for shard in known]
        works += [
            work
            for shard, work in self._works.items()
            if shard not in known and work.row.space == space and work.concerns(memory_id)
        ]
        return sorted(works, key=lambda work: work.row.number)

    def _work(self, row: ShardRow) -> _Work:
        work = self._works.get(row.shard)
        if work is None:
            document = self._documents.current(self.db, row)
            live = document.live
            work = self._works[row.shard] = _Work(row, document, live.births, live.register_count, row.size)
        return work

    def _birth_shard(self, space: int) -> _Work:
        shard = self._births.get(space)
        if shard is None or _is_full(self._works[shard]):
            shard = self._open_shard(space)
            self._births[space] = shard
        return self._works[shard]

    def _open_shard(self, space: int) -> int:
        for row in log.open_shards(self.db, space):
            with suppress(CorruptError):  # what is new must not wait until a damaged shard is mended
                if not _is_full(self._work(row)):
                    return row.shard
        return self._work(log.add_shard(self.db, space)).row.shard

    def _write_gathered(self) -> None:
        for work in self._works.values():
            gathered: Writes = {}
            for memory_id, writes in work.pending.items():
                gathered.update(writes)
                if memory_id not in work.document.live.ids():
                    work.born[memory_id] = {k: v for k, v in writes.items() if not isinstance(v, Deleted)}
                else:
                    work.born.pop(memory_id, None)
            work.pending.clear()
            if gathered:
                work.changed = True
                self._note(work, work.document.live.write(gathered), log.LOCAL)

    def _note(self, work: _Work, edit: Edit, origin: str) -> None:
        work.updates += ((update, origin) for update in edit.updates)
        work.touched |= edit.touched
        work.unborn |= edit.unborn
        # Where we may only read, whoever may write keeps the text that gave way.
        for memory_id, old in edit.displaced.items() if not self._is_read_only(work.row.space) else ():
            new = work.document.live.registers(memory_id).get(memory_id)
            work.pending[memory_id].update(rivals(memory_id, [old, new]))

    def _sweep(self) -> list[tuple[int, str, State]]:
        """What every touched memory is now. Ends first what a tombstone covers, wherever it is: what came late,
        and what a stock Yjs client left behind when it deleted a birth."""
        with ExitStack() as reading:
            for work in self._works.values():
                reading.enter_context(work.document.live.reading())
            states = self._states()
        self._write_gathered()
        return states

    def _states(self) -> list[tuple[int, str, State]]:
        touched = {(work.row.space, memory_id) for work in self._works.values() for memory_id in work.touched}
        states: list[tuple[int, str, State]] = []
        for space, memory_id in sorted(touched):
            homes = self._homes(space, memory_id)
            state = project(memory_id, [self._registers(work, memory_id) for work in homes])
            if not isinstance(state, Tombstone) and any(memory_id in work.unborn for work in homes):
                state = Tombstone(memory_id, self.stamp.at, self.stamp.by, self.stamp.device)
            if not isinstance(state, Tombstone) and any(work.row.damaged or work.mended for work in homes):
                state = views.tombstone_of(self.db, space, memory_id) or state  # its tombstone may be what was lost
            if isinstance(state, Tombstone):
                self._end(state, homes)
            if (
                isinstance(state, LiveMemory)
                and len(state.revisions) > edits.TOO_MANY_REVISIONS
                and self._let_go(state, homes)
            ):
                state = project(memory_id, [self._registers(work, memory_id) for work in homes])
            states.append((space, memory_id, state))
        return states

    def _let_go(self, state: LiveMemory, homes: list[_Work]) -> int:
        """Gathers the end of the oldest revisions of a memory that has had too many. Returns how many."""
        gone = [registers.revision_key(state.id, name) for name in edits.prunable(state)]
        if not gone or self._is_read_only(homes[0].row.space):
            return 0
        for work in homes:
            found = self._registers(work, state.id)
            work.pending[state.id].update((key, DELETED) for key in gone if key in found)
        return len(gone)

    def _end(self, tombstone: Tombstone, homes: list[_Work]) -> None:
        stamp = Stamp(tombstone.at, tombstone.by, tombstone.device or self.stamp.device)
        for work in homes:
            work.to_scrub = True
            if self._is_read_only(work.row.space):
                continue
            found = self._registers(work, tombstone.id)
            if registers.forgotten_key(tombstone.id) not in found:
                work.pending[tombstone.id].update(edits.forgotten(tombstone.id, found, stamp))
            elif len(found) > 1:
                work.pending[tombstone.id].update(edits.swept(tombstone.id, found))

    def _append(self) -> int:
        """Puts the updates into the log; returns the last seq, or the log's head if there were none."""
        seq = 0
        for work in self._works.values():
            for update, origin in work.updates:
                seq = log.append(self.db, Append(work.row.shard, update, origin, self.stamp.at))
                work.document.seq = seq
            if work.updates or work.mended:
                self._note_head(work)
            if work.mended:  # in the log what waited still stands before what it waited for
                log.fold(self.db, work.row, work.document.live.snapshot())
        return seq

    def _note_head(self, work: _Work) -> None:
        new = sum(len(update) for update, _ in work.updates)
        work.row = log.standing(work.row, work.document.live)._replace(
            size=work.row.size + new,
            log_rows=work.row.log_rows + len(work.updates),
            log_bytes=work.row.log_bytes + new,
            head=work.document.seq,
        )
        log.note_head(self.db, work.row)
        if work.to_scrub:
            log.mark_to_scrub(self.db, work.row.shard, work.row.head)

    def _note_homes(self) -> None:
        views.write_homes(
            self.db,
            (
                (work.row.space, memory_id, work.row.shard, memory_id in work.document.live.ids())
                for work in self._works.values()
                for memory_id in work.touched
            ),
        )


def _is_full(work: _Work) -> bool:
    return (
        work.births >= limits.SHARD_BIRTHS
        or work.registers >= limits.SHARD_REGISTERS
        or work.size >= limits.SHARD_BYTES
    )


def _size(value: Json | Deleted) -> int:
    """Bytes of a register, roughly: what is long in one is its text."""
    text = value.get("text") if isinstance(value, dict) else None
    return _REGISTER_BYTES + (len(text.encode()) if isinstance(text, str) else 0)
