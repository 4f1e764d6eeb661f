"""The store as sync sees it: implements memcrdt.sync.replica.Replica over memcrdt.store."""

from __future__ import annotations

import sys
import threading
from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Final, Literal, TypeVar

from memcrdt.crdt.pieces import cut
from memcrdt.crdt.scan import Scan, ShardFullError, scan
from memcrdt.errors import NotFoundError, RemoteProtocolError
from memcrdt.model import limits
from memcrdt.model.clocks import StateVector, covers
from memcrdt.model.device_ids import shown
from memcrdt.model.membership import Adoption
from memcrdt.model.predicates import is_text
from memcrdt.model.projection import unite
from memcrdt.model.registers import Registers
from memcrdt.store import alarms, claims, digests, log, meta, quarantine, shared_log, spaces, views
from memcrdt.store.base import BaseStore
from memcrdt.store.claims import ImpostorError, RewriteBudget, RewriteLimitError
from memcrdt.store.documents import SpoiledError
from memcrdt.store.indexer import NewText
from memcrdt.store.membership import receipts, sharing
from memcrdt.store.membership.members import Members
from memcrdt.store.quarantine import RefusedUpdate
from memcrdt.store.recovery import damage
from memcrdt.store.spaces import Genesis, is_read_only
from memcrdt.store.sql import SqlConnection
from memcrdt.store.transaction import GapError, ShardAheadError, Transaction
from memcrdt.sync.replica import (
    HIDDEN,
    HIDDEN_CHARS,
    Applied,
    Digest,
    LogEntry,
    LogPage,
    MembershipRecord,
    Replica,
    ShardDiff,
    SharedSpace,
)

PIECE_BYTES = 4 * limits.MIB  # parts of an update that is too large to be sent; larger parts would take long to apply
NOTHING = b"\0\0"  # a Yjs update without blocks and deletions
TURN_S: Final = 0.0002  # Python's default is 0.005; with 0.0005, half as many searches fit beside an attack
SUSPECTED: Final = 64  # shards whose hidden registers are remembered until the next comparison
LONG_BYTES: Final = 16 * limits.KIB  # the scan of a longer update takes over 10 ms
T = TypeVar("T")


class _ShortTurns:
    """Shortens the turns of the threads of this process while any thread works on a long update.

    A thread that computes gives the interpreter back only at the end of a turn. A search asks for it some thirty times,
    after each of its reads, and would wait a whole turn each time. The length of a turn is one for the process, so the
    first thread that enters shortens it, and the last that leaves restores it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._before_s = 0.0

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._before_s = sys.getswitchinterval()
                sys.setswitchinterval(min(self._before_s, TURN_S))
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                sys.setswitchinterval(self._before_s)


_short_turns: Final = _ShortTurns()


class StoreReplica(Replica):
    """Implements Replica. Every call is synchronous; run it off the event loop.

    Damaged rows of the log are set aside: the next comparison asks other devices for what they contained.
    """

    def __init__(self, store: BaseStore[SqlConnection]) -> None:
        self._store = store
        self._members = Members(store)
        self._rewrites = RewriteBudget()
        self._asked = 0  # how often registers were found hidden
        self._suspected: dict[tuple[str, int, int], frozenset[str]] = {}  # by device and shard: those found hidden once

    def spaces(self, peer: str) -> Sequence[SharedSpace]:
        with self._store.reading() as db:
            shared = sharing.spaces_shared_with(db, peer)
        records = [(space, name, self.membership(space)) for space, name in shared]
        return [SharedSpace(space, name, record.digest()) for space, name, record in records if record is not None]

    def audience(self, space: str) -> frozenset[str]:
        with self._store.reading() as db:
            return sharing.devices_sharing(db, space)

    def membership(self, space: str) -> MembershipRecord | None:
        genesis, statements = self._members.roll(space)
        return MembershipRecord(*genesis, tuple(statements)) if genesis else None

    def merge_membership(self, peer: str, space: str, record: MembershipRecord) -> bool:
        self._members.learn(space, record.statements)
        return peer in self.audience(space)

    def digests(self, space: str) -> Mapping[int, Digest]:
        number = self._number(space)
        with self._store.reading() as db:
            head = log.head(db)  # read before the shards, so that the digests cover all of their rows up to this one
        known = damage.mending(self._store, lambda: digests.of_space(self._store, number))
        # A device with the same digest as a damaged shard may lack the rows that wait in it, and those that are lost.
        return {shard.number: Digest(shard.digest, max(shard.head, head) if shard.head else 0) for shard in known}

    def state_vector(self, space: str, shard: int) -> StateVector:
        with self._store.reading() as db:
            row = log.find_shard(db, self._number(space), shard)
        return {} if row is None else log.state_vector_of(row)

    def diff(self, space: str, shard: int, theirs: StateVector) -> ShardDiff:
        if self.is_read_only(space):
            return ShardDiff(NOTHING, {}, 0)
        # A device that asks although it lacks no block may have other blocks at the same clocks: send our whole copy.
        is_level = theirs == self.state_vector(space, shard)
        return self.lacking(space, shard, {} if is_level else theirs)

    def lacking(self, space: str, shard: int, theirs: StateVector) -> ShardDiff:
        """Return the part of our copy that a copy at `theirs` lacks, for a client on this machine.

        Works for spaces that we may only read too, which diff() never passes on to another device.
        """
        number = self._number(space)
        diff = damage.mending(self._store, lambda: self._lacking(number, shard, theirs))
        if _is_too_large_in_part(diff.update) and not self.is_read_only(space):
            self._store.commit(partial(_shrink, number, shard))
            diff = damage.mending(self._store, lambda: self._lacking(number, shard, theirs))
        if len(diff.update) <= limits.UPDATE_BYTES:
            return diff
        first = next(cut(diff.update, PIECE_BYTES))
        return ShardDiff(first, {**theirs, **scan(first, own=True).after}, diff.seq, partial=True)

    def diff_for(self, peer: str, space: str, shard: int, theirs: StateVector) -> ShardDiff:
        # Nobody takes from a device that may only read what it has and we do not. So it can be ahead for good, and
        # would never get a whole copy to compare its own with.
        if not self._may_write(self._number(space), peer) and covers(theirs, self.state_vector(space, shard)):
            theirs = {}
        return super().diff_for(peer, space, shard, theirs)

    def _lacking(self, space: int, shard: int, theirs: StateVector) -> ShardDiff:
        with self._store.documents() as (db, documents):
            row = log.find_shard(db, space, shard)
            if row is None:
                return ShardDiff(NOTHING, {}, 0)
            head = 0 if row.damaged else row.head
            return ShardDiff(documents.current(db, row).live.diff(theirs), log.state_vector_of(row), head)

    def apply(self, space: str, shard: int, update: bytes, origin: str) -> Applied:
        number = self._number(space)
        if update == NOTHING:
            return Applied("applied", self.state_vector(space, shard))
        if not self._may_write(number, origin):
            reason = "the device may read this space but not write it"
            return Applied("refused", self.state_vector(space, shard), reason)
        with _turns_beside(update):
            return self._apply(space, number, shard, update, origin)

    def _apply(self, space: str, number: int, shard: int, update: bytes, origin: str) -> Applied:
        try:
            scanned = scan(update)
            is_known = _is_whole(scanned) and covers(self.state_vector(space, shard), scanned.after)
            self._check_rewrites(number, scanned, origin)
            prepared = self._store.indexer.prepare([NewText(*each) for each in scanned.texts if is_text(each[0])])
            taking = _Taking(number, shard, update, scanned, origin)
            if self._store.commit(taking, prepared=prepared, origin=origin):
                self._rewrites.note(origin, self._store.now_ms())
            hidden = self._hidden(taking) if is_known and not origin.startswith(log.STOCK) else ()
        except SpoiledError as exc:
            damage.repair_shard(self._store, exc.shard)
            raise  # the update has a gap before it now, but that is not the sender's fault
        except ImpostorError as exc:
            self._store.renew_client(_IMPOSTOR.format(sender=_sender(origin), exc=exc))
            self._rewrites.note(origin, self._store.now_ms())
            return self._apply(space, number, shard, update, origin)
        except RemoteProtocolError as exc:
            refused = RefusedUpdate(number, shard, origin, str(exc), update, self._store.now_ms())
            return Applied(self._not_taken(exc, refused), self.state_vector(space, shard), str(exc))
        return Applied("applied", taking.after, hidden=hidden)

    def _hidden(self, taken: _Taking) -> tuple[str, ...]:
        """Return the keys of registers that a whole copy without news has, and that ours lacks all the same."""
        with self._store.documents() as (db, documents):
            row = log.find_shard(db, taken.space, taken.shard)
            if row is None or row.damaged:
                return ()
            ours = documents.current(db, row).live.snapshot()
        found = claims.hidden(ours, taken.update, taken.scanned, lambda each: self._elsewhere(taken, each))
        keys = [key for key in self._found_again(taken, found) if len(key) <= HIDDEN_CHARS]
        # If there are more, another part of them each time: some may be such that writing them again does not help.
        start = self._asked * HIDDEN % len(keys) if len(keys) > HIDDEN else 0
        self._asked += 1
        return tuple((keys[start:] + keys[:start])[:HIDDEN])

    def _found_again(self, taken: _Taking, found: Collection[str]) -> list[str]:
        """Return the keys that the last copy from this device showed as hidden, too.

        The reason why they are not here, such as a tombstone, may be in a shard that comes a moment later.
        """
        place = (taken.origin, taken.space, taken.shard)
        before = self._suspected.pop(place, frozenset())
        if found:
            if len(self._suspected) == SUSPECTED:
                del self._suspected[next(iter(self._suspected))]
            self._suspected[place] = frozenset(found)
        return [key for key in found if key in before]

    def _elsewhere(self, taken: _Taking, memory_id: str) -> Registers:
        """Return the registers of a memory in the other shards of its space."""
        with self._store.documents() as (db, documents):
            homes = sorted(views.homes_of(db, taken.space, [memory_id])[memory_id])
            rows = [row for row in map(partial(log.shard_row, db), homes) if row.number != taken.shard]
            return unite([documents.current(db, row).live.registers(memory_id) for row in rows if not row.damaged])

    def restate(self, space: str, shard: int, keys: Sequence[str], peer: str) -> None:
        number, now = self._number(space), self._store.now_ms()
        with self._store.reading() as db:
            name = spaces.space_name(db, number)
        if self.is_read_only(space):
            return
        if self._rewrites.is_used_up(peer, now):
            self._alarm_once(now, _ASKS_AGAIN.format(sender=_sender(peer), name=name))
            return
        self._rewrites.note(peer, now)  # even if nothing is written: to look takes time
        with _short_turns:
            self._restate(number, shard, keys, _HIDDEN.format(sender=_sender(peer), name=name))

    def _restate(self, space: int, shard: int, keys: Sequence[str], alarm: str) -> None:
        def plan(transaction: Transaction) -> bool:
            return transaction.restate(space, shard, keys)

        try:
            if self._store.commit(plan):
                self._alarm_once(self._store.now_ms(), alarm)
        except ImpostorError:
            self._store.renew_client(alarm)
            self._store.commit(plan)

    def log(self, after_seq: int, limit: int) -> LogPage:
        with self._store.reading() as db:
            page = shared_log.page(db, after_seq, limit, self._store.first_updates)
        return LogPage([LogEntry(*update) for update in page.updates], page.next_seq, page.resync)

    def head(self) -> int:
        with self._store.reading() as db:
            return log.head(db)

    def note_receipts(
        self, peer: str, space: str, held: Mapping[int, int], scrubbed: Mapping[int, int]
    ) -> Mapping[int, int]:
        number = self._number(space)
        if held or scrubbed:
            receipts.note(self._store, peer, number, receipts.HeldRows(held, scrubbed))
        return receipts.unscrubbed(self._store, peer, number)

    def is_scrubbed(self, space: str) -> bool:
        number = self._number(space)
        with self._store.reading() as db:
            return log.is_scrubbed(db, number)

    def note_incarnation(self, peer: str, incarnation: str) -> None:
        with self._store.writing() as db:
            key = f"incarnation of {peer}"
            if meta.read(db, key) != incarnation:
                meta.write(db, key, incarnation)
                receipts.void(db, peer)

    def merge_space(self, peer: str, name: str, space: str, record: MembershipRecord) -> Adoption:
        genesis = Genesis(record.creator, record.nonce)
        if genesis.space_id != space:
            raise RemoteProtocolError("the id of a space is not the hash of its creator and nonce")
        return self._members.adopt(peer, name, genesis, record.statements)

    def revocations(self, peer: str, spaces: Sequence[str]) -> Mapping[str, MembershipRecord]:
        found = self._members.verdicts(peer, spaces)
        return {space: MembershipRecord(statements=tuple(statements)) for space, statements in found.items()}

    def is_read_only(self, space: str) -> bool:
        """Return whether this device may only read the space."""
        number = self._number(space)
        with self._store.reading() as db:
            return is_read_only(db, number)

    def _may_write(self, space: int, origin: str) -> bool:
        """Return whether the writes of a device, or of a client on this machine, count. Raises NotFoundError."""
        if origin.startswith(log.STOCK):
            return True  # its token was checked
        with self._store.reading() as db:
            rights = sharing.rights_of(db, space, origin)
            if rights is None and sharing.has_members(db, space):
                name = spaces.space_name(db, space)
                raise NotFoundError(f"the space {name!r} is no longer shared with the device {origin[:7]}…")
        return rights != "read"

    def _check_rewrites(self, space: int, scanned: Scan, origin: str) -> None:
        """Raise RewriteLimitError if the device has used up its budget, and the update may take something away again.

        That is known before it is applied: it deletes something, has blocks under client ids of this store, or writes
        something again.
        """
        if not self._rewrites.is_used_up(origin, self._store.now_ms()):
            return
        with self._store.reading() as db:
            own = {meta.facts(db).client_id, *meta.former_client_ids(db)}
            name = spaces.space_name(db, space)
        if scanned.deletes or own & scanned.first.keys() or any(map(meta.is_asserting, scanned.first)):
            raise RewriteLimitError(_TAKES_AWAY.format(sender=_sender(origin), name=name))

    def _number(self, space: str) -> int:
        with self._store.reading() as db:
            number = spaces.shareable_space(db, space)
        if number is None:
            raise NotFoundError(f"the space {space[:7]}… no longer exists on this device")
        return number

    def _not_taken(
        self, exc: RemoteProtocolError, refused: RefusedUpdate
    ) -> Literal["gap", "later", "full", "refused"]:
        """Note for the user why an update was not taken, if it is of interest. Return the status."""
        if isinstance(exc, GapError):
            return "gap"
        if isinstance(exc, ShardAheadError):
            return "later"
        if isinstance(exc, RewriteLimitError):
            self._alarm_once(refused.at, str(exc))
            return "later"
        if isinstance(exc, ShardFullError):
            self._alarm_once(refused.at, _FULL.format(sender=_sender(refused.origin), shard=refused.shard, exc=exc))
            return "full"
        with self._store.writing() as db:
            quarantine.put(db, refused)
        return "refused"

    def _alarm_once(self, at: int, text: str) -> None:
        """Raise an alarm if it is due. A flood of refused updates must not take the write lock each time."""
        with self._store.reading() as db:
            if not alarms.is_due(db, at, text):
                return
        with self._store.writing() as db:
            alarms.raise_alarm_once(db, at, text)


def _is_whole(scanned: Scan) -> bool:
    """Return whether an update may be a whole copy of a shard, and not only a part of it."""
    return not (scanned.needs or any(scanned.first.values()))


def _turns_beside(update: bytes) -> AbstractContextManager[None]:
    return _short_turns if len(update) > LONG_BYTES else nullcontext()


def _is_too_large_in_part(update: bytes) -> bool:
    """Return whether an update has a register that other devices refuse. Only an older version let it into a store."""
    return len(update) > limits.REGISTER_BYTES and scan(update, own=True).largest > limits.REGISTER_BYTES


def _shrink(space: int, number: int, transaction: Transaction) -> None:
    row = log.find_shard(transaction.db, space, number)
    if row is not None and not row.damaged:
        transaction.shrink(row.shard)


_IMPOSTOR = (
    "{sender} sent changes in the name of this store ({exc}): another copy of this store is in use, or a"
    " member forges changes. Give each copy its own home and device key, and revoke devices that you do not trust."
    " Nothing is lost: this store now writes under a new client id, and writes again what others may lack"
)


_HIDDEN = (
    "{sender} lacked memories of the space {name!r} although it seemed to have them: something has taken their places"
    " there. They were written again, and nothing is lost. Another copy of a store is in use, or a member forges"
    " changes: revoke devices that you do not trust"
)


_ASKS_AGAIN = (
    "{sender} has asked again and again for memories of the space {name!r} to be written again. Nothing is lost. Its"
    " requests now wait: one is met a minute. If you do not trust the device, revoke it"
)


_FULL = (
    "{sender} sent more than shard {shard} may hold, and it was not taken ({exc}). Nothing was lost here, and the other"
    " shards sync. If you do not trust where it comes from, revoke it"
)


_TAKES_AWAY = (
    "{sender} has taken memories of the space {name!r} away again and again, without forgetting them. They were written"
    " again each time, and nothing is lost. Such changes now wait: one is taken a minute. If you do not trust the"
    " device, revoke it"
)


def _sender(origin: str) -> str:
    stock, _, name = origin.partition(log.STOCK)
    return f"A Yjs client with the token {name!r}" if name and not stock else f"The device {shown(origin)}"


@dataclass(slots=True)
class _Taking:
    """The plan that applies one update to a shard of a space (its local number).

    Attributes:
        after: The state vector of the shard, once the plan is committed.
    """

    space: int
    shard: int
    update: bytes
    scanned: Scan
    origin: str
    transaction: Transaction = field(init=False)

    @property
    def after(self) -> StateVector:
        place = (self.space, self.shard)
        return next(log.state_vector_of(row) for row in self.transaction.rows if (row.space, row.number) == place)

    def __call__(self, transaction: Transaction) -> bool:
        self.transaction = transaction
        if not 0 <= self.shard < limits.SHARDS:
            raise RemoteProtocolError(f"shard {self.shard} does not exist; a space has up to {limits.SHARDS} shards")
        return transaction.apply(self.space, self.shard, self.update, self.scanned, self.origin)
