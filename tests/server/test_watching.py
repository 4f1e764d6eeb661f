"""Clients that wait for changes: what is done for all of them is done once."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import pytest

pytest.importorskip("fastapi", reason="the extra memcrdt[server] is not installed")
pytest.importorskip("mcp", reason="the extra memcrdt[server] is not installed")

import memcrdt
from memcrdt.server import watching
from memcrdt.server.callers import Caller
from memcrdt.server.watching import Batch, ChangeWatcher, ChangeWatchers, Event, TooManyClientsError, View
from memcrdt.service.access import Access

WAIT_S = 30


def event(row: int, content: bytes = b"") -> Event:
    """Return an event of a row in `personal`."""
    return Event(row, "personal", content or str(row).encode())


async def test_a_change_is_encoded_once_for_all_clients(
    memory: memcrdt.Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Clients with the same view get the same batch, so joining the events is done once, too."""
    memory.space("team").create()
    coded: list[Any] = []
    original = watching.encoded
    monkeypatch.setattr(watching, "encoded", lambda each: (coded.append(each), original(each))[1])
    both, one = Caller("both", Access()), Caller("one", Access(spaces=("team",)))
    watchers = ChangeWatchers(memory)
    async with watchers.running(), AsyncExitStack() as held, asyncio.timeout(WAIT_S):
        seeing_all = [await held.enter_async_context(watchers.watching(both, ())) for _ in range(5)]
        seeing_one = [
            await held.enter_async_context(watchers.watching(caller, spaces))
            for caller, spaces in ((one, ()), (one, ()), (both, ("team",)))
        ]
        hidden = await asyncio.to_thread(memory.add, "hidden from one")
        got_all = [await each.next(WAIT_S) for each in seeing_all]
        shown = await asyncio.to_thread(memory.add, "for both", space="team")
        got_one = [await each.next(WAIT_S) for each in seeing_one]
    assert len(coded) == 2
    assert all(hidden.encode() in batches[0].after(0) for batches in got_all)
    assert len({id(batches[0]) for batches in got_all}) == 1
    contents = [b"".join(batch.after(0) for batch in batches) for batches in got_one]
    assert all(shown.encode() in content and hidden.encode() not in content for content in contents)
    assert got_one[0][0] is got_one[1][0]


async def test_all_clients_together_have_a_limit(memory: memcrdt.Memory) -> None:
    """Clients of several tokens are counted together. The next one comes in when one has gone."""
    first, second, third = (Caller(name, Access()) for name in ("first", "second", "third"))
    watchers = ChangeWatchers(memory)
    async with watchers.running(), AsyncExitStack() as held, asyncio.timeout(WAIT_S):
        for number in range(watching.CLIENTS - 1):
            await held.enter_async_context(watchers.watching((first, second)[number % 2], ()))
        async with watchers.watching(third, ()):
            with pytest.raises(TooManyClientsError):
                await held.enter_async_context(watchers.watching(third, ()))
        await held.enter_async_context(watchers.watching(third, ()))


def test_a_batch_leaves_out_rows_that_a_client_has_read() -> None:
    """A client reads the log itself first. Changes may be in that answer and in a batch."""
    batch = Batch([event(3, b"a"), event(3, b"b"), event(4, b"c")])
    assert [batch.after(row) for row in (0, 2, 3, 4)] == [b"abc", b"abc", b"c", b""]
    assert (len(batch), len(Batch([])), Batch([]).after(0)) == (3, 0, b"")


def test_a_view_is_narrowed_to_spaces_that_the_caller_sees() -> None:
    """Naming a space opens none."""
    all_of_it, some = Access(), Access(spaces=("team", "local"))
    assert [View(all_of_it).shows(space) for space in ("personal", "team")] == [True, True]
    assert [View(some).shows(space) for space in ("personal", "team")] == [False, True]
    assert [View(some, ("personal", "team")).shows(space) for space in ("personal", "team", "local")] == [
        False,
        True,
        False,
    ]


async def test_the_queue_of_a_client_counts_changes_and_not_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """A client is cut off by the change that does not fit, and gets nothing more."""
    monkeypatch.setattr(watching, "QUEUE", 5)
    watcher = ChangeWatcher(Caller("agent", Access()), View(Access()))
    for rows in ((1, 2), (3, 4), ()):
        watcher.offer(Batch(map(event, rows)))
    assert watcher.ended is None
    assert b"".join(each.after(0) for each in await watcher.next(WAIT_S)) == b"1234"
    watcher.offer(Batch(map(event, range(5))))
    assert watcher.ended is None
    watcher.offer(Batch([event(6)]))
    assert (watcher.ended, await watcher.next(WAIT_S)) == ("cut", [])
