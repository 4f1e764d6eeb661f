"""Detects changes of a database by any process of a hub.

The store reports what this process writes. For the other processes, two counters in the database are the truth: each
process reads their sum now and then, and the history that it counts for. NOTIFY only lets the next read come earlier,
so a lost one costs a delay and nothing else. It is sent outside of the transactions, because PostgreSQL lets one
transaction with a NOTIFY commit after the other, and once for many commits.

LISTEN needs a connection that stays with one session of PostgreSQL. Behind a pooler that lends a connection for one
transaction, notifications do not arrive, unless the signal gets an address without the pooler.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING, Final, Self

import psycopg

from memcrdt.errors import StoreError
from memcrdt.net.tasks import BackgroundTasks

if TYPE_CHECKING:
    from memcrdt.hub.store import PostgresStore
    from memcrdt.store.base import Notice

POLL_S: Final = 1.0  # between two reads of the counters; each takes a fraction of a millisecond
QUIET_S: Final = 0.05  # between two notifications of this process; what happens meanwhile is in the second one
RETRY_S: Final = 5.0  # until LISTEN is tried again

_log = logging.getLogger(__name__)


class HubChangeSignal:
    """Signals the changes of every process on the database. An async context manager.

    Implements memcrdt.node.driver.ChangeSignal.

    Args:
        store: The store.
        listen_dsn: The address of the database for LISTEN; None to read the counters only.

    Attributes:
        is_listening: Whether notifications of other processes can arrive.
    """

    def __init__(self, store: PostgresStore, listen_dsn: str | None) -> None:
        self.is_listening = False
        self._store = store
        self._dsn = listen_dsn
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._to_tell = asyncio.Event()
        self._tasks = BackgroundTasks()
        self._held = AsyncExitStack()
        self._seen: tuple[str, int] | None = None

    async def __aenter__(self) -> Self:
        self._held.callback(self._store.subscribe(self._wrote))
        self._held.callback(self._store.on_write(self._wrote))
        await self._look()
        self._tasks.spawn(self._poll())
        self._tasks.spawn(self._tell())
        if self._dsn is not None:
            self._tasks.spawn(self._listen(self._dsn))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._held.aclose()
        await self._tasks.cancel()

    async def changed(self) -> None:
        """Return when the store has changed since the last call."""
        await self._changed.wait()
        self._changed.clear()

    def _wrote(self, _: Notice | None = None) -> None:
        """Wake this process and the others. It is called from the thread that wrote."""
        with suppress(RuntimeError):  # the loop was closed while another thread committed
            self._loop.call_soon_threadsafe(self._changed.set)
            self._loop.call_soon_threadsafe(self._to_tell.set)

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(POLL_S)
            await self._look()

    async def _look(self) -> None:
        with suppress(StoreError):  # the next look finds what has changed meanwhile
            version = await asyncio.to_thread(self._store.version)
            if version != self._seen:
                self._seen = version
                self._changed.set()

    async def _tell(self) -> None:
        while True:
            await self._to_tell.wait()
            self._to_tell.clear()
            with suppress(StoreError):
                await asyncio.to_thread(self._store.notify)
            await asyncio.sleep(QUIET_S)

    async def _listen(self, dsn: str) -> None:
        while True:
            try:
                await self._listen_once(dsn)
            except (psycopg.Error, StoreError) as exc:
                _log.debug("no notifications arrive: %s", exc)
            finally:
                self.is_listening = False
            await asyncio.sleep(RETRY_S)

    async def _listen_once(self, dsn: str) -> None:
        channel, own = await asyncio.to_thread(self._store.channel), self._store.boot
        async with await psycopg.AsyncConnection.connect(dsn, autocommit=True) as raw:
            await raw.execute(f"LISTEN {channel}".encode())
            self.is_listening = True
            await self._look()  # what was committed before
            async for told in raw.notifies():
                if told.payload != own:
                    await self._look()
