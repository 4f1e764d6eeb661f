"""AsyncMemory: Memory for programs with an event loop. The methods are the same, awaitable, and run in threads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial, update_wrapper
from typing import Any, Final, Self, Unpack

from memcrdt.memory.async_feed import AsyncSubscription
from memcrdt.memory.async_parts import (
    AsyncFiles,
    AsyncMirrors,
    AsyncModels,
    AsyncScopedMemory,
    AsyncSpace,
    AsyncSync,
    AsyncYjsTokens,
)
from memcrdt.memory.feed import Subscription
from memcrdt.memory.memory import Memory
from memcrdt.memory.threads import Threaded, awaitable, each, result_of
from memcrdt.model.checks import check_callback
from memcrdt.model.filters import Filters, Order, check_filters, check_order
from memcrdt.model.records import Change, MemoryRecord
from memcrdt.search.searcher import SearchStatus

THREADS: Final = 8


class AsyncMemory(Threaded[Memory]):
    """The awaitable form of a Memory. memcrdt.open_async() opens it.

    The methods and arguments are those of Memory. Each call runs in a thread. If a task is cancelled, a call that has
    not started is dropped. A call that has started is finished: its change is durable, or nothing has changed.

    Attributes:
        memory: The Memory, which close() closes too.
        device: The id of this device.
        files: Exports, imports, backups, and the store file itself.
        mirrors: Folders of text files that are kept equal to the memories of a scope.
        sync: Sync and pairing with other devices.
        tokens: The tokens of Yjs clients.
        models: The embedding models.

    Example:
        ```python
        async with memcrdt.open_async() as memory:
            await memory.add("The client wants invoices in PDF")
            hits = await memory.search("how do we send bills?")
        ```
    """

    def __init__(self, memory: Memory) -> None:
        super().__init__(memory, ThreadPoolExecutor(THREADS, thread_name_prefix="memcrdt-async"))
        self.memory = memory
        self.device = memory.device
        self.files = AsyncFiles(memory.files, self._threads)
        self.mirrors = AsyncMirrors(memory.mirrors, self._threads)
        self.sync = AsyncSync(memory.sync, self._threads)
        self.tokens = AsyncYjsTokens(memory.tokens, self._threads)
        self.models = AsyncModels(memory.models, self._threads)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Wait for running calls, then close the memory. If the caller is cancelled, the memory is still closed."""
        await asyncio.shield(asyncio.to_thread(self._close))

    def _close(self) -> None:
        self._threads.shutdown()
        self.memory.close()

    add = awaitable(Memory.add)
    add_many = awaitable(Memory.add_many)
    get = awaitable(Memory.get)
    get_by_key = awaitable(Memory.get_by_key)
    get_many = awaitable(Memory.get_many)
    count = awaitable(Memory.count)
    find_id = awaitable(Memory.find_id)
    find_space = awaitable(Memory.find_space)
    tags = awaitable(Memory.tags)
    search = awaitable(Memory.search)
    similar = awaitable(Memory.similar)
    list = awaitable(Memory.list)
    update = awaitable(Memory.update)
    update_many = awaitable(Memory.update_many)
    forget = awaitable(Memory.forget)
    forget_status = awaitable(Memory.forget_status)
    forget_expired = awaitable(Memory.forget_expired)
    history = awaitable(Memory.history)
    conflicts = awaitable(Memory.conflicts)
    link = awaitable(Memory.link)
    unlink = awaitable(Memory.unlink)
    related = awaitable(Memory.related)
    move = awaitable(Memory.move)
    rename_key = awaitable(Memory.rename_key)
    rename_keys = awaitable(Memory.rename_keys)
    rename_scope = awaitable(Memory.rename_scope)
    import_ = awaitable(Memory.import_)
    import_from = awaitable(Memory.import_from)
    export = awaitable(Memory.export)
    stats = awaitable(Memory.stats)
    status = awaitable(Memory.status)
    acknowledge_alarms = awaitable(Memory.acknowledge_alarms)
    use_model = awaitable(Memory.use_model)
    compact = awaitable(Memory.compact)
    backup = awaitable(Memory.backup)
    restore = awaitable(Memory.restore)
    doctor = awaitable(Memory.doctor)
    devices = awaitable(Memory.devices)
    accept = awaitable(Memory.accept)
    revoke = awaitable(Memory.revoke)
    start_sync = awaitable(Memory.start_sync)
    stop_sync = awaitable(Memory.stop_sync)

    async def wait_synced(
        self,
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - as Memory's
        peers: Iterable[str] | None = None,
    ) -> bool:
        return (await self.sync.wait(timeout=timeout, peers=peers)).synced

    async def wait_indexed(self, *, timeout: float | None = None) -> SearchStatus:  # noqa: ASYNC109 - as Memory's
        return await self.models.wait(timeout=timeout)

    def iterate(self, /, *, order: Order = "newest", **filters: Unpack[Filters]) -> AsyncIterator[MemoryRecord]:
        """Yield every memory that matches: `async for record in memory.iterate()`. See Memory.iterate()."""
        asked = check_order(order), check_filters(filters)  # now: a generator would check them at its first item
        return each(self, lambda: self.memory._every(*asked))

    def scoped(
        self, *, project: str | None = None, agent: str | None = None, conversation: str | None = None
    ) -> AsyncScopedMemory:
        """Return a view of this memory in one scope. See Memory.scoped()."""
        scoped = self.memory.scoped(project=project, agent=agent, conversation=conversation)
        return AsyncScopedMemory(scoped, self._threads)

    def space(self, name: str) -> AsyncSpace:
        """Return the space with this name. It may not exist yet. See Memory.space()."""
        return AsyncSpace(self.memory.space(name), self._threads)

    async def changes(self, **filters: Unpack[Filters]) -> AsyncSubscription:
        """Return the changes as an async iterator. See Memory.changes().

        Example:
            ```python
            async with await memory.changes(scope="project/acme") as changes:
                async for change in changes:
                    print(change.kind, change.id)
            ```
        """
        return AsyncSubscription(await self._run(partial(self.memory.changes, **filters), Subscription.close))

    async def subscribe(
        self, callback: Callable[[Change], Awaitable[None] | None], **filters: Unpack[Filters]
    ) -> AsyncSubscription:
        """Call `callback`, a function or a coroutine function, in the event loop. See Memory.subscribe()."""
        check_callback(callback, "the callback")
        subscription = await self.changes(**filters)
        subscription.deliver(callback)
        return subscription


update_wrapper(AsyncMemory.wait_synced, Memory.wait_synced)
update_wrapper(AsyncMemory.wait_indexed, Memory.wait_indexed)


class OpeningMemory:
    """An object that opens an AsyncMemory when it is awaited or entered. memcrdt.open_async() returns it.

    `async with memcrdt.open_async() as memory` closes the memory at the end of the block. After
    `memory = await memcrdt.open_async()` the caller closes it.
    """

    def __init__(self, opening: Callable[[], Memory]) -> None:
        self._opening = opening
        self._memory: AsyncMemory | None = None

    def __await__(self) -> Generator[Any, None, AsyncMemory]:
        return self._open().__await__()

    async def __aenter__(self) -> AsyncMemory:
        self._memory = await self._open()
        return self._memory

    async def __aexit__(self, *_: object) -> None:
        if self._memory is not None:
            await self._memory.close()

    async def _open(self) -> AsyncMemory:
        thread = ThreadPoolExecutor(1, thread_name_prefix="memcrdt-open")
        begun = thread.submit(self._opening)
        thread.shutdown(wait=False)
        return AsyncMemory(await result_of(begun, Memory.close))
