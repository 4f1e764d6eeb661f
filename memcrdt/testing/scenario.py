"""Seeded lives of a few computers: work, and all that goes wrong between them; then peace, in which all is checked."""

from __future__ import annotations

import tempfile
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Final

from memcrdt.crdt.shard import Shard
from memcrdt.errors import MemcrdtError, StoreError
from memcrdt.model.registers import DELETED, REVISION, Writes, split
from memcrdt.model.requests import check_add
from memcrdt.store import compaction
from memcrdt.store.importing import Importing
from memcrdt.testing.computer import Computer, Files, Site
from memcrdt.testing.expected import LostError
from memcrdt.testing.hostile import HostileComputer
from memcrdt.testing.promises import Promises, Wiretap, agree
from memcrdt.testing.simulator import Node, Simulator, Weather

STEPS: Final = 45
PEACE_S: Final = 30.0  # between two looks whether all agree, after everything is mended
PATIENCE: Final = 20  # such looks
_SECRET: Final = "only-here"
_WORDS: Final = ("amber", "basalt", "cedar", "delta", "ember", "fjord", "granite", "harbor", "iris", "juniper")
_SHARED_ITEMS: Final = 12
_DAY_MS: Final = 86_400_000
_MEMORY_DISK: Final = Path("/dev/shm")  # on Linux; elsewhere it takes longer
_COMPLAINTS: Final = ("refused", "protocol", "failed")
# Two spaces have become one, and what was on its way fails; a direction is cut, and the greeting does not come.
_HARMLESS: Final = ("is not here any more", "no greeting came")
_CALM: Final = Weather(latency_s=0.005, jitter_s=0.01)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a seed: `error` is empty when all promises were kept, `trace` a digest of all that happened."""

    seed: int
    error: str
    trace: str
    seconds: float  # of virtual time
    frames: int


def play(seed: int) -> Outcome:
    """Plays one seed. The same seed gives the same outcome."""
    with _folder() as folder:
        scenario = Scenario(seed, folder)
        error = ""
        try:
            scenario.play()
        except LostError as exc:
            error = str(exc)
        except Exception as exc:  # noqa: BLE001 - of whatever kind: a computer would have stopped there
            error = f"{type(exc).__name__}: {exc} at {traceback.extract_tb(exc.__traceback__)[-1]}"
        finally:
            with suppress(MemcrdtError):
                scenario.end()
        sim = scenario.sim
        return Outcome(seed, error, sim.trace, sim.now, sim.frames)


def run(seeds: Iterable[int]) -> list[Outcome]:
    """Plays one seed after another."""
    return [play(seed) for seed in seeds]


class Scenario:
    """One seeded run. Its computers have their homes in `folder`."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.rng = Random(seed)
        self.sim = Simulator(seed)
        self.promises = Promises()
        self.computers: list[Computer] = []
        self.hostile: HostileComputer | None = None
        self._site = Site(self.sim, folder)
        self._wiretap = Wiretap(_SECRET.encode())
        self._backups: dict[str, tuple[float, Files]] = {}
        self._stock: tuple[Shard, str] | None = None
        self._texts = 0
        self.sim.watch = self._watch

    def play(self) -> None:
        """Everything. Raises LostError."""
        self._set_up()
        for _ in range(STEPS):
            self.sim.run(self.rng.expovariate(1.0) if self.rng.random() < 0.8 else 0.0)
            self._step()
        if self.rng.random() < 0.5:
            self._play_epilogue()
        self._make_peace()
        self.promises.check(self.computers)

    def end(self) -> None:
        """Frees all files."""
        for computer in [*self.computers, *([self.hostile] if self.hostile else [])]:
            if computer.on:
                computer.stop()

    # --- the course of it ---------------------------------------------------------------------------------------------

    def _set_up(self) -> None:
        rng = self.rng
        for name in "ABCD"[: rng.choice((2, 3, 3, 4))]:
            self._add(Computer(self._site, name, skew_ms=rng.choice((0, 0, -3, 5)) * _DAY_MS))
        everyone: list[Computer] = list(self.computers)
        if rng.random() < 0.15:
            self.hostile = HostileComputer(self._site, "X")
            everyone.append(self.hostile)
        for computer in everyone:
            computer.boot()
            computer.meet(other for other in everyone if other is not computer)
        self.sim.weather = Weather(
            latency_s=rng.choice((0.0, 0.02, 0.2)),
            jitter_s=rng.choice((0.0, 0.05, 0.5)),
            loss=rng.choice((0.0, 0.02, 0.2)),
            cut=rng.choice((0.0, 0.01, 0.05)),
            half_open=rng.choice((0.0, 0.1)),
            store_s=rng.choice((0.0, 0.01, 0.1)),
        )

    def _add(self, computer: Computer) -> None:
        self.computers.append(computer)
        self._wiretap.on(computer)

    def _step(self) -> None:
        actions, weights = zip(*_ACTIONS.items(), strict=True)
        (action,) = self.rng.choices(actions, weights)
        at_work = [computer for computer in self.computers if computer.on]
        if action in _OF_ALL or not at_work:
            _OF_ALL.get(action, Scenario._boot)(self)
        else:
            computer = self.rng.choice(at_work)
            _OF_ONE[action](self, computer)
            if computer.on:
                self.promises.look(computer)

    def _play_epilogue(self) -> None:
        """Little happens after a rest, so that no other change carries along what is done."""
        self.sim.mend()
        self._boot()
        self.sim.run(PEACE_S)
        computer = self.rng.choice(self.computers)
        self._take_stock(computer)
        self._part()
        acts = (Scenario._stock_edit, Scenario._stock_edit, Scenario._tag, Scenario._forget, Scenario._import)
        for act in self.rng.choices(acts, k=self.rng.choice((1, 2))):
            act(self, computer)

    def _make_peace(self) -> None:
        self.sim.weather = _CALM
        self.sim.mend()
        self._boot()
        for _ in range(PATIENCE):
            for computer in self.computers:
                computer.sync_now()
            self.sim.run(PEACE_S)
            if agree(self.computers):
                self._check_reports()
                return
        raise LostError(f"the computers do not come to agree within {PATIENCE * PEACE_S:.0f} s")

    def _check_reports(self) -> None:
        """Nobody who is honest was found to break the rules."""
        for computer in self.computers:
            for report in computer.node.reports:
                harmless = any(text in report.text for text in _HARMLESS)
                if report.kind in _COMPLAINTS and not harmless and not self._is_hostile(report.peer):
                    raise LostError(f"{computer.id[0]} reports of {report.peer[:1]}: {report.kind}: {report.text}")

    def _is_hostile(self, device: str) -> bool:
        return self.hostile is not None and device == self.hostile.id

    def _watch(self, source: Node, target: Node, frame: bytes) -> None:
        self._wiretap.look(source.id, frame)

    # --- work ---------------------------------------------------------------------------------------------------------

    def _text(self) -> str:
        self._texts += 1
        return f"{' '.join(self.rng.sample(_WORDS, 4))} zq{self._texts}q"

    def _write(self, computer: Computer) -> None:
        for _ in range(self.rng.choice((1, 1, 1, 3))):
            text = self._text()
            self.promises.wrote(computer, computer.memory.add(text, tags=["new"]), text)
        computer.committed()

    def _write_local(self, computer: Computer) -> None:
        self.promises.kept_local(computer, computer.memory.add(f"{_SECRET} {self._text()}", space="local"))
        computer.committed()

    def _write_keyed(self, computer: Computer) -> None:
        text = self._text()
        self.promises.wrote(computer, computer.memory.add(text, key=f"key {self.rng.randrange(3)}"), text)
        computer.committed()

    def _update(self, computer: Computer) -> None:
        if memory_id := self._some(computer):
            text = self._text()
            computer.memory.update(memory_id, text=text, add_tags=[self.rng.choice(_WORDS)])
            self.promises.wrote(computer, memory_id, text)
            computer.committed()

    def _tag(self, computer: Computer) -> None:
        if memory_id := self._some(computer):
            change = self.rng.choice(
                ({"add_tags": ["new"]}, {"remove_tags": ["new"]}, {"metadata": {"n": self._texts}})
            )
            computer.memory.update(memory_id, **change)
            computer.committed()

    def _forget(self, computer: Computer) -> None:
        if memory_id := self._some(computer):
            computer.memory.forget(memory_id)
            self.promises.forgot(computer, memory_id)
            computer.committed()

    def _fail(self, computer: Computer) -> None:
        """The disk fails in the moment of the commit: nothing is acknowledged, and nothing may have gone out."""
        with computer.failing_disk(), suppress(StoreError):
            computer.memory.add(self._text())
        computer.committed()

    def _import(self, computer: Computer) -> None:
        """Items of one file, which all the others have too."""
        texts = [f"item {n} of the shared file zi{n}q" for n in self.rng.sample(range(_SHARED_ITEMS), 4)]
        plan = Importing(again=False)
        computer.memory.store.commit(partial(plan.plan, [check_add(text, {}) for text in texts]))
        for record in computer.memory.list(limit=1_000).items:
            if record.text in texts:
                self.promises.wrote(computer, record.id, record.text)
        computer.committed()

    def _compact(self, computer: Computer) -> None:
        compaction.compact(computer.memory.store)
        computer.committed()

    def _stock_edit(self, computer: Computer) -> None:
        """A stock Yjs client works on a copy that it has taken before, perhaps elsewhere, and takes a new one."""
        if self._stock is not None:
            shard, space = self._stock
            writes = self._stock_writes(shard)
            if writes and space == computer.space:
                update = shard.write(writes).update
                if update:
                    computer.replica.apply(space, 0, update, "stock")
                    computer.committed()
        self._take_stock(computer)

    def _take_stock(self, computer: Computer) -> None:
        space = computer.space
        copy = Shard.load(self.rng.randrange(1, 1 << 32), [computer.replica.diff(space, 0, {}).update])
        self._stock = copy, space

    def _stock_writes(self, shard: Shard) -> Writes:
        ids = sorted(shard.ids())
        if not ids:
            return {}
        memory_id = self.rng.choice(ids)
        keys = sorted(shard.registers(memory_id))
        key = keys[-1] if self.rng.random() < 0.5 else self.rng.choice(keys)
        parts = split(key)
        if parts is not None and parts.field in ("", REVISION):
            self.promises.doubtful(memory_id)
        return {key: DELETED}

    def _some(self, computer: Computer) -> str | None:
        found = [record.id for record in computer.memory.list(limit=1_000, space="personal").items]
        return self.rng.choice(sorted(found)) if found else None

    # --- what goes wrong ----------------------------------------------------------------------------------------------

    def _cut(self) -> None:
        up = [link.number for link in self.sim.links.values() if link.up]
        for number in up if self.rng.random() < 0.3 else up[:1]:
            self.sim.cut(number)

    def _part(self) -> None:
        ids = [computer.id for computer in self.computers]
        some = self.rng.sample(ids, self.rng.randrange(1, len(ids)))
        others = [device for device in ids if device not in some]
        self.sim.block(some, others)
        if self.rng.random() < 0.6:
            self.sim.block(others, some)

    def _mend(self) -> None:
        self.sim.mend()

    def _boot(self) -> None:
        for computer in self.computers:
            if not computer.on:
                computer.boot()

    def _crash(self, computer: Computer) -> None:
        computer.crash()
        if self.rng.random() < 0.6:
            computer.start()

    def _stop(self, computer: Computer) -> None:
        computer.stop()

    def _back_up(self, computer: Computer) -> None:
        self._backups[computer.id] = self.sim.now, computer.files()

    def _restore(self, computer: Computer) -> None:
        if computer.id in self._backups:
            since, files = self._backups[computer.id]
            computer.stop()
            computer.put(files)
            self.promises.restored(computer, since)
            computer.start()
            if self.rng.random() < 0.5:
                self._write(computer)  # before anybody can say what is missing

    def _clone(self, computer: Computer) -> None:
        if len(self.computers) < 5:
            computer.stop()
            clone = Computer(self._site, "EFGHIJ"[len(self.computers)])
            computer.copy_to(clone)
            self.promises.copied(computer, clone)
            computer.start()
            clone.boot()
            everyone = [*self.computers, *([self.hostile] if self.hostile else [])]
            self._add(clone)
            clone.meet(everyone)
            for other in everyone:
                other.meet([clone])


_OF_ONE: Final[Mapping[str, Callable[[Scenario, Computer], None]]] = {
    "write": Scenario._write,
    "write local": Scenario._write_local,
    "write keyed": Scenario._write_keyed,
    "update": Scenario._update,
    "tag": Scenario._tag,
    "forget": Scenario._forget,
    "import": Scenario._import,
    "fail": Scenario._fail,
    "compact": Scenario._compact,
    "stock edit": Scenario._stock_edit,
    "crash": Scenario._crash,
    "stop": Scenario._stop,
    "back up": Scenario._back_up,
    "restore": Scenario._restore,
    "clone": Scenario._clone,
}

_OF_ALL: Final[Mapping[str, Callable[[Scenario], None]]] = {
    "cut": Scenario._cut,
    "part": Scenario._part,
    "mend": Scenario._mend,
    "boot": Scenario._boot,
}

_ACTIONS: Final[Mapping[str, int]] = {
    "write": 24,
    "write local": 2,
    "write keyed": 4,
    "update": 12,
    "tag": 6,
    "forget": 8,
    "import": 5,
    "fail": 3,
    "compact": 3,
    "stock edit": 6,
    "crash": 4,
    "stop": 3,
    "back up": 4,
    "restore": 3,
    "clone": 1,
    "cut": 5,
    "part": 6,
    "mend": 4,
    "boot": 6,
}


@contextmanager
def _folder() -> Iterator[Path]:
    place = _MEMORY_DISK if _MEMORY_DISK.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="memcrdt-sim-", dir=place) as folder:
        yield Path(folder)
