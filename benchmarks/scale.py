"""Measure how costs grow with the number of memories and with the number of devices."""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

from compare import PhaseError, Plan, run_phase
from corpus import sentences
from idle import usage
from replicas import SYNC_SYSTEMS
from report import Figures, Measure
from socket_meter import SocketMeter
from sync_compare import Pair, Participant, participant

SIZES, DEVICES = (1_000, 10_000, 100_000), (2, 5, 10, 20, 50)
SETTLE_S = 5.0  # after the last change
SLOWEST = 500  # memories a second that any phase handles; a bound of its time
BY_MEMORIES = (
    Measure("fill_s", "adding all in batches, s", 2),
    Measure("open_ms", "open, p50, ms", 1),
    Measure("add_p50_ms", "one durable add, p50, ms", 2),
    Measure("search_p50_ms", "search, p50, ms", 2),
    Measure("cold_ms", "a new process until its first hit, ms", 0),
    Measure("first_s", "first sync to an empty device, s", 2),
    Measure("first_mb", "its bytes, MB", 2),
    Measure("first_peak_mb", "memory of its receiver at most, MB", 0),
    Measure("peak_mb", "memory of a searching process at most, MB", 0),
    Measure("idle_percent", "a process with a peer and nothing to do, % of a core", 3),
    Measure("file_mb", "files, MB", 1),
)
BY_DEVICES = (
    Measure("first_s", "sync of all memories to all others at once, s", 2),
    Measure("first_mb", "its bytes, MB", 2),
    Measure("add_p50_ms", "one add until all others have it, p50, ms", 1),
    Measure("add_bytes", "its bytes", 0),
    Measure("idle_percent", "the device in the middle with nothing to do, % of a core", 3),
    Measure("idle_wakes", "its wake-ups a second", 2),
    Measure("resident_mb", "its memory, MB", 0),
)


def by_memories(sizes: Sequence[int], plan: Plan) -> tuple[dict[int, Figures], dict[int, str]]:
    """Measure one home, and its sync to an empty one, with growing numbers of memories.

    Args:
        sizes: The numbers of memories.
        plan: The calls, rounds and the least time for a phase. Its number of memories is not used.

    Returns:
        The figures by size, one number a round, and why a size has none.
    """
    return _each("memories", sizes, plan.rounds, lambda size: _home(_sized(plan, size)))


def by_devices(counts: Sequence[int], plan: Plan) -> tuple[dict[int, Figures], dict[int, str]]:
    """Measure a device with all memories of the plan, to which one to `count - 1` others connect. As by_memories()."""
    return _each("devices", counts, plan.rounds, lambda count: asyncio.run(_star(count, plan)))


def _each(
    what: str, numbers: Sequence[int], rounds: int, measured: Callable[[int], Mapping[str, float]]
) -> tuple[dict[int, Figures], dict[int, str]]:
    figures: dict[int, Figures] = {}
    absent: dict[int, str] = {}
    for turn in range(rounds):
        for number in numbers:
            print(f"round {turn + 1} of {rounds}: {number:,} {what}", file=sys.stderr, flush=True)
            try:
                for key, value in measured(number).items():
                    figures.setdefault(number, {}).setdefault(key, []).append(value)
            except PhaseError as exc:
                absent[number] = str(exc)
    return figures, absent


def _sized(plan: Plan, memories: int) -> Plan:
    return replace(plan, memories=memories, timeout_s=max(plan.timeout_s, memories / SLOWEST))


def _home(plan: Plan) -> dict[str, float]:
    """Return the figures of a home that is filled, opened, searched, and then synced."""
    folder = Path(tempfile.mkdtemp(prefix="bench-scale-"))
    try:
        found = {"fill_s": plan.memories / run_phase("bulk", "memcrdt", folder, plan)["bulk_per_s"]}
        found["file_mb"] = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6
        for phase in ("open", "search", "cold", "add"):
            found |= run_phase(phase, "memcrdt", folder, plan)
        return found | asyncio.run(_synced(folder, plan))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _synced(folder: Path, plan: Plan) -> dict[str, float]:
    """Return the figures of a first sync from the home in a folder, and of its process afterwards."""
    system, other = SYNC_SYSTEMS["memcrdt"], folder / "other"
    other.mkdir()
    async with (
        SocketMeter() as meter,
        participant(system, folder, plan) as holder,
        participant(system, other, plan) as replica,
    ):
        held = int((await holder.do("count"))["count"])
        found = await Pair(holder, replica, meter, None).first_sync(held)
        return found | await _idle(holder, plan.idle_s)


async def _star(count: int, plan: Plan) -> dict[str, float]:
    """Return the figures of a device with all memories, and of the others that connect to it."""
    system, folder = SYNC_SYSTEMS["memcrdt"], Path(tempfile.mkdtemp(prefix="bench-scale-"))
    (folder / "texts").write_text("\n".join(sentences(plan.memories)), encoding="utf-8")
    try:
        async with AsyncExitStack() as stack:
            meter = await stack.enter_async_context(SocketMeter())
            homes = [folder / str(number) for number in range(count)]
            for home in homes:
                home.mkdir()
            holder, *others = [await stack.enter_async_context(participant(system, home, plan)) for home in homes]
            await _introduce(holder, others, meter)
            await holder.do("hold", file=str(folder / "texts"))
            return (
                await _syncs_at_once(holder, others, meter, 1 + plan.memories)
                | await _adds(holder, others, meter, plan.calls)
                | await _idle(holder, plan.idle_s)
            )
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _introduce(holder: Participant, others: Sequence[Participant], meter: SocketMeter) -> None:
    """Let one device after the other meet the holder once, and share its space. Each gets a first memory."""
    await holder.do("add", text="all devices have this")
    for other in others:
        meter.target = (await holder.do("admit", device=other.device))["port"]
        await other.do("connect", port=meter.port, device=holder.device)
        await other.do("until", count=1)
        await other.do("disconnect")


async def _syncs_at_once(
    holder: Participant, others: Sequence[Participant], meter: SocketMeter, count: int
) -> dict[str, float]:
    meter.bytes = 0
    begun = await asyncio.gather(*(other.do("connect", port=meter.port, device=holder.device) for other in others))
    done = await asyncio.gather(*(other.do("until", count=count) for other in others))
    taken = max(each["at"] for each in done) - min(each["at"] for each in begun)
    return {"first_s": taken, "first_mb": await meter.quiet() / 1e6}


async def _adds(holder: Participant, others: Sequence[Participant], meter: SocketMeter, calls: int) -> dict[str, float]:
    """Add texts one by one, each after all others have the one before."""
    await asyncio.gather(*(other.do("watch") for other in others))
    meter.bytes, taken = 0, []
    for text in sentences(calls, seed=9):
        begun = await holder.do("add", text=text)
        seen = await asyncio.gather(*(other.do("seen", text=text) for other in others))
        taken.append(max(each["at"] for each in seen) - begun["at"])
    return {"add_p50_ms": sorted(taken)[calls // 2] * 1e3, "add_bytes": await meter.quiet() / calls}


async def _idle(holder: Participant, seconds: float) -> dict[str, float]:
    """Return what a process takes while nothing happens. Linux tells it."""
    if sys.platform != "linux":
        return {}
    await asyncio.sleep(SETTLE_S)
    before = usage(holder.pid)
    await asyncio.sleep(seconds)
    now = usage(holder.pid)
    return {
        "idle_percent": (now.cpu_s - before.cpu_s) / seconds * 100,
        "idle_wakes": (now.wakes - before.wakes) / seconds,
        "resident_mb": now.resident / 1e6,
    }
