"""Notices that a store has changed: at once when this process did it, else within 25 ms."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Final, Self

if TYPE_CHECKING:
    from memcrdt.store.store import Notice, Store

POLL_S: Final = 0.025  # a look takes 4 µs, and an add in another process reaches the peers in 30 ms


class StoreDoorbell:
    """Rings for the commits of every process on the store. A context manager, for one event loop."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._loop = asyncio.get_running_loop()
        self._woken = asyncio.Event()
        self._held = ExitStack()

    def __enter__(self) -> Self:
        self._held.callback(self._store.subscribe(self._wake))
        # The number is one connection's own view, so it is this one that has to be asked each time.
        self._db = self._held.enter_context(self._store.reading())
        self._seen = self._version()
        return self

    def __exit__(self, *_: object) -> None:
        self._held.close()

    async def rung(self) -> None:
        """Returns when the store has changed since the last call."""
        while (version := self._version()) == self._seen:
            self._woken.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(POLL_S):
                    await self._woken.wait()
        self._seen = version

    def _wake(self, _: Notice) -> None:
        self._loop.call_soon_threadsafe(self._woken.set)

    def _version(self) -> int:
        version: int = self._db.execute("PRAGMA data_version").get
        return version
