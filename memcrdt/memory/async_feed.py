"""The awaitable change feed."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Self

from memcrdt.memory.feed import Subscription, log
from memcrdt.model.records import Change


class AsyncSubscription:
    """A stream of changes: an async iterator for one task, and an async context manager."""

    def __init__(self, subscription: Subscription) -> None:
        self._subscription = subscription
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._delivering: asyncio.Task[None] | None = None
        subscription.on_change(self._wake)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __aiter__(self) -> AsyncIterator[Change]:
        return self

    async def __anext__(self) -> Change:
        """Wait for the next change and return it. Raises StoreError if the store cannot be read."""
        while True:
            self._news.clear()
            change = self._subscription.poll()
            if change is not None:
                return change
            if self._subscription.closed:
                raise StopAsyncIteration
            await self._news.wait()

    async def close(self) -> None:
        """End the subscription. A second call does nothing."""
        self._subscription.close()
        if self._delivering is not None and self._delivering is not asyncio.current_task():
            self._delivering.cancel()

    def deliver(self, callback: Callable[[Change], Awaitable[None] | None]) -> None:
        """Call `callback` for each change, in a task of its own."""
        self._delivering = self._loop.create_task(self._deliver(callback))

    async def _deliver(self, callback: Callable[[Change], Awaitable[None] | None]) -> None:
        async for change in self:
            try:
                done = callback(change)
                if inspect.isawaitable(done):
                    await done
            except Exception:  # noqa: BLE001 - the caller's code may raise anything
                log.exception("a callback failed on %s of %s", change.kind, change.id)

    def _wake(self) -> None:
        with suppress(RuntimeError):  # the loop is closed, so no task waits
            self._loop.call_soon_threadsafe(self._news.set)
