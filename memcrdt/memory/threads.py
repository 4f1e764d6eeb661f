"""Awaitable calls of a synchronous object: each call runs in a thread.

A cancelled task leaves no work half done. A call that has not started is dropped. A call that has started is finished:
its result is durable or nothing has changed, but the task does not wait for it.
"""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, asynccontextmanager, suppress
from functools import partial, update_wrapper
from itertools import islice
from typing import Any, Concatenate, Final, Generic, ParamSpec, TypeVar

from memcrdt.errors import StoreError

BATCH: Final = (
    100  # records that a thread hands over at once; with more alive, Python's garbage collector stops the loop
)

P = ParamSpec("P")
T = TypeVar("T")
S = TypeVar("S")


async def result_of(begun: Future[T], undo: Callable[[T], object] | None = None) -> T:
    """Return the result of a thread.

    If the task is cancelled, `undo` gets the result in that thread, so that an opened resource does not stay open.
    """
    try:
        return await asyncio.wrap_future(begun)
    except asyncio.CancelledError:
        if undo is not None:
            begun.add_done_callback(partial(_undo, undo))
        raise


def _undo(undo: Callable[[T], object], done: Future[T]) -> None:
    """Wait for `done`, and undo its result."""
    if not done.cancelled() and done.exception() is None:
        undo(done.result())


class Threaded(Generic[S]):
    """Calls the methods of `target` in threads. Raises StoreError after the threads have been shut down."""

    def __init__(self, target: S, threads: ThreadPoolExecutor) -> None:
        self._target = target
        self._threads = threads

    async def _run(self, call: Callable[[], T], undo: Callable[[T], object] | None = None) -> T:
        return await result_of(self._submit(call), undo)

    def _submit(self, call: Callable[[], T]) -> Future[T]:
        try:
            return self._threads.submit(contextvars.copy_context().run, call)
        except RuntimeError as exc:  # the threads have been shut down
            raise StoreError("the memory is closed; open it again") from exc

    @asynccontextmanager
    async def _entered(self, context: AbstractContextManager[T]) -> AsyncIterator[T]:
        """Enter and exit `context` in threads. A cancelled task ends after the exit, or when it is cancelled again."""
        leave = partial(context.__exit__, None, None, None)
        begun = self._submit(context.__enter__)
        try:
            entered = await asyncio.wrap_future(begun)
        except asyncio.CancelledError:
            if not begun.cancelled():  # it has started, and cannot be stopped
                await self._finish(partial(_undo, lambda _: leave(), begun))
            raise
        try:
            yield entered
        finally:
            await self._finish(leave)

    async def _finish(self, call: Callable[[], object]) -> None:
        with suppress(RuntimeError):  # the threads have been shut down: closing the memory has ended the context
            await asyncio.shield(asyncio.wrap_future(self._threads.submit(call)))


async def each(owner: Threaded[Any], begin: Callable[[], Iterator[T]]) -> AsyncIterator[T]:
    """Yield the items of the iterator that `begin` returns. Threads read them in batches."""
    items = await owner._run(begin)
    while batch := await owner._run(lambda: tuple(islice(items, BATCH))):
        for item in batch:
            yield item


def awaitable(
    method: Callable[Concatenate[S, P], T],
) -> Callable[Concatenate[Threaded[S], P], Coroutine[Any, Any, T]]:
    """Return the awaitable form of a method, with its docstring and signature."""

    async def call(self: Threaded[S], /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._run(partial(method, self._target, *args, **kwargs))

    update_wrapper(call, method)
    return call
