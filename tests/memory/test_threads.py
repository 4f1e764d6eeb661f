"""Contexts that are entered in threads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import pytest

from memcrdt.memory.threads import Threaded


async def test_a_task_cancelled_while_it_enters_ends_after_the_exit() -> None:
    """The context cannot be stopped halfway, so the cancelled task waits until it has been entered and left."""
    entering, may_enter, left = threading.Event(), threading.Event(), threading.Event()

    @contextmanager
    def slow() -> Iterator[None]:
        entering.set()
        may_enter.wait(10)
        yield
        left.set()

    async def enter(threaded: Threaded[None]) -> None:
        async with threaded._entered(slow()):
            pass

    with ThreadPoolExecutor(2) as threads:
        task = asyncio.create_task(enter(Threaded(None, threads)))
        await asyncio.to_thread(entering.wait, 10)
        task.cancel()
        asyncio.get_running_loop().call_later(0.05, may_enter.set)
        with pytest.raises(asyncio.CancelledError):
            await task
        assert left.is_set()
