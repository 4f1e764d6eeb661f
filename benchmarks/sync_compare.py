"""Measure sync side by side: two processes with a replica each, joined by a port that counts bytes."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from compare import PhaseError, Plan, in_turn
from corpus import sentences
from replicas import SYNC_SYSTEMS, System
from report import Figures, Measure
from socket_meter import SocketMeter

LINE_BYTES = 65_536
SYNC_MEASURES = (
    Measure("first_s", "first full sync, s", 2),
    Measure("first_cpu_s", "its processor time at the receiver, s", 2),
    Measure("first_sender_cpu_s", "its processor time at the sender, s", 2),
    Measure("first_mb", "its bytes, MB", 2),
    Measure("first_peak_mb", "memory of the receiver at most, MB", 0),
    Measure("add_p50_ms", "one add until visible, p50, ms", 1),
    Measure("add_p95_ms", "one add until visible, p95, ms", 1),
    Measure("add_bytes", "its bytes", 0),
    Measure("reconnect_bytes", "reconnect without news, bytes", 0),
    Measure("delete_s", "deleting half until gone there, s", 2),
    Measure("delete_cpu_s", "its processor time at both sides, s", 2),
    Measure("delete_mb", "its bytes, MB", 3),
    Measure("deleted_reconnect_bytes", "reconnect after that, bytes", 0),
    Measure("new_s", "a new replica after that, s", 2),
    Measure("new_mb", "its bytes, MB", 2),
)


def measure_sync(names: list[str], plan: Plan) -> tuple[dict[str, Figures], dict[str, str]]:
    """Measure libraries, by their keys in SYNC_SYSTEMS, as in_turn() does."""
    return in_turn(SYNC_SYSTEMS, names, plan.rounds, lambda name, _: _measured(SYNC_SYSTEMS[name], plan))


class Participant:
    """A process with a replica."""

    def __init__(self, title: str, process: asyncio.subprocess.Process, plan: Plan) -> None:
        self._title, self._process, self._plan = title, process, plan
        self.device, self.pid = "", process.pid

    async def told(self) -> dict[str, Any]:
        """Return its next answer."""
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(self._plan.timeout_s):
                line = await self._process.stdout.readline()
        except TimeoutError:
            raise PhaseError(f"a command of {self._title} took over {self._plan.timeout_s:g} s") from None
        if not line:
            raise PhaseError(f"a process of {self._title} ended too early; its messages are above")
        answer: dict[str, Any] = json.loads(line)
        return answer

    async def do(self, do: str, **arguments: object) -> dict[str, Any]:
        """Carry out a command, and return its answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": do, **arguments}).encode() + b"\n")
        return await self.told()


@asynccontextmanager
async def participant(system: System, folder: Path, plan: Plan) -> AsyncIterator[Participant]:
    pipes: dict[str, Any] = {"stdin": asyncio.subprocess.PIPE, "stdout": asyncio.subprocess.PIPE}
    environment = {**os.environ, "MEMCRDT_STATE": str(folder / "state")}
    process = await asyncio.create_subprocess_exec(*system.command(folder), **pipes, limit=LINE_BYTES, env=environment)
    try:
        made = Participant(system.title, process, plan)
        made.device = (await made.told())["device"]
        yield made
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def _measured(system: System, plan: Plan) -> dict[str, float]:
    """Return the figures of one round."""
    folder = Path(tempfile.mkdtemp(prefix="bench-sync-"))
    for name in ("holder", "first", "second"):
        (folder / name).mkdir()
    (folder / "texts").write_text("\n".join(sentences(plan.memories)), encoding="utf-8")
    try:
        return asyncio.run(_round(system, folder, plan))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def _round(system: System, folder: Path, plan: Plan) -> dict[str, float]:
    async with SocketMeter() as meter, participant(system, folder / "holder", plan) as holder:
        document = (await holder.do("hold", file=str(folder / "texts"))).get("document")
        async with participant(system, folder / "first", plan) as replica:
            pair = Pair(holder, replica, meter, document)
            found = await pair.first_sync(plan.memories)
            found |= await pair.adds(list(sentences(plan.calls, seed=9)))
            found["reconnect_bytes"] = await pair.reconnect()
            found |= await pair.delete(plan.memories + plan.calls, plan.memories - plan.memories // 2)
            found["deleted_reconnect_bytes"] = await pair.reconnect()
        async with participant(system, folder / "second", plan) as replica:
            new = await Pair(holder, replica, meter, document).first_sync(plan.memories // 2 + plan.calls)
        return {**found, "new_s": new["first_s"], "new_mb": new["first_mb"]}


class Pair:
    """A process that holds the texts, one that gets them, and the bytes between."""

    def __init__(self, holder: Participant, replica: Participant, meter: SocketMeter, document: object) -> None:
        self.holder, self.replica, self.meter = holder, replica, meter
        self._document = document

    async def connect(self) -> dict[str, Any]:
        """Connect, and return when that began."""
        self.meter.bytes = 0
        return await self.replica.do(
            "connect", port=self.meter.port, device=self.holder.device, document=self._document
        )

    async def first_sync(self, count: int) -> dict[str, float]:
        """Get everything."""
        admitted = await self.holder.do("admit", device=self.replica.device)
        self.meter.target = admitted["port"]
        before = await self.holder.do("usage"), await self.replica.do("usage")
        begun = await self.connect()
        done = await self.replica.do("until", count=count)
        found = {
            "first_s": done["at"] - begun["at"],
            "first_cpu_s": done["cpu_s"] - before[1]["cpu_s"],
            "first_sender_cpu_s": (await self.holder.do("usage"))["cpu_s"] - before[0]["cpu_s"],
            "first_mb": await self.meter.quiet() / 1e6,
        }
        return {**found, "first_peak_mb": done["peak_mb"]} if "peak_mb" in done else found

    async def adds(self, texts: list[str]) -> dict[str, float]:
        """Add texts one by one, each after the one before has come."""
        await self.replica.do("watch")
        self.meter.bytes, taken = 0, []
        for text in texts:
            begun = await self.holder.do("add", text=text)
            taken.append((await self.replica.do("seen", text=text))["at"] - begun["at"])
        taken.sort()
        sent = await self.meter.quiet()
        return {
            "add_p50_ms": taken[len(taken) // 2] * 1e3,
            "add_p95_ms": taken[int(len(taken) * 0.95)] * 1e3,
            "add_bytes": sent / len(texts),
        }

    async def reconnect(self) -> float:
        """Connect again while nothing is new, and return the number of bytes."""
        await self.replica.do("disconnect")
        await self.meter.quiet()
        await self.connect()
        return float(await self.meter.quiet())

    async def delete(self, count: int, gone: int) -> dict[str, float]:
        """Delete `gone` of `count` texts."""
        self.meter.bytes = 0
        before = [await side.do("usage") for side in (self.holder, self.replica)]
        forgotten, done = await asyncio.gather(self.holder.do("forget"), self.replica.do("until", count=count - gone))
        sent = await self.meter.quiet()
        after = [await side.do("usage") for side in (self.holder, self.replica)]
        return {
            "delete_s": done["at"] - forgotten["at"],
            "delete_cpu_s": sum(late["cpu_s"] - early["cpu_s"] for early, late in zip(before, after, strict=True)),
            "delete_mb": sent / 1e6,
        }
