"""Background tasks: kept alive until they end, and logged when they fail."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from memcrdt.errors import MemcrdtError

if TYPE_CHECKING:
    from collections.abc import Coroutine

log = logging.getLogger("memcrdt.net")


class BackgroundTasks:
    """The background tasks of one owner, which cancels them when it ends."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run a coroutine in the background. Log an exception, with its traceback unless it is a MemcrdtError."""
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    async def cancel(self) -> None:
        """Cancel all tasks, and wait until they have ended."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (problem := task.exception()):
            log.error("%s", problem, exc_info=None if isinstance(problem, MemcrdtError) else problem)
