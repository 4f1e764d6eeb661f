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
SETTLE_S = 5.0  # at most, after the last change
KNOWN = (1, 7)  # each device knows the addresses of those at these places after it, in a circle
SLOWEST = 500  # memories a second that any phase handles; a bound of its time
BY_MEMORIES = (
    Measure("fill_s", "adding all in batches, s", 2),
    Measure("open_ms", "open, p50, ms", 1),
    Measure("add_p50_ms", "one durable add, p50, ms", 2),
    Measure("search_p50_ms", "search, p50, ms", 2),
    Measure("cold_ms", "a new process until its first hit, ms", 0),
    Measure("first_s", "first sync to an empty device, s", 2),
    Measure("first_mb", "bytes of the first sync, MB", 2),
    Measure("first_peak_mb", "memory of the receiver of the first sync, MB", 0),
    Measure("peak_mb", "memory of a searching process, MB", 0),
    Measure("idle_percent", "a process with a peer and nothing to do, % of a core", 3),
    Measure("file_mb", "files, MB", 1),
)
BY_DEVICES = (
    Measure("first_s", "sync of all memories of one device to all others, s", 2),
    Measure("first_cpu_s", "processor time of all devices for that sync, s", 2),
    Measure("add_p50_ms", "one add until all others have it, p50, ms", 1),
    Measure("idle_percent", "a device with nothing to do, % of a core", 3),
    Measure("idle_wakes", "wake-ups a second of a device with nothing to do", 2),
    Measure("resident_mb", "memory of a device, MB", 0),
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
    """Measure devices that share a space, of which one gets all memories of the plan. As by_memories().

    Each device knows the addresses of two others, so most changes reach a device through others.
    """
    return _each("devices", counts, plan.rounds, lambda count: asyncio.run(_group(count, plan)))


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


async def _group(count: int, plan: Plan) -> dict[str, float]:
    """Return the figures of devices that share a space."""
    system, folder = SYNC_SYSTEMS["memcrdt"], Path(tempfile.mkdtemp(prefix="bench-scale-"))
    (folder / "texts").write_text("\n".join(sentences(plan.memories)), encoding="utf-8")
    try:
        async with AsyncExitStack() as stack:
            homes = [folder / str(number) for number in range(count)]
            for home in homes:
                home.mkdir()
            devices = [await stack.enter_async_context(participant(system, home, plan)) for home in homes]
            await _introduce(devices)
            await devices[0].do("hold", file=str(folder / "texts"))
            found = await _first_sync(devices, 1 + plan.memories)
            return found | await _adds(devices, plan.calls) | await _idle(devices[0], plan.idle_s)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _introduce(devices: Sequence[Participant]) -> None:
    """Let one device after the other meet the first one, and so join its space. Each gets a first memory."""
    first, *others = devices
    await first.do("add", text="all devices have this")
    for other in others:
        port = (await first.do("admit", device=other.device))["port"]
        await other.do("connect", port=port, device=first.device)
        await other.do("until", count=1)
        await other.do("disconnect")
    await first.do("disconnect")


async def _first_sync(devices: Sequence[Participant], count: int) -> dict[str, float]:
    """Let all devices listen, tell each the addresses of two others, and wait until all have everything."""
    ports = [
        (await device.do("admit", device=devices[place - 1].device))["port"] for place, device in enumerate(devices)
    ]
    before = [(await device.do("usage"))["cpu_s"] for device in devices]
    begun = await devices[0].do("usage")
    for place, device in enumerate(devices):
        for known in {(place + step) % len(devices) for step in KNOWN} - {place}:
            await device.do("meet", port=ports[known], device=devices[known].device)
    done = await asyncio.gather(*(device.do("until", count=count) for device in devices))
    return {
        "first_s": max(each["at"] for each in done) - begun["at"],
        "first_cpu_s": sum(each["cpu_s"] for each in done) - sum(before),
    }


async def _adds(devices: Sequence[Participant], calls: int) -> dict[str, float]:
    """Add texts at the first device one by one, each after all others have the one before."""
    first, *others = devices
    await asyncio.gather(*(other.do("watch") for other in others))
    taken = []
    for text in sentences(calls, seed=9):
        begun = await first.do("add", text=text)
        seen = await asyncio.gather(*(other.do("seen", text=text) for other in others))
        taken.append(max(each["at"] for each in seen) - begun["at"])
    return {"add_p50_ms": sorted(taken)[calls // 2] * 1e3}


async def _idle(holder: Participant, seconds: float) -> dict[str, float]:
    """Return what a process takes while nothing happens. Linux tells it."""
    if sys.platform != "linux":
        return {}
    await asyncio.sleep(min(SETTLE_S, seconds))
    before = usage(holder.pid)
    await asyncio.sleep(seconds)
    now = usage(holder.pid)
    return {
        "idle_percent": (now.cpu_s - before.cpu_s) / seconds * 100,
        "idle_wakes": (now.wakes - before.wakes) / seconds,
        "resident_mb": now.resident / 1e6,
    }
