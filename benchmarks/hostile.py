"""Measure how much slower a node's own searches are while strangers attack its network, and what hostile data costs.

    python benchmarks/hostile.py [--memories 10000] [--seconds 10] [--data]

The node runs in a thread of the process that searches. The attacker is another process. Searches alone and under
attack take turns, so that other work on the machine affects both. The attacker also takes a core of the same machine:
"computing" attacks nothing, and shows that cost.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import itertools
import multiprocessing
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from multiprocessing.synchronize import Event
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

from corpus import questions, sentences
from figures import machine
from hostile_data import measure_data

import memcrdt
from memcrdt.errors import MemcrdtError
from memcrdt.memory.memory import Memory
from memcrdt.net.addresses import Address
from memcrdt.net.dialer import Dialer, DialTarget
from memcrdt.net.handshake import TrustPolicy
from memcrdt.net.identity import Identity
from memcrdt.net.tls import dialer_context
from memcrdt.store.membership.peers import Peers

TURN_S = 1.0  # alone, then the same time under attack, and so on
AT_ONCE = 32  # sockets of an attacker
FORGED = 64  # records

PROCESSES = multiprocessing.get_context("spawn")


async def connections(address: Address) -> None:
    """Connect and disconnect."""
    _, writer = await asyncio.open_connection(address.host, address.port)
    writer.transport.abort()


async def handshakes(address: Address) -> None:
    """Complete TLS and disconnect."""
    _, writer = await asyncio.open_connection(address.host, address.port, ssl=dialer_context())
    writer.transport.abort()


async def slow_handshakes(address: Address) -> None:
    """Send a byte of TLS every tenth of a second."""
    _, writer = await asyncio.open_connection(address.host, address.port)
    for byte in b"\x16\x03\x01\x02\x00" + bytes(100):
        writer.write(bytes([byte]))
        if writer.is_closing():
            return
        await asyncio.sleep(0.1)


async def garbage(address: Address) -> None:
    """Send 200 kB of header within TLS."""
    reader, writer = await asyncio.open_connection(address.host, address.port, ssl=dialer_context())
    writer.write(b"GET /sync HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 200_000 + b"\r\n\r\n")
    await reader.read()
    writer.transport.abort()


async def strangers(address: Address) -> None:
    """Prove a key that no device has accepted."""
    with tempfile.TemporaryDirectory() as home:
        dialer = Dialer(Identity.load_or_create(Path(home)), TrustPolicy())
        with suppress(MemcrdtError):
            await dialer.dial(DialTarget(address))
        await dialer.close()


async def computing(_: Address) -> None:
    """Compute without contacting the node."""
    sum(range(100_000))
    await asyncio.sleep(0)


ATTACKS = (computing, connections, handshakes, slow_handshakes, garbage, strangers)


def attack(kind: Callable[[Address], Awaitable[None]], address: Address, on: Event) -> None:
    """Attack whenever `on` is set, until this process is killed."""

    async def one() -> None:
        while True:
            if not on.is_set():
                await asyncio.sleep(0.01)
                continue
            with suppress(OSError):
                await kind(address)

    async def all_at_once() -> None:
        await asyncio.gather(*(one() for _ in range(AT_ONCE)))

    asyncio.run(all_at_once())


def forge(on: Event) -> None:
    """Announce 64 devices by mDNS whenever `on` is set, and withdraw them."""
    from zeroconf import ServiceInfo
    from zeroconf.asyncio import AsyncZeroconf

    async def main() -> None:
        for number in itertools.count():
            await asyncio.to_thread(on.wait)
            zeroconf = AsyncZeroconf()
            kind = "_memcrdt._tcp.local."
            for record in range(FORGED):
                name = f"forged{number}x{record}.{kind}"
                device = f"{record:052d}".replace("0", "A")
                properties = {"v": "1", "id": device}
                info = ServiceInfo(
                    kind, name, 30000 + record, properties=properties, server=name, parsed_addresses=["127.0.0.1"]
                )
                await zeroconf.async_register_service(info, cooperating_responders=True)
            await zeroconf.async_close()

    asyncio.run(main())


class Searches:
    """Searches of one kind: the time of each, and the core time that the rest of the process used during them."""

    def __init__(self) -> None:
        self._taken: list[float] = []
        self._elapsed = 0.0
        self._node = 0.0

    def turn(self, memory: Memory, asked: Iterator[str]) -> None:
        """Search for a second."""
        begins, node = time.perf_counter(), time.process_time() - time.thread_time()
        while (start := time.perf_counter()) < begins + TURN_S:
            memory.search(next(asked))
            self._taken.append(time.perf_counter() - start)
        self._elapsed += time.perf_counter() - begins
        self._node += time.process_time() - time.thread_time() - node

    @property
    def p99(self) -> float:
        """The 99th percentile of the times, in milliseconds."""
        return sorted(self._taken)[int(len(self._taken) * 0.99)] * 1e3

    @property
    def node(self) -> float:
        """The share of a core that the node used."""
        return self._node / self._elapsed


def measure(memory: Memory, name: str, seconds: float, target: Callable[..., None], *arguments: object) -> None:
    """Measure one attack and print one line."""
    on = PROCESSES.Event()
    attacker = PROCESSES.Process(target=target, args=(*arguments, on), daemon=True)
    attacker.start()
    on.set()
    time.sleep(2)  # until it has imported everything
    asked = itertools.cycle(questions(1_000))
    alone, attacked = Searches(), Searches()
    for _ in range(round(seconds / TURN_S)):
        on.clear()
        alone.turn(memory, asked)
        on.set()
        attacked.turn(memory, asked)
    attacker.kill()
    attacker.join()
    print(
        f"{name}: p99 {alone.p99:.1f} ms alone, {attacked.p99:.1f} ms attacked: {attacked.p99 / alone.p99:.2f}; "
        f"the node used {attacked.node:.0%} of a core",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--memories", type=int, default=10_000)
    parser.add_argument(
        "--seconds", type=float, default=10.0, help="seconds of searches alone, and as many under each attack"
    )
    parser.add_argument("--data", action="store_true", help="measure only hostile data, without a network")
    given = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as folder, memcrdt.open(Path(folder)) as memory:
        memory.add_many(sentences(given.memories))
        memory.models.wait()  # embedding takes a core for a minute
        gc.collect()
        gc.freeze()  # as `memcrdt serve` does
        measure_data(memory)
    if given.data:
        return
    with tempfile.TemporaryDirectory() as folder, memcrdt.open(Path(folder)) as memory:
        memory.add_many(sentences(given.memories))
        Peers(memory.store).accept("A" * 52)
        memory.start_sync(port=0, tailscale=False)
        serving = memory.status().serving
        assert serving is not None
        assert serving.port is not None
        for question in questions(500):
            memory.search(question)
        here = Address("127.0.0.1", serving.port)
        for kind in ATTACKS:
            measure(memory, kind.__name__.replace("_", " "), given.seconds, attack, kind, here)
        measure(memory, "forged records", given.seconds, forge)


if __name__ == "__main__":
    main()
