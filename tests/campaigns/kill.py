"""Writers that share one store and are killed at random moments. Acknowledged writes must survive.

Each writer has a thread that opens and closes the files of the store in other ways.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from collections.abc import Iterator
from itertools import count
from multiprocessing import get_context
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Final

from memcrdt.store.store import in_file
from tests.campaigns.expected import Expected, LostError, open_memory, texts_of
from tests.campaigns.peeks import keep_peeking

if sys.platform == "win32":
    from multiprocessing.context import SpawnContext as Context
else:
    from multiprocessing.context import ForkServerContext as Context

WRITERS: Final = 4
_PAUSES_S: Final = (0.002, 0.05)  # between two kills
_START_S: Final = 30.0  # deadline for the first write of a writer


def processes() -> Context:
    """Return the multiprocessing context for tests: it starts quickly and never forks a process with threads."""
    if sys.platform == "win32":
        context = get_context("spawn")
    else:
        context = get_context("forkserver")
        context.set_forkserver_preload(["tests.campaigns.kill"])
    return context


def run(home: Path, kills: int, seed: int) -> int:
    """Run four writers in `home`, and kill one after another.

    Returns:
        The number of acknowledged writes.

    Raises:
        LostError: An acknowledged write is gone.
    """
    rng = random.Random(seed)
    open_memory(home).close()
    notes = home / "notes"
    notes.mkdir()
    numbers = count()
    writers = [_started(home, notes / str(next(numbers))) for _ in range(WRITERS)]
    for _ in range(kills):
        time.sleep(rng.uniform(*_PAUSES_S))
        killed = writers.pop(rng.randrange(WRITERS))
        killed.kill()
        killed.join()
        writers.append(_started(home, notes / str(next(numbers))))
    for writer in writers:
        writer.kill()
        writer.join()
    return _check(home, notes)


def _started(home: Path, notes: Path) -> BaseProcess:
    """Start a writer, and wait for its first acknowledged write, so that every kill interrupts a working writer."""
    writer = processes().Process(target=_write, args=(home, notes))
    writer.start()
    deadline = time.monotonic() + _START_S
    while not (notes.exists() and notes.stat().st_size):
        if not writer.is_alive() or time.monotonic() > deadline:
            raise LostError(f"a writer did not begin; it ended with {writer.exitcode}")
        time.sleep(0.001)
    return writer


def _write(home: Path, notes: Path) -> None:
    """Add, edit and forget until killed. Note every change when it begins and when it is acknowledged."""
    file = os.open(notes, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    rng = random.Random(notes.name)
    mine: list[str] = []

    def note(kind: str, memory_id: str | None, text: str | None) -> None:
        os.write(file, (json.dumps([kind, memory_id, text]) + "\n").encode())

    memory = open_memory(home)
    keep_peeking(home, random.Random(notes.name))
    for number in count():
        text = f"{notes.name}: {number}"
        if not mine or rng.random() < 0.5:
            note("begin", None, text)
            mine.append(memory.add(text))
            note("done", mine[-1], text)
            continue
        target = rng.choice(mine)
        forget = rng.random() < 0.3
        note("begin", target, None if forget else text)
        if forget:
            mine.remove(target)
            memory.forget(target)
        else:
            memory.update(target, text=text)
        note("done", target, None if forget else text)


def _check(home: Path, notes: Path) -> int:
    expected, acknowledged = Expected(), 0
    for kind, memory_id, text in _noted(notes):
        if kind == "begin":
            expected.begin(memory_id, text)
        else:
            expected.acknowledge(str(memory_id), text)
            acknowledged += 1
    with open_memory(home) as memory:
        expected.check(texts_of(memory), "after the kills")
        with in_file(memory.store).reading() as db:
            if (found := db.pragma("integrity_check")) != "ok":
                raise LostError(f"the file is damaged: {found}")
        memory.add("it can be written again")
    return acknowledged


def _noted(notes: Path) -> Iterator[tuple[str, str | None, str | None]]:
    for file in notes.iterdir():
        for line in file.read_text().splitlines():
            yield tuple(json.loads(line))
