"""A long run of three nodes that write, restart and lose each other all the time, and have to agree in the end."""

from __future__ import annotations

import asyncio
import os
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final

from memcrdt.errors import NotFoundError
from memcrdt.memory import Memory
from memcrdt.node import Node
from memcrdt.opening import open as open_memory
from memcrdt.store import digests
from memcrdt.store.peers import Peers

NAMES: Final = ("laptop", "desktop", "phone")
WRITE_S: Final = 0.05  # between two writes of one node
REST_S: Final = 3.0  # between two disturbances, at most
AGREE_S: Final = 120.0
KEPT: Final = 300  # memories of each node; older ones are forgotten
WARM: Final = 0.3  # of the time, after which handles and memory may grow no more
HANDLES: Final = 24  # more than then: what three nodes have open at one moment differs by that
MEMORY_MB: Final = 96.0  # likewise, of which the documents themselves take a part


class SoakError(AssertionError):
    """The nodes differ, or something grew that should not."""


@dataclass(slots=True)
class Outcome:
    """What was done, and what the process held when it was warm and at the end."""

    writes: int = 0
    restarts: int = 0
    cuts: int = 0
    handles: list[int] = field(default_factory=list)
    memory_mb: list[float] = field(default_factory=list)


class _Machine:
    """One home, its memory and its network."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.memory: Memory = open_memory(home, embedder=None)
        self.device = self.memory.store.device
        self.node: Node | None = None
        self.port = 0  # the first time any; then the same, so that others find it after a restart
        self.written: list[str] = []
        self.busy = asyncio.Lock()  # against writes into a memory that is being closed

    async def start(self) -> None:
        """Runs the network."""
        self.node = await Node(self.memory, host="127.0.0.1", port=self.port).__aenter__()
        self.port = self.node.port or self.port

    async def stop(self) -> None:
        """Ends it."""
        if self.node is not None:
            node, self.node = self.node, None
            await node.__aexit__(None, None, None)

    async def reopen(self) -> None:
        """Closes everything and opens it again."""
        await self.stop()
        async with self.busy:
            await asyncio.to_thread(self.memory.close)
            self.memory = await asyncio.to_thread(open_memory, self.home, embedder=None)
        await self.start()

    def digest(self) -> str:
        """Equal where all is equal."""
        return digests.whole(digests.of_space(self.memory.store, self.memory.store.space("personal")))


async def run(folder: Path, seconds: float, seed: int) -> Outcome:
    """Soaks three homes in `folder`. Raises SoakError."""
    outcome, rng = Outcome(), Random(seed)
    machines = [_Machine(folder / name) for name in NAMES]
    try:
        for machine in machines:
            for other in machines:
                if other is not machine:
                    Peers(machine.memory.store).accept(other.device)
            await machine.start()
        await _introduce(machines)
        async with asyncio.TaskGroup() as tasks:
            ends = asyncio.get_running_loop().time() + seconds
            for machine in machines:
                tasks.create_task(_write(machine, outcome, Random(rng.random()), ends))
            tasks.create_task(_disturb(machines, outcome, rng, ends))
            tasks.create_task(_measure(outcome, seconds))
        await _agree(machines)
        _note(outcome)
    finally:
        for machine in machines:
            await machine.stop()
            machine.memory.close()
    _check(outcome)
    return outcome


async def _introduce(machines: list[_Machine]) -> None:
    for at, machine in enumerate(machines):
        for other in machines[at + 1 :]:
            assert machine.node is not None
            assert other.node is not None
            await machine.node.connect(other.node.addresses[0])


async def _write(machine: _Machine, outcome: Outcome, rng: Random, ends: float) -> None:
    while asyncio.get_running_loop().time() < ends:
        async with machine.busy:
            await asyncio.to_thread(_write_once, machine, rng)
        outcome.writes += 1
        await asyncio.sleep(WRITE_S * rng.uniform(0.5, 1.5))


def _write_once(machine: _Machine, rng: Random) -> None:
    memory, written = machine.memory, machine.written
    with suppress(NotFoundError):  # another node has forgotten it
        if written and rng.random() < 0.3:
            memory.update(rng.choice(written), text=f"edited {rng.random()}", add_tags=[f"t{rng.randrange(9)}"])
        elif len(written) >= KEPT:
            memory.forget(written.pop(rng.randrange(len(written))))
        else:
            written.append(memory.add(f"written {rng.random()}", tags=["soak"]))


async def _disturb(machines: list[_Machine], outcome: Outcome, rng: Random, ends: float) -> None:
    while (left := ends - asyncio.get_running_loop().time()) > 0:
        machine = rng.choice(machines)
        if rng.random() < 0.5:
            await machine.reopen()
            outcome.restarts += 1
        else:
            await machine.stop()
            await asyncio.sleep(min(left, rng.uniform(0, REST_S)))
            await machine.start()
            outcome.cuts += 1
        await asyncio.sleep(min(left, rng.uniform(0, REST_S)))


async def _measure(outcome: Outcome, seconds: float) -> None:
    await asyncio.sleep(seconds * WARM)
    _note(outcome)


async def _agree(machines: list[_Machine]) -> None:
    try:
        async with asyncio.timeout(AGREE_S):
            while len({await asyncio.to_thread(machine.digest) for machine in machines}) > 1:
                for machine in machines:
                    if machine.node is not None:
                        machine.node.sync_now()
                await asyncio.sleep(1)
    except TimeoutError:
        found = {machine.home.name: machine.digest() for machine in machines}
        raise SoakError(f"after {AGREE_S:.0f} s of rest the nodes still differ: {found}") from None


def _note(outcome: Outcome) -> None:
    if not Path("/proc/self/statm").exists():
        return  # only Linux tells
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    outcome.memory_mb.append(round(pages * os.sysconf("SC_PAGE_SIZE") / (1 << 20), 1))
    outcome.handles.append(len(list(Path("/proc/self/fd").iterdir())))


def _check(outcome: Outcome) -> None:
    if not outcome.handles:
        return
    (warm, end), (warm_mb, end_mb) = outcome.handles, outcome.memory_mb
    if end > warm + HANDLES:
        raise SoakError(f"{end} handles are open at the end, and were {warm} when it was warm")
    if end_mb > warm_mb + MEMORY_MB:
        raise SoakError(f"{end_mb} MB of memory at the end, and {warm_mb} when it was warm")
