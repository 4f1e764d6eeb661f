"""Notices that a store has changed: at once when this process did it, else within 25 ms."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from memcrdt.store.store import Notice, Store

POLL_S: Final = 0.025  # a look takes 2 µs, and an add in another process reaches the peers in 30 ms


class StoreDoorbell:
    """Rings for the commits of every process on the store. A context manager, inside one event loop."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._held = ExitStack()
        self._open = True
        self._timer: asyncio.TimerHandle

    def __enter__(self) -> Self:
        self._held.callback(self._store.subscribe(self._wake))
        # The number is one connection's own view, so it is this one that has to be asked each time.
        self._db = self._held.enter_context(self._store.reading())
        self._seen = self._version()
        self._poll()
        return self

    def __exit__(self, *_: object) -> None:
        self._open = False
        self._timer.cancel()
        self._held.close()

    async def rung(self) -> None:
        """Returns when the store has changed since the last call."""
        await self._changed.wait()
        self._changed.clear()

    def _wake(self, _: Notice) -> None:
        with suppress(RuntimeError):  # the loop was closed while another thread committed
            self._loop.call_soon_threadsafe(self._look)

    def _poll(self) -> None:
        self._timer = self._loop.call_later(POLL_S, self._poll)
        self._look()

    def _look(self) -> None:
        if not self._open:
            return  # the connection is back with the store
        version = self._version()
        if version != self._seen:
            self._seen = version
            self._changed.set()

    def _version(self) -> int:
        version: int = self._db.execute("PRAGMA data_version").get
        return version
