"""Seeded lives of a few computers: work, and all that goes wrong between them; then peace, in which all is checked."""

from __future__ import annotations

import tempfile
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Final

from memcrdt.errors import MemcrdtError
from memcrdt.model.statements import STATEMENTS
from memcrdt.store.meta import PERSONAL
from memcrdt.testing import disk_rot, failures, membership_lives, work
from memcrdt.testing.computer import Computer
from memcrdt.testing.expected import LostError
from memcrdt.testing.simulator import Weather
from memcrdt.testing.state import TAMPERED_WORD, Life

STEPS: Final = 45
PEACE_S: Final = 30.0  # between two looks whether all agree, after everything is mended
PATIENCE: Final = 20  # such looks
_BROUGHT: Final = 3  # after so many all is there that anybody has
_MEMORY_DISK: Final = Path("/dev/shm")  # on Linux; elsewhere it takes longer
_COMPLAINTS: Final = ("refused", "protocol", "failed")
# Two spaces have become one, and what was on its way fails; a direction is cut, and the greeting does not come.
_HARMLESS: Final = ("is not here any more", "no greeting came")
_CALM: Final = Weather(latency_s=0.005, jitter_s=0.01)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a seed: `error` is empty when all promises were kept, `trace` a digest of all that happened, and
    `counts` says how often what was done."""

    seed: int
    error: str
    trace: str
    seconds: float  # of virtual time
    frames: int
    counts: Counter[str]


def play(seed: int, *, rot: bool = False) -> Outcome:
    """Plays one seed. The same seed gives the same outcome. `rot`: disks change what was written, too."""
    with _folder() as folder:
        life = Life(seed, folder, rot=rot)
        error = ""
        try:
            _play(life)
        except LostError as exc:
            error = str(exc)
        except Exception as exc:  # noqa: BLE001 - of whatever kind: a computer would have stopped there
            error = f"{type(exc).__name__}: {exc} at {traceback.extract_tb(exc.__traceback__)[-1]}"
        finally:
            _end(life)
        return Outcome(seed, error, life.sim.trace, life.sim.now, life.sim.frames, life.counts)


def run(seeds: Iterable[int], *, rot: bool = False) -> list[Outcome]:
    """Plays one seed after another."""
    return [play(seed, rot=rot) for seed in seeds]


def _play(life: Life) -> None:
    membership_lives.set_up(life)
    life.sim.weather = _weather(life.rng)
    for _ in range(STEPS):
        life.sim.run(life.rng.expovariate(1.0) if life.rng.random() < 0.8 else 0.0)
        _look_at_confirmations(life)
        _step(life)
        disk_rot.spoil(life)
    if life.rng.random() < 0.5:
        _play_epilogue(life)
    _make_peace(life)
    life.promises.check(life.computers)
    if life.outcast is not None:
        _look_for_traces(life, life.outcast)
    _check_strangers(life)


def _end(life: Life) -> None:
    """Frees all files."""
    for computer in life.everyone:
        if computer.on:
            with suppress(MemcrdtError):
                computer.stop()


def _weather(rng: Random) -> Weather:
    return Weather(
        latency_s=rng.choice((0.0, 0.02, 0.2)),
        jitter_s=rng.choice((0.0, 0.05, 0.5)),
        loss=rng.choice((0.0, 0.02, 0.2)),
        cut=rng.choice((0.0, 0.01, 0.05)),
        half_open=rng.choice((0.0, 0.1)),
        store_s=rng.choice((0.0, 0.01, 0.1)),
    )


def _step(life: Life) -> None:
    """One thing happens, to one computer or to all."""
    (action,) = life.rng.choices(list(_ACTIONS), list(_ACTIONS.values()))
    at_work = [computer for computer in life.computers if computer.on]
    if action in _OF_ALL or not at_work:
        _OF_ALL.get(action, failures.boot)(life)
        life.counts[action] += 1
        return
    computer = life.rng.choice(at_work)
    if action in _WRITES and not life.parts[computer.id][PERSONAL]:
        work.be_refused(life, computer)
    else:
        disk_rot.attempt(life, computer, _OF_ONE[action])
        life.counts[action] += 1
    if computer.on and computer in life.computers:
        life.promises.look(computer)


def _look_at_confirmations(life: Life) -> None:
    life.counts["forgetting confirmed by another device"] += life.promises.look_at_confirmations(life.computers)


def _play_epilogue(life: Life) -> None:
    """Little happens after a rest, so that no other change carries along what is done."""
    life.sim.mend()
    failures.boot(life)
    life.sim.run(PEACE_S)
    computer = life.rng.choice(life.writers())
    work.take_stock(life, computer)
    failures.part(life)
    for act in life.rng.choices(_LAST_ACTS, k=life.rng.choice((1, 2))):
        disk_rot.attempt(life, computer, act)


def _make_peace(life: Life) -> None:
    """Everything is mended. Raises LostError when the computers do not come to hold the same."""
    life.sim.weather = _CALM
    life.sim.mend()
    failures.boot(life)
    membership_lives.reunite(life)
    for rest in range(PATIENCE):
        if rest == _BROUGHT:
            disk_rot.give_up(life)
        for computer in life.computers:
            computer.sync_now()
        life.sim.run(PEACE_S)
        _look_at_confirmations(life)
        if (rest >= _BROUGHT or not life.spoiled) and life.promises.agree(life.computers) and _know_of_outcast(life):
            _check_reports(life)
            return
    raise LostError(f"the computers do not come to agree within {PATIENCE * PEACE_S:.0f} s")


def _know_of_outcast(life: Life) -> bool:
    """Whether nobody accepts the one who was revoked any more. Where nobody has heard of that, it was lost with the
    store of whoever did it."""
    outcast = life.outcast
    if outcast is None or not any(computer.has_cast_out(outcast) for computer in life.computers):
        life.outcast = None
        return True
    return all(each.has_cast_out(outcast) or not each.peers.is_accepted(outcast.id) for each in life.computers)


def _check_reports(life: Life) -> None:
    """Nobody who keeps to the rules was found to break them."""
    strangers = {computer.id for computer in life.strangers}
    names = {computer.id: computer.name for computer in life.everyone}
    expected = (*_HARMLESS, disk_rot.TOLD) if life.spoiled else _HARMLESS
    for computer in life.computers:
        for report in computer.node.reports:
            harmless = any(text in report.text for text in expected)
            if report.kind in _COMPLAINTS and not harmless and report.peer not in strangers:
                about = names.get(report.peer, "itself")
                raise LostError(f"{computer.name} reports of {about}: {report.kind}: {report.text}")


def _look_for_traces(life: Life, outcast: Computer) -> None:
    """What a revoked computer writes is nowhere else, and it gets nothing of what the others write."""
    theirs, ours = life.text(), life.text()
    outcast.memory.add(theirs)
    outcast.committed()
    writer = life.rng.choice(life.writers())
    writer.memory.add(ours)
    writer.committed()
    for computer in life.everyone:
        computer.sync_now()
    life.sim.run(PEACE_S)
    for computer in life.computers:
        if theirs.encode() in b"".join(computer.files().values()):
            raise LostError(f"{computer.name} has what {outcast.name} wrote after it was revoked")
    if ours.encode() in b"".join(outcast.files().values()):
        raise LostError(f"{outcast.name} was revoked and has got what {writer.name} wrote")
    links = [{end.node.id for end in link.ends} for link in life.sim.links.values() if link.up]
    if any(outcast.id in ends and ends & life.parts.keys() - {outcast.id} for ends in links):
        raise LostError(f"somebody is connected to {outcast.name}, which was revoked")
    life.counts["revocation everywhere"] += 1


def _check_strangers(life: Life) -> None:
    """What came from those who don't keep to the rules has changed nothing and filled nothing."""
    for computer in life.computers:
        if TAMPERED_WORD.encode() in b"".join(computer.files().values()):
            raise LostError(f"{computer.name} has what a member wrote that may only read")
        with computer.memory.store.reading() as db:
            most = db.execute("SELECT ifnull(max(n), 0) FROM (SELECT count(*) n FROM members GROUP BY space)").get
        if most > STATEMENTS:
            raise LostError(f"{computer.name} keeps {most} statements of members")


_Act = Callable[[Life, Computer], None]

_OF_ONE: Final[Mapping[str, _Act]] = {
    "write": work.write,
    "write local": work.write_local,
    "write keyed": work.write_keyed,
    "update": work.update,
    "tag": work.tag,
    "forget": work.forget,
    "import": work.import_,
    "fail": work.fail,
    "compact": work.compact,
    "stock edit": work.stock_edit,
    "crash": failures.crash,
    "stop": failures.stop,
    "back up": failures.back_up,
    "restore": failures.restore,
    "clone": failures.clone,
    "invite": membership_lives.invite,
    "revoke": membership_lives.revoke,
}

_OF_ALL: Final[Mapping[str, Callable[[Life], None]]] = {
    "cut": failures.cut,
    "part": failures.part,
    "mend": failures.mend,
    "boot": failures.boot,
    "lose power": failures.lose_power,
    "haunt": membership_lives.haunt,
}

#: How often, compared with each other.
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
    "invite": 3,
    "revoke": 4,
    "cut": 5,
    "part": 6,
    "mend": 4,
    "boot": 6,
    "lose power": 3,
    "haunt": 3,
}
_WRITES: Final = frozenset(
    {"write", "write keyed", "update", "tag", "forget", "import", "fail", "stock edit", "invite", "revoke"}
)
_LAST_ACTS: Final[tuple[_Act, ...]] = (work.stock_edit, work.stock_edit, work.tag, work.forget, work.import_)


@contextmanager
def _folder() -> Iterator[Path]:
    place = _MEMORY_DISK if _MEMORY_DISK.is_dir() else None
    with tempfile.TemporaryDirectory(prefix="memcrdt-sim-", dir=place) as folder:
        yield Path(folder)
