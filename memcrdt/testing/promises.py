"""What a simulated run has been promised by its stores, and whether it was kept."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from memcrdt.store import digests, log
from memcrdt.sync.messages import Diff, Push
from memcrdt.sync.wire import decode
from memcrdt.testing.computer import Computer
from memcrdt.testing.devices import dump
from memcrdt.testing.expected import LostError

QUERIES: Final = ("amber basalt", "cedar", "delta ember fjord", "granite harbor")


@dataclass(slots=True)
class _Promise:
    """Made by `by` (a device id) at virtual time `at`. `void`: its store was restored to what it was before."""

    by: str
    at: float
    void: bool = False


@dataclass(slots=True)
class Promises:
    """What was acknowledged: texts of memories, and that memories are forgotten."""

    _texts: dict[str, dict[str, _Promise]] = field(default_factory=dict)
    _ends: dict[str, _Promise] = field(default_factory=dict)
    _local: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))  # by device: what has to be there
    _local_once: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))  # and what may be
    _graves: dict[str, set[str]] = field(default_factory=dict)

    def wrote(self, computer: Computer, memory_id: str, text: str) -> None:
        """The memory has got that text."""
        self._texts.setdefault(memory_id, {}).setdefault(text, _Promise(computer.id, computer.sim.now))

    def kept_local(self, computer: Computer, memory_id: str) -> None:
        """A memory stands in the space `local`."""
        self._local[computer.id].add(memory_id)
        self._local_once[computer.id].add(memory_id)

    def forgot(self, computer: Computer, memory_id: str) -> None:
        """The memory is forgotten."""
        self._ends[memory_id] = _Promise(computer.id, computer.sim.now)

    def doubtful(self, memory_id: str) -> None:
        """The memory may be forgotten: somebody has deleted it without being promised anything."""
        self._ends.setdefault(memory_id, _Promise("", 0.0, void=True))

    def restored(self, computer: Computer, since: float) -> None:
        """What the computer was told since then is void, unless others know it."""
        for promise in self._all():
            if promise.by == computer.id and promise.at >= since:
                promise.void = True
        self._local[computer.id].clear()
        self._graves.pop(computer.id, None)

    def copied(self, computer: Computer, clone: Computer) -> None:
        """All that stands in the one stands in the other."""
        self._local[clone.id] |= self._local[computer.id]
        self._local_once[clone.id] |= self._local_once[computer.id]

    def look(self, computer: Computer) -> None:
        """Checks that nothing which the computer knows to be forgotten is there again."""
        with computer.memory.store.reading() as db:
            living = {str(row[0]) for row in db.execute("SELECT id FROM memories")}
            graves = {str(row[0]) for row in db.execute("SELECT id FROM graves")}
        seen = self._graves.setdefault(computer.id, set())
        if back := (seen | graves) & living:
            raise LostError(f"{_name(computer)}: {sorted(back)} was forgotten and is there again")
        seen |= graves

    def check(self, computers: Sequence[Computer]) -> None:
        """Checks everything, of computers that have exchanged all that they have."""
        for computer in computers:
            self.look(computer)
            self._check_texts(computer)
            self._check_local(computer)
        for other in computers[1:]:
            _compare(computers[0], other)
        for computer in computers:
            self._check_bytes(computer)

    def _all(self) -> list[_Promise]:
        return [promise for texts in self._texts.values() for promise in texts.values()] + list(self._ends.values())

    def _check_texts(self, computer: Computer) -> None:
        with computer.memory.store.reading() as db:
            found: dict[str, set[str]] = {}
            for memory_id, text in db.execute(_TEXTS):
                found.setdefault(str(memory_id), set()).add(str(text))
        for memory_id, texts in self._texts.items():
            end = self._ends.get(memory_id)
            if end is not None:
                if not end.void and memory_id in found:
                    raise LostError(f"{_name(computer)}: {memory_id} was forgotten and is there")
                continue
            kept = {text for text, promise in texts.items() if not promise.void}
            if lost := kept - found.get(memory_id, set()):
                raise LostError(f"{_name(computer)}: {memory_id} has lost {sorted(lost)}")

    def _check_local(self, computer: Computer) -> None:
        """What is local is where it was written, and only there. It goes then: search weighs words by all there is."""
        with computer.memory.store.reading() as db:
            sql = "SELECT m.id FROM memories m JOIN spaces s USING(space) WHERE s.name = 'local'"
            found = {str(row[0]) for row in db.execute(sql)}
        expected = self._local[computer.id]
        if not expected <= found <= self._local_once[computer.id]:
            raise LostError(f"{_name(computer)}: `local` holds {sorted(found)} and not {sorted(expected)}")
        for memory_id in sorted(found):
            computer.memory.forget(memory_id)

    def _check_bytes(self, computer: Computer) -> None:
        """No text of what is forgotten is in any file of the store."""
        content = b"".join(computer.files().values())
        with computer.memory.store.reading() as db:
            graves = {str(row[0]) for row in db.execute("SELECT id FROM graves")}
        for memory_id in graves & self._texts.keys():
            for text in self._texts[memory_id]:
                if text.encode() in content:
                    raise LostError(f"{_name(computer)}: {text!r} of {memory_id} was forgotten and is in the file")


class Wiretap:
    """Looks at all that leaves a computer."""

    def __init__(self, secret: bytes) -> None:
        """`secret` stands in everything that is local."""
        self._secret = secret
        self._computers: dict[str, Computer] = {}

    def on(self, computer: Computer) -> None:
        """Watches this computer, too."""
        self._computers[computer.id] = computer

    def look(self, source: str, frame: bytes) -> None:
        """Raises LostError when a frame tells what is local, or what is not durable."""
        if source not in self._computers:
            return
        if self._secret in frame:
            raise LostError(f"{source[0]}: something local was sent")
        message = decode(frame)
        if isinstance(message, Push | Diff) and message.update:
            self._check_durable(self._computers[source], message)

    def _check_durable(self, computer: Computer, message: Push | Diff) -> None:
        durable = computer.durable_vector(message.space, message.shard)
        if durable is not None and any(durable.get(client, 0) < clock for client, clock in message.after.items()):
            raise LostError(f"{_name(computer)}: an update of shard {message.shard} was sent before it was durable")


def agree(computers: Sequence[Computer]) -> bool:
    """Whether all hold the same, as far as digests say."""
    return len({_digest(computer) for computer in computers}) == 1


def _compare(one: Computer, other: Computer) -> None:
    for what, of in _COMPARED:
        ours, theirs = of(one), of(other)
        if ours != theirs:
            raise LostError(f"{_name(one)} and {_name(other)} differ in their {what}: {_first(ours, theirs)}")


def _digest(computer: Computer) -> str:
    store = computer.memory.store
    return computer.space + digests.whole(digests.of_space(store, store.space("personal")))


def _registers(computer: Computer) -> list[Any]:
    with computer.memory.store.documents() as (db, documents):
        space = computer.memory.store.space("personal")
        found = []
        for row in log.shards_of(db, space):
            live = documents.current(db, row).live
            found += [(row.number, i, sorted(live.registers(i).items(), key=str)) for i in sorted(live.ids())]
        return found


def _views(computer: Computer) -> list[Any]:
    with computer.memory.store.reading() as db:
        return [row for rows in dump(db) for row in rows if row[0] != "local"]


def _answers(computer: Computer) -> list[Any]:
    return [
        (query, [(hit.memory.id, round(hit.score, 9)) for hit in computer.memory.search(query, limit=50)])
        for query in QUERIES
    ]


_COMPARED = (("documents", _registers), ("views", _views), ("search", _answers), ("digests", _digest))

_TEXTS: Final = """
SELECT m.id, r.text FROM revisions r JOIN memories m USING(memory)
UNION SELECT id, text FROM memories"""


def _first(ours: Any, theirs: Any) -> str:
    if isinstance(ours, list):
        return str(next(((a, b) for a, b in zip(ours, theirs, strict=False) if a != b), (len(ours), len(theirs))))
    return f"{ours} {theirs}"


def _name(computer: Computer) -> str:
    return computer.id[0]
