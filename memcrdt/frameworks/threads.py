"""Awaitable forms of the adapters' methods."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def in_thread(method: Callable[P, T]) -> Callable[P, Coroutine[Any, Any, T]]:
    """Return the awaitable form of a method. Each call runs in a thread of the event loop, which goes on meanwhile.

    If the task is cancelled, a call that has started is finished: its change is durable, or nothing has changed.

    Example:
        ```python
        class Recall:
            def search(self, query: str) -> list[Hit]: ...

            asearch = in_thread(search)
        ```
    """

    @wraps(method)
    async def call(*args: P.args, **kwargs: P.kwargs) -> T:
        return await asyncio.to_thread(method, *args, **kwargs)

    return call
