"""The start screen of a home: the verdict, the counts, and three commands that fit the state."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from memcrdt.memory.status import Status
from memcrdt.model.serialization import Record
from memcrdt.service.verdict import State, verdict
from memcrdt.store.overview import Stats

STEPS: Final = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class NextStep(Record):
    """A command that fits the state of a home.

    Attributes:
        command: The command line.
        purpose: What it does, in a few words.
    """

    command: str
    purpose: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Start(Record):
    """What a user sees first.

    Attributes:
        verdict: The verdict as a sentence.
        memories: The number of memories.
        conflicted: The number of memories with competing texts.
        forgotten: The number of forgotten memories.
        devices: The number of accepted other devices.
        next: Three commands, the most urgent first.
    """

    verdict: str
    memories: int
    conflicted: int
    forgotten: int
    devices: int
    next: tuple[NextStep, ...]


_ADD: Final = NextStep(command='memcrdt add "TEXT"', purpose="add a memory")
_INSTALL: Final = NextStep(command="memcrdt mcp install --client NAME", purpose="let a coding agent use this memory")
_PAIR: Final = NextStep(command="memcrdt pair", purpose="share these memories with another device")

# The steps for states of the verdict that ask for one.
_BY_STATE: Final[dict[State, NextStep]] = {
    "damaged": NextStep(command="memcrdt doctor", purpose="examine the store, and say how to repair it"),
    "revoked": NextStep(command="memcrdt space list", purpose="see the spaces and their members"),
    "behind": NextStep(command="memcrdt peers", purpose="see what the other devices lack"),
    "waiting": NextStep(command="memcrdt peers", purpose="see why a device was not reached yet"),
    "syncing": NextStep(command="memcrdt status --watch", purpose="watch the sync"),
}

FRESH: Final = Start(
    verdict="There are no memories yet; the first one creates the home.",
    memories=0,
    conflicted=0,
    forgotten=0,
    devices=0,
    next=(_ADD, _INSTALL, _PAIR),
)


def start_of(status: Status, stats: Stats, now: datetime) -> Start:
    """Return the start screen of a home. That of a home that does not exist yet is FRESH.

    Args:
        status: The status, as Memory.status() returns it.
        stats: The counts, as Memory.stats() returns them.
        now: The present time.

    Example:
        >>> [step.command for step in start_of(memory.status(), memory.stats(), datetime.now(UTC)).next]
        ['memcrdt search "WORDS"', 'memcrdt list', 'memcrdt pair']
    """
    judged = verdict(status, now)
    steps: dict[str, NextStep] = {}
    for step in _steps(judged.state, status, stats):
        steps.setdefault(step.command, step)
    return Start(
        verdict=judged.text,
        memories=stats.memories,
        conflicted=stats.conflicted,
        forgotten=stats.forgotten,
        devices=sum(peer.state == "accepted" for peer in status.peers),
        next=tuple(steps.values())[:STEPS],
    )


def _steps(state: State, status: Status, stats: Stats) -> Iterator[NextStep]:
    """Yield steps, the most urgent first: always three or more different ones."""
    if state in ("damaged", "revoked"):
        yield _BY_STATE[state]
    if status.alarms:
        yield NextStep(command="memcrdt status --ack", purpose="read the alarms, and acknowledge them")
    if any(peer.state == "pending" for peer in status.peers):
        yield NextStep(command="memcrdt peers", purpose="see which unknown device tried to connect")
    if stats.conflicted:
        yield NextStep(command="memcrdt conflicts", purpose="see the memories with competing texts")
    if status.serving is None and any(peer.state == "accepted" for peer in status.peers):
        yield NextStep(command="memcrdt serve", purpose="sync with the other devices")
    if state in _BY_STATE:
        yield _BY_STATE[state]
    if stats.memories:
        yield NextStep(command='memcrdt search "WORDS"', purpose="find memories by words and by meaning")
        yield NextStep(command="memcrdt list", purpose="see the newest memories")
        yield from [_PAIR] if state == "alone" else [_ADD]
    else:
        yield from (_ADD, _INSTALL, _PAIR)
