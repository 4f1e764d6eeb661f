"""Measure stores side by side: each phase in a fresh process, all stores in turn in every round."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from report import Figures, Measure
from stores import SYSTEMS

PHASE = Path(__file__).with_name("store_phase.py")
TRACED_CALLS = (5, 25)  # single adds of two traced processes; their difference leaves out opening and closing
MEASURES = (
    Measure("bulk_per_s", "bulk adds a second", 0, higher_is_better=True),
    Measure("add_p50_ms", "one add, p50, ms", 2),
    Measure("add_p95_ms", "one add, p95, ms", 2, drawn=False),
    Measure("syncs_per_add", "fsyncs of one add", 1),
    Measure("cold_ms", "cold start to first hit, ms", 0),
    Measure("search_p50_ms", "search, p50, ms", 2),
    Measure("search_p95_ms", "search, p95, ms", 2, drawn=False),
    Measure("recall", "share of the exact nearest ten", 3, higher_is_better=True, drawn=False),
    Measure("peak_mb", "memory at most, MB", 0, drawn=False),
    Measure("file_mb", "files, MB", 1),
)


@dataclass(frozen=True)
class Plan:
    """How much is measured.

    Args:
        memories: The number of texts in each store.
        calls: The number of single adds, and of searches, in each round.
        rounds: How often everything is measured, each time with new files.
        timeout_s: How long one phase of one store may take.
        idle_s: How long a process with nothing to do is watched.
    """

    memories: int
    calls: int
    rounds: int
    timeout_s: float
    idle_s: float = 20.0


class PhaseError(Exception):
    """A phase failed or took too long. The message says which."""


class Titled(Protocol):
    """What is measured."""

    @property
    def title(self) -> str:
        """Its name in the report."""

    def missing(self) -> str | None:
        """Return why it cannot be measured here; None if it can."""


def in_turn(
    systems: Mapping[str, Titled], names: list[str], rounds: int, measured: Callable[[str, int], Mapping[str, float]]
) -> tuple[dict[str, Figures], dict[str, str]]:
    """Measure systems in turn. Each round begins with another one.

    Args:
        systems: All systems, by name.
        names: The systems to measure.
        rounds: How often.
        measured: Returns the figures of the system of that name in the round of that number, from 0.

    Returns:
        The figures of each system that ran, one number a round, and the reasons of those that did not.
    """
    absent = {name: reason for name in names if (reason := systems[name].missing())}
    figures: dict[str, Figures] = {name: {} for name in names if name not in absent}
    for number in range(rounds):
        present = [name for name in names if name not in absent]
        turn = number % max(len(present), 1)
        for name in present[turn:] + present[:turn]:
            print(f"round {number + 1} of {rounds}: {systems[name].title}", file=sys.stderr, flush=True)
            try:
                for key, value in measured(name, number).items():
                    figures[name].setdefault(key, []).append(value)
            except PhaseError as exc:
                absent[name] = str(exc)
                del figures[name]
    return figures, absent


def measure(names: list[str], plan: Plan) -> tuple[dict[str, Figures], dict[str, str]]:
    """Measure stores, by their keys in SYSTEMS, as in_turn() does."""
    return in_turn(SYSTEMS, names, plan.rounds, lambda name, number: _round(name, plan, traced=number == 0))


def embedder_ms(plan: Plan) -> float:
    """Return the time, in ms beyond the interpreter, in which the embedder alone loads and embeds one query."""
    return _cold("embedder", Path(), plan)


def _round(name: str, plan: Plan, *, traced: bool) -> dict[str, float]:
    folder = Path(tempfile.mkdtemp(prefix=f"bench-{name}-"))
    try:
        found = run_phase("bulk", name, folder, plan)
        found["file_mb"] = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6
        for phase in ("search", "cold", "add"):
            found |= run_phase(phase, name, folder, plan)
        if traced and shutil.which("strace"):
            found["syncs_per_add"] = _syncs(name, folder, plan)
        return found
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _command(phase: str, name: str, folder: Path, plan: Plan, calls: int | None = None) -> list[str]:
    sizes = ["--memories", str(plan.memories), "--calls", str(calls or plan.calls)]
    return [sys.executable, str(PHASE), phase, name, str(folder), *sizes]


def run_phase(phase: str, name: str, folder: Path, plan: Plan) -> dict[str, float]:
    """Run a phase of a system, by its key in SYSTEMS, in a fresh process, and return its figures."""
    if phase == "cold":
        return {"cold_ms": _cold(name, folder, plan)}
    output, _ = finish(_command(phase, name, folder, plan), f"{phase} of {SYSTEMS[name].title}", plan.timeout_s)
    found: dict[str, float] = json.loads(output.splitlines()[-1])
    return found


def _cold(name: str, folder: Path, plan: Plan) -> float:
    """Return the time of a new process until its first hit, in ms beyond that of the interpreter alone."""
    title = SYSTEMS[name].title if name in SYSTEMS else name
    _, first_hit_s = finish(_command("cold", name, folder, plan), f"cold of {title}", plan.timeout_s)
    _, empty_s = finish([sys.executable, "-c", "pass"], "an empty program", plan.timeout_s)
    return (first_hit_s - empty_s) * 1e3


def finish(command: list[str], what: str, timeout_s: float) -> tuple[str, float]:
    """Run a command to its end.

    Args:
        command: The command.
        what: Its name in errors.
        timeout_s: Seconds after which it is killed, with the processes that it started.

    Returns:
        Its output, and the seconds until it printed its first line, or ended.

    Raises:
        PhaseError: It failed or took too long.
    """
    begun, late = time.perf_counter(), threading.Event()
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True, start_new_session=True) as process,
    ):

        def stop() -> None:
            late.set()
            _kill(process)

        timer = threading.Timer(timeout_s, stop)
        timer.start()
        try:
            assert process.stdout is not None
            output = process.stdout.readline()
            first_s = time.perf_counter() - begun
            output += process.stdout.read()
            process.wait()
        except BaseException:  # an interrupt does not reach a process of another session
            _kill(process)
            raise
        finally:
            timer.cancel()
        if late.is_set():
            raise PhaseError(f"{what} took over {timeout_s:g} s")
        if process.returncode:
            errors.seek(0)
            last = (errors.read().strip().splitlines() or ["no message"])[-1]
            raise PhaseError(f"{what} failed: {last[:200]}")
    return output, first_s


def _kill(process: subprocess.Popen[str]) -> None:
    """Kill a process that `finish` started. strace alone would leave the program that it traces."""
    if sys.platform == "win32":
        process.kill()
    elif process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)


def _syncs(name: str, folder: Path, plan: Plan) -> float:
    """Return the number of fsync, fdatasync and msync of one add, of all threads."""
    counts = []
    for calls in TRACED_CALLS:
        log = folder.with_suffix(".strace")
        trace = ["strace", "-f", "-e", "trace=fsync,fdatasync,msync", "-o", str(log)]
        try:
            command = trace + _command("add", name, folder, plan, calls)
            finish(command, f"traced add of {SYSTEMS[name].title}", plan.timeout_s)
            counts.append(
                sum("sync(" in line for line in log.read_text(encoding="utf-8", errors="replace").splitlines())
            )
        finally:
            log.unlink(missing_ok=True)
    return (counts[1] - counts[0]) / (TRACED_CALLS[1] - TRACED_CALLS[0])
