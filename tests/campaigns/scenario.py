"""Seeded runs of a few computers: work with every kind of failure, then a period of peace and a check of everything."""

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

from memcrdt.errors import MemcrdtError, ReadOnlyError
from memcrdt.model.scopes import PERSONAL
from memcrdt.testing.simulator import NetworkConditions
from tests.campaigns import attacks, disk_rot, failures, hazards, membership, work
from tests.campaigns.computer import Computer
from tests.campaigns.expected import LostError
from tests.campaigns.world import TAMPERED_WORD, World

STEPS: Final = 45
PEACE_S: Final = 30.0  # between two checks of whether all agree, after everything is mended
PATIENCE: Final = 20  # the number of such checks
_BROUGHT: Final = 3  # after this number of checks, all data of every computer is everywhere
_MEMORY_DISK: Final = Path("/dev/shm")  # on Linux; a folder on a disk takes longer
_COMPLAINTS: Final = ("refused", "protocol", "failed")
_HARMLESS: Final = ("no greeting came",)  # one direction is cut
_CALM: Final = NetworkConditions(latency_s=0.005, jitter_s=0.01)


@dataclass(frozen=True, slots=True)
class SeedOutcome:
    """The outcome of a seed.

    Attributes:
        seed: The seed.
        error: The broken promise, or an empty string if all were kept.
        trace: A digest of everything that happened.
        seconds: Virtual time.
        frames: Number of frames sent.
        counts: How often each action happened.
    """

    seed: int
    error: str
    trace: str
    seconds: float  # of virtual time
    frames: int
    counts: Counter[str]


def play(seed: int, *, rot: bool = False) -> SeedOutcome:
    """Play one seed. With `rot`, disks also change written data.

    The same seed has the same outcome, unless a hostile computer spoils frames: Yjs writes the fields of a value in an
    order that differs between runs, so a spoiled byte may be in another field.
    """
    with _folder() as folder:
        world = World(seed, folder, rot=rot)
        error = ""
        try:
            with attacks.small_limits(world):
                _play(world)
        except LostError as exc:
            error = str(exc)
        except Exception as exc:  # noqa: BLE001 - any error: a computer would have stopped there
            error = f"{type(exc).__name__}: {exc} at {traceback.extract_tb(exc.__traceback__)[-1]}"
        finally:
            _end(world)
        return SeedOutcome(seed, error, world.sim.trace, world.sim.now, world.sim.frames, world.counts)


def run(seeds: Iterable[int], *, rot: bool = False) -> list[SeedOutcome]:
    """Play one seed after another."""
    return [play(seed, rot=rot) for seed in seeds]


def _play(world: World) -> None:
    membership.set_up(world)
    world.sim.conditions = _conditions(world.rng)
    for _ in range(STEPS):
        world.sim.run(world.rng.expovariate(1.0) if world.rng.random() < 0.8 else 0.0)
        _look_at_confirmations(world)
        _step(world)
        attacks.strike(world)
        hazards.meet_clocks(world)
        disk_rot.spoil(world)
    if world.rng.random() < 0.5:
        _play_epilogue(world)
    _make_peace(world)
    world.promises.check(world.computers)
    attacks.check(world)
    for outcast in (world.outcast, attacks.second_outcast(world)):
        if outcast is not None:
            _look_for_traces(world, outcast)
    _check_strangers(world)


def _end(world: World) -> None:
    """Close all files."""
    for computer in world.everyone:
        if computer.on:
            with suppress(MemcrdtError):
                computer.stop()


def _conditions(rng: Random) -> NetworkConditions:
    return NetworkConditions(
        latency_s=rng.choice((0.0, 0.02, 0.2)),
        jitter_s=rng.choice((0.0, 0.05, 0.5)),
        loss=rng.choice((0.0, 0.02, 0.2)),
        cut=rng.choice((0.0, 0.01, 0.05)),
        half_open=rng.choice((0.0, 0.1)),
        store_s=rng.choice((0.0, 0.01, 0.1)),
    )


def _step(world: World) -> None:
    """Perform one action, on one computer or on all."""
    (action,) = world.rng.choices(list(_ACTIONS), list(_ACTIONS.values()))
    at_work = [computer for computer in world.computers if computer.on]
    if action in _OF_ALL or not at_work:
        _OF_ALL.get(action, failures.boot)(world)
        world.counts[action] += 1
        return
    computer = world.rng.choice(at_work)
    if action in _WRITES and not world.parts[computer.id][PERSONAL]:
        work.be_refused(world, computer)
    elif action in _WRITES and work.may_only_read(computer):
        world.counts["demoted until the statement of the inviter arrives"] += 1  # attacks.check() says whether it did
    else:
        disk_rot.attempt(world, computer, _OF_ONE[action])
        world.counts[action] += 1
    if computer.on and computer in world.computers:
        world.promises.look(computer)


def _look_at_confirmations(world: World) -> None:
    world.counts["forgetting confirmed by another device"] += world.promises.look_at_confirmations(world.computers)


def _play_epilogue(world: World) -> None:
    """Make a few changes after a rest, so that no other change carries them along."""
    world.sim.mend()
    failures.boot(world)
    world.sim.run(PEACE_S)
    computer = world.rng.choice(world.writers())
    work.take_stock(world, computer)
    failures.part(world)
    for act in world.rng.choices(_LAST_ACTS, k=world.rng.choice((1, 2))):
        disk_rot.attempt(world, computer, act)


def _make_peace(world: World) -> None:
    """Mend everything. Raise LostError if the computers do not become equal, or cannot go on after an attack."""
    world.sim.conditions = _CALM
    world.sim.mend()
    failures.boot(world)
    hazards.make_peace(world)
    membership.reunite(world)
    _settle(world, brought=_BROUGHT)
    if world.was_attacked:
        for computer in world.writers():
            for act in (work.write, work.update, work.tag, work.forget):
                disk_rot.attempt(world, computer, act)
        _settle(world)
        world.counts["work after an attack"] += 1
    _check_reports(world)


def _settle(world: World, *, brought: int = 0) -> None:
    """Let the computers sync until they are equal. Raise LostError if they do not become equal.

    After `brought` rests, all data of every computer is everywhere, and spoiled rows that did not come back are lost.
    """
    for rest in range(PATIENCE):
        if rest == brought > 0:
            disk_rot.give_up(world)
        membership.follow_advice(world)
        for computer in world.computers:
            computer.sync_now()
        world.sim.run(PEACE_S)
        _look_at_confirmations(world)
        if (rest >= brought or not world.spoiled) and world.promises.agree(world.computers) and _know_of_outcast(world):
            return
    raise LostError(f"the computers do not agree within {PATIENCE * PEACE_S:.0f} s")


def _know_of_outcast(world: World) -> bool:
    """Return whether no computer shares the space with the revoked computer any more.

    If no computer knows of the revocation, it was lost with the store of its author.
    """
    outcast = world.outcast
    if outcast is None or not any(computer.has_cast_out(outcast) for computer in world.computers):
        world.outcast = None
        return True
    sharing = [each for each in world.computers if outcast.id in membership.shared_with(each, PERSONAL)]
    return all(each.has_cast_out(outcast) for each in sharing)


def _check_reports(world: World) -> None:
    """Raise LostError if a computer reports that an honest computer broke the rules."""
    strangers = {computer.id for computer in world.strangers}
    names = {computer.id: computer.name for computer in world.everyone}
    expected = (*_HARMLESS, disk_rot.TOLD) if world.spoiled else _HARMLESS
    for computer in world.computers:
        for report in computer.node.reports:
            harmless = any(text in report.text for text in expected)
            if report.kind in _COMPLAINTS and not harmless and report.peer not in strangers:
                about = names.get(report.peer, "itself")
                raise LostError(f"{computer.name} reports about {about}: {report.kind}: {report.text}")


def _look_for_traces(world: World, outcast: Computer) -> None:
    """Check that writes of a revoked computer reach no other computer, and that it receives no writes of others."""
    theirs, ours = world.text(), world.text()
    with suppress(ReadOnlyError):  # it has heard that it is no member
        outcast.memory.add(theirs)
    outcast.committed()
    writer = world.rng.choice(world.writers())
    writer.memory.add(ours)
    writer.committed()
    for computer in world.everyone:
        computer.sync_now()
    world.sim.run(PEACE_S)
    for computer in world.computers:
        if theirs.encode() in b"".join(computer.files().values()):
            raise LostError(f"{computer.name} has a write that {outcast.name} made after it was revoked")
    if ours.encode() in b"".join(outcast.files().values()):
        raise LostError(f"{outcast.name} was revoked but has received a write of {writer.name}")
    # A computer that has left the space may never hear of the revocation. It shares nothing with the revoked one then.
    told = {computer.id for computer in world.computers if computer.has_cast_out(outcast)}
    links = [{end.node.id for end in link.ends} for link in world.sim.links.values() if link.up]
    if any(outcast.id in ends and ends & told for ends in links):
        raise LostError(f"a computer is connected to {outcast.name}, which was revoked")
    world.counts["revocation everywhere"] += 1


def _check_strangers(world: World) -> None:
    """Check that misbehaving computers have changed nothing and have not filled the tables of others."""
    for computer in world.computers:
        if TAMPERED_WORD.encode() in b"".join(computer.files().values()):
            raise LostError(f"{computer.name} has a write of a member that may only read")
        with computer.memory.store.reading() as db:
            most = db.execute("SELECT ifnull(max(n), 0) FROM (SELECT count(*) n FROM members GROUP BY space)").get
        if most > world.roll:
            raise LostError(f"{computer.name} keeps {most} statements of members")


_Act = Callable[[World, Computer], None]

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
    "invite": membership.invite,
    "revoke": membership.revoke,
}

_OF_ALL: Final[Mapping[str, Callable[[World], None]]] = {
    "cut": failures.cut,
    "part": failures.part,
    "mend": failures.mend,
    "boot": failures.boot,
    "lose power": failures.lose_power,
    "haunt": membership.haunt,
}

#: Relative frequencies.
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
