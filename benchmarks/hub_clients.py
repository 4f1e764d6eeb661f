"""Measure laptops that come back to a hub at the same moment: real processes, and a simulation of up to a thousand.

    python benchmarks/hub_clients.py --postgres DSN [--laptops 12] [--edits 200] [--shared 1000] [--peers 10,100,1000]

The database must be empty. Each laptop is a home with a `memcrdt serve` of its own, and two `memcrdt hub` processes are
behind one address, where a balancer passes connections to each of them in turn and counts the bytes. All laptops have
the shared memories. Then they are off, and each makes its edits: four of five are new memories, the others new texts of
shared ones. The time begins when all laptops start, and ends when all have the same digest as the hub.

The simulated peers have only the hub to talk to. Fifty of them have an edit of 200 characters.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from pathlib import Path
from random import Random

sys.path.insert(0, str(Path(__file__).parent))

import psycopg
from corpus import sentences
from figures import machine

import memcrdt
from memcrdt import config
from memcrdt.hub.hub import Hub, HubAddress
from memcrdt.memory.memory import Memory
from memcrdt.store import digests
from memcrdt.sync.events import Committed
from memcrdt.sync.gossip import Gossip
from memcrdt.sync.messages import HubHint
from memcrdt.testing.fake_replica import FakeReplica
from memcrdt.testing.simulator import NetworkConditions, SimulatedNode, Simulator

HUB_PROCESSES = 2
PAUSE_S = 0.25  # between two looks at the stores
EDITING, EDIT_CHARS = 50, 200  # simulated peers with an edit, and its length
SHARD_EDITS = 256  # of one peer in a shard, if it has several


class Balancer:
    """The one address of a hub. Passes connections to its processes in turn.

    Attributes:
        port: Where it listens.
        ports: Where the processes of the hub listen.
        bytes: The bytes that it has passed on: to the hub, and to the laptops.
    """

    def __init__(self) -> None:
        self.port = 0
        self.ports: list[int] = []
        self.bytes = [0, 0]
        self._turn = 0
        self._passing: set[asyncio.Task[None] | None] = set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        server = await asyncio.start_server(self._pass_on, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield
        finally:
            server.close()
            await asyncio.gather(*filter(None, self._passing))  # they end with the processes

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._turn += 1
        self._passing.add(asyncio.current_task())
        with suppress(OSError, IndexError, ZeroDivisionError):
            port = self.ports[self._turn % len(self.ports)]
            there, back = await asyncio.open_connection("127.0.0.1", port)
            await asyncio.gather(self._copy(reader, back, 0), self._copy(there, writer, 1))
        writer.transport.abort()

    async def _copy(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, way: int) -> None:
        with suppress(OSError):
            while data := await reader.read(1 << 16):
                self.bytes[way] += len(data)
                writer.write(data)
                await writer.drain()
        writer.transport.abort()


class Processes:
    """Processes of memcrdt, and the processor time that they have taken."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._environment = {**os.environ, **environment}
        self._running: list[subprocess.Popen[str]] = []

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start one. Its standard output is a pipe."""
        command = [sys.executable, "-m", "memcrdt", *arguments]
        process = subprocess.Popen(
            command, env=self._environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, encoding="utf-8"
        )
        self._running.append(process)
        return process

    def stop(self) -> float:
        """Stop all, and return the seconds of processor time that they have taken."""
        taken = 0.0
        for process in self._running:
            process.terminate()
        for process in self._running:
            _, _, used = os.wait4(process.pid, 0)
            process.returncode = 0
            taken += used.ru_utime + used.ru_stime
            if process.stdout is not None:
                process.stdout.close()
        self._running.clear()
        return taken


@contextmanager
def opened(homes: list[Path]) -> Iterator[list[Memory]]:
    """Open the memories of all laptops."""
    with ExitStack() as stack:
        yield [stack.enter_context(memcrdt.open(home, embedder="static")) for home in homes]


def prepare(folder: Path, dsn: str, homes: list[Path], port: int) -> None:
    """Make the hub and the laptops, and pair them."""
    (folder / "hub").mkdir()
    config.change(folder / "hub", "embedder", "static")
    for home in homes:
        home.mkdir()
        for name, value in (("embedder", "static"), ("mdns", False), ("tailscale", False), ("device_name", home.name)):
            config.change(home, name, value)
    with Hub.open(HubAddress(folder / "hub", dsn), name="hub") as hub, opened(homes) as laptops:
        for laptop in laptops:
            asyncio.run(_pair(hub, laptop, port))


async def _pair(hub: Hub, laptop: Memory, port: int) -> None:
    async with hub.invite(spaces=("personal",), host="127.0.0.1", port=port) as invitation:
        joining = memcrdt.AsyncMemory(laptop).sync.join(
            str(invitation.code), address=invitation.addresses[0], host="127.0.0.1"
        )
        await asyncio.gather(joining, invitation.joined(60))


def converged(homes: list[Memory], hub: Hub, count: int) -> Callable[[], bool]:
    """Return a function that says whether all laptops and the hub have `count` memories, and the same digest."""

    def is_true() -> bool:
        if any(memory.count() != count for memory in homes):
            return False
        found = {memory.space("personal").digest() for memory in homes}
        return found == {digests.whole(digests.of_space(hub.store, hub.store.space("personal")))}

    return is_true


async def until(is_true: Callable[[], bool]) -> float:
    """Wait until something is true, and return the seconds."""
    started = time.perf_counter()
    while not await asyncio.to_thread(is_true):  # noqa: ASYNC110 - nothing tells of it
        await asyncio.sleep(PAUSE_S)
    return time.perf_counter() - started


def edit(memory: Memory, number: int, edits: int) -> None:
    """Make the edits of one laptop."""
    rng, texts = Random(number), list(sentences(edits, seed=100 + number))
    shared = [each.id for each in memory.list(limit=1_000)]
    added = edits * 4 // 5
    memory.add_many([f"{text} (laptop {number})" for text in texts[:added]])
    for text in texts[added:]:
        memory.update(rng.choice(shared), text=f"{text} (laptop {number})")


async def real(folder: Path, arguments: argparse.Namespace) -> None:
    """Measure real processes."""
    homes = [folder / f"laptop{number}" for number in range(arguments.laptops)]
    hub_side, laptop_side = Processes({"MEMCRDT_POSTGRES": arguments.postgres}), Processes({})
    balancer = Balancer()
    async with balancer.running():
        await asyncio.to_thread(prepare, folder, arguments.postgres, homes, balancer.port)
        served = ("--host", "127.0.0.1", "--port", "0", "--json")
        try:
            for _ in range(HUB_PROCESSES):
                process = hub_side.start("hub", "--home", str(folder / "hub"), *served)
                assert process.stdout is not None
                balancer.ports.append(json.loads(await asyncio.to_thread(process.stdout.readline))["port"])
            with opened(homes) as laptops, Hub.open(HubAddress(folder / "hub", arguments.postgres)) as hub:
                await asyncio.to_thread(laptops[0].add_many, list(sentences(arguments.shared)))
                for home in homes:
                    laptop_side.start("serve", "--home", str(home), *served)
                seconds = await until(converged(laptops, hub, arguments.shared))
                await asyncio.to_thread(laptop_side.stop)
                print(f"{arguments.shared:,} memories of one laptop are on all after {seconds:.1f} s", flush=True)
                for number, laptop in enumerate(laptops):
                    await asyncio.to_thread(edit, laptop, number, arguments.edits)
                balancer.bytes = [0, 0]
                count = arguments.shared + arguments.laptops * (arguments.edits * 4 // 5)
                for home in homes:
                    laptop_side.start("serve", "--home", str(home), *served)
                seconds = await until(converged(laptops, hub, count))
            up, down = balancer.bytes
        finally:
            on_laptops, on_hub = laptop_side.stop(), hub_side.stop()
    print(f"{arguments.laptops} laptops come back with {arguments.edits} edits each: equal after {seconds:.1f} s")
    print(f"{up / 1e6:.2f} MB to the hub, {down / 1e6:.2f} MB to the laptops")
    print(f"processor: {on_laptops:.0f} s of all laptops, {on_hub:.0f} s of both hub processes")


def simulated(count: int, edits: int) -> None:
    """Simulate peers that come back to a hub at once, over links of 50 ms, each of the first 50 with so many edits."""
    sim, sent = Simulator(count, NetworkConditions(latency_s=0.05)), [0, 0]

    def watch(source: SimulatedNode, target: SimulatedNode, frame: bytes) -> None:
        sent[0] += 1
        sent[1] += len(frame)

    sim.watch = watch
    hub, ids = FakeReplica(client=1), [f"laptop {number}" for number in range(count)]
    hub.share("S", "shared", *ids)
    processes = [_node(sim, "hub", hub, hub=HubHint()) for _ in range(HUB_PROCESSES)]
    replicas = []
    for number, device in enumerate(ids):
        replica = FakeReplica(client=number + 2)
        replica.share("S", "shared", "hub")
        for edit in range(edits if number < EDITING else 0):
            shard = 0 if edits == 1 else number * -(-edits // SHARD_EDITS) + edit // SHARD_EDITS
            replica.write("S", shard, f"{device} {edit}".ljust(EDIT_CHARS))
        replicas.append(replica)
        sim.connect(_node(sim, device, replica), processes[number % HUB_PROCESSES])
    started = time.perf_counter()
    while any(len(replica.texts("S")) < min(count, EDITING) * edits for replica in replicas):
        for process in processes:  # each looks at the database, and is told of changes by the other one
            sim.give(process, Committed())
        sim.run(0.1)
    print(
        f"{count:,} peers, {min(count, EDITING)} of them with {edits:,} edits each: equal after {sim.now:.1f} simulated"
        f" s; {sent[0] / count:,.1f} frames and {sent[1] / count / 1e3:,.1f} kB a peer;"
        f" computed in {time.perf_counter() - started:.0f} s",
        flush=True,
    )


def _node(sim: Simulator, device: str, replica: FakeReplica, hub: HubHint | None = None) -> SimulatedNode:
    return sim.start(SimulatedNode(device, replica, Gossip(device, device, rng=Random(device), hub=hub)))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--postgres", metavar="DSN", help="the address of an empty database; without it, only simulate")
    parser.add_argument("--laptops", type=int, default=12)
    parser.add_argument("--edits", type=int, default=200)
    parser.add_argument("--shared", type=int, default=1_000)
    parser.add_argument("--peers", default="10,100,1000", help="how many to simulate")
    parser.add_argument("--peers-edits", type=int, default=1, help="of each simulated peer that edits")
    arguments = parser.parse_args()
    print(machine())
    if arguments.postgres:
        with psycopg.connect(arguments.postgres) as raw:
            version = raw.execute("SHOW server_version").fetchone()
        print(f"PostgreSQL {version and version[0]}, load {os.getloadavg()[0]:.1f}")
        with tempfile.TemporaryDirectory(prefix="memcrdt-bench-") as folder:
            asyncio.run(real(Path(folder), arguments))
    for count in filter(None, arguments.peers.split(",")):
        simulated(int(count), arguments.peers_edits)


if __name__ == "__main__":
    main()
