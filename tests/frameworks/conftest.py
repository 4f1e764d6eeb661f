"""Fixtures for the tests of the adapters."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import wraps
from typing import Any

import pytest

from memcrdt.memory.memory import Memory

_CALLS = (
    "add",
    "add_many",
    "update",
    "update_many",
    "rename_keys",
    "forget",
    "get",
    "get_by_key",
    "get_many",
    "history",
    "iterate",
    "list",
    "search",
    "similar",
    "tags",
)


@pytest.fixture
def off_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse calls of a memory in the thread of an event loop, which they would block."""

    def guarded(call: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(call)
        def run(*args: Any, **kwargs: Any) -> Any:
            try:
                asyncio.get_running_loop()
            except RuntimeError:
                return call(*args, **kwargs)
            raise AssertionError(f"{call.__name__} blocks the event loop")

        return run

    for name in _CALLS:
        monkeypatch.setattr(Memory, name, guarded(getattr(Memory, name)))
