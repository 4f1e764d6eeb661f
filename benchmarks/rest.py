"""Measure the REST interface on the loopback interface, beside the same calls in Python.

    python benchmarks/rest.py [--memories 10000] [--clients 200] [--polite]

The server is `memcrdt serve --http` as a process of its own; one client asks over one connection that stays open.
Reading and searching are measured in turn with the same calls in Python in this process, so that a busy machine slows
both. The goals are: reading a memory takes under 3 ms at the median, and a search 3 ms more than in Python.

Streams: with 200 clients that follow /v1/changes, the time from a commit of another process until the first and until
the last client has the change. Sync: the time until another node has 200 new memories of four commits, in turn without
and with these clients and one more that reads without a pause. A round ends when every client has every change.
"""

from __future__ import annotations

import argparse
import asyncio
import http.client
import json
import multiprocessing
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlsplit

sys.path.insert(0, str(Path(__file__).parent))
from corpus import questions, sentences
from figures import machine, p50_p95

import memcrdt

RUNS: Final = 300
ROUNDS: Final = 5
NEW: Final = 200
COMMITS: Final = 4


class Client:
    """One connection that stays open."""

    def __init__(self, url: str, token: str) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(url).netloc)
        self._headers = {"Authorization": f"Bearer {token}"}

    def get(self, path: str) -> Any:
        """Return the JSON at a path."""
        self._connection.request("GET", path, headers=self._headers)
        answer = self._connection.getresponse()
        content = answer.read()
        assert answer.status == 200, content
        return json.loads(content)


@contextmanager
def serving(home: Path) -> Iterator[tuple[str, int]]:
    """Run the server, and return its address and the port of its node (0 while no device is accepted)."""
    command = [sys.executable, "-m", "memcrdt", "--home", str(home), "--json", "serve", "--host", "127.0.0.1"]
    command += ["--port", "0", "--no-mdns", "--no-tailscale", "--http", "127.0.0.1:0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        said = json.loads(process.stdout.readline())
        try:
            yield said["http"], said["port"] or 0
        finally:
            process.terminate()


def timed(call: Callable[[], object]) -> float:
    """Return the time of a call in seconds."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def compare(name: str, calls: Sequence[tuple[Callable[[], object], Callable[[], object]]]) -> None:
    """Measure pairs of calls in turn: in Python, and over HTTP."""
    ours, theirs = [], []
    for in_python, over_http in calls:
        ours.append(timed(in_python))
        theirs.append(timed(over_http))
    more = statistics.median(theirs) - statistics.median(ours)
    ratio = statistics.median(theirs) / statistics.median(ours)
    print(f"{name}: Python {p50_p95(ours)}, HTTP {p50_p95(theirs)}: {more * 1e3:.2f} ms more, {ratio:.1f} times")


class Streams:
    """Clients that follow the changes, in an event loop of their own."""

    def __init__(self, url: str, token: str, count: int) -> None:
        self._url, self._token, self._count = urlsplit(url), token, count
        self._loop = asyncio.new_event_loop()
        self._tasks: list[asyncio.Task[None]] = []
        self.arrived: list[float] = []
        self._ready = threading.Semaphore(0)
        threading.Thread(target=self._loop.run_forever, daemon=True).start()

    def open(self) -> None:
        """Connect all clients, and wait until each is up to date."""
        self._loop.call_soon_threadsafe(self._start)
        for _ in range(self._count):
            self._ready.acquire()

    def wait(self, changes: int) -> float:
        """Wait until each client has so many changes, and return when the last one came."""
        while len(self.arrived) < changes * self._count:
            time.sleep(0.001)
        return max(self.arrived)

    def close(self) -> None:
        """Disconnect all clients."""
        for task in self._tasks:
            self._loop.call_soon_threadsafe(task.cancel)
        self._tasks.clear()

    def _start(self) -> None:
        self._tasks += [self._loop.create_task(self._follow()) for _ in range(self._count)]

    async def _follow(self) -> None:
        reader, writer = await asyncio.open_connection(self._url.hostname, self._url.port)
        request = f"GET /v1/changes HTTP/1.1\r\nHost: {self._url.netloc}\r\nAccept: text/event-stream\r\n"
        writer.write(f"{request}Authorization: Bearer {self._token}\r\n\r\n".encode())
        try:
            while line := await reader.readline():
                if line.startswith(b"id: "):
                    self._ready.release()
                    break
            while line := await reader.readline():
                if line.startswith(b"data: "):
                    self.arrived.append(time.perf_counter())
        finally:
            writer.close()


class StreamProcess:
    """Streams, and perhaps a client that reads without a pause, in a process of its own. It has our clock."""

    def __init__(self, url: str, token: str, count: int, *, is_polite: bool) -> None:
        processes = multiprocessing.get_context("spawn")
        self._here, there = processes.Pipe()
        self._process = processes.Process(target=_follow_in_process, args=(there, url, token, count, is_polite))
        self._process.start()

    def open(self, read: str = "") -> None:
        """Connect all clients, and begin to read a path without a pause if one is given."""
        self._ask("open", read)

    def close(self) -> None:
        """Disconnect all clients."""
        self._ask("close")

    def clear(self) -> None:
        """Forget what has arrived."""
        self._ask("clear")

    def wait(self, changes: int) -> tuple[float, float]:
        """Wait until each client has so many changes, and return when the first and the last one came."""
        first, last = self._ask("wait", changes)
        return first, last

    def end(self) -> None:
        """End the process."""
        self._here.send(None)
        self._process.join()

    def _ask(self, *asked: object) -> Any:
        self._here.send(asked)
        return self._here.recv()


def _follow_in_process(asked: Any, url: str, token: str, count: int, is_polite: bool) -> None:
    """Do what the other side of a pipe asks for. Polite clients leave the processors to the server."""
    if is_polite and hasattr(os, "nice"):
        os.nice(19)
    streams, stop = Streams(url, token, count), threading.Event()

    def read_on(path: str) -> None:
        reader = Client(url, token)
        while not stop.is_set():
            reader.get(path)

    while (given := asked.recv()) is not None:
        answer = None
        if given[0] == "open":
            stop.clear()
            streams.open()
            if given[1]:
                threading.Thread(target=read_on, args=given[1:], daemon=True).start()
        elif given[0] == "close":
            stop.set()
            streams.close()
        elif given[0] == "clear":
            streams.arrived.clear()
        else:
            last = streams.wait(given[1])
            answer = min(streams.arrived), last
        asked.send(answer)


def measure_streams(memory: memcrdt.Memory, streams: StreamProcess, count: int) -> None:
    """Print how long a change takes to the first and to the last client."""
    firsts, lasts = [], []
    for number in range(20):
        streams.clear()
        started = time.perf_counter()
        memory.add(f"a change for everybody, number {number}")
        first, last = streams.wait(1)
        firsts.append(first - started)
        lasts.append(last - started)
    print(f"a change of another process: first of {count} clients {p50_p95(firsts)}, last {p50_p95(lasts)}")


def measure_sync(memory: memcrdt.Memory, other: memcrdt.Memory, streams: StreamProcess, read: str) -> None:
    """Print how long 200 new memories take to another node, in turn without and with clients, and to all clients."""
    times: dict[bool, list[float]] = {False: [], True: []}
    followed = []
    for number in range(ROUNDS):
        for loaded in (False, True):
            if loaded:
                streams.open(read)
            streams.clear()
            before = other.count()
            texts = [f"round {number} {loaded} {text}" for text in sentences(NEW)]
            started = time.perf_counter()
            for start in range(0, NEW, NEW // COMMITS):
                memory.add_many(texts[start : start + NEW // COMMITS])
            while other.count() < before + NEW:
                time.sleep(0.005)
            times[loaded].append(time.perf_counter() - started)
            if loaded:
                followed.append(streams.wait(NEW)[1] - started)
                streams.close()
    quiet, busy = (statistics.median(times[loaded]) for loaded in (False, True))
    told = f"{quiet:.2f} s without clients, {busy:.2f} s with them"
    print(
        f"{NEW} memories to another node: {told}: {busy / quiet:.2f} times; {statistics.median(followed):.2f} s to all"
    )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--memories", type=int, default=10_000)
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--polite", action="store_true", help="let the clients leave the processors to the server")
    given = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        home, far = Path(folder) / "here", Path(folder) / "there"
        with memcrdt.open(home) as memory, memcrdt.open(far) as other:
            ids = memory.add_many(list(sentences(given.memories)))
            memory.models.wait()
            token = memory.tokens.create("benchmark")
            memory.accept(other.device, name="there")
            with serving(home) as (url, port):
                other.accept(memory.device, name="here", address=f"127.0.0.1:{port}")
                with serving(far):
                    while other.count() < len(ids):
                        time.sleep(0.05)
                    _measure(memory, other, given.clients, url=url, token=token, ids=ids, is_polite=given.polite)


def _measure(
    memory: memcrdt.Memory,
    other: memcrdt.Memory,
    clients: int,
    *,
    url: str,
    token: str,
    ids: list[str],
    is_polite: bool,
) -> None:
    client = Client(url, token)
    step = max(1, len(ids) // RUNS)
    read = [(partial(memory.get, each), partial(client.get, f"/v1/memories/{each}")) for each in ids[::step]]
    compare("GET /v1/memories/{id}", read)
    asked = list(questions(RUNS))
    found = [(partial(memory.search, q, fold=True), partial(client.get, f"/v1/search?q={quote(q)}")) for q in asked]
    compare("GET /v1/search", found)
    streams = StreamProcess(url, token, clients, is_polite=is_polite)
    try:
        streams.open()
        measure_streams(memory, streams, clients)
        streams.close()
        measure_sync(memory, other, streams, f"/v1/memories/{ids[0]}")
    finally:
        streams.end()


if __name__ == "__main__":
    main()
