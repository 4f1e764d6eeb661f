"""Ctrl-C in a command that runs an event loop: once is enough, and what was begun is ended in order."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")


def run(main: Coroutine[Any, Any, T]) -> T:
    """What asyncio.run() does, except that a second Ctrl-C does not tear apart what the first one ends: goodbyes are
    said, and records withdrawn. Raises KeyboardInterrupt when that is done."""
    interrupted = False

    async def guarded() -> T:
        def interrupt() -> None:
            nonlocal interrupted
            if not interrupted:
                interrupted = True
                task.cancel()

        task = asyncio.ensure_future(main)
        with suppress(NotImplementedError):  # Windows has no such handlers; there it is as asyncio has it
            asyncio.get_running_loop().add_signal_handler(signal.SIGINT, interrupt)
        return await task

    try:
        return asyncio.run(guarded())
    except asyncio.CancelledError:
        if interrupted:
            raise KeyboardInterrupt from None
        raise
