"""Follows the table of peers, which other processes change as well."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

from memcrdt.errors import MemcrdtError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Executor

    from memcrdt.node.trusted_peers import TrustedPeers
    from memcrdt.sync.events import Known, Revoked, SpacesChanged, SyncNow

log = logging.getLogger("memcrdt.net")

INTERVAL_S: Final = 0.25  # the table is read again at most so often: a revocation is heard within it
RETRY_S: Final = 5.0  # after it could not be read, or the port was taken meanwhile


class Follower(Protocol):
    """Whoever acts on what is new."""

    def heard(self, events: Sequence[Known | Revoked | SpacesChanged | SyncNow], newcomers: frozenset[str]) -> None:
        """What has changed, and which devices were not accepted before."""
        ...

    async def follow(self) -> None:
        """Acts on what the roster says by now. What it raises of MemcrdtError is logged, and tried again."""
        ...


@dataclass(frozen=True, slots=True)
class Table:
    """The table as it is read: `settle` first signs what the user has decided; both run in the thread of the store."""

    roster: TrustedPeers
    settle: Callable[[], None]
    store: Executor


class Watch:
    """Reads the table when `look` says that it may have changed, and when somebody cannot wait for that."""

    def __init__(self, table: Table, follower: Follower) -> None:
        self._table = table
        self._follower = follower
        self._reading = asyncio.Lock()
        self._changed = asyncio.Event()

    def look(self) -> None:
        """The table may have changed."""
        self._changed.set()

    async def refresh(self) -> None:
        """Reads the table now. Raises StoreError."""
        roster, loop = self._table.roster, asyncio.get_running_loop()
        async with self._reading:
            before = roster.devices
            await loop.run_in_executor(self._table.store, self._table.settle)
            events = await loop.run_in_executor(self._table.store, roster.read)
            self._follower.heard(events, roster.devices - before)

    async def run(self) -> None:
        """Follows the table until it is cancelled."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            try:
                await self.refresh()
                await self._follower.follow()
            except MemcrdtError as exc:
                log.error("%s", exc)
                self._changed.set()
                await asyncio.sleep(RETRY_S)
            await asyncio.sleep(INTERVAL_S)
