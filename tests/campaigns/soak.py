"""A long run of three nodes that constantly write, restart and disconnect, and must agree in the end.

The amount of data stays the same, because a node that adds a memory forgets another. So growth is a leak. One of the
nodes is never restarted, so that leaks that a restart would clear are noticed too.
"""

from __future__ import annotations

import asyncio
import ctypes
import gc
import mmap
import statistics
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Final

from memcrdt._open import open as open_memory
from memcrdt.memory.memory import Memory
from memcrdt.node.node import Node
from memcrdt.store import digests
from memcrdt.store.membership.peers import Peers

NAMES: Final = ("laptop", "desktop", "phone")
WRITE_S: Final = 0.2  # between two writes of one node; Yjs keeps about 200 bytes of each in each document
REST_S: Final = 3.0  # maximum time between two disturbances
AGREE_S: Final = 120.0
KEPT: Final = 100  # memories of each node; to add one, it forgets another
NEW: Final = 0.03  # share of writes that add and forget, and share that edit; both leave a key of 2 KB in each document
SAMPLE_S: Final = 0.5  # between two samples
WARM: Final = 0.3  # share of the time after which nothing may grow
WINDOW: Final = 0.2  # share of the time over which the compared medians are taken
HANDLES: Final = 12  # allowed growth; each thread of a pool has a connection, and pools fill slowly
MEMORY_MB: Final = 24.0  # allowed growth; in ten minutes those keys take about half of it
OBJECTS: Final = 0.1  # allowed growth, as a share of the objects that Python's collector tracks


class SoakError(AssertionError):
    """The nodes differ, or the process uses more resources."""


@dataclass(frozen=True, slots=True)
class Sample:
    """The resources of the process at one moment."""

    handles: int
    memory_mb: float
    objects: int


@dataclass(slots=True)
class SoakOutcome:
    """The work done, and the resources of the process after warm-up and at the end."""

    writes: int = 0
    restarts: int = 0
    cuts: int = 0
    samples: list[Sample] = field(default_factory=list)

    @property
    def warm(self) -> Sample:
        """Return the resources after warm-up."""
        first = round(len(self.samples) * WARM)
        return _median(self.samples[first : first + self._window])

    @property
    def end(self) -> Sample:
        """Return the resources at the end."""
        return _median(self.samples[-self._window :])

    @property
    def _window(self) -> int:
        return max(1, round(len(self.samples) * WINDOW))

    def __str__(self) -> str:
        done = f"{self.writes} writes, {self.restarts} restarts, {self.cuts} cuts"
        return f"{done}; after warm-up {self.warm}, at the end {self.end}" if self.samples else done


class _Machine:
    """One home, its memory and its network."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.memory: Memory = open_memory(home, embedder=None)
        self.device = self.memory.store.device
        self.node: Node | None = None
        self.port = 0  # any port at first, then the same after a restart, so that others find it
        self.written = self.memory.add_many(f"written at first {number}" for number in range(KEPT))
        self.busy = asyncio.Lock()  # held while the memory is closed, so that no task writes into it

    @property
    def is_connected(self) -> bool:
        """Whether the node runs and has connections to all others."""
        return self.node is not None and len(self.node.status().connected) == len(NAMES) - 1

    async def start(self) -> None:
        """Start the network."""
        self.node = await Node(self.memory, host="127.0.0.1", port=self.port).__aenter__()
        self.port = self.node.port or self.port

    async def stop(self) -> None:
        """Stop the network."""
        if self.node is not None:
            node, self.node = self.node, None
            await node.__aexit__(None, None, None)

    async def reopen(self) -> None:
        """Close everything, and open it again."""
        await self.stop()
        async with self.busy:
            await asyncio.to_thread(self.memory.close)
            self.memory = await asyncio.to_thread(open_memory, self.home, embedder=None)
        await self.start()

    def digest(self) -> str:
        """Return a digest that is equal on nodes that agree."""
        return digests.whole(digests.of_space(self.memory.store, self.memory.store.space("personal")))


async def run(folder: Path, seconds: float, seed: int) -> SoakOutcome:
    """Soak three homes in `folder`. Raises SoakError."""
    outcome, rng = SoakOutcome(), Random(seed)
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
            tasks.create_task(_disturb(machines[1:], outcome, rng, ends))
            tasks.create_task(_measure(machines, outcome, ends))
        await _agree(machines)
    finally:
        for machine in machines:
            await machine.stop()
            machine.memory.close()
    check(outcome)
    return outcome


async def _introduce(machines: list[_Machine]) -> None:
    for at, machine in enumerate(machines):
        for other in machines[at + 1 :]:
            assert machine.node is not None
            assert other.node is not None
            await machine.node.connect(other.node.addresses[0])


async def _write(machine: _Machine, outcome: SoakOutcome, rng: Random, ends: float) -> None:
    while asyncio.get_running_loop().time() < ends:
        async with machine.busy:
            await asyncio.to_thread(_write_once, machine, rng)
        outcome.writes += 1
        await asyncio.sleep(WRITE_S * rng.uniform(0.5, 1.5))


def _write_once(machine: _Machine, rng: Random) -> None:
    memory, written = machine.memory, machine.written
    if (dice := rng.random()) < NEW:
        written.append(memory.add(f"written {rng.random()}"))
        memory.forget(written.pop(rng.randrange(KEPT)))
    elif dice < 2 * NEW:
        memory.update(rng.choice(written), text=f"edited {rng.random()}")
    else:
        memory.update(rng.choice(written), importance=rng.random(), metadata={"seen": rng.random()})


async def _disturb(machines: list[_Machine], outcome: SoakOutcome, rng: Random, ends: float) -> None:
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


async def _measure(machines: list[_Machine], outcome: SoakOutcome, ends: float) -> None:
    """Take samples while all nodes are connected: a node that is cut off has fewer handles, and so have the others."""
    while asyncio.get_running_loop().time() < ends:
        await asyncio.sleep(SAMPLE_S)
        if all(machine.is_connected for machine in machines):
            await asyncio.to_thread(_note, outcome)


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


def _note(outcome: SoakOutcome) -> None:
    if not Path("/proc/self/statm").exists():
        return  # only Linux reports it
    gc.collect()
    with suppress(AttributeError):  # only glibc has this call
        ctypes.CDLL(None).malloc_trim(0)  # freed memory that malloc keeps, up to 90 MB, is not a leak
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    memory_mb = round(pages * mmap.PAGESIZE / (1 << 20), 1)
    handles = len(list(Path("/proc/self/fd").iterdir()))
    outcome.samples.append(Sample(handles, memory_mb, len(gc.get_objects())))


def _median(samples: list[Sample]) -> Sample:
    columns = zip(*((each.handles, each.memory_mb, each.objects) for each in samples), strict=True)
    handles, memory_mb, objects = (statistics.median(column) for column in columns)
    return Sample(round(handles), memory_mb, round(objects))


def check(outcome: SoakOutcome) -> None:
    """Raise SoakError if handles, memory or objects grew."""
    if not outcome.samples:
        return
    warm, end = outcome.warm, outcome.end
    if end.handles > warm.handles + HANDLES:
        raise SoakError(f"{end.handles} handles are open at the end, compared with {warm.handles} after warm-up")
    if end.memory_mb > warm.memory_mb + MEMORY_MB:
        raise SoakError(
            f"{end.memory_mb} MB of memory are in use at the end, compared with {warm.memory_mb} after warm-up"
        )
    if end.objects > warm.objects * (1 + OBJECTS):
        raise SoakError(f"{end.objects} objects exist at the end, compared with {warm.objects} after warm-up")
