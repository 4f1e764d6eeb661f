"""One change of the store under its write lock: its reads, its writes, and the rows they become.

Writes are gathered for each shard, and each shard writes them as one Yjs transaction when the change is finished. So a
batch of any size costs one update per shard. Reads see gathered writes.
"""

from __future__ import annotations

import secrets
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Set
from contextlib import ExitStack, suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from memcrdt.errors import CorruptError, ReadOnlyError, RemoteProtocolError
from memcrdt.model import clocks, edits, limits, registers
from memcrdt.model.edits import Stamp
from memcrdt.model.projection import LiveMemory, State, Tombstone, is_newer, project, rivals, unite
from memcrdt.model.registers import DELETED, Registers, Writes
from memcrdt.model.values import Json
from memcrdt.store import claims, log, views
from memcrdt.store.documents import Documents
from memcrdt.store.log import ShardRow
from memcrdt.store.meta import Random, asserting_client_id, former_client_ids, is_asserting
from memcrdt.store.shard_work import ShardWork
from memcrdt.store.spaces import is_read_only, space_name
from memcrdt.store.sql import SqlConnection
from memcrdt.store.views import Projected

if TYPE_CHECKING:
    from memcrdt.crdt.scan import Scan
    from memcrdt.crdt.shard import Edit
    from memcrdt.model.clocks import StateVector

# Advice for a space that this device may only read: for a new memory, and for a change of a memory.
_ADD_ELSEWHERE: Final = "write into another space; `memcrdt space list` shows the spaces"
_KEPT_BY_OTHERS: Final = (
    "do that on a device that may write, or run memcrdt space leave {name}, which makes this copy a space of your own"
)


class GapError(RemoteProtocolError):
    """An update builds on updates that are missing here. Nothing was changed. Request them from a peer."""


class ShardAheadError(RemoteProtocolError):
    """The number of a new shard is too far above those that exist here. Nothing was changed. Take the others first."""


class Transaction:
    """The operations of a plan given to Store.commit.

    Args:
        db: The write connection, within BEGIN IMMEDIATE.
        documents: The live documents.
        stamp: The time, device and author of the change.
        random: Returns the given number of random bytes, for ids and salts.
    """

    def __init__(
        self, db: SqlConnection, documents: Documents, stamp: Stamp, random: Random = secrets.token_bytes
    ) -> None:
        self.db = db
        self.stamp = stamp
        self.random = random
        self._documents = documents
        self._works: dict[int, ShardWork] = {}
        self._births: dict[int, int] = {}  # by space: the shard that new memories go to
        self._read_only: dict[int, bool] = {}  # by space
        self._restated: set[tuple[int, str]] = set()  # memories, with their space

    # --- reading ------------------------------------------------------------------------------------------------------

    @property
    def rows(self) -> list[ShardRow]:
        """The rows of the shards that were used, as the transaction leaves them."""
        return [work.row for work in self._works.values()]

    @property
    def leaves_bytes(self) -> bool:
        """Whether this transaction leaves bytes of forgotten memories in the file."""
        return any(work.to_scrub and work.updates for work in self._works.values())

    @property
    def changed_shards(self) -> Iterable[int]:
        """The shards whose live documents are ahead of the log until this transaction is committed."""
        return [shard for shard, work in self._works.items() if work.is_changed]

    def state(self, space: int, memory_id: str) -> State:
        """Return the state of a memory, including gathered writes."""
        return project(memory_id, [work.registers_of(memory_id) for work in self._homes(space, memory_id)])

    def registers_of(self, shard: int) -> Iterator[tuple[str, Registers]]:
        """Yield the id and the registers of every memory in a shard."""
        live = self._work(shard).document.live
        with live.reading():
            for memory_id in live.ids():
                yield memory_id, live.registers(memory_id)

    # --- gathering ----------------------------------------------------------------------------------------------------

    def add(self, space: int, memory_id: str, writes: Writes, *, shard: int | None = None) -> None:
        """Gather the registers of a new memory.

        Args:
            space: The local number of the space.
            memory_id: The id of the memory.
            writes: Its registers.
            shard: The local number of the shard; None takes the shard for new memories.

        Raises:
            ReadOnlyError: This device may only read the space.
        """
        self._check_writable(space, _ADD_ELSEWHERE)
        work = self._birth_shard(space) if shard is None else self._work(shard)
        work.gather(memory_id, writes, is_birth=True)

    def edit(self, space: int, memory_id: str, writes: Writes) -> None:
        """Gather changes of an existing memory, in its lowest shard and in every shard that already has a register.

        A closed shard only loses the registers, and an open one takes over what they had.

        Raises:
            ReadOnlyError: This device may only read the space.
        """
        self._check_writable(space, _KEPT_BY_OTHERS)
        homes = self._homes(space, memory_id)
        closed = [work for work in homes if work.row.is_closed]
        before: Registers = {}
        for work in closed:
            found = work.registers_of(memory_id)
            before = unite([before, found])
            work.pending[memory_id].update((key, DELETED) for key in writes if key in found)
        writes = edits.later_than(writes, before)
        opened = [work for work in homes if not work.row.is_closed]
        if not opened:
            self._birth_shard(space).gather(memory_id, edits.kept_fields(writes, before))
        for place, work in enumerate(opened):
            found = work.registers_of(memory_id)
            here: Writes = {key: value for key, value in writes.items() if place == 0 or key in found}
            work.pending[memory_id].update(edits.kept_fields(here, {**before, **found}))

    def forget(self, space: int, memory_id: str, tombstone: Tombstone | None = None) -> None:
        """Gather the forget of a memory, in every shard that has registers of it.

        Args:
            space: The local number of the space.
            memory_id: The id of the memory.
            tombstone: The tombstone of an earlier forget; None makes one with the stamp of this transaction.

        Raises:
            ReadOnlyError: This device may only read the space.
        """
        self._check_writable(space, _KEPT_BY_OTHERS)
        self._bury(tombstone or self._tombstone(memory_id), space, self._homes(space, memory_id))

    def apply(self, space: int, number: int, update: bytes, scanned: Scan, origin: str) -> bool:
        """Apply an update from outside to a shard. Return whether it took something away that was written again.

        Raises:
            GapError: The update builds on updates that are missing here.
            ShardAheadError: There is no such shard here, and its number is not one of the next.
            ShardFullError: The shard may not have more from outside.
            RemoteProtocolError: The update is refused.
        """
        work = self._work(self._foreign_shard(space, number).shard)
        live = work.document.live
        known = live.state_vector()
        if not clocks.covers(known, scanned.needs):
            raise GapError(f"an update for shard {number} builds on missing updates")
        incoming = claims.Incoming(update, scanned, live)
        at_stake = incoming.at_stake(self._documents.client_id, former_client_ids(self.db))
        if not clocks.covers(known, scanned.after):  # deletes have room in every shard
            work.count_memory(self._checked_memory(work, known, update, scanned))
        work.is_changed = True
        edit = live.apply(update, scanned)
        if not known and len(edit.updates) == 1:
            self._documents.note_first_update(work.row.shard, edit.updates[0], live)
        again = claims.outdone(live, edit.replaced, scanned)
        was_rewritten = self._keep(work, edit, origin, claims.still_at_stake(live, at_stake), again)
        if work.row.damaged:
            work.apply_waiting(self.db)
        return was_rewritten

    def shrink(self, shard: int) -> None:
        """Write the registers of a shard (its local number) that are too large to be sent again, without the excess.

        No device takes such a register any more, but an older version did.
        """
        work = self._work(shard)
        work.is_changed = True
        self._record(work, work.document.live.shrink(), log.LOCAL)

    def _keep(self, work: ShardWork, edit: Edit, origin: str, at_stake: Registers, outdone: Registers) -> bool:
        """Record an update from outside, and write the registers again that it must not take away (claims.py).

        Only a stock Yjs client of this device forgets a memory by deleting its birth.

        Returns:
            Whether there are such registers, of an update from another device.
        """
        is_stock = origin.startswith(log.STOCK)
        self._record(work, edit if is_stock else replace(edit, unborn=frozenset()), origin)
        work.is_completed |= is_stock and bool(edit.removed)
        if self._is_read_only(work.row.space):
            return False
        kept: dict[str, Json] = {}
        for memory_id, lost in claims.by_memory({**at_stake, **edit.removed}).items():
            if not (is_stock and memory_id in edit.unborn):
                kept |= self._unexplained(work, memory_id, lost)
        if not is_stock:
            self._restate(work, kept)
        for memory_id, writes in claims.by_memory(kept if is_stock else outdone).items():
            work.pending[memory_id].update(writes)
        return bool(kept or outdone) and not is_stock

    def _unexplained(self, work: ShardWork, memory_id: str, lost: Registers) -> Registers:
        homes = self._homes(work.row.space, memory_id)
        elsewhere = unite([home.registers_of(memory_id) for home in homes if home is not work])
        return claims.unexplained(memory_id, lost, work.registers_of(memory_id), elsewhere)

    def restate(self, space: int, number: int, keys: Iterable[str]) -> bool:
        """Write registers again that another device lacks, because it has forged blocks in their place (claims.py).

        Args:
            space: The local number of the space.
            number: The number of the shard.
            keys: The registers. Those that are not in the shard are ignored.

        Returns:
            Whether any of them was written.

        Raises:
            ImpostorError: Some were written under our present client id.
        """
        row = log.find_shard(self.db, space, number)
        if row is None or row.damaged:
            return False
        work = self._work(row.shard)
        found = claims.few(claims.values(work.document.live, keys))
        claims.check_unclaimed(work.document.live, found, self._documents.client_id)
        before = claims.asserted(work.document.live)
        fresh = {key: value for key, value in found.items() if key not in before}
        self._restate(work, fresh)
        moved = self._write_elsewhere(work, {key: value for key, value in found.items() if key in before})
        return bool(fresh) or moved

    def _restate(self, work: ShardWork, found: Registers) -> None:
        """Write registers again so that they win, in their shard if that is possible."""
        if not found:
            return
        live, work.is_changed = work.document.live, True
        self._record(work, live.restate(found, asserting_client_id(self.random, live.state_vector())), log.LOCAL)
        self._restated |= {(work.row.space, memory_id) for memory_id in claims.by_memory(found)}
        done = claims.asserted(live)
        self._write_elsewhere(work, {key: value for key, value in found.items() if key not in done})

    def _write_elsewhere(self, work: ShardWork, found: Registers) -> bool:
        """Write registers into another shard, because blocks under the highest client ids keep them out of this one.

        Return whether any of them was not in another shard yet.
        """
        space, is_changed = work.row.space, False
        for memory_id, writes in claims.by_memory(found).items():
            homes = [home for home in self._homes(space, memory_id) if home is not work]
            there = unite([home.registers_of(memory_id) for home in homes])
            lacking = {key: each for key, each in writes.items() if key not in there or is_newer(each, there[key])}
            if lacking:
                opened = next((home for home in homes if not home.row.is_closed), None)
                home = opened or self._work(self._open_shard(space, other_than=work.row.shard))
                home.gather(memory_id, lacking, is_birth=memory_id in lacking)
                is_changed = True
        return is_changed

    def prune(self, shard: int, most: int) -> int:
        """Gather the deletion of the oldest revisions of memories that have too many.

        Args:
            shard: The local number of the shard.
            most: The maximum number of memories to prune.

        Returns:
            The number of revisions.
        """
        work = self._work(shard)
        count = 0
        for memory_id in views.much_revised(self.db, work.row.space, work.document.live.ids())[:most]:
            state = self.state(work.row.space, memory_id)
            if isinstance(state, LiveMemory):
                count += self._prune_revisions(state, self._homes(work.row.space, memory_id))
        return count

    def reproject(self, shard: int, ids: Iterable[str]) -> None:
        """Project these memories of a shard (its local number) into the views again."""
        self._work(shard).touched.update(ids)

    # --- finishing ----------------------------------------------------------------------------------------------------

    def finish(self) -> Projected:
        """Write all gathered changes to the log, the heads of the shards and the views."""
        self._write_gathered()
        log.lock_head(self.db)
        states = self._settled_states()
        seq = 0
        # What moves from a closed shard to an open one is deleted there after it is here.
        for work in sorted(self._works.values(), key=lambda work: work.row.is_closed):
            seq = work.append(self.db, self.stamp.at) or seq
        self._write_homes()
        written = views.write(self.db, states, seq)
        views.forgotten_since(self.db, self._restated, seq)
        return written

    def _write_gathered(self) -> None:
        for work in tuple(self._works.values()):
            if (edit := work.write_gathered()) is not None:
                self._record(work, edit, log.LOCAL)

    def _record(self, work: ShardWork, edit: Edit, origin: str) -> None:
        work.record(edit, origin)
        # In a space that we may only read, a device that may write keeps the displaced text.
        for memory_id, old in edit.displaced.items() if not self._is_read_only(work.row.space) else ():
            new = work.document.live.registers(memory_id).get(memory_id)
            home = self._birth_shard(work.row.space) if work.row.is_closed else work
            home.gather(memory_id, rivals(memory_id, [old, new]))

    def _settled_states(self) -> list[tuple[int, str, State]]:
        """Return the present state of every touched memory, as (space, id, state).

        First delete all registers that a tombstone covers: late registers, and registers that a stock Yjs client left
        when it deleted a birth.
        """
        touched: dict[int, set[str]] = defaultdict(set)  # by space
        for work in self._works.values():
            touched[work.row.space] |= work.touched
        homes = {space: self._homes_of_all(space, ids) for space, ids in touched.items()}
        with ExitStack() as reading:
            for work in self._works.values():
                reading.enter_context(work.document.live.reading())
            states = [
                (space, memory_id, self._settle(space, memory_id, homes[space][memory_id]))
                for space in sorted(homes)
                for memory_id in sorted(homes[space])
            ]
        self._write_gathered()
        return states

    def _settle(self, space: int, memory_id: str, homes: list[ShardWork]) -> State:
        """Return the present state of a memory. Gather its consequences: a forget, or the deletion of old revisions."""
        state = project(memory_id, [work.registers_of(memory_id) for work in homes])
        if not isinstance(state, Tombstone) and any(memory_id in work.unborn for work in homes):
            state = self._tombstone(memory_id)
        if not isinstance(state, Tombstone) and any(work.row.damaged or work.is_mended for work in homes):
            state = views.tombstone_of(self.db, space, memory_id) or state  # the lost rows may include its tombstone
        if isinstance(state, Tombstone):
            self._bury(state, space, homes)
        if (
            isinstance(state, LiveMemory)
            and len(state.revisions) > edits.TOO_MANY_REVISIONS
            and self._prune_revisions(state, homes)
        ):
            state = project(memory_id, [work.registers_of(memory_id) for work in homes])
        return state

    def _prune_revisions(self, state: LiveMemory, homes: list[ShardWork]) -> int:
        """Gather the deletion of the oldest revisions of a memory that has too many. Return their number."""
        gone = [registers.revision_key(state.id, name) for name in edits.prunable(state)]
        if not gone or self._is_read_only(homes[0].row.space):
            return 0
        for work in homes:
            found = work.registers_of(state.id)
            work.pending[state.id].update((key, DELETED) for key in gone if key in found)
        return len(gone)

    def _tombstone(self, memory_id: str) -> Tombstone:
        return Tombstone(memory_id, self.stamp.at, self.stamp.by, self.stamp.device)

    def _bury(self, tombstone: Tombstone, space: int, homes: list[ShardWork]) -> None:
        """Gather the tombstone of a memory where it is missing, and the deletion of its other registers.

        A closed shard only loses registers. If all are closed, another shard takes the tombstone.
        """
        memory_id, tombstones = tombstone.id, 0
        for work in homes:
            work.to_scrub = True
            found = work.registers_of(memory_id)
            has_tombstone = registers.forgotten_key(memory_id) in found
            tombstones += has_tombstone or not work.row.is_closed
            if self._is_read_only(space):
                work.awaits_deletion |= bool(edits.swept(memory_id, found))
                continue
            if has_tombstone or work.row.is_closed:
                work.pending[memory_id].update(edits.swept(memory_id, found))
            else:
                work.pending[memory_id].update(edits.forgotten(tombstone, found))
        if not tombstones and not self._is_read_only(space):
            self._birth_shard(space).gather(memory_id, edits.forgotten(tombstone, {}), is_birth=True)

    def _write_homes(self) -> None:
        views.write_homes(
            self.db,
            (
                (work.row.space, memory_id, work.row.shard, memory_id in work.document.live.ids())
                for work in self._works.values()
                for memory_id in work.touched
            ),
        )

    # --- checks -------------------------------------------------------------------------------------------------------

    def _check_writable(self, space: int, advice: str) -> None:
        if self._is_read_only(space):
            name = space_name(self.db, space)
            raise ReadOnlyError(f"this device may only read the space {name!r}; {advice.format(name=name)}")

    def _is_read_only(self, space: int) -> bool:
        if space not in self._read_only:
            self._read_only[space] = is_read_only(self.db, space)
        return self._read_only[space]

    def _foreign_shard(self, space: int, number: int) -> ShardRow:
        """Return a shard for an update from outside. Make it if its number is one of the next.

        Members send their shards in the order of the numbers, so an honest one never has to skip many.
        """
        if (row := log.find_shard(self.db, space, number)) is not None:
            return row
        if number >= log.shard_count(self.db, space) + limits.SHARDS_AHEAD:
            raise ShardAheadError(f"shard {number} is too far ahead of the shards that exist here")
        return log.make_shard(self.db, space, number)

    def _checked_memory(self, work: ShardWork, known: StateVector, update: bytes, scanned: Scan) -> int:
        """Return the memory in bytes that an update adds to a shard. Raises ShardFullError."""
        from memcrdt.crdt.scan import ShardFullError, memory_added

        new = scanned.after.keys() - known.keys()
        # Ids under which a device writes again what was taken away have as much room of their own.
        wanted, held = (Counter(map(is_asserting, ids)) for ids in (new, known))
        if any(held[kind] + wanted[kind] > limits.SHARD_CLIENTS_MAX for kind in wanted):
            raise ShardFullError(
                f"shard {work.row.number} would have more than {limits.SHARD_CLIENTS_MAX:,} Yjs clients"
            )
        if work.row.memory + scanned.memory <= limits.SHARD_MEMORY_MAX:
            return scanned.memory
        # Count exactly: the sum includes overwritten values, and the update may bring blocks that are here.
        work.row = log.measured(work.row, work.document.live.snapshot())
        more = memory_added(update, known)
        if work.row.memory + more > limits.SHARD_MEMORY_MAX:
            raise ShardFullError(
                f"shard {work.row.number} would take more than {limits.SHARD_MEMORY_MAX:,} bytes of memory"
            )
        return more

    # --- shards -------------------------------------------------------------------------------------------------------

    def _homes(self, space: int, memory_id: str) -> list[ShardWork]:
        """Return the shards with registers of a memory, including gathered ones, lowest number first."""
        return self._homes_of_all(space, {memory_id})[memory_id]

    def _homes_of_all(self, space: int, ids: Set[str]) -> dict[str, list[ShardWork]]:
        """Return the shards with registers of each of many memories, as _homes() does."""
        known = views.homes_of(self.db, space, ids)
        for shard in sorted(set().union(*known.values()) - self._works.keys()):
            self._work(shard)
        for shard, work in self._works.items():
            if work.row.space == space:
                for memory_id in work.concerned(ids):
                    known[memory_id].add(shard)
        numbered = {shard: work.row.number for shard, work in self._works.items()}
        return {
            memory_id: [self._works[shard] for shard in sorted(shards, key=numbered.__getitem__)]
            for memory_id, shards in known.items()
        }

    def _work(self, shard: int) -> ShardWork:
        work = self._works.get(shard)
        if work is None:
            row = log.lock_shard(self.db, shard)
            work = self._works[shard] = ShardWork.start(row, self._documents.current(self.db, row))
        return work

    def _birth_shard(self, space: int) -> ShardWork:
        shard = self._births.get(space)
        if shard is None or self._works[shard].is_full:
            shard = self._births[space] = self._open_shard(space)
        return self._works[shard]

    def _open_shard(self, space: int, *, other_than: int | None = None) -> int:
        for row in log.open_shards(self.db, space):
            with suppress(CorruptError):  # a new memory must not wait until a damaged shard is repaired
                if row.shard != other_than and not self._work(row.shard).is_full:
                    return row.shard
        return self._work(log.add_shard(self.db, space).shard).row.shard
