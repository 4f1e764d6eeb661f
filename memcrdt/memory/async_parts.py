"""The awaitable forms of the parts of a Memory: files, sync, tokens, models, scoped memories and spaces.

Other devices and embedding models can take long. So wait() uses a thread only for each short look at the state, and no
thread in between.
"""

from __future__ import annotations

import asyncio
import builtins
from collections.abc import AsyncIterator, Callable, Iterable
from functools import partial, update_wrapper
from typing import TYPE_CHECKING, Self, Unpack

from memcrdt.memory import models
from memcrdt.memory.files import Files
from memcrdt.memory.mirrors import Mirrors
from memcrdt.memory.models import Models
from memcrdt.memory.pairing import FIND_S, AsyncInvitation, InviteOptions, JoinOptions, PairedDevice, invite_options
from memcrdt.memory.scoped import ScopedMemory
from memcrdt.memory.spaces import Space
from memcrdt.memory.sync import POLL_S, Sync, SyncResult
from memcrdt.memory.threads import Threaded, awaitable, each
from memcrdt.memory.tokens import YjsTokens
from memcrdt.model.filters import Order, ScopedFilters, check_order
from memcrdt.model.records import MemoryRecord

if TYPE_CHECKING:
    from memcrdt.search.embedders.catalog import KnownModel
    from memcrdt.search.searcher import SearchStatus


class AsyncFiles(Threaded[Files]):
    """The awaitable form of Files: `memory.files`."""

    import_ = awaitable(Files.import_)
    import_from = awaitable(Files.import_from)
    export = awaitable(Files.export)
    backup = awaitable(Files.backup)
    check_backup = awaitable(Files.check_backup)
    restore = awaitable(Files.restore)
    doctor = awaitable(Files.doctor)
    compact = awaitable(Files.compact)


class AsyncMirrors(Threaded[Mirrors]):
    """The awaitable form of Mirrors: `memory.mirrors`."""

    add = awaitable(Mirrors.add)
    run = awaitable(Mirrors.run)
    list = awaitable(Mirrors.list)
    remove = awaitable(Mirrors.remove)


class AsyncSync(Threaded[Sync]):
    """The awaitable form of Sync: `memory.sync`."""

    start = awaitable(Sync.start)
    stop = awaitable(Sync.stop)
    serving = awaitable(Sync.serving)
    devices = awaitable(Sync.devices)
    find = awaitable(Sync.find)
    accept = awaitable(Sync.accept)
    revoke = awaitable(Sync.revoke)
    spell = awaitable(Sync.spell)
    warnings = awaitable(Sync.warnings)

    async def wait(
        self,
        *,
        timeout: float | None = None,  # noqa: ASYNC109 - as Sync's
        peers: Iterable[str] | None = None,
    ) -> SyncResult:
        started = self._target._event()
        async with self._entered(self._target._asking(timeout, peers)) as look:
            while (synced := await self._run(look)) is None:  # noqa: ASYNC110 - the answer is in a file, which has no event
                await asyncio.sleep(POLL_S)  # without a thread
        return await self._run(partial(self._target._result, synced, started))

    async def invite(self, /, **options: Unpack[InviteOptions]) -> AsyncInvitation:
        """Create a code for pairing. See Sync.invite().

        Example:
            ```python
            async with await memory.sync.invite() as invitation:
                print(f"type on the other device: {invitation.code}")
                device = await invitation.joined()
            ```
        """
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


class AsyncYjsTokens(Threaded[YjsTokens]):
    """The awaitable form of YjsTokens: `memory.tokens`."""

    create = awaitable(YjsTokens.create)
    list = awaitable(YjsTokens.list)
    find = awaitable(YjsTokens.find)
    revoke = awaitable(YjsTokens.revoke)


class AsyncModels(Threaded[Models]):
    """The awaitable form of Models: `memory.models`."""

    use = awaitable(Models.use)
    load = awaitable(Models.load)
    status = awaitable(Models.status)

    async def list(self) -> builtins.list[KnownModel]:
        return await self._run(Models.list)

    async def pull(self, name: str, *, progress: Callable[[int, int], None] | None = None) -> None:
        return await self._run(partial(Models.pull, name, progress=progress))

    async def wait(self, *, timeout: float | None = None) -> SearchStatus:  # noqa: ASYNC109 - as Models'
        deadline = self._target._begin_wait(timeout)
        while (done := await self._run(partial(self._target._finished, deadline))) is None:  # noqa: ASYNC110 - as above
            await asyncio.sleep(models.POLL_S)
        return done


update_wrapper(AsyncSync.join, Sync.join)
update_wrapper(AsyncSync.wait, Sync.wait)
update_wrapper(AsyncModels.list, Models.list)
update_wrapper(AsyncModels.pull, Models.pull)
update_wrapper(AsyncModels.wait, Models.wait)


class AsyncScopedMemory(Threaded[ScopedMemory]):
    """The awaitable form of ScopedMemory. AsyncMemory.scoped() returns it."""

    @property
    def scope(self) -> str:
        """The scope that add() writes to."""
        return self._target.scope

    add = awaitable(ScopedMemory.add)
    add_many = awaitable(ScopedMemory.add_many)
    get = awaitable(ScopedMemory.get)
    get_many = awaitable(ScopedMemory.get_many)
    count = awaitable(ScopedMemory.count)
    search = awaitable(ScopedMemory.search)
    list = awaitable(ScopedMemory.list)
    update = awaitable(ScopedMemory.update)
    update_many = awaitable(ScopedMemory.update_many)
    forget = awaitable(ScopedMemory.forget)

    def iterate(self, /, *, order: Order = "newest", **filters: Unpack[ScopedFilters]) -> AsyncIterator[MemoryRecord]:
        """Yield every memory that matches: `async for record in scoped.iterate()`. See Memory.iterate()."""
        asked = check_order(order), self._target._filters(filters)
        return each(self, lambda: self._target.memory._every(*asked))


class AsyncSpace(Threaded[Space]):
    """The awaitable form of Space. AsyncMemory.space() returns it."""

    @property
    def name(self) -> str:
        """The local name of the space."""
        return self._target.name

    invite = awaitable(Space.invite)
    revoke = awaitable(Space.revoke)
    leave = awaitable(Space.leave)
    relays = awaitable(Space.relays)
    add_relay = awaitable(Space.add_relay)
    remove_relay = awaitable(Space.remove_relay)
    id = awaitable(Space.id)
    members = awaitable(Space.members)
    digest = awaitable(Space.digest)

    async def create(self) -> Self:
        await self._run(self._target.create)
        return self


update_wrapper(AsyncSpace.create, Space.create)
