"""Measure memcrdt beside other stores, beside bare SQLite, and beside other ways to sync; and how its costs grow.

    python -m benchmarks compare [--memories 10000] [--calls 200] [--rounds 3] [--only chroma,lancedb] [--out FOLDER]
    python -m benchmarks floor   the same, against bare SQLite alone, as ratios within each round
    python -m benchmarks sync    two processes of each library, over loopback [--only pycrdt,y-websocket,automerge]
    python -m benchmarks scale   memcrdt alone, with more and more memories and devices [--sizes 1000] [--devices 2]

Install what is measured with `pip install --group benchmarks` and `npm install --prefix benchmarks/npm`. What is
missing is named below the table. Nothing leaves this machine.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from compare import MEASURES, Plan, embedder_ms, measure
from curves import growth_plot
from figures import machine
from replicas import SYNC_SYSTEMS
from report import Figures, Report
from scale import BY_DEVICES, BY_MEMORIES, DEVICES, SIZES, by_devices, by_memories
from stores import SYSTEMS
from sync_compare import SYNC_MEASURES, measure_sync

MOST_MEMORIES, MOST_CALLS, MOST_ROUNDS, MOST_S, MOST_DEVICES = 1_000_000, 10_000, 50, 3_600, 100
RATIOS = {  # of memcrdt to bare SQLite, with the aim
    "bulk_per_s": "at least 1",
    "add_p50_ms": "at most 1.6",
    "search_p50_ms": "",
    "cold_ms": "",
    "file_mb": "at most 1.5",
}


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=("compare", "floor", "scale", "sync"))
    parser.add_argument("--memories", type=_count(MOST_MEMORIES), default=10_000)
    parser.add_argument("--calls", type=_count(MOST_CALLS), default=200, help="single adds, and searches, a round")
    parser.add_argument("--rounds", type=_count(MOST_ROUNDS), default=3)
    parser.add_argument("--sizes", type=_counts(1, MOST_MEMORIES), default=SIZES, help="memories, for scale")
    parser.add_argument("--devices", type=_counts(2, MOST_DEVICES), default=DEVICES, help="for scale")
    parser.add_argument("--idle", type=_count(MOST_S), default=20, help="seconds to watch an idle process, for scale")
    parser.add_argument("--timeout", type=_count(MOST_S), default=300, help="seconds for one phase of one store")
    parser.add_argument(
        "--only",
        default="",
        help=f"what to measure beside memcrdt: {', '.join(SYSTEMS)}; for sync: {', '.join(SYNC_SYSTEMS)}",
    )
    parser.add_argument("--out", type=Path, help="a folder for the table, JSON and a plot")
    asked = parser.parse_args()
    known = list(SYNC_SYSTEMS if asked.command == "sync" else SYSTEMS)
    names = ["bare"] if asked.command == "floor" else [name for name in asked.only.split(",") if name] or known
    if unknown := set(names) - set(known):
        parser.error(f"there is no {', '.join(sorted(unknown))}; choose from {', '.join(known)}")
    plan = Plan(asked.memories, asked.calls, asked.rounds, asked.timeout, asked.idle)
    if asked.command == "scale":
        return scale(asked.sizes, asked.devices, plan, asked.out)
    names = list(dict.fromkeys(["memcrdt", *names]))
    report = syncs(names, plan) if asked.command == "sync" else stores(asked.command, names, plan)
    print(report.table())
    if asked.out:
        report.write(asked.out, asked.command)
    return 0 if "memcrdt" in report.figures else 1


def stores(command: str, names: list[str], plan: Plan) -> Report:
    """Measure stores, and return the report."""
    load = _load()
    found, absent = measure(names, plan)
    notes = _notes(names, found, plan)
    if command == "floor" and len(found) == 2:
        notes = [*_ratios(found["memcrdt"], found["bare"]), *notes]
    return Report(
        f"{plan.memories:,} memories, {plan.calls} single calls, {plan.rounds} rounds",
        f"{datetime.now(UTC):%Y-%m-%d}, {machine()}; load {load} before and {_load()} after.",
        MEASURES,
        {SYSTEMS[name].title: figures for name, figures in found.items()},
        {SYSTEMS[name].title: reason for name, reason in absent.items()},
        notes,
    )


def syncs(names: list[str], plan: Plan) -> Report:
    """Measure libraries that sync, and return the report."""
    load = _load()
    found, absent = measure_sync(names, plan)
    kinds = "; ".join(
        f"{SYNC_SYSTEMS[name].title}: {SYNC_SYSTEMS[name].kind} ({SYNC_SYSTEMS[name].versions()})" for name in found
    )
    notes = [
        "Medians, with the least and most of all rounds. Two processes over loopback, through a port that counts the"
        " bytes of both directions, with all framing and encryption.",
        f"What each keeps: {kinds}.",
    ]
    return Report(
        f"Sync of {plan.memories:,} memories, {plan.calls} single adds, {plan.rounds} rounds",
        f"{datetime.now(UTC):%Y-%m-%d}, {machine()}; load {load} before and {_load()} after.",
        SYNC_MEASURES,
        {SYNC_SYSTEMS[name].title: figures for name, figures in found.items()},
        {SYNC_SYSTEMS[name].title: reason for name, reason in absent.items()},
        notes,
    )


def scale(sizes: Sequence[int], devices: Sequence[int], plan: Plan, out: Path | None) -> int:
    """Measure growth with memories and with devices, print both tables, and return the exit code."""
    whole = True
    for what, numbers, measures, measured in (
        ("memories", sizes, BY_MEMORIES, by_memories),
        ("devices", devices, BY_DEVICES, by_devices),
    ):
        load = _load()
        found, absent = measured(numbers, plan)
        of_all = f"; each device has {plan.memories:,} memories" if what == "devices" else ""
        report = Report(
            f"Growth with {what}: {plan.calls} single calls, {plan.rounds} rounds{of_all}",
            f"{datetime.now(UTC):%Y-%m-%d}, {machine()}; load {load} before and {_load()} after.",
            measures,
            {f"{number:,} {what}": figures for number, figures in found.items()},
            {f"{number:,} {what}": reason for number, reason in absent.items()},
        )
        print(report.table())
        whole = whole and not absent
        if out:
            report.write(out, f"scale-{what}", growth_plot(measures, found, what))
    return 0 if whole else 1


def _notes(names: list[str], found: dict[str, Figures], plan: Plan) -> list[str]:
    """Return what a reader must know of the figures."""
    kinds = "; ".join(f"{SYSTEMS[name].title}: {SYSTEMS[name].kind} ({SYSTEMS[name].versions()})" for name in found)
    notes = [
        "Medians, with the least and most of all rounds. All stores embed with the same static model. The embedder"
        f" alone takes {embedder_ms(plan):.0f} ms of a cold start. Times are beyond the interpreter's own start.",
        f"What each searches by default: {kinds}. The share of the exact nearest vectors is a measure of searches by"
        " vectors; a search that also ranks by words returns other memories on purpose.",
    ]
    if not any("syncs_per_add" in figures for figures in found.values()):
        notes.append("Fsyncs were not counted: strace is not installed.")
    return notes


def _ratios(ours: Figures, floor: Figures) -> list[str]:
    """Return lines with the median of the ratios within each round."""
    titles = {measure.key: measure.title for measure in MEASURES}
    lines = ["Ratios of memcrdt to bare SQLite, medians of the ratios within each round:", ""]
    for key, aim in RATIOS.items():
        each = [mine / theirs for mine, theirs in zip(ours[key], floor[key], strict=True)]
        spread = f"{statistics.median(each):.2f} ({min(each):.2f} to {max(each):.2f})"
        lines.append(f"- {titles[key]}: {spread}" + (f"; the aim is {aim}" if aim else ""))
    return [*lines, ""]


def _count(most: int) -> type[int]:
    """Return a type of argument: a whole number from 1 to `most`."""

    def count(text: str) -> int:
        number = int(text)
        if not 1 <= number <= most:
            raise argparse.ArgumentTypeError(f"{number} is not from 1 to {most:,}")
        return number

    return count  # type: ignore[return-value]


def _counts(least: int, most: int) -> Callable[[str], list[int]]:
    """Return a type of argument: whole numbers from `least` to `most`, with commas, in rising order."""
    one = _count(most)

    def counts(text: str) -> list[int]:
        numbers = sorted({one(number) for number in text.split(",")})
        if numbers[0] < least:
            raise argparse.ArgumentTypeError(f"{numbers[0]} is not from {least} to {most:,}")
        return numbers

    return counts


def _load() -> str:
    return f"{os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else "unknown"


if __name__ == "__main__":
    sys.exit(main())
