"""The calls of all faces over the memory that a user hands to an adapter."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memcrdt import AsyncMemory
from memcrdt.service.context import Context
from memcrdt.service.service import Service

if TYPE_CHECKING:
    from memcrdt.memory.memory import Memory


def service_over(memory: Memory | AsyncMemory, *, author: str | None = None) -> Service:
    """Return the calls over an open memory, with an agent as the author of what it writes."""
    return Service(memory.memory if isinstance(memory, AsyncMemory) else memory, Context(agent=author))
