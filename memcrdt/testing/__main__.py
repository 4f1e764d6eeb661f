"""The long runs: `python -m memcrdt.testing powerloss --schedules 10000`, `kill --kills 500`, `soak --minutes 10`."""

from __future__ import annotations

import argparse
import asyncio
import os
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from memcrdt.testing import kill, powerloss, soak

_CHUNK = 100  # schedules that one process runs in a row


def main() -> None:
    """Runs what the arguments say and prints what came of it; a broken promise ends in a traceback."""
    parser = argparse.ArgumentParser(prog="python -m memcrdt.testing", description=__doc__)
    kinds = parser.add_subparsers(dest="kind", required=True)
    of_powerloss = kinds.add_parser("powerloss", help="seeded schedules over a disk that fails")
    of_powerloss.add_argument("--schedules", type=int, default=1_000)
    of_powerloss.add_argument("--first", type=int, default=0, help="the first seed")
    of_kill = kinds.add_parser("kill", help="writers killed at random moments")
    of_kill.add_argument("--kills", type=int, default=50)
    of_kill.add_argument("--seed", type=int, default=0)
    of_soak = kinds.add_parser("soak", help="three nodes that write, restart and lose each other")
    of_soak.add_argument("--minutes", type=float, default=1.0)
    of_soak.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    start = time.monotonic()
    match given.kind:
        case "powerloss":
            done = _powerloss(given.first, given.schedules)
        case "kill":
            done = _kill(given.kills, given.seed)
        case _:
            done = _soak(given.minutes, given.seed)
    print(f"{done} in {time.monotonic() - start:.0f} s; nothing was lost")


def _powerloss(first: int, schedules: int) -> str:
    end = first + schedules
    chunks = [range(seed, min(seed + _CHUNK, end)) for seed in range(first, end, _CHUNK)]
    counted: Counter[str] = Counter()
    with ProcessPoolExecutor(os.cpu_count(), mp_context=kill.processes()) as pool:
        for each in pool.map(powerloss.run, chunks):
            counted += each
    return f"{schedules} schedules, by fault {dict(counted)},"


def _kill(kills: int, seed: int) -> str:
    with tempfile.TemporaryDirectory(prefix="memcrdt-kill-") as home:
        return f"{kills} kills, {kill.run(Path(home), kills, seed)} writes acknowledged,"


def _soak(minutes: float, seed: int) -> str:
    with tempfile.TemporaryDirectory(prefix="memcrdt-soak-") as folder:
        return str(asyncio.run(soak.run(Path(folder), 60 * minutes, seed)))


if __name__ == "__main__":
    main()
