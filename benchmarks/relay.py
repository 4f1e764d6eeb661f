"""The relay: the memory of its process with 1,000 waiting devices, the time to join two, and what it passes a second.

python -m benchmarks.relay
"""

from __future__ import annotations

import asyncio
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from memcrdt.model.device_ids import device_id
from memcrdt.net.addresses import Address
from memcrdt.net.relay import protocol
from memcrdt.net.relay.client import call, wait_for_call
from memcrdt.net.relay.protocol import Challenge, FrameReader, Message, encode

WAITING = 1_000
PER_HOST = 200  # below the limit of one address
JOINS = 200
BYTES = 64 << 20


class Key:
    """A device key in memory."""

    def __init__(self) -> None:
        self._key = Ed25519PrivateKey.generate()
        self.public_key = self._key.public_key().public_bytes_raw()
        self.device_id = device_id(self.public_key)

    def sign(self, message: bytes) -> bytes:
        return self._key.sign(message)


async def _next(reader: asyncio.StreamReader) -> Message | None:
    frames = FrameReader()
    size = await reader.readexactly(2)
    frames.feed(size + await reader.readexactly(int.from_bytes(size, "big")))
    return frames.next()


async def _wait(at: Address, number: int) -> asyncio.StreamWriter:
    source = (f"127.0.0.{2 + number // PER_HOST}", 0)
    reader, writer = await asyncio.open_connection(at.host, at.port, local_addr=source)
    challenge = await _next(reader)
    assert isinstance(challenge, Challenge)
    writer.write(encode(protocol.wait(Key(), challenge.nonce, at.host)))
    await _next(reader)
    return writer


async def _join(at: Address, laptop: Key, desktop: Key) -> float:
    registered = asyncio.Event()
    waiting = asyncio.create_task(wait_for_call(at, desktop, registered.set))
    await registered.wait()
    began = time.perf_counter()
    one = await call(at, laptop, desktop.device_id)
    took = time.perf_counter() - began
    one.close()
    (await waiting).close()
    return took


async def _pass(at: Address, laptop: Key, desktop: Key) -> float:
    registered = asyncio.Event()
    waiting = asyncio.create_task(wait_for_call(at, desktop, registered.set))
    await registered.wait()
    one, loop = await call(at, laptop, desktop.device_id), asyncio.get_running_loop()
    other = await waiting
    began, received = time.perf_counter(), 0
    sending = asyncio.create_task(loop.sock_sendall(one, bytes(BYTES)))
    while received < BYTES:
        received += len(await loop.sock_recv(other, 1 << 20))
    await sending
    one.close()
    other.close()
    return time.perf_counter() - began


def _resident_mb(process: int) -> float:
    status = Path(f"/proc/{process}/status").read_text("ascii")
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


async def main() -> None:
    """Print the figures."""
    command = [sys.executable, "-m", "memcrdt", "relay", "--host", "127.0.0.1", "--port", "0", "--json"]
    command += ["--rate", "10000", "--total-rate", "10000"]
    relay = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    try:
        assert relay.stdout is not None
        at = Address("127.0.0.1", json.loads(await relay.stdout.readline())["port"])
        empty = _resident_mb(relay.pid)
        writers = [await _wait(at, number) for number in range(WAITING)]
        print(f"{WAITING:,} waiting devices: {_resident_mb(relay.pid):.0f} MB resident, without any {empty:.0f} MB")
        laptop, desktop = Key(), Key()
        times = sorted([await _join(at, laptop, desktop) for _ in range(JOINS)])
        print(f"join: p50 {statistics.median(times) * 1e3:.1f} ms, p95 {times[int(JOINS * 0.95)] * 1e3:.1f} ms")
        took = await _pass(at, laptop, desktop)
        print(f"one pair: {BYTES / took / (1 << 20):.0f} MiB/s; {_resident_mb(relay.pid):.0f} MB resident")
        for writer in writers:
            writer.close()
    finally:
        relay.terminate()
        await relay.wait()


if __name__ == "__main__":
    asyncio.run(main())
