"""Deliberately broken builds, each with one plausible mistake. The simulator must catch every one."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import replace
from typing import Any, Final
from unittest.mock import patch

import apsw

from memcrdt.crdt import shard
from memcrdt.crdt.shard import Shard
from memcrdt.model import clocks, edits, limits, membership, registers, roll
from memcrdt.model.clocks import encode_state_vector
from memcrdt.model.membership import Membership
from memcrdt.model.projection import Tombstone
from memcrdt.model.registers import Registers, Writes
from memcrdt.model.statements import Statement, unpack
from memcrdt.node.store_replica import StoreReplica
from memcrdt.node.trusted_peers import TrustedPeers
from memcrdt.store import claims, clock, compaction, connections, high_water_mark, log, scrubbing, shared_log
from memcrdt.store.clock import ClockNote
from memcrdt.store.documents import Documents
from memcrdt.store.high_water_mark import HighWaterMarks
from memcrdt.store.indexer import sqlite_of
from memcrdt.store.location import FolderLocation
from memcrdt.store.log import Append
from memcrdt.store.membership import members, shares, statement_store
from memcrdt.store.recovery import restore
from memcrdt.store.shard_work import ShardWork
from memcrdt.store.shared_log import SharedRow
from memcrdt.store.spaces import LOCAL
from memcrdt.store.sql import SqlConnection
from memcrdt.store.transaction import Transaction
from memcrdt.sync.events import Revoked
from memcrdt.sync.replica import LogEntry, LogPage, SharedSpace
from tests.campaigns import scenario


@contextmanager
def _send_before_commit() -> Iterator[None]:
    """Give rows to sync when they are appended instead of when they are committed."""
    rows: dict[str, list[tuple[int, Append]]] = defaultdict(list)
    append, read = log.append, StoreReplica.log

    def appending(db: SqlConnection, row: Append) -> int:
        seq = append(db, row)
        rows[sqlite_of(db).filename].append((seq, row))
        return seq

    def reading(self: StoreReplica, after_seq: int, limit: int) -> LogPage:
        page = read(self, after_seq, limit)
        known = {entry.seq for entry in page.entries}
        with self._store.reading() as db:
            found = [
                SharedRow(seq, *place, row.update, log.checksum(row.shard, row.update), row.origin, False)
                for seq, row in rows[sqlite_of(db).filename]
                if seq > page.next_seq and seq not in known and (place := _place(db, row.shard))
            ]
        early = [LogEntry(*update) for row in found if (update := shared_log.scanned(row))]
        last = max([page.next_seq, *(entry.seq for entry in early)])
        return replace(page, entries=[*page.entries, *early], next_seq=last)

    with patch.object(log, "append", appending), patch.object(StoreReplica, "log", reading):
        yield


def _place(db: SqlConnection, shard: int) -> tuple[str, int, int] | None:
    sql = "SELECT id, shard, number FROM shards JOIN spaces USING(space) WHERE shard = ? AND name <> ?"
    found: tuple[str, int, int] | None = db.execute(sql, (shard, LOCAL)).fetchone()
    return found


def _ignore_gaps() -> AbstractContextManager[object]:
    """Apply updates even if their predecessors are missing."""
    return _all(patch.object(clocks, "covers", _yes), patch.object(shard, "covers", _yes))


def _reuse_client_ids() -> AbstractContextManager[object]:
    """Let a restored store continue under its old identity, and never look at what others have under it."""
    return _all(
        patch.object(HighWaterMarks, "suspicion", _nothing), patch.object(claims.Incoming, "at_stake", lambda *_: {})
    )


def _compare_state_vectors_only() -> AbstractContextManager[object]:
    """Treat copies with equal state vectors as equal."""

    def digest(self: Shard) -> bytes:
        vector = encode_state_vector(dict(sorted(self.state_vector().items())))
        return hashlib.blake2b(vector, digest_size=16).digest()

    return patch.object(Shard, "digest", digest)


def _forget_by_overwriting() -> AbstractContextManager[object]:
    """Forget by writing null over the birth, without a tombstone."""

    def forgotten(tombstone: Tombstone, found: Registers) -> Writes:
        return {**edits.swept(tombstone.id, found), registers.birth_key(tombstone.id): None}

    return patch.object(edits, "forgotten", forgotten)


def _confirm_too_early() -> AbstractContextManager[object]:
    """Confirm to others that a forgotten memory is erased as soon as it is forgotten."""
    return patch.object(StoreReplica, "is_scrubbed", _yes)


def _compact_stale_documents() -> AbstractContextManager[object]:
    """Fold the log into a snapshot of a document that lacks commits of other processes.

    And do not load it again: scrubbing would notice that rows are missing, and undo the fold.
    """
    fold = compaction.fold

    def folding(db: apsw.Connection, documents: Documents, number: int) -> None:
        stale = documents._cached.get(number)
        if stale is None:
            fold(db, documents, number)
        else:
            log.fold(db, log.shard_row(db, number), stale.live.snapshot())

    return _all(patch.object(compaction, "fold", folding), patch.object(scrubbing, "_is_swept", _yes))


def _sync_no_commit() -> AbstractContextManager[object]:
    """Write commits without syncing them to the disk."""
    return patch.object(connections, "SYNCED", connections.UNSYNCED)


def _take_from_readers() -> AbstractContextManager[object]:
    """Accept writes from members that may only read."""
    return patch.object(StoreReplica, "_may_write", _yes)


def _keep_talking() -> AbstractContextManager[object]:
    """Keep a connection open after the peer was revoked."""
    read = TrustedPeers.read

    def reading(self: TrustedPeers) -> list[Any]:
        return [event for event in read(self) if not isinstance(event, Revoked)]

    return patch.object(TrustedPeers, "read", reading)


def _offer_everything() -> AbstractContextManager[object]:
    """Name all spaces to every device."""

    def spaces(self: StoreReplica, peer: str) -> list[SharedSpace]:
        with self._store.reading() as db:
            found = list(db.execute("SELECT id, name FROM spaces WHERE name <> ? ORDER BY id", (LOCAL,)))
        records = [(str(space), str(name), self.membership(space)) for space, name in found]
        return [SharedSpace(space, name, record.digest()) for space, name, record in records if record]

    return patch.object(StoreReplica, "spaces", spaces)


def _follow_smaller_ids() -> AbstractContextManager[object]:
    """Adopt the smaller id of a space, also from a member that has made it to take others away."""

    def remaining(ours: membership.Side, theirs: membership.Side, own: str, peer: str) -> membership.Side:
        return min(ours, theirs, key=lambda side: side.id)

    return patch.object(members, "remaining", remaining)


def _trust_signatures() -> AbstractContextManager[object]:
    """Accept statements without checking their signatures."""
    return patch.object(members, "checked", lambda data, space: unpack(data))


def _let_the_latest_add_decide() -> AbstractContextManager[object]:
    """Give a member the right of its latest add, so that a right can be taken away."""
    derive = membership.membership

    def deriving(creator: str, statements: Collection[Statement], revoked: Collection[str] = ()) -> Membership:
        found = derive(creator, statements, revoked)
        standing = sorted((each for each in statements if each.id in found.standing), key=lambda each: each.claim.at)
        rights = {each.claim.device: each.claim.read_only for each in standing}
        members = {
            device: replace(member, read_only=rights.get(device, member.read_only))
            for device, member in found.members.items()
        }
        return replace(found, members=members)

    return patch.object(membership, "membership", deriving)


def _cut_lists_of_members() -> AbstractContextManager[object]:
    """Fill a list of members with the first statements by their ids, whoever signed them."""

    keep = roll.retained

    def retained(creator: str, statements: Collection[Statement]) -> list[Statement]:
        room = len(keep(creator, statements))
        return sorted(membership.heard(creator, statements), key=lambda each: each.id)[:room]

    return _all(patch.object(roll, "retained", retained), patch.object(members, "retained", retained))


def _believe_every_keep() -> AbstractContextManager[object]:
    """Let every revocation that is heard keep adds, whoever signed it."""
    run = membership._Derivation.run

    def running(self: membership._Derivation) -> None:
        for device, revocations in self.revoked.items():
            for each in revocations:
                self._keep(device, each.claim.keep)
        run(self)

    return patch.object(membership._Derivation, "run", running)


def _keep_adds_of_others() -> AbstractContextManager[object]:
    """Let a revocation of one device keep the adds of another."""

    def keep(self: membership._Derivation, device: str, adds: Iterable[bytes]) -> None:
        for add in adds:
            if add in self._adds:
                self._kept.add(add)
                self._consider(add)

    return patch.object(membership._Derivation, "_keep", keep)


def _leave_shares() -> AbstractContextManager[object]:
    """Leave the shares of devices that are no members any more."""
    replace_shares = shares._replace

    def replacing(db: apsw.Connection, space: int, due: Mapping[str, bool]) -> set[str]:
        return replace_shares(db, space, {**shares.shared_with(db, space), **due})

    return patch.object(shares, "_replace", replacing)


def _trust_the_clock() -> AbstractContextManager[object]:
    """Forget expired memories by a clock that has just jumped."""
    return patch.object(ClockNote, "moved_to", lambda self, now: ClockNote(now))


def _show_doubted_clocks() -> AbstractContextManager[object]:
    """Show a clock to other devices although it has just jumped, so that devices which jumped together agree."""
    return patch.object(clock, "shown", lambda note, now: now)


def _keep_all_marks_on_one_disk() -> AbstractContextManager[object]:
    """Keep no high-water mark outside the disks that may be rolled back together."""
    return patch.object(high_water_mark, "_is_private", lambda folder: False)


def _keep_no_mark_of_a_home() -> AbstractContextManager[object]:
    """Keep no mark outside a home that tells of another incarnation in it."""
    return patch.object(HighWaterMarks, "_of_home", property(lambda self: [self._home / high_water_mark.FILE]))


def _be_clean_before_others_deleted() -> AbstractContextManager[object]:
    """Take a shard for clean although registers of forgotten memories wait in it for other devices."""
    append = ShardWork.append

    def appending(self: ShardWork, db: SqlConnection, at: int) -> int:
        self.awaits_deletion = False
        return append(self, db, at)

    return _all(patch.object(ShardWork, "append", appending), patch.object(scrubbing, "_is_swept", _yes))


def _go_on_without_the_file() -> AbstractContextManager[object]:
    """Never look whether a path still leads to the file that is open."""
    return patch.object(FolderLocation, "check_there", _nothing)


def _take_any_number_of_clients() -> AbstractContextManager[object]:
    """Take client ids from others without a limit."""
    return patch.object(Transaction, "_checked_memory", lambda self, work, known, update, scanned: scanned.memory)


def _take_any_shard() -> AbstractContextManager[object]:
    """Make a shard of any number that others send."""
    return patch.object(limits, "SHARDS_AHEAD", limits.SHARDS)


def _write_nothing_again() -> AbstractContextManager[object]:
    """Take updates that claim our clocks, or delete registers, as they come."""
    unnoticed = patch.object(claims.Incoming, "_forged", _nothing)
    return _all(unnoticed, patch.object(claims, "unexplained", lambda *_, **__: {}))


def _miss_what_is_hidden() -> AbstractContextManager[object]:
    """Never look whether a whole copy has registers that ours lacks."""
    return patch.object(claims, "hidden", lambda *_: [])


def _restore_trust() -> AbstractContextManager[object]:
    """Take devices and shares from a backup."""
    trust = ("peers", "shares")
    of_now = tuple(table for table in restore.OF_NOW if table not in trust)
    return _all(patch.object(restore, "OF_NOW", of_now), patch.object(restore, "VIEWS", (*restore.VIEWS, *trust)))


def _leave_moved_rows() -> AbstractContextManager[object]:
    """Leave what SQLite leaves of rows that it moved."""
    return patch.object(FolderLocation, "erase_unallocated", _yes)


def _all(*patches: AbstractContextManager[object]) -> AbstractContextManager[object]:
    stack = ExitStack()
    for each in patches:
        stack.enter_context(each)
    return stack


def _yes(*_: Any) -> bool:
    return True


def _nothing(*_: Any) -> None:
    return None


#: Each value is a context manager that breaks one mechanism.
MUTANTS: Final[Mapping[str, Callable[[], AbstractContextManager[object]]]] = {
    "send before commit": _send_before_commit,
    "ignore gaps": _ignore_gaps,
    "reuse a client id": _reuse_client_ids,
    "compare state vectors only": _compare_state_vectors_only,
    "forget by overwriting the birth": _forget_by_overwriting,
    "confirm a forgetting too early": _confirm_too_early,
    "compact a stale document": _compact_stale_documents,
    "leave commits unsynced": _sync_no_commit,
    "take what readers send": _take_from_readers,
    "keep talking to a revoked device": _keep_talking,
    "offer every space to everyone": _offer_everything,
    "trust signatures": _trust_signatures,
    "follow smaller ids": _follow_smaller_ids,
    "let the latest add decide": _let_the_latest_add_decide,
    "cut lists of members": _cut_lists_of_members,
    "believe every keep": _believe_every_keep,
    "keep adds of others": _keep_adds_of_others,
    "leave shares": _leave_shares,
    "trust the clock": _trust_the_clock,
    "show a doubted clock": _show_doubted_clocks,
    "keep all marks on one disk": _keep_all_marks_on_one_disk,
    "keep no mark of a home": _keep_no_mark_of_a_home,
    "be clean before others deleted": _be_clean_before_others_deleted,
    "go on without the file": _go_on_without_the_file,
    "take any number of client ids": _take_any_number_of_clients,
    "take any shard": _take_any_shard,
    "write nothing again": _write_nothing_again,
    "miss what is hidden": _miss_what_is_hidden,
    "restore trust": _restore_trust,
    "leave moved rows": _leave_moved_rows,
}


def catch(name: str, seeds: Iterable[int]) -> scenario.SeedOutcome | None:
    """Play seeds with the named mutant until a promise is broken.

    Returns:
        The outcome of the first seed that fails, or None if the mutant survives all seeds.
    """
    statement_store._derived.cache_clear()  # it has the members of the same seeds from other builds
    try:
        with MUTANTS[name]():
            return next((outcome for outcome in map(scenario.play, seeds) if outcome.error), None)
    finally:
        statement_store._derived.cache_clear()
