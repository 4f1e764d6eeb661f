"""Memories for tests, without a network, with a clock that the test sets, and without files if none are needed."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime, timedelta
from itertools import permutations
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from memcrdt._open import assembled, store_in_memory
from memcrdt.config import Config
from memcrdt.errors import InputError, StoreError
from memcrdt.memory.async_memory import AsyncMemory
from memcrdt.memory.memory import Memory
from memcrdt.memory.offline import Offline
from memcrdt.model.checks import check_callback, check_name
from memcrdt.model.scopes import PERSONAL
from memcrdt.model.values import Time, a_kind, from_ms, to_ms
from memcrdt.node.store_replica import StoreReplica
from memcrdt.search import SearchIndex, make_embedder
from memcrdt.search.searcher import Searcher
from memcrdt.store.incarnation import StoreOptions
from memcrdt.store.location import MemoryLocation
from memcrdt.store.store import Store
from memcrdt.testing.faults import UNSYNCED

if TYPE_CHECKING:
    from memcrdt.search.embedders.embedder import Embedder, EmbedFunction

_START = "2027-01-15T08:00:00Z"


class Clock:
    """A clock that advances by one millisecond at each reading, so that no two writes have the same time.

    Args:
        at: The start time.

    Example:
        clock = Clock("2030-01-01T00:00:00Z")
        clock.advance(days=30)
    """

    def __init__(self, at: Time = _START) -> None:
        self.set(at)

    def __call__(self) -> int:
        """Return the time in milliseconds since 1970, and advance by one. Stores call it."""
        self.now += 1
        return self.now

    def set(self, at: Time) -> None:
        """Set the time. It may be earlier than the present one."""
        self.now = to_ms(at, "the time of the clock")

    def advance(self, **time: float) -> None:
        """Advance the time. Takes the arguments of datetime.timedelta."""
        self.now += round(timedelta(**time).total_seconds() * 1000)

    def time(self, **later: float) -> datetime:
        """Return the time, or a later one. Takes the arguments of datetime.timedelta."""
        return from_ms(self.now) + timedelta(**later)


class temporary:  # noqa: N801 - used as a function
    """Open an empty memory for one test. It writes no file, and is freed at the end of the block.

    `with` returns a Memory, `async with` an AsyncMemory. It has no network. exchange() syncs several memories.

    Args:
        clock: The clock of the memory (None: the time of the system).
        embedder: The embedder, as for memcrdt.open(). None searches by words only.
        device_name: The name of the device.

    Raises:
        InputError: An argument is invalid.

    Example:
        with temporary(clock=Clock()) as memory:
            memory.add("The client wants invoices in PDF")
    """

    def __init__(
        self,
        *,
        clock: Callable[[], int] | None = None,
        embedder: str | Embedder | EmbedFunction | None = None,
        device_name: str | None = None,
    ) -> None:
        name = None if device_name is None else check_name(device_name, "the device's name")
        self._config = Config(device_name=name)
        self._embedder = embedder
        if clock is not None:
            check_callback(clock, "the clock")
        self._options: dict[str, Any] = {} if clock is None else {"clock": clock}
        self._opened = ExitStack()

    def __enter__(self) -> Memory:
        return self._opened.enter_context(self._open())

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened.close()

    async def __aenter__(self) -> AsyncMemory:
        self._asynchronous = AsyncMemory(self._open())
        return self._asynchronous

    async def __aexit__(self, *_: object) -> None:
        await self._asynchronous.close()

    def _open(self) -> Memory:
        index = SearchIndex(make_embedder(self._embedder))
        return assembled(None, store_in_memory(index, **self._options), index, Offline, self._config)


def open_memory(
    home: Path | None, device: str, clock: Clock, *, embedder: str | None = None, **settings: Any
) -> Memory:
    """Open the memory of a device that has a letter as its name, without background work.

    Args:
        home: The folder; None for a memory without files. Commits are not synced to the disk.
        device: The letter. The device id is the letter 52 times.
        clock: The clock of the memory.
        embedder: The name of an embedder; None searches by words only.
        **settings: Settings of Config.
    """
    index = SearchIndex(make_embedder(embedder))
    location = MemoryLocation() if home is None else home
    store = Store(location, device * 52, index, StoreOptions(clock=clock, vfs=UNSYNCED.name))
    return Memory(home, store, Offline, pairing=Offline, searcher=Searcher(store, index), config=Config(**settings))


def exchange(*memories: Memory | AsyncMemory, space: str = PERSONAL) -> None:
    """Bring a space of several memories to the same state, as sync does, without a network.

    Args:
        *memories: Two or more memories.
        space: The name of the space. Each memory must have it.

    Raises:
        AssertionError: The memories differ afterwards.
        InputError: An argument is not a memory.
        NotFoundError: One of them has no space of that name.
        StoreError: A memory refused an update.
    """
    for each in memories:
        if not isinstance(each, (Memory, AsyncMemory)):
            raise InputError(f"exchange was given {a_kind(each)}; give memories")
    opened = [each.memory if isinstance(each, AsyncMemory) else each for each in memories]
    for _ in opened:
        for ours, theirs in permutations(opened, 2):
            pull(ours, theirs, space=space)
    digests = {memory.space(space).digest() for memory in opened}
    if len(digests) > 1:
        raise AssertionError(f"the memories differ after the exchange: {sorted(digests)}")


def pull(ours: Memory, theirs: Memory, *, space: str = PERSONAL) -> None:
    """Take the changes of a space that `theirs` has and `ours` lacks.

    Raises:
        NotFoundError: One of them has no space of that name.
        StoreError: An update was refused.
    """
    here, there = StoreReplica(ours.store), StoreReplica(theirs.store)
    known, source = ours.space(space).id(), theirs.space(space).id()
    for shard in there.digests(source):
        diff = there.diff(source, shard, here.state_vector(known, shard))
        applied = here.apply(known, shard, diff.update, theirs.store.device)
        if applied.status != "applied":
            raise StoreError(f"shard {shard} of {space!r} was not taken: {applied.status}")
