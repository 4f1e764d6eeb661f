"""Run the long tests of the project.

python -m tests.campaigns powerloss --schedules 10000
python -m tests.campaigns kill --kills 500
python -m tests.campaigns soak --minutes 10
python -m tests.campaigns sim --seeds 10000
python -m tests.campaigns sim --seed 4711
python -m tests.campaigns sim --seeds 300 --rot
python -m tests.campaigns mutants --seeds 300
python -m tests.campaigns fuzz --updates 1000000
python -m tests.campaigns mirror --lives 100 --steps 1000
python -m tests.campaigns commands --count 10000
python -m tests.campaigns heavy --memories 5000
"""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeVar

from memcrdt.model.limits import MIB
from tests.campaigns import commands, fuzz, heavy, kill, mutants, nonsense, powerloss, scenario, soak
from tests.mirror import life

# The number of items in one chunk, which one process runs as a whole.
_SCHEDULES: Final = 100
_UPDATES: Final = 10_000
_ODD_SHARE: Final = 10  # one update of nonsensical registers for so many mutated updates: it takes 50 times as long
_SEEDS: Final = 10

T = TypeVar("T")
Chunk = TypeVar("Chunk")


def main() -> None:
    """Run the campaign that the arguments name, and print its result.

    A broken promise ends the process with a traceback or with status 1.
    """
    parser = argparse.ArgumentParser(
        prog="python -m tests.campaigns", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    kinds = parser.add_subparsers(required=True)

    def add(run: Callable[[Any], str], help: str, **options: int) -> argparse.ArgumentParser:
        kind = kinds.add_parser(run.__name__.strip("_"), help=help)
        kind.set_defaults(run=run)
        for name, default in options.items():
            kind.add_argument(f"--{name}", type=int, default=default)
        return kind

    add(_powerloss, "seeded schedules of work on a failing disk", schedules=1_000, first=0)
    add(_kill, "writers killed at random moments", kills=50, seed=0)
    of_soak = add(_soak, "three nodes that write, restart and disconnect", seed=0)
    of_soak.add_argument("--minutes", type=float, default=1.0)
    add(
        _fuzz, "mutated updates, and a tenth as many of nonsensical registers in whole stores", updates=100_000, first=0
    )
    of_sim = add(_sim, "seeded runs of a few simulated devices and their network", seeds=300, first=0)
    of_sim.add_argument("--seed", type=int, help="replay this seed only")
    of_sim.add_argument("--jobs", type=int, default=os.cpu_count(), help="number of processes")
    of_sim.add_argument("--rot", action="store_true", help="disks also change written data")
    of_sim.add_argument("--verbose", action="store_true", help="print how often each event happened")
    of_mutants = add(_mutants, "the simulator on deliberately broken builds", seeds=300, first=0)
    of_mutants.add_argument("--jobs", type=int, default=os.cpu_count(), help="number of processes")
    add(_mirror, "seeded lives of two machines that mirror a folder and crash", lives=8, steps=1_000, first=0)
    add(_commands, "commands that each open the home, write and close it", count=1_000)
    add(_heavy, "heavy calls of one process beside everyday calls of another, with the longest waits", memories=2_000)
    given = parser.parse_args()
    start = time.monotonic()
    print(f"{given.run(given)} in {time.monotonic() - start:.0f} s")


def _powerloss(given: argparse.Namespace) -> str:
    counted: Counter[str] = Counter()
    for each in _spread(powerloss.run, _chunks(given.first, given.schedules, _SCHEDULES)):
        counted += each
    return f"nothing was lost: {given.schedules} schedules, by fault {dict(counted)},"


def _kill(given: argparse.Namespace) -> str:
    with tempfile.TemporaryDirectory(prefix="memcrdt-kill-") as home:
        return f"nothing was lost: {given.kills} kills, {kill.run(Path(home), given.kills, given.seed)} writes kept,"


def _mirror(given: argparse.Namespace) -> str:
    crashes = sum(_spread(partial(life.run, steps=given.steps), _chunks(given.first, given.lives, 1)))
    return f"no text was lost: {given.lives} lives of {given.steps} steps, {crashes} crashes,"


def _commands(given: argparse.Namespace) -> str:
    with tempfile.TemporaryDirectory(prefix="memcrdt-commands-") as home:
        return f"client ids in a shard: {commands.run(Path(home), given.count)} after {given.count} commands,"


def _heavy(given: argparse.Namespace) -> str:
    with tempfile.TemporaryDirectory(prefix="memcrdt-heavy-") as folder:
        for name, beside in heavy.run(Path(folder), given.memories).items():
            print(
                f"{name}: {beside.took_s:.1f} s; beside it {beside.rounds} rounds of everyday calls, the longest call"
                f" {beside.longest_s * 1e3:.0f} ms ({beside.slowest})",
                flush=True,
            )
    return f"no call failed beside heavy calls over {given.memories} memories,"


def _soak(given: argparse.Namespace) -> str:
    with tempfile.TemporaryDirectory(prefix="memcrdt-soak-") as folder:
        return f"nothing was lost: {asyncio.run(soak.run(Path(folder), 60 * given.minutes, given.seed))}"


def _fuzz(given: argparse.Namespace) -> str:
    fates: Counter[fuzz.Fate] = Counter()
    grown = []
    for each in _spread(fuzz.run, _chunks(given.first, given.updates, _UPDATES), fresh=True):
        fates += each.fates
        grown += [] if each.grown_bytes is None else [each.grown_bytes]
    odd = _chunks(given.first, given.updates // _ODD_SHARE, _UPDATES // _ODD_SHARE)
    shown = sum(_spread(nonsense.run, odd))
    more = f"at most {max(grown) / MIB:.0f} MiB more memory" if grown else "memory not measured"
    more += f"; {shown} odd memories shown"
    return f"every document stayed intact: {fates.total()} updates, by fate {dict(fates)}, {more},"


def _sim(given: argparse.Namespace) -> str:
    seeds = range(given.first, given.first + given.seeds) if given.seed is None else range(given.seed, given.seed + 1)
    failures = frames = 0
    virtual_s = 0.0
    counts: Counter[str] = Counter()
    play = partial(scenario.run, rot=given.rot)
    for outcomes in _spread(play, _chunks(seeds.start, len(seeds), _SEEDS), jobs=given.jobs):
        for outcome in outcomes:
            counts += outcome.counts
            frames += outcome.frames
            virtual_s += outcome.seconds
            if outcome.error:
                failures += 1
                print(f"seed {outcome.seed}: {outcome.error}", flush=True)
            if given.seed is not None:
                print(f"the trace is {outcome.trace}")
    if given.verbose:
        print("\n".join(f"{count:8,} {what}" for what, count in sorted(counts.items())))
    summary = f"{failures} of {len(seeds)} seeds failed: {virtual_s / 3600:.1f} simulated hours, {frames} frames,"
    if failures:
        raise SystemExit(summary)
    return summary


def _mutants(given: argparse.Namespace) -> str:
    names = list(mutants.MUTANTS)
    seeds = range(given.first, given.first + given.seeds)
    survivors = 0
    caught = _spread(partial(mutants.catch, seeds=seeds), names, jobs=given.jobs)
    for name, outcome in zip(names, caught, strict=True):
        survivors += outcome is None
        found = "SURVIVES" if outcome is None else f"caught by seed {outcome.seed}: {outcome.error}"
        print(f"{name}: {found}", flush=True)
    summary = f"{survivors} of {len(names)} mutants survived {given.seeds} seeds,"
    if survivors:
        raise SystemExit(summary)
    return summary


def _chunks(first: int, count: int, size: int) -> list[range]:
    end = first + count
    return [range(start, min(start + size, end)) for start in range(first, end, size)]


def _spread(
    work: Callable[[Chunk], T], chunks: list[Chunk], *, jobs: int | None = None, fresh: bool = False
) -> Iterable[T]:
    """Yield the result of each chunk in order, computed in `jobs` processes (default: one per processor).

    With `fresh`, each chunk gets a new process.
    """
    if len(chunks) == 1 and not fresh:
        yield work(chunks[0])
        return
    tasks = 1 if fresh else None
    with ProcessPoolExecutor(jobs, mp_context=kill.processes(), max_tasks_per_child=tasks) as pool:
        yield from pool.map(work, chunks)


if __name__ == "__main__":
    main()
