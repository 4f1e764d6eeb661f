"""The long runs.

python -m memcrdt.testing powerloss --schedules 10000
python -m memcrdt.testing kill --kills 500
python -m memcrdt.testing soak --minutes 10
python -m memcrdt.testing sim --seeds 10000
python -m memcrdt.testing sim --seed 4711
python -m memcrdt.testing sim --seeds 300 --rot
python -m memcrdt.testing fuzz --updates 1000000
python -m memcrdt.testing commands --count 10000
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
from typing import Any, TypeVar

from memcrdt.model.limits import MIB
from memcrdt.testing import commands, fuzz, kill, powerloss, scenario, soak

# What one process runs in a row.
_SCHEDULES = 100
_UPDATES = 10_000
_SEEDS = 10

T = TypeVar("T")


def main() -> None:
    """Runs what the arguments say and prints what came of it; a broken promise ends in a traceback or in status 1."""
    parser = argparse.ArgumentParser(
        prog="python -m memcrdt.testing", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    kinds = parser.add_subparsers(required=True)

    def add(run: Callable[[Any], str], help: str, **options: int) -> argparse.ArgumentParser:
        kind = kinds.add_parser(run.__name__.strip("_"), help=help)
        kind.set_defaults(run=run)
        for name, default in options.items():
            kind.add_argument(f"--{name}", type=int, default=default)
        return kind

    add(_powerloss, "seeded schedules over a disk that fails", schedules=1_000, first=0)
    add(_kill, "writers killed at random moments", kills=50, seed=0)
    of_soak = add(_soak, "three nodes that write, restart and lose each other", seed=0)
    of_soak.add_argument("--minutes", type=float, default=1.0)
    add(_fuzz, "mutated updates, applied to documents with a history", updates=100_000, first=0)
    of_sim = add(_sim, "seeded lives of a few devices and of the network between them", seeds=300, first=0)
    of_sim.add_argument("--seed", type=int, help="replay this one")
    of_sim.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes")
    of_sim.add_argument("--rot", action="store_true", help="disks change what was written, too")
    of_sim.add_argument("--verbose", action="store_true", help="say how often what happened")
    add(_commands, "commands that each open the home, write and close it", count=1_000)
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


def _commands(given: argparse.Namespace) -> str:
    with tempfile.TemporaryDirectory(prefix="memcrdt-commands-") as home:
        return f"client ids in a shard: {commands.run(Path(home), given.count)} after {given.count} commands,"


def _soak(given: argparse.Namespace) -> str:
    with tempfile.TemporaryDirectory(prefix="memcrdt-soak-") as folder:
        return f"nothing was lost: {asyncio.run(soak.run(Path(folder), 60 * given.minutes, given.seed))}"


def _fuzz(given: argparse.Namespace) -> str:
    fates: Counter[fuzz.Fate] = Counter()
    grown = []
    for each in _spread(fuzz.run, _chunks(given.first, given.updates, _UPDATES), fresh=True):
        fates += each.fates
        grown += [] if each.grown_bytes is None else [each.grown_bytes]
    more = f"at most {max(grown) / MIB:.0f} MiB more memory" if grown else "memory not measured"
    return f"every document stayed whole: {fates.total()} updates, by fate {dict(fates)}, {more},"


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


def _chunks(first: int, count: int, size: int) -> list[range]:
    end = first + count
    return [range(start, min(start + size, end)) for start in range(first, end, size)]


def _spread(
    work: Callable[[range], T], chunks: list[range], *, jobs: int | None = None, fresh: bool = False
) -> Iterable[T]:
    """Does the work in so many processes, or as many as there are processors; `fresh`: each chunk in one of its own."""
    if len(chunks) == 1 and not fresh:
        yield work(chunks[0])
        return
    tasks = 1 if fresh else None
    with ProcessPoolExecutor(jobs, mp_context=kill.processes(), max_tasks_per_child=tasks) as pool:
        yield from pool.map(work, chunks)


if __name__ == "__main__":
    main()
