"""The processes of a hub notice each other's changes: by a counter, and earlier by a notification."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from functools import partial
from pathlib import Path

import psycopg
import pytest

from memcrdt.errors import StoreError
from memcrdt.hub import change_signal as signals
from memcrdt.hub.change_signal import HubChangeSignal
from memcrdt.hub.store import PostgresStore
from memcrdt.store.membership.peers import Peers
from tests.hub.conftest import MakeHub
from tests.hub.hub_device import HubDevice
from tests.postgres import Server

pytestmark = pytest.mark.xdist_group("postgres")

_DEADLINE_S = 30.0
_NEVER_S = 3_600.0
Watch = Callable[[HubDevice, str | None], Awaitable[HubChangeSignal]]


@pytest.fixture(name="watched")
async def _watched() -> AsyncIterator[Watch]:
    """Enter the change signal of a process, and let it settle."""
    async with AsyncExitStack() as held:

        async def watch(device: HubDevice, dsn: str | None) -> HubChangeSignal:
            signal = HubChangeSignal(_store(device), dsn)
            await held.enter_async_context(signal)
            async with asyncio.timeout(_DEADLINE_S):
                while dsn is not None and not signal.is_listening:  # noqa: ASYNC110 - it says nothing of it
                    await asyncio.sleep(0.01)
            signal._changed.clear()
            return signal

        yield watch


def _store(device: HubDevice) -> PostgresStore:
    assert isinstance(device.store, PostgresStore)
    return device.store


async def _is_told(signal: HubChangeSignal) -> None:
    async with asyncio.timeout(_DEADLINE_S):
        await signal.changed()


@pytest.mark.parametrize("change", ["memory", "peer"])
async def test_a_notification_tells_of_another_process(
    hub: MakeHub, dsn: str, watched: Watch, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    """Nobody reads the counters for an hour."""
    monkeypatch.setattr(signals, "POLL_S", _NEVER_S)
    here, there = hub(dsn=dsn), hub(dsn=dsn)
    signal, _ = await watched(here, dsn), await watched(there, None)
    act = partial(there.add, "a text") if change == "memory" else partial(Peers(there.store).accept, "L" * 52)
    await asyncio.to_thread(act)
    await _is_told(signal)


async def test_a_lost_notification_costs_only_time(
    hub: MakeHub, dsn: str, watched: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The counters tell of a commit, of another write, and of a new identity, though nobody listens."""
    monkeypatch.setattr(signals, "POLL_S", 0.01)
    here, there = hub(dsn=dsn), hub(dsn=dsn)
    signal = await watched(here, None)
    for act in (
        partial(there.add, "a text"),
        partial(Peers(there.store).accept, "L" * 52),
        partial(there.store.renew_client, "an alarm"),
    ):
        await asyncio.to_thread(act)
        await _is_told(signal)


def test_another_history_is_another_version_though_the_counters_are_the_same(server: Server, tmp_path: Path) -> None:
    """A failover lost rows, and another process has written as many instead."""
    server.run("CREATE DATABASE counted OWNER hub")
    here = HubDevice(tmp_path / "here", "H", server.dsn("counted"))
    here.add("in the backup")
    here.close()
    server.run("CREATE DATABASE counted_before TEMPLATE counted OWNER hub")
    here.open()
    for number in range(10):
        here.add(f"lost {number}")
    seen = _store(here).version()
    server.set_back("counted", "counted_before")
    there = HubDevice(tmp_path / "there", "H", server.dsn("counted"))
    while _store(there).version()[1] < seen[1]:
        there.add("written instead")
    assert _store(there).version()[1] == seen[1]
    with suppress(StoreError):
        _store(here).version()  # its connection was cut
    assert _store(here).version() == _store(there).version() != seen
    for each in (here, there):
        each.close()


def test_a_process_that_only_reads_notices_another_history(server: Server, tmp_path: Path) -> None:
    """It makes the database another incarnation, so that the peers bring back what is missing."""
    server.run("CREATE DATABASE watched OWNER hub")
    here = HubDevice(tmp_path / "H", "H", server.dsn("watched"))
    former = here.store.facts.incarnation
    here.close()
    server.run("CREATE DATABASE watched_before TEMPLATE watched OWNER hub")
    here.open()
    assert _store(here).version()[0] == former
    server.set_back("watched", "watched_before")
    with suppress(StoreError):
        _store(here).version()  # its connection was cut
    assert _store(here).version()[0] != former
    here.close()


async def test_many_commits_are_one_notification(
    hub: MakeHub, dsn: str, watched: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first commit is told at once, and all later ones together."""
    monkeypatch.setattr(signals, "QUIET_S", _NEVER_S)
    told: list[str] = []
    device = hub(dsn=dsn)
    monkeypatch.setattr(device.store, "notify", lambda: told.append("told"), raising=False)
    await watched(device, None)
    for number in range(5):
        await asyncio.to_thread(device.add, f"text {number}")
    assert told == ["told"]


async def test_a_connection_that_is_cut_is_made_again(
    hub: MakeHub, dsn: str, watched: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was committed meanwhile is told by the new connection."""
    monkeypatch.setattr(signals, "POLL_S", _NEVER_S)
    monkeypatch.setattr(signals, "RETRY_S", 0.01)
    here, there = hub(dsn=dsn), hub(dsn=dsn)
    signal = await watched(here, dsn)
    there.add("a text that nobody tells of")
    with psycopg.connect(dsn, autocommit=True) as raw:
        raw.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN%' AND usename = 'hub'"
        )
    await _is_told(signal)


async def test_a_database_that_is_away_stops_no_signal(hub: MakeHub, dsn: str, watched: Watch) -> None:
    """Reading and telling fail, and the signal goes on."""
    device = hub(dsn=dsn)
    signal = await watched(device, None)
    device.store._pool.close()
    await signal._look()
    signal._wrote()
    await _is_told(signal)


async def test_listening_is_tried_until_the_database_answers(
    hub: MakeHub, dsn: str, watched: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever fails, the store or the connection."""
    monkeypatch.setattr(signals, "RETRY_S", 0.01)
    device = hub(dsn=dsn)
    store, failures = _store(device), iter([StoreError("away"), psycopg.OperationalError("away")])
    channel = store.channel

    def failing() -> str:
        if (problem := next(failures, None)) is not None:
            raise problem
        return channel()

    monkeypatch.setattr(store, "channel", failing)
    assert (await watched(device, dsn)).is_listening
