"""Three commands that fit the state of a home."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from memcrdt.memory.devices import Device
from memcrdt.memory.status import Status
from memcrdt.memory.sync import Serving
from memcrdt.service.start import FRESH, start_of
from memcrdt.store.alarms import StoreAlarm
from memcrdt.store.overview import SpaceStatus, Stats

NOW = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)


def record(kind: Any, **given: Any) -> Any:
    return kind(**{**dict.fromkeys(kind.__dataclass_fields__), **given})


def device(state: str = "accepted", **given: Any) -> Device:
    known = {"device": "B" * 52, "name": "laptop", "spaces": ("personal",), "behind": 0, "unscrubbed": 0}
    made: Device = record(Device, **{**known, "state": state, "connected": True, "agreed_at": NOW, **given})
    return made


def commands(
    *peers: Device,
    memories: int = 3,
    conflicted: int = 0,
    serving: bool = True,
    alarms: tuple[StoreAlarm, ...] = (),
    **space: Any,
) -> list[str]:
    """Return the commands for a home, without `memcrdt`."""
    spaces = (record(SpaceStatus, **{"name": "personal", "digest": "d", "members": (), **space}),)
    runs = Serving(1, 27380) if serving else None
    status = record(Status, spaces=spaces, peers=peers, serving=runs, alarms=alarms)
    stats = record(Stats, memories=memories, conflicted=conflicted, forgotten=0)
    found = start_of(status, stats, NOW)
    assert len(found.next) == 3
    assert len({step.command for step in found.next}) == 3
    return [step.command.removeprefix("memcrdt ") for step in found.next]


FIND = 'search "WORDS"'
ADD = 'add "TEXT"'


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (commands(), [FIND, "list", "pair"]),
        (commands(memories=0), [ADD, "mcp install --client NAME", "pair"]),
        (commands(device()), [FIND, "list", ADD]),
        (commands(device(), serving=False), ["serve", FIND, "list"]),
        (commands(device(connected=False, behind=3)), ["peers", FIND, "list"]),
        (commands(device(connected=False, agreed_at=None)), ["peers", FIND, "list"]),
        (commands(device(behind=2)), ["status --watch", FIND, "list"]),
        (commands(device("pending"), conflicted=1), ["peers", "conflicts", FIND]),
        (commands(digest=""), ["doctor", FIND, "list"]),
        (commands(device(), revoked_by="laptop"), ["space list", FIND, "list"]),
        (commands(alarms=(StoreAlarm(at=NOW, text="x", id="1"),)), ["status --ack", FIND, "list"]),
    ],
)
def test_the_commands_fit_the_state(found: list[str], expected: list[str]) -> None:
    """The most urgent one first, and each once."""
    assert found == expected


def test_a_home_that_does_not_exist_yet_begins_with_a_memory() -> None:
    """Three commands, too."""
    assert [step.command for step in FRESH.next] == [
        'memcrdt add "TEXT"', "memcrdt mcp install --client NAME", "memcrdt pair",
    ]  # fmt: skip
