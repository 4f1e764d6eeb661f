"""Readers of changes while the database of a hub is set back under it: they are told that they have missed some."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("fastapi", reason="the extra memcrdt[server] is not installed")
pytest.importorskip("mcp", reason="the extra memcrdt[server] is not installed")

from memcrdt import Memory
from memcrdt._open import memory_of
from memcrdt.hub.hub import Hub, HubAddress
from memcrdt.memory.feed import Subscription
from memcrdt.model.records import Change
from memcrdt.server.callers import Caller
from memcrdt.server.watching import ChangeWatchers
from memcrdt.service.access import Access
from memcrdt.service.changes import ChangeReader, Changes, changes
from tests.postgres import Server

pytestmark = pytest.mark.xdist_group("postgres")

WAIT_S = 30


class Restored:
    """The memory of a hub whose last three memories are lost, and whose rows have others instead, after `restore`."""

    def __init__(self, server: Server, memory: Memory) -> None:
        self.memory = memory
        self._server = server
        memory.add("in the backup")
        self._dump = server.dump("lossy")
        self.lose: list[str] = []

    def add_some(self) -> None:
        """Add memories that will be lost."""
        self.lose = self.memory.add_many([f"lost {number}" for number in range(3)])

    def restore(self) -> None:
        """Set the database back under the hub, without cutting a connection, and write others under the same rows."""
        self._server.restore("lossy", self._dump)
        self.memory.add_many([f"written instead {number}" for number in range(2)])


@pytest.fixture(name="restored")
def _restored(server: Server, tmp_path: Path) -> Iterator[Restored]:
    server.run("CREATE DATABASE lossy OWNER hub")
    with Hub.open(HubAddress(tmp_path, server.dsn("lossy")), name="our hub") as hub, memory_of(hub) as memory:
        yield Restored(server, memory)
    server.run("DROP DATABASE lossy WITH (FORCE)")


def _told(found: Changes) -> list[tuple[str, str]]:
    return [(each.kind, each.id) for each in found.changes]


def test_a_subscriber_is_told_that_it_missed_some(restored: Restored) -> None:
    """And then hears what comes after."""
    with restored.memory.changes() as feed:
        restored.add_some()
        assert [_next(feed).id for _ in range(3)] == restored.lose
        restored.restore()
        assert _next(feed).kind == "missed"
        added = restored.memory.add("after that")
        while _next(feed).id != added:  # what was written instead, if it was not committed yet
            pass


def _next(feed: Subscription) -> Change:
    change = feed.get(WAIT_S)
    assert change is not None
    return change


@pytest.mark.parametrize("comes_back", [True, False], ids=["with its position", "as it was"])
def test_a_client_is_told_that_it_missed_some(restored: Restored, *, comes_back: bool) -> None:
    """Whether it comes back with a position, as a stream with Last-Event-ID, or goes on reading."""
    reader = ChangeReader(restored.memory, Access())
    restored.add_some()
    found = changes(reader)
    assert [each.id for each in found.changes] == restored.lose
    restored.restore()
    again = ChangeReader(restored.memory, Access(), since=found.next) if comes_back else reader
    assert _told(changes(again))[0] == ("missed", "")
    added = restored.memory.add("after that")
    assert _told(changes(again)) == [("added", added)]


async def test_streams_end_so_that_their_clients_come_back(restored: Restored) -> None:
    """Also that of a client which sees one space only. Each is told when it comes back."""
    watchers = ChangeWatchers(restored.memory)
    one, both = Caller("one", Access(spaces=("personal",))), Caller("both", Access())
    async with (
        watchers.running(),
        watchers.watching(one, ()) as here,
        watchers.watching(both, ()) as there,
        asyncio.timeout(WAIT_S),
    ):
        await asyncio.to_thread(restored.add_some)
        while restored.lose[-1].encode() not in b"".join(each.after(0) for each in await here.next(WAIT_S)):
            pass
        await asyncio.to_thread(restored.restore)
        while None in (here.ended, there.ended):
            await asyncio.gather(here.next(1), there.next(1))
    assert (here.ended, there.ended) == ("restored", "restored")
