"""The promises that stores made in a simulated run, and checks that the stores kept them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import Any, Final

from memcrdt.model.clocks import StateVector, covers
from memcrdt.model.values import canonical
from memcrdt.store import digests, log
from memcrdt.store.membership import receipts
from tests.bare_device import dump
from tests.campaigns.computer import Computer
from tests.campaigns.expected import LostError

QUERIES: Final = ("amber basalt", "delta ember fjord")


@dataclass(slots=True)
class _Promise:
    """A promise that the device `by` made at virtual time `at`.

    The promise is void if the store was restored to an earlier state, or the device was revoked.
    """

    by: str
    at: float
    void: bool = False


@dataclass(slots=True)
class Promises:
    """The acknowledged texts and forgets of a run.

    Args:
        parts: For each computer (by id), its shared spaces and whether it may write each of them.
        is_clock_claimed: Whether a hostile member has claimed clocks of others. A device that takes its block in place
            of a tombstone seems to have the tombstone, until the owner of the clocks meets the claim.
    """

    parts: Mapping[str, Mapping[str, bool]]
    is_clock_claimed: bool = False
    _space_of: dict[str, str] = field(default_factory=dict)  # by memory
    _texts: dict[str, dict[str, _Promise]] = field(default_factory=dict)
    _ends: dict[str, _Promise] = field(default_factory=dict)
    # By device: memories that the space `local` must have, and memories that it may have.
    _local: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    _local_once: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    _graves: dict[str, set[str]] = field(default_factory=dict)
    _forgotten: dict[str, list[str]] = field(default_factory=dict)  # the texts of each memory when it was forgotten
    _confirmed: set[tuple[str, str, str]] = field(default_factory=set)  # asking device, confirming device, memory
    _lost: bool = False  # whether data was lost: a reader may then be the only device with it, and never forwards it

    def wrote(self, computer: Computer, memory_id: str, text: str, space: str) -> None:
        """Note that a memory has a new text."""
        self._space_of[memory_id] = space
        self._texts.setdefault(memory_id, {}).setdefault(text, _Promise(computer.id, computer.sim.now))

    def kept_local(self, computer: Computer, memory_id: str) -> None:
        """Note that a memory is in the space `local`."""
        self._local[computer.id].add(memory_id)
        self._local_once[computer.id].add(memory_id)

    def forgot(self, computer: Computer, memory_id: str, texts: Sequence[str]) -> None:
        """Note that a memory is forgotten. `texts` are all of its texts that the computer had."""
        self._ends[memory_id] = _Promise(computer.id, computer.sim.now)
        self._forgotten[memory_id] = [text for text in texts if text in self._texts.get(memory_id, {})]

    def doubtful(self, memory_id: str) -> None:
        """Note that a memory may be forgotten, because it was deleted without a promise."""
        self._ends.setdefault(memory_id, _Promise("", 0.0, void=True))

    def know(self, memory_id: str, computer: Computer) -> bool:
        """Return whether a computer other than this one has written the memory."""
        return any(promise.by != computer.id for promise in self._texts.get(memory_id, {}).values())

    def doubt(self, computer: Computer) -> None:
        """Void the promises to a computer that is revoked or has a bad disk, unless others have their content."""
        self._lost = True
        for promise in self._all():
            promise.void |= promise.by == computer.id

    def restored(self, computer: Computer, since: float) -> None:
        """Void the promises to a computer since the given time, unless others have their content."""
        self._lost = True
        for promise in self._all():
            promise.void |= promise.by == computer.id and promise.at >= since
        self._local[computer.id].clear()
        self._graves.pop(computer.id, None)

    def copied(self, computer: Computer, clone: Computer) -> None:
        """Note that a clone has the contents of a computer."""
        self._local[clone.id] |= self._local[computer.id]
        self._local_once[clone.id] |= self._local_once[computer.id]

    def look(self, computer: Computer) -> None:
        """Raise LostError if the computer shows a memory again that it knew to be forgotten."""
        with computer.memory.store.reading() as db:
            living = {str(row[0]) for row in db.execute("SELECT id FROM memories")}
        graves = computer.graves()
        seen = self._graves.setdefault(computer.id, set())
        if back := (seen | graves) & living:
            raise LostError(f"{_name(computer)}: {sorted(back)} was forgotten and has come back")
        seen |= graves

    def look_at_confirmations(self, computers: Sequence[Computer]) -> int:
        """Check that no byte of a forgotten memory is in the file when a new confirmation arrives.

        Returns:
            The number of new confirmations.
        """
        by_id, before = {computer.id: computer for computer in computers}, len(self._confirmed)
        for computer in computers:
            for memory_id, texts in self._forgotten.items() if computer.on else ():
                awaited = {device for device in by_id if (computer.id, device, memory_id) not in self._confirmed}
                if awaited == {computer.id}:
                    continue
                with computer.memory.store.reading() as db:
                    devices = receipts.confirmations(db, [memory_id]).confirmed
                for device in awaited.intersection(devices):
                    other = by_id[device]
                    # Look later if it may have been sent the text again, or if an earlier state of it came back.
                    if not other.on or other.has_to_scrub() or not computer.has_met(other):
                        continue
                    if self.is_clock_claimed and memory_id not in other.graves():
                        continue
                    self._confirmed.add((computer.id, device, memory_id))
                    _check_clean(other, {memory_id: texts})
        return len(self._confirmed) - before

    def check_confirming(self, computer: Computer, space: str) -> None:
        """Check that a computer which confirms that a space (its id) is clean has no text of its forgotten memories."""
        with computer.memory.store.reading() as db:
            sql = "SELECT graves.id FROM graves JOIN spaces USING(space) WHERE spaces.id = ?"
            graves = {str(memory_id) for (memory_id,) in db.execute(sql, (space,))}
        _check_clean(computer, {memory_id: self._texts[memory_id] for memory_id in graves & self._texts.keys()})

    def agree(self, computers: Sequence[Computer]) -> bool:
        """Return whether all computers have equal digests of each space that they share."""
        parts = [(each, space) for each in computers for space in self.parts[each.id]]
        found = {(space, _digest(each, space)) for each, space in parts if self._is_whole(each, space)}
        return len(found) == len(self._spaces(computers)) and all(
            _covers(reader, writer, space)
            for reader, space in parts
            for writer in computers
            if not self._is_whole(reader, space) and self._is_whole(writer, space)
        )

    def check(self, computers: Sequence[Computer]) -> None:
        """Check every promise, on computers that have exchanged everything."""
        born = {birth for each in computers if any(self.parts[each.id].values()) for birth in _births(each)}
        for computer in computers:
            self.look(computer)
            self._check_texts(computer, born)
            self._check_local(computer)
        for space in sorted(self._spaces(computers)):
            _compare([each for each in computers if self._is_whole(each, space)], space)
        # Search weights words by all memories of the store, so only equal sets of spaces give equal answers.
        whole = [each for each in computers if all(self._is_whole(each, space) for space in self.parts[each.id])]
        for parts in {frozenset(self.parts[computer.id]) for computer in whole}:
            _compare_answers([each for each in whole if self.parts[each.id].keys() == parts])
        for computer in computers:
            self._check_bytes(computer)

    def _spaces(self, computers: Sequence[Computer]) -> set[str]:
        return {space for computer in computers for space in self.parts[computer.id]}

    def _is_whole(self, computer: Computer, space: str) -> bool:
        """Return whether the computer shares the space and has no data of it that the others cannot get."""
        writes = self.parts[computer.id].get(space)
        return writes is not None and (writes or not self._lost)

    def _all(self) -> list[_Promise]:
        return [promise for texts in self._texts.values() for promise in texts.values()] + list(self._ends.values())

    def _check_texts(self, computer: Computer, born: Set[tuple[str, str]]) -> None:
        with computer.memory.store.reading() as db:
            found: dict[str, set[str]] = {}
            for memory_id, text in db.execute(_TEXTS):
                found.setdefault(str(memory_id), set()).add(str(text))
        unheard = {memory_id for memory_id, _ in _births(computer) - born}
        for memory_id, texts in self._texts.items():
            # Of two texts under one key, this reader has the one of a device that reached no other computer.
            if memory_id in unheard and not self._is_whole(computer, self._space_of[memory_id]):
                continue
            if self._space_of[memory_id] not in self.parts[computer.id]:
                continue
            end = self._ends.get(memory_id)
            if end is not None:
                if not end.void and memory_id in found:
                    raise LostError(f"{_name(computer)}: {memory_id} was forgotten but is shown")
                continue
            kept = {text for text, promise in texts.items() if not promise.void}
            if lost := kept - found.get(memory_id, set()):
                raise LostError(f"{_name(computer)}: {memory_id} has lost {sorted(lost)}")

    def _check_local(self, computer: Computer) -> None:
        """Check that local memories are on their own computer, and nowhere else.

        Then forget them, because search weights words by all memories of the store.
        """
        with computer.memory.store.reading() as db:
            sql = "SELECT m.id FROM memories m JOIN spaces s USING(space) WHERE s.name = 'local'"
            found = {str(row[0]) for row in db.execute(sql)}
        expected = self._local[computer.id]
        if not expected <= found <= self._local_once[computer.id]:
            raise LostError(f"{_name(computer)}: `local` has {sorted(found)} instead of {sorted(expected)}")
        for memory_id in sorted(found):
            computer.memory.forget(memory_id)

    def _check_bytes(self, computer: Computer) -> None:
        """Check that no text of a forgotten memory is in any file of the store."""
        graves = computer.graves()
        _check_clean(computer, {memory_id: self._texts[memory_id] for memory_id in graves & self._texts.keys()})


def _births(computer: Computer) -> set[tuple[str, str]]:
    """Return each memory with the device that added it, as the computer shows it."""
    with computer.memory.store.reading() as db:
        return {(str(memory_id), str(device)) for memory_id, device in db.execute("SELECT id, device FROM memories")}


def _check_clean(computer: Computer, forgotten: Mapping[str, Iterable[str]]) -> None:
    content = b"".join(computer.files().values())
    for memory_id, texts in forgotten.items():
        for text in texts:
            if text.encode() in content:
                raise LostError(f"{_name(computer)}: {text!r} of {memory_id} was forgotten but is still in the file")


def _compare(computers: Sequence[Computer], space: str) -> None:
    for what, of in _COMPARED:
        _check_equal(what, [(computer, of(computer, space)) for computer in computers])


def _compare_answers(computers: Sequence[Computer]) -> None:
    _check_equal("search", [(computer, _answers(computer)) for computer in computers])


def _check_equal(what: str, found: Sequence[tuple[Computer, Any]]) -> None:
    one, ours = found[0]
    for other, theirs in found[1:]:
        if ours != theirs:
            raise LostError(f"{_name(one)} and {_name(other)} differ in their {what}: {_first(ours, theirs)}")


def _digest(computer: Computer, space: str) -> str:
    store = computer.memory.store
    return computer.space(space) + digests.whole(digests.of_space(store, store.space(space)))


def _covers(one: Computer, other: Computer, space: str) -> bool:
    """Return whether the reader has everything that the writer has."""
    ours, theirs = _vectors(one, space), _vectors(other, space)
    keys, gone = _keys(one, space), one.graves()
    return all(covers(ours.get(shard, {}), vector) for shard, vector in theirs.items()) and all(
        found <= keys.get(memory_id, set()) for memory_id, found in _keys(other, space).items() if memory_id not in gone
    )


def _keys(computer: Computer, space: str) -> Mapping[str, set[str]]:
    """Return the keys of the registers of each memory."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    with computer.memory.store.documents() as (db, documents):
        for row in log.shards_of(db, computer.memory.store.space(space)):
            live = documents.current(db, row).live
            for memory_id in live.ids():
                found[memory_id] |= live.registers(memory_id).keys()
    return found


def _vectors(computer: Computer, space: str) -> dict[int, StateVector]:
    store = computer.memory.store
    with store.reading() as db:
        return {row.number: log.state_vector_of(row) for row in log.shards_of(db, store.space(space))}


def _registers(computer: Computer, space: str) -> list[Any]:
    with computer.memory.store.documents() as (db, documents):
        number = computer.memory.store.space(space)
        found = []
        for row in log.shards_of(db, number):
            live = documents.current(db, row).live
            found += [(row.number, each, canonical(live.registers(each))) for each in sorted(live.ids())]
        return found


def _views(computer: Computer, space: str) -> list[Any]:
    with computer.memory.store.reading() as db:
        return [row for rows in dump(db) for row in rows if row[0] == space]


def _answers(computer: Computer) -> list[Any]:
    return [
        (query, [(hit.memory.id, round(hit.score, 9)) for hit in computer.memory.search(query, limit=50)])
        for query in QUERIES
    ]


_COMPARED = (("documents", _registers), ("views", _views), ("digests", _digest))

_TEXTS: Final = """
SELECT m.id, r.text FROM revisions r JOIN memories m USING(memory)
UNION SELECT id, text FROM memories"""


def _first(ours: Any, theirs: Any) -> str:
    if isinstance(ours, list):
        return str(next(((a, b) for a, b in zip(ours, theirs, strict=False) if a != b), (len(ours), len(theirs))))
    return f"{ours} {theirs}"


def _name(computer: Computer) -> str:
    return computer.name
