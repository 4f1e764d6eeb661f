"""Seeded schedules of work with a real Memory on a failing disk. Acknowledged writes must survive."""

from __future__ import annotations

import random
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeVar

from memcrdt.errors import MemcrdtError
from memcrdt.memory.memory import Memory
from memcrdt.store.files import FILE
from memcrdt.store.store import in_file
from memcrdt.testing.faults import Disk, Fault, FaultKind, FaultyVfs, Operation, unheard
from tests.campaigns.expected import Expected, LostError, open_memory, texts_of

_STEPS: Final = 8
# Approximate numbers of operations in a schedule. Half of the faults count operations of any kind, and half of
# one kind, because nearly all operations are writes.
_ANY: Final = 160
_OF_A_SORT: Final[dict[Operation, int]] = {"write": 120, "sync": 12, "open": 12, "truncate": 2, "delete": 2}
_VFS: Final = FaultyVfs("memcrdt-faulty", Disk())
_KINDS: Final[tuple[FaultKind, ...]] = ("error", "full", "cut")
_MEMORY_DISK: Final = Path("/dev/shm")  # on Linux; a folder on a disk takes three times as long

T = TypeVar("T")


def run(seeds: Iterable[int]) -> Counter[str]:
    """Run a schedule for each seed.

    Returns:
        The number of schedules by kind of fault. Schedules that ended before their fault count as "none".

    Raises:
        LostError: A promise was broken. The first broken promise ends the run.
    """
    memory_disk = _MEMORY_DISK if _MEMORY_DISK.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="memcrdt-powerloss-", dir=memory_disk) as folder:
        root = Path(folder)
        open_memory(root / "empty").close()
        counted: Counter[str] = Counter()
        for seed in seeds:
            with _folders(root) as (home, left), unheard():
                shutil.copy(root / "empty" / FILE, home / FILE)
                counted[_Schedule(seed, home).run(left)] += 1
    return counted


class _Schedule:
    """One seeded run in the folder `home`, which contains an empty store."""

    def __init__(self, seed: int, home: Path) -> None:
        self._name = f"schedule {seed}"
        self._rng = random.Random(seed)
        self._home = home
        self._disk = _VFS.disk = Disk()
        self._expected = Expected()
        self._memory: Memory | None = None

    def run(self, left: Path) -> str:
        kind = self._rng.choice(_KINDS)
        fault = self._disk.fault = self._fault(kind)
        steps = (self._add, self._add, self._add_many, self._edit, self._tag, self._forget, self._compact, self._reopen)
        for number in range(_STEPS):
            self._step(self._rng.choice(steps), f"text {number}")
        self._disk.fault = None
        self._disk.after_power_cut(left, self._rng)
        self._close()
        self._check_disk(left)
        return kind if self._disk.done >= fault.at else "none"

    def _fault(self, kind: FaultKind) -> Fault:
        lasting = self._rng.choice((1, 2, 5, 1_000))
        if self._rng.random() < 0.5:
            return Fault(kind, self._rng.randint(1, _ANY), lasting=lasting)
        sort, count = self._rng.choice(list(_OF_A_SORT.items()))
        return Fault(kind, self._rng.randint(1, count), frozenset({sort}), lasting)

    def _step(self, step: Callable[[Memory, str], None], text: str) -> None:
        memory = self._memory = self._memory or self._try(lambda: open_memory(self._home, _VFS.name))
        if memory is None:
            return
        step(memory, text)
        if self._memory is not None and (found := self._try(lambda: texts_of(memory))) is not None:
            self._expected.check(found, f"{self._name}, in the process after {text}")
            self._expected.show(found)

    def _check_disk(self, left: Path) -> None:
        with open_memory(left) as memory:
            self._expected.check(texts_of(memory), f"{self._name}, after the power cut")
            with in_file(memory.store).reading() as db:
                if (found := db.pragma("integrity_check")) != "ok":
                    raise LostError(f"{self._name}: the file is damaged: {found}")
            memory.add("it can be written again")

    def _try(self, work: Callable[[], T]) -> T | None:
        try:
            return work()
        except MemcrdtError:
            return None

    def _add(self, memory: Memory, text: str) -> None:
        self._expected.begin(None, text)
        if added := self._try(lambda: memory.add(text, tags=["a tag"])):
            self._expected.acknowledge(added, text)

    def _add_many(self, memory: Memory, text: str) -> None:
        texts = [f"{text}, {part}" for part in range(3)]
        for each in texts:
            self._expected.begin(None, each)
        for memory_id, each in zip(self._try(lambda: memory.add_many(texts)) or (), texts, strict=False):
            self._expected.acknowledge(memory_id, each)

    def _edit(self, memory: Memory, text: str) -> None:
        self._change(text, lambda target: memory.update(target, text=text))

    def _forget(self, memory: Memory, _: str) -> None:
        self._change(None, memory.forget)

    def _change(self, text: str | None, change: Callable[[str], object]) -> None:
        if target := self._target():
            self._expected.begin(target, text)
            if self._try(lambda: change(target)) is not None:
                self._expected.acknowledge(target, text)

    def _tag(self, memory: Memory, text: str) -> None:
        if target := self._target():
            self._try(lambda: memory.update(target, add_tags=[text]))

    def _compact(self, memory: Memory, _: str) -> None:
        self._try(memory.compact)

    def _reopen(self, _memory: Memory, _: str) -> None:
        self._close()

    def _target(self) -> str | None:
        alive = sorted(memory_id for memory_id, text in self._expected.shown.items() if text is not None)
        return self._rng.choice(alive) if alive else None

    def _close(self) -> None:
        if self._memory is not None:
            self._memory.close()
        self._memory = None


@contextmanager
def _folders(root: Path) -> Iterator[tuple[Path, Path]]:
    folders = root / "home", root / "left"
    for folder in folders:
        folder.mkdir()
    yield folders
    for folder in folders:
        shutil.rmtree(folder)
