"""Shard: one live Yjs document of plain registers, and the only user of pycrdt.

pycrdt 0.14 loses data when updates arrive out of order or with gaps, or when a client id is used twice.
tests/crdt/test_canaries.py pins these cases. A Shard must never get into them: its caller scans all updates and applies
them in order and without gaps.
"""

from __future__ import annotations

import hashlib
import heapq
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Set
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, Final

from pycrdt import Doc, Map, MapEvent, Snapshot, TransactionEvent, merge_updates

from memcrdt.crdt.pieces import BLOCK_BYTES, PIECE_BYTES, cut
from memcrdt.crdt.scan import ROOT, Cursor, Scan, scan
from memcrdt.errors import CorruptError, RemoteProtocolError
from memcrdt.model.clocks import StateVector, covers, decode_state_vector, encode_state_vector
from memcrdt.model.edits import is_sendable, sendable
from memcrdt.model.ids import is_ulid
from memcrdt.model.registers import FORGOTTEN, Deleted, forgotten_key, split
from memcrdt.model.values import Json, canonical, restored

_JSON_TYPES: Final = frozenset({type(None), bool, int, float, str, list, dict})

# Competing writes of one key take yrs time in proportion to their square. So they are applied some at a time, and the
# other threads of the process get their turn in between. An update that takes longer than a third of the time that
# writers wait for the lock is refused. Updates of honest devices take milliseconds.
_CONTESTED: Final = 64  # blocks in one call
_STEP_S: Final = 0.010  # of processor time: a longer call halves the number of blocks in the next
_TOTAL_S: Final = 10.0

_DIGESTED_TOGETHER: Final = 256  # registers: takes 2 ms; the hash releases the interpreter's lock after them
_FREED_AT_ONCE: Final = 8_192  # registers: takes 16 ms
_FREED_TOGETHER: Final = 1_024


@dataclass(frozen=True, slots=True)
class Edit:
    """The effects of a change on the document.

    Attributes:
        updates: The updates to log and send: none if nothing changed, several if the change was large.
        touched: The memories with a changed register.
        unborn: The memories whose birth or tombstone was deleted, and which have no tombstone.
        displaced: The former births of memories whose birth an update has replaced, by memory.
        removed: The registers that an update has deleted and not replaced, with their last values, by key.
        replaced: The registers with another value than before, except births, with their former values, by key.
    """

    updates: tuple[bytes, ...]
    touched: frozenset[str]
    unborn: frozenset[str]
    displaced: Mapping[str, Json] = field(default_factory=dict)
    removed: Mapping[str, Json] = field(default_factory=dict)
    replaced: Mapping[str, Json] = field(default_factory=dict)


class Shard:
    """One live Yjs document: the root map `memories`, flat, with plain JSON values.

    A shard is not thread-safe. After an error in `write` or `apply` it is unusable, because a Yjs transaction does not
    roll back: drop it and load the shard again.
    """

    def __init__(self, client_id: int) -> None:
        self.client_id = client_id
        self._doc: Doc[Any] = Doc(client_id=client_id)
        self._map: Map[Any] = self._doc.get(ROOT, type=Map)
        self._keys: dict[str, set[str]] = {}  # memory id -> its registers
        self._born: set[str] = set()
        self._foreign: set[str] = set()

    @classmethod
    def load(cls, client_id: int, updates: Iterable[bytes]) -> Shard:
        """Load a document from scanned updates, in the order of the log. Raises CorruptError."""
        shard = cls(client_id)
        for update in updates:
            shard._integrate(update, lambda exc: CorruptError(f"yrs refused an update of the log: {exc}; run doctor"))
        keys = shard._map.keys()
        shard._index((key, True) for key in keys)
        return shard

    @property
    def births(self) -> int:
        """The number of memories born here, forgotten ones included."""
        return len(self._born)

    @property
    def register_count(self) -> int:
        """The number of registers, including registers under keys of no memory."""
        return sum(map(len, self._keys.values())) + len(self._foreign)  # yrs would count them one by one

    @property
    def foreign_count(self) -> int:
        """The number of registers under keys of no memory."""
        return len(self._foreign)

    def ids(self) -> Set[str]:
        """Return a live view of the ids of all memories that have a register here."""
        return self._keys.keys()

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Let many calls of `registers` share one transaction, which takes longer than a read. Write nothing inside."""
        with self._transaction():
            yield

    def registers(self, memory_id: str) -> dict[str, Json]:
        """Return all registers of one memory; empty if it has none."""
        with self._transaction() as transaction:
            return {key: self._value(transaction, key) for key in self._keys.get(memory_id, ())}

    def values(self) -> dict[str, Json]:
        """Return all registers, in the order of their keys, including those under keys of no memory."""
        with self._transaction() as transaction:
            return {key: self._value(transaction, key) for key in self._sorted_keys()}

    def shrink(self) -> Edit:
        """Write again, without their largest fields, the registers that are too large to be sent."""
        return self.write({key: sendable(value) for key, value in self.values().items() if not is_sendable(value)})

    def write(self, writes: Mapping[str, Json | Deleted]) -> Edit:
        """Write registers in one transaction. A register that has the value already is not written again."""
        record = _Record()
        with _observed(self._doc, record.on_update), self._transaction() as transaction:
            for key, value in writes.items():
                if self._put(transaction, key, value):
                    record.changes[key] = not isinstance(value, Deleted)
        return self._edit(record)

    def apply(self, update: bytes, info: Scan | None = None) -> Edit:
        """Apply an update from outside as a whole.

        Args:
            update: The update.
            info: Its scan, if there is one already.

        Returns:
            The changes that were new to this document.

        Raises:
            RemoteProtocolError: yrs refuses the update, some of the update is still pending afterwards, or the document
                is no longer a flat map of plain values.
        """
        info = info or scan(update)
        record = _Record()
        with _observed(self._doc, record.on_update), _observed(self._map, record.on_keys):
            self._apply_in_pieces(update, info.contested)
        known = self.state_vector()
        if not covers(known, info.after) or not covers(known, info.needs):
            raise RemoteProtocolError("an update is incomplete: some of its blocks wait for missing blocks")
        if record.foreign or set(self._doc.keys()) != {ROOT}:
            raise RemoteProtocolError(f"an update has more than plain values in the map {ROOT!r}")
        return self._edit(record)

    def restate(self, writes: Mapping[str, Json], client_id: int) -> Edit:
        """Write registers as a client that has seen nothing of this document.

        An ordinary write names the block that it replaces. A copy that does not have that block would drop the write,
        too. These writes name no block, so every copy takes them. Where a copy has a value, the greater client id wins.

        Args:
            writes: The registers.
            client_id: A client id that has written nothing, greater than those it has to win over.
        """
        (update,) = Shard(client_id).write(writes).updates
        return self.apply(update, scan(update, own=True))

    def state_vector(self) -> dict[int, int]:
        """Return the state vector of the document."""
        return decode_state_vector(self._doc.get_state(), own=True)

    def diff(self, theirs: StateVector) -> bytes:
        """Return the update that brings a copy with the state vector `theirs` to the state of this one."""
        return self._doc.get_update(encode_state_vector(theirs))

    def snapshot(self) -> bytes:
        """Return the whole document as one update, without deleted values."""
        return self._doc.get_update()

    def digest(self) -> bytes:
        """Return 16 bytes that are equal for equal documents.

        The digest is BLAKE2b of the state vector, the deletes and the registers, as one canonical JSON text. It does
        not use the encoded document, because equal documents can have different encodings. The text is made in steps of
        some registers: in one step, a large shard would keep all other threads waiting.
        """
        known = ",".join(f"[{client},{clock}]" for client, clock in sorted(self.state_vector().items()))
        ranges = _merged(Cursor(Snapshot.from_doc(self._doc).encode()).id_ranges())
        deletes = ",".join(f"[{client},{start},{end}]" for client, start, end in ranges)
        state = hashlib.blake2b(f"[[{known}],[{deletes}],{{".encode(), digest_size=16, person=b"memcrdt shard")
        keys, before = self._sorted_keys(), ""
        while some := list(islice(keys, _DIGESTED_TOGETHER)):
            with self._transaction() as transaction:
                registers = (f"{canonical(key)}:{canonical(self._value(transaction, key))}" for key in some)
                state.update(f"{before}{','.join(registers)}".encode())
            before = ","
        state.update(b"}]")
        return state.digest()

    def free(self) -> None:
        """Free the document. The shard cannot be used afterwards.

        A large document is freed in steps: in one call, a shard of 65,000 registers would keep all other threads
        waiting for 120 ms.
        """
        if self.register_count > _FREED_AT_ONCE:
            keys = self._sorted_keys()
            while some := list(islice(keys, _FREED_TOGETHER)):
                with self._transaction() as transaction:
                    for key in some:
                        self._map.integrated.remove(transaction, key)
        del self._map, self._doc

    def _sorted_keys(self) -> Iterator[str]:
        """Yield all keys in order. The keys of one memory are neighbours, because they begin with its id."""
        known = (key for memory_id in sorted(self._keys) for key in sorted(self._keys[memory_id]))
        return heapq.merge(known, sorted(self._foreign))

    def _put(self, transaction: Any, key: str, value: Json | Deleted) -> bool:
        """Write or delete one register, if that changes anything. Return whether it did."""
        registers = self._map.integrated
        known: bool = registers.has(transaction, key)
        if isinstance(value, Deleted):
            if known:
                registers.remove(transaction, key)
            return known
        if known and canonical(self._value(transaction, key)) == canonical(restored(value)):
            return False
        registers.insert(transaction, key, value)
        return True

    def _value(self, transaction: Any, key: str) -> Json:
        return restored(self._map.integrated.get(transaction, key))

    @contextmanager
    def _transaction(self) -> Iterator[Any]:
        """Open a transaction for the calls below pycrdt's Map, whose own reads and writes take twice as long."""
        with self._doc.transaction() as transaction:
            yield transaction._txn

    def _apply_in_pieces(self, update: bytes, contested: int) -> None:
        most = most_bytes = _CONTESTED * BLOCK_BYTES if contested > _CONTESTED else PIECE_BYTES
        pieces = cut(update, most_bytes)
        piece, begin = next(pieces, None), time.thread_time()
        while piece is not None:
            before = time.thread_time()
            self._integrate(piece, lambda exc: RemoteProtocolError(f"yrs refused an update: {exc}"))
            now = time.thread_time()
            if now - begin > _TOTAL_S:
                raise RemoteProtocolError(
                    f"an update has so many competing writes of one key that it takes over {_TOTAL_S:.0f} s to apply"
                )
            if contested > _CONTESTED:
                most_bytes = max(BLOCK_BYTES, most_bytes // 2) if now - before > _STEP_S else min(most, most_bytes * 2)
            try:
                piece = pieces.send(most_bytes)
            except StopIteration:
                piece = None

    def _integrate(self, update: bytes, error: Callable[[BaseException], Exception]) -> None:
        try:
            self._doc.apply_update(update)
        except (KeyboardInterrupt, SystemExit):
            raise
        except BaseException as exc:  # a panic in Rust arrives as a BaseException of its own
            raise error(exc) from exc

    def _edit(self, record: _Record) -> Edit:
        births = (key for key in record.former if is_ulid(key) and record.changes[key])
        displaced = {
            key: record.former[key] for key in births if key in self._keys.get(key, ())
        }  # before the index follows
        touched, deleted = self._index(record.changes.items())
        unborn = (born for born in deleted if forgotten_key(born) not in self._keys.get(born, ()))
        of_memories = {key: value for key, value in record.former.items() if split(key) and not is_ulid(key)}
        replaced = {key: value for key, value in of_memories.items() if record.changes[key]}
        removed = {key: value for key, value in record.former.items() if not record.changes[key] and split(key)}
        return Edit(tuple(record.updates), frozenset(touched), frozenset(unborn), displaced, removed, replaced)

    def _index(self, changes: Iterable[tuple[str, bool]]) -> tuple[set[str], set[str]]:
        """Update the index after changes of keys. Each change says whether the key exists now.

        Returns:
            The ids that were touched, and the ids that lost their birth or tombstone.
        """
        touched: set[str] = set()
        deleted: set[str] = set()
        for key, present in changes:
            if (parts := split(key)) is None:
                (self._foreign.add if present else self._foreign.discard)(key)
                continue
            touched.add(parts.id)
            keys = self._keys.setdefault(parts.id, set())
            if present:
                keys.add(key)
            elif key in keys:
                keys.remove(key)
                if parts.field in ("", FORGOTTEN):
                    deleted.add(parts.id)
        for memory_id in touched:
            self._count_births(memory_id)
        return touched, deleted

    def _count_births(self, memory_id: str) -> None:
        keys = self._keys[memory_id]
        if memory_id in keys or forgotten_key(memory_id) in keys:
            self._born.add(memory_id)
        else:
            self._born.discard(memory_id)
        if not keys:
            del self._keys[memory_id]


@dataclass(slots=True)
class _Record:
    """The effects of one change, collected over its transactions."""

    updates: list[bytes] = field(default_factory=list)
    changes: dict[str, bool] = field(default_factory=dict)
    former: dict[str, Json] = field(default_factory=dict)  # the values before the change of the keys that had one
    foreign: bool = False  # whether a value is not plain JSON

    def on_update(self, event: TransactionEvent) -> None:
        self.updates.append(bytes(event.update))

    def on_keys(self, event: MapEvent) -> None:
        changes: dict[str, dict[str, Any]] = event.keys  # type: ignore[attr-defined]  # in __slots__ only
        for key, change in changes.items():
            if change["action"] != "add" and key not in self.changes:
                self.former[key] = restored(change["oldValue"])
            self.changes[key] = change["action"] != "delete"
            if type(change.get("newValue")) not in _JSON_TYPES:
                self.foreign = True


def merged(updates: Iterable[bytes]) -> bytes:
    """Return one update with the blocks and deletes of several updates, each of which builds on the ones before it."""
    return merge_updates(*updates)


@contextmanager
def _observed(target: Doc[Any] | Map[Any], callback: Callable[[Any], None]) -> Iterator[None]:
    """Subscribe for the body only: a subscription that stays would keep its document alive forever."""
    subscription = target.observe(callback)
    try:
        yield
    finally:
        target.unobserve(subscription)


def _merged(ranges: Iterable[tuple[int, int, int]]) -> Iterator[tuple[int, int, int]]:
    """Yield ranges (client, start, end) in order. Ranges that touch or overlap are merged."""
    last: tuple[int, int, int] | None = None
    for client, start, end in sorted(ranges):
        if last and last[0] == client and start <= last[2]:
            last = (client, last[1], max(last[2], end))
            continue
        if last:
            yield last
        last = (client, start, end)
    if last:
        yield last
