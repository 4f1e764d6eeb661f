"""Queries to the store as values, and the generators that wait for their answers.

Sync does no I/O. When it needs the store, it names a method of `Replica` and the arguments: a `Query`. The driver makes
the call off the event loop (`perform`) and returns the answer as an event. The code that needs the answer is a
generator, a `Flow`: it yields the query, is suspended, and continues at the next line when the answer arrives.

    digests = yield from ask(Replica.digests, space)
    self._outbox.send(Range(space, (Shards(digests).root(),)))

So one exchange reads from top to bottom, without callbacks. `Outbox.start` runs a flow up to its first query, and
`Outbox.answered` resumes it. Other events are handled while a flow waits, so state that it read before the query may
have changed.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar, TypeVarTuple

from memcrdt.errors import MemcrdtError, NotFoundError
from memcrdt.sync.replica import Replica

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


@dataclass(frozen=True, slots=True)
class Query:
    """A call of a method of `Replica`, for the driver to make. `query()` creates one with checked types."""

    method: str
    args: tuple[object, ...] = ()


@dataclass(frozen=True, slots=True)
class Failed:
    """The answer if the store failed. Nothing was changed.

    Attributes:
        reason: What happened.
        is_gone: Whether the query was about a space that is no longer shared here, which is no fault of the store.
    """

    reason: str
    is_gone: bool = False


Flow: TypeAlias = Generator[Query, Any, T]
"""A generator that yields queries, is sent their answers, and returns a T."""


def query(method: Callable[[Replica, *Ts], object], *args: *Ts) -> Query:
    """Return the query for a method of `Replica`, for example `query(Replica.digests, space)`."""
    return Query(method.__name__, args)


def ask(method: Callable[[Replica, *Ts], T], *args: *Ts) -> Flow[T]:
    """Query the store from within a flow and return the answer: `answer = yield from ask(...)`.

    The flow does not continue if the store fails: the session ends then.
    """
    answer: T = yield query(method, *args)
    return answer


def perform(replica: Replica, query: Query) -> object:
    """Make the call that a query stands for.

    Args:
        replica: The store to ask.
        query: The method and its arguments.

    Returns:
        The method's result, or `Failed` if it raised a MemcrdtError (a full disk, a space that was just left).
    """
    try:
        return getattr(replica, query.method)(*query.args)
    except MemcrdtError as exc:
        return Failed(str(exc), is_gone=isinstance(exc, NotFoundError))
