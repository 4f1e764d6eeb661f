"""The calls of all faces over the memory that a user hands to an adapter."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from memcrdt import AsyncMemory
from memcrdt.errors import MemcrdtError
from memcrdt.service.context import Context
from memcrdt.service.service import Service

if TYPE_CHECKING:
    from memcrdt.memory.memory import Memory

P = ParamSpec("P")
T = TypeVar("T")


def opened(memory: Memory | AsyncMemory) -> Memory:
    """Return the memory itself, for an adapter that runs its calls in threads of its own."""
    return memory.memory if isinstance(memory, AsyncMemory) else memory


def service_over(memory: Memory | AsyncMemory, *, author: str | None = None) -> Service:
    """Return the calls over an open memory, with an agent as the author of what it writes."""
    return Service(opened(memory), Context(agent=author))


def raising(
    error: Callable[[str], Exception], message: Callable[[MemcrdtError], object] = str
) -> Callable[[Callable[P, T]], Callable[P, T]]:
    """Return a decorator for calls that a model makes: they raise the error of a framework instead of ours.

    Args:
        error: The error of the framework, which tells the model so that it can correct its call.
        message: Returns the message for an error of ours.
    """

    def decorated(call: Callable[P, T]) -> Callable[P, T]:
        @wraps(call)
        def run(*args: P.args, **kwargs: P.kwargs) -> T:
            try:
                return call(*args, **kwargs)
            except MemcrdtError as exc:
                raise error(str(message(exc))) from exc

        return run

    return decorated
