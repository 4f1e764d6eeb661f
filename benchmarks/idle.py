"""Measure what `memcrdt serve` costs with a peer and nothing to do: wake-ups, processor time and memory. Linux only.

    python benchmarks/idle.py [--memories 300] [--seconds 60]

Two homes are paired and served on the loopback interface, without discovery. A wake-up is a voluntary context switch of
any thread. Both homes have embedded their memories before, so that no model is loaded.
"""

from __future__ import annotations

import argparse
import asyncio
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parent))

from corpus import sentences
from figures import machine

import memcrdt
from memcrdt.memory.memory import Memory
from memcrdt.memory.pairing import PairOptions
from memcrdt.pairing.pair import invite, join
from memcrdt.testing.memories import exchange

SETTLE_S = 20.0  # after the start, until both devices are equal and all is loaded
PORTS = (28_861, 28_862)


class Usage(NamedTuple):
    """The usage of a process since its start: wake-ups of all threads, seconds of processor, and resident bytes now."""

    wakes: int
    cpu_s: float
    resident: int


def usage(pid: int) -> Usage:
    """Read the usage of a process."""
    wakes, cpu_ns = 0, 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        lines = (task / "status").read_text().splitlines()
        wakes += int(next(line for line in lines if line.startswith("voluntary_ctxt_switches")).split()[1])
        cpu_ns += int((task / "schedstat").read_text().split()[0])
    status = Path(f"/proc/{pid}/status").read_text().splitlines()
    resident = int(next(line for line in status if line.startswith("VmRSS")).split()[1]) * 1_024
    return Usage(wakes, cpu_ns / 1e9, resident)


async def pair(inviter: Memory, joiner: Memory) -> None:
    """Pair two open memories on the loopback interface."""
    options = PairOptions(host="127.0.0.1", mdns=False, tailscale=False)
    async with await invite(inviter, options) as invitation:
        joined = asyncio.create_task(invitation.joined())
        await join(joiner, str(invitation.code), replace(options, spaces=()), at=invitation.addresses[0])
        await joined


def served(folder: Path, memories: int) -> list[subprocess.Popen[bytes]]:
    """Return two processes that serve two paired homes."""
    homes = [folder / "one", folder / "other"]
    with memcrdt.open(homes[0]) as one, memcrdt.open(homes[1]) as other:
        one.add_many(sentences(memories))
        asyncio.run(pair(one, other))
        one.accept(other.store.device, address=f"127.0.0.1:{PORTS[1]}")
        other.accept(one.store.device, address=f"127.0.0.1:{PORTS[0]}")
        exchange(one, other)
        one.models.wait()
        other.models.wait()
    command = [sys.executable, "-m", "memcrdt", "serve", "--no-mdns", "--no-tailscale", "--host", "127.0.0.1"]
    return [
        subprocess.Popen([*command, "--home", str(home), "--port", str(port)], stdout=subprocess.DEVNULL)
        for home, port in zip(homes, PORTS, strict=True)
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--memories", type=int, default=300)
    parser.add_argument("--seconds", type=float, default=60.0)
    given = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        serving = served(Path(folder), given.memories)
        try:
            time.sleep(SETTLE_S)
            before = [usage(each.pid) for each in serving]
            time.sleep(given.seconds)
            for name, was, each in zip(("inviter", "joiner"), before, serving, strict=True):
                now = usage(each.pid)
                print(
                    f"{name}: {(now.wakes - was.wakes) / given.seconds:.2f} wake-ups a second,"
                    f" {(now.cpu_s - was.cpu_s) / given.seconds:.3%} of a core, {now.resident / 1e6:.0f} MB"
                )
        finally:
            for each in serving:
                each.terminate()
                each.wait()


if __name__ == "__main__":
    main()
