"""AsyncMemory: Memory for programs with an event loop. The same names, awaitable; there is no second implementation.

Every call runs in a thread. A task that is cancelled while it waits leaves nothing half done: what had not begun
doesn't happen, and what had begun is finished, durable or not at all, only that nobody waits for it. wait_synced() may
take as long as other devices do: it takes a thread only to look, and ends with its task.
"""

from __future__ import annotations

import asyncio
import builtins
import contextvars
import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, asynccontextmanager, suppress
from functools import partial, update_wrapper
from itertools import islice
from typing import TYPE_CHECKING, Any, Concatenate, Final, Generic, ParamSpec, Self, TypeVar, Unpack

from memcrdt.errors import StoreError
from memcrdt.memory import models
from memcrdt.memory.feed import Subscription, log
from memcrdt.memory.memory import Memory
from memcrdt.memory.models import Models
from memcrdt.memory.pairing import FIND_S, AsyncInvitation, InviteOptions, JoinOptions, PairedDevice, invite_options
from memcrdt.memory.scoped import ScopedMemory
from memcrdt.memory.spaces import Space
from memcrdt.memory.sync import POLL_S, Sync, SyncResult
from memcrdt.memory.tokens import YjsTokens
from memcrdt.model.checks import check_callback
from memcrdt.model.filters import Filters, Order, ScopedFilters
from memcrdt.model.records import Change, MemoryRecord
from memcrdt.store.listing import PAGE

if TYPE_CHECKING:
    from memcrdt.search.embedders.catalog import KnownModel
    from memcrdt.search.searcher import SearchStatus

THREADS: Final = 8

P = ParamSpec("P")
T = TypeVar("T")
S = TypeVar("S")


async def result_of(begun: Future[T], undo: Callable[[T], object] | None = None) -> T:
    """What a thread gives back. When nobody waits for that any more, `undo` takes what it has come to, in that thread:
    what was opened must not stay open."""
    try:
        return await asyncio.wrap_future(begun)
    except asyncio.CancelledError:
        if undo is not None:
            begun.add_done_callback(partial(_undo, undo))
        raise


def _undo(undo: Callable[[T], object], done: Future[T]) -> None:
    if not done.cancelled() and done.exception() is None:
        undo(done.result())


class _Threaded(Generic[S]):
    """Calls the methods of `target` in threads."""

    def __init__(self, target: S, threads: ThreadPoolExecutor) -> None:
        self._target = target
        self._threads = threads

    async def _run(self, call: Callable[[], T], undo: Callable[[T], object] | None = None) -> T:
        try:
            begun = self._threads.submit(contextvars.copy_context().run, call)
        except RuntimeError as exc:  # the threads have been shut down
            raise StoreError("the memory is closed; open it again") from exc
        return await result_of(begun, undo)

    @asynccontextmanager
    async def _entered(self, context: AbstractContextManager[T]) -> AsyncIterator[T]:
        """Enters and leaves it in threads. It is left however often the task is cancelled."""
        leave = partial(context.__exit__, None, None, None)
        entered = await self._run(context.__enter__, lambda _: leave())
        try:
            yield entered
        finally:
            with suppress(RuntimeError):  # the threads have been shut down: closing the memory ends it
                await asyncio.shield(asyncio.wrap_future(self._threads.submit(leave)))


async def _each(owner: _Threaded[Any], begin: Callable[[], Iterator[T]]) -> AsyncIterator[T]:
    """Yield what the iterator yields that `begin` makes, read in threads a batch at a time."""
    items = await owner._run(begin)
    while batch := await owner._run(lambda: tuple(islice(items, PAGE))):
        for item in batch:
            yield item


def _awaitable(
    method: Callable[Concatenate[S, P], T],
) -> Callable[Concatenate[_Threaded[S], P], Coroutine[Any, Any, T]]:
    """The same method, awaitable."""

    async def call(self: _Threaded[S], /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._run(partial(method, self._target, *args, **kwargs))

    update_wrapper(call, method)
    return call


class AsyncMemory(_Threaded[Memory]):
    """An open Memory, which it closes: `async with memcrdt.open_async() as memory`."""

    def __init__(self, memory: Memory) -> None:
        super().__init__(memory, ThreadPoolExecutor(THREADS, thread_name_prefix="memcrdt-async"))
        self.memory = memory
        self.device = memory.device
        self.sync = AsyncSync(memory.sync, self._threads)
        self.tokens = AsyncYjsTokens(memory.tokens, self._threads)
        self.models = AsyncModels(memory.models, self._threads)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Waits for what is under way, then closes the memory, also when whoever called it is cancelled."""
        await asyncio.shield(asyncio.to_thread(self._close))

    def _close(self) -> None:
        self._threads.shutdown()
        self.memory.close()

    add = _awaitable(Memory.add)
    add_many = _awaitable(Memory.add_many)
    get = _awaitable(Memory.get)
    get_many = _awaitable(Memory.get_many)
    count = _awaitable(Memory.count)
    search = _awaitable(Memory.search)
    similar = _awaitable(Memory.similar)
    list = _awaitable(Memory.list)
    update = _awaitable(Memory.update)
    update_many = _awaitable(Memory.update_many)
    forget = _awaitable(Memory.forget)
    forget_expired = _awaitable(Memory.forget_expired)
    history = _awaitable(Memory.history)
    conflicts = _awaitable(Memory.conflicts)
    link = _awaitable(Memory.link)
    unlink = _awaitable(Memory.unlink)
    related = _awaitable(Memory.related)
    move = _awaitable(Memory.move)
    rename_scope = _awaitable(Memory.rename_scope)
    import_ = _awaitable(Memory.import_)
    export = _awaitable(Memory.export)
    stats = _awaitable(Memory.stats)
    status = _awaitable(Memory.status)
    use_model = _awaitable(Memory.use_model)
    compact = _awaitable(Memory.compact)
    backup = _awaitable(Memory.backup)
    restore = _awaitable(Memory.restore)
    doctor = _awaitable(Memory.doctor)
    devices = _awaitable(Memory.devices)
    accept = _awaitable(Memory.accept)
    revoke = _awaitable(Memory.revoke)
    start_sync = _awaitable(Memory.start_sync)
    stop_sync = _awaitable(Memory.stop_sync)

    async def wait_synced(
        self,
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - as Memory's
        peers: Iterable[str] | None = None,
    ) -> bool:
        return (await self.sync.wait(timeout=timeout, peers=peers)).synced

    def iterate(self, /, *, order: Order = "newest", **filters: Unpack[Filters]) -> AsyncIterator[MemoryRecord]:
        """As Memory.iterate(): `async for record in memory.iterate()`."""
        return _each(self, lambda: self.memory.iterate(order=order, **filters))

    def scoped(
        self, *, project: str | None = None, agent: str | None = None, conversation: str | None = None
    ) -> AsyncScopedMemory:
        """As Memory.scoped()."""
        scoped = self.memory.scoped(project=project, agent=agent, conversation=conversation)
        return AsyncScopedMemory(scoped, self._threads)

    def space(self, name: str) -> AsyncSpace:
        """As Memory.space()."""
        return AsyncSpace(self.memory.space(name), self._threads)

    async def changes(self, **filters: Unpack[Filters]) -> AsyncSubscription:
        """As Memory.changes(): `async with await memory.changes() as changes: async for change in changes`."""
        return AsyncSubscription(await self._run(partial(self.memory.changes, **filters), Subscription.close))

    async def subscribe(
        self, callback: Callable[[Change], Awaitable[None] | None], **filters: Unpack[Filters]
    ) -> AsyncSubscription:
        """As Memory.subscribe(); `callback`, which may be a coroutine function, runs in the event loop."""
        check_callback(callback, "the callback")
        subscription = await self.changes(**filters)
        subscription.deliver(callback)
        return subscription


class OpeningMemory:
    """An AsyncMemory that opens when this is awaited or entered: `async with memcrdt.open_async() as memory`.

    Entered, it closes the memory in the end. `memory = await memcrdt.open_async()` leaves that to the caller.
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


class AsyncSync(_Threaded[Sync]):
    """Sync and pairing with other devices, as in Sync: `memory.sync`."""

    start = _awaitable(Sync.start)
    stop = _awaitable(Sync.stop)
    serving = _awaitable(Sync.serving)
    devices = _awaitable(Sync.devices)
    accept = _awaitable(Sync.accept)
    revoke = _awaitable(Sync.revoke)
    spell = _awaitable(Sync.spell)
    warnings = _awaitable(Sync.warnings)

    async def wait(
        self,
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - as Sync's
        peers: Iterable[str] | None = None,
    ) -> SyncResult:
        started = self._target._now()
        async with self._entered(self._target._asking(timeout, peers)) as look:
            while (synced := await self._run(look)) is None:  # noqa: ASYNC110 - the answer is in a file
                await asyncio.sleep(POLL_S)  # which takes no thread
        return await self._run(partial(self._target._result, synced, started))

    async def invite(self, /, **options: Unpack[InviteOptions]) -> AsyncInvitation:
        """As Sync.invite(): `async with await memory.sync.invite() as invitation: await invitation.joined()`."""
        return AsyncInvitation(await self._target._pairing.invite(invite_options(options)))

    async def join(
        self,
        /,
        code: str,
        *,
        address: str | None = None,
        timeout: float = FIND_S,  # noqa: ASYNC109 - as Sync's
        **options: Unpack[JoinOptions],
    ) -> PairedDevice:
        return await self._target._joining(code, address, timeout, options)


class AsyncYjsTokens(_Threaded[YjsTokens]):
    """The tokens of Yjs clients, as in YjsTokens: `memory.tokens`."""

    create = _awaitable(YjsTokens.create)
    list = _awaitable(YjsTokens.list)
    revoke = _awaitable(YjsTokens.revoke)


class AsyncModels(_Threaded[Models]):
    """The embedders to search with, as in Models: `memory.models`."""

    use = _awaitable(Models.use)
    status = _awaitable(Models.status)

    async def list(self) -> builtins.list[KnownModel]:
        return await self._run(Models.list)

    async def pull(self, name: str, *, progress: Callable[[int, int], None] | None = None) -> None:
        return await self._run(partial(Models.pull, name, progress=progress))

    async def wait(self, *, timeout: float | None = None) -> SearchStatus:  # noqa: ASYNC109 - as Models'
        deadline = self._target._deadline(timeout)
        while (done := await self._run(partial(self._target._finished, deadline))) is None:  # noqa: ASYNC110 - it is in a file
            await asyncio.sleep(models.POLL_S)
        return done


update_wrapper(AsyncSync.join, Sync.join)
update_wrapper(AsyncModels.list, Models.list)
update_wrapper(AsyncModels.pull, Models.pull)
update_wrapper(AsyncModels.wait, Models.wait)
update_wrapper(AsyncMemory.wait_synced, Memory.wait_synced)
update_wrapper(AsyncSync.wait, Sync.wait)


class AsyncScopedMemory(_Threaded[ScopedMemory]):
    """As ScopedMemory."""

    @property
    def scope(self) -> str:
        """Where `add` writes to."""
        return self._target.scope

    add = _awaitable(ScopedMemory.add)
    add_many = _awaitable(ScopedMemory.add_many)
    get = _awaitable(ScopedMemory.get)
    get_many = _awaitable(ScopedMemory.get_many)
    count = _awaitable(ScopedMemory.count)
    search = _awaitable(ScopedMemory.search)
    list = _awaitable(ScopedMemory.list)
    update = _awaitable(ScopedMemory.update)
    update_many = _awaitable(ScopedMemory.update_many)
    forget = _awaitable(ScopedMemory.forget)

    def iterate(self, /, *, order: Order = "newest", **filters: Unpack[ScopedFilters]) -> AsyncIterator[MemoryRecord]:
        """As ScopedMemory.iterate(): `async for record in scoped.iterate()`."""
        return _each(self, lambda: self._target.iterate(order=order, **filters))


class AsyncSpace(_Threaded[Space]):
    """As Space."""

    @property
    def name(self) -> str:
        """Its local name."""
        return self._target.name

    create = _awaitable(Space.create)
    invite = _awaitable(Space.invite)
    revoke = _awaitable(Space.revoke)
    leave = _awaitable(Space.leave)
    id = _awaitable(Space.id)
    members = _awaitable(Space.members)
    digest = _awaitable(Space.digest)


class AsyncSubscription:
    """Changes as they happen: an async iterator, for one task, and an async context manager."""

    def __init__(self, subscription: Subscription) -> None:
        self._subscription = subscription
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()
        self._delivering: asyncio.Task[None] | None = None
        subscription.on_change(self._wake)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def __aiter__(self) -> AsyncIterator[Change]:
        return self

    async def __anext__(self) -> Change:
        """Raises StoreError when the store can't be read any more."""
        while True:
            self._news.clear()
            change = self._subscription.poll()
            if change is not None:
                return change
            if self._subscription.closed:
                raise StopAsyncIteration
            await self._news.wait()

    async def close(self) -> None:
        """Ends it. A second call does nothing."""
        self._subscription.close()
        if self._delivering is not None and self._delivering is not asyncio.current_task():
            self._delivering.cancel()

    def deliver(self, callback: Callable[[Change], Awaitable[None] | None]) -> None:
        """Calls `callback` for each change, in a task of its own."""
        self._delivering = self._loop.create_task(self._deliver(callback))

    async def _deliver(self, callback: Callable[[Change], Awaitable[None] | None]) -> None:
        async for change in self:
            try:
                done = callback(change)
                if inspect.isawaitable(done):
                    await done
            except Exception:  # noqa: BLE001 - it is the caller's code: one failure must not end what follows
                log.exception("a callback failed on %s of %s", change.kind, change.id)

    def _wake(self) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._news.set)
