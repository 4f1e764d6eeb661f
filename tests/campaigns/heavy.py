"""Heavy calls of one process beside everyday calls of another: none fails, and the longest wait is measured."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import memcrdt
from memcrdt.memory.memory import Memory
from tests.campaigns.expected import LostError
from tests.campaigns.kill import processes

_WORDS: Final = ("error", "retry", "queue", "worker", "disk", "sync", "index", "cache", "page", "search", "release")
_LONG_EVERY: Final = 25  # every so many memories have a long text
_LONG_WORDS: Final = 4_000  # about 30 KB
_SEARCHERS: Final = 4  # threads
_START_S: Final = 60.0  # deadline for the start of the other process
_END_S: Final = 120.0  # deadline for one answer of it


@dataclass(frozen=True, slots=True)
class Beside:
    """The everyday calls that ran beside one heavy call.

    Attributes:
        took_s: The time that the heavy call took, in seconds.
        rounds: The number of rounds of everyday calls.
        longest_s: The longest of these calls, in seconds.
        slowest: The name of that call.
    """

    took_s: float
    rounds: int
    longest_s: float
    slowest: str


def run(folder: Path, count: int) -> dict[str, Beside]:
    """Make twelve kinds of heavy calls over this many memories, while another process makes everyday calls.

    Raises:
        LostError: A call of the other process failed, or something that it added is missing.
    """
    found: dict[str, Beside] = {}
    with memcrdt.open(folder / "home", embedder="static") as memory:
        here, there = processes().Pipe()
        other = processes().Process(target=_everyday, args=(folder / "home", there))
        other.start()
        try:
            _answer(here, _START_S)
            for name, call in _heavy_calls(memory, folder, count).items():
                here.send(name)
                _answer(here, _END_S)
                began = time.perf_counter()
                call()
                took_s = time.perf_counter() - began
                here.send(name)
                found[name] = Beside(took_s, *_answer(here, _END_S))
            here.send(None)
            kept = _answer(here, _END_S)
        finally:
            other.kill()
            other.join()
        if lost := set(kept) - {record.id for record in memory.get_many(kept)}:
            raise LostError(f"{sorted(lost)} were added by the other process and are missing")
    return found


def _heavy_calls(memory: Memory, folder: Path, count: int) -> dict[str, Callable[[], object]]:
    """Return the calls in the order in which they can be made."""
    rng = random.Random(count)
    texts = [_text(rng, _LONG_WORDS if number % _LONG_EVERY == 0 else 20) for number in range(count)]
    file, copy = folder / "export.jsonl", folder / "copy.db"
    return {
        "add_many": partial(memory.add_many, texts, tags=["heavy"]),
        "update_many": lambda: memory.update_many(
            [{"id": record.id, "pinned": True} for record in memory.iterate(tags=["heavy"])]
        ),
        "search by four threads": partial(_storm, memory, texts),
        "change of the model": partial(_change_model, memory, 1.0 + count / 100),
        "export": partial(memory.export, file, tags=["heavy"], history=True),
        "backup": partial(memory.backup, copy),
        "restore into another home": partial(_restore, folder / "other", copy),
        "doctor": memory.doctor,
        "forget by filter": partial(memory.forget, tags=["heavy"]),
        "import": partial(memory.import_, file, again=True),
        "rename_scope": partial(memory.rename_scope, "global", "project/new"),
        "compact": memory.compact,
    }


def _text(rng: random.Random, words: int) -> str:
    return " ".join(
        rng.choice(_WORDS) + (str(rng.randrange(10**6)) if rng.random() < 0.15 else "") for _ in range(words)
    )


def _storm(memory: Memory, texts: Sequence[str]) -> None:
    with ThreadPoolExecutor(_SEARCHERS) as pool:
        list(pool.map(memory.search, [text[:200] for text in texts[:200]]))


def _change_model(memory: Memory, time_s: float) -> None:
    """Embed every memory with another model, and again with the first one.

    The other process goes on adding memories that wait for the other model, so the first wait may end with the time.
    """
    with memcrdt.open(memory.home, embedder=_letters) as other:
        other.models.wait(timeout=time_s)
    memory.models.use("static")
    memory.models.wait(timeout=_END_S)


def _letters(texts: list[str]) -> list[list[float]]:
    return [[text.count(letter) + 1.0 for letter in "abcdefghijklmnop"] for text in texts]


def _restore(home: Path, backup: Path) -> None:
    with memcrdt.open(home, embedder="static") as memory:
        memory.files.restore(backup)


def _answer(connection: Any, timeout_s: float) -> Any:
    """Return what the other process says next."""
    if not connection.poll(timeout_s):
        raise LostError(f"the other process did not answer within {timeout_s:.0f} s")
    answer = connection.recv()
    if isinstance(answer, BaseException):
        raise LostError(f"an everyday call of the other process failed: {answer!r}") from answer
    return answer


def _everyday(home: Path, parent: Any) -> None:
    """Make everyday calls until the parent says None. Answer each message with what happened since the one before."""
    kept: list[str] = []
    try:
        with memcrdt.open(home, embedder="static") as memory:
            parent.send("ready")
            waits: list[tuple[float, str]] = []
            said: object = ""
            while said is not None:
                waits.append(_round(memory, kept))
                if parent.poll():
                    said = parent.recv()
                    parent.send(kept if said is None else (len(waits), *max(waits)))
                    waits.clear()
    except Exception as exc:  # noqa: BLE001 - of any kind: the parent shows it
        parent.send(exc)


def _round(memory: Memory, kept: list[str]) -> tuple[float, str]:
    """Make each everyday call once. Return the longest time and the name of its call."""
    waits = []

    def timed(name: str, call: Callable[[], Any]) -> Any:
        began = time.perf_counter()
        found = call()
        waits.append((time.perf_counter() - began, name))
        return found

    memory_id = timed("add", lambda: memory.add(f"meanwhile {len(kept)}"))
    timed("update", lambda: memory.update(memory_id, add_tags=["seen"]))
    timed("get", lambda: memory.get(memory_id))
    timed("list", lambda: memory.list(limit=10))
    timed("search", lambda: memory.search("meanwhile the deploy"))
    if len(kept) % 3 == 2:
        timed("forget", lambda: memory.forget(kept.pop()))
    kept.append(memory_id)
    return max(waits)
