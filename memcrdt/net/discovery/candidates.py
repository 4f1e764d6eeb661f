"""The addresses that finders found. Their number is bounded, because any machine on the network can announce some."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from memcrdt.errors import MemcrdtError
from memcrdt.net.tasks import BackgroundTasks

if TYPE_CHECKING:
    from memcrdt.net.addresses import Address
    from memcrdt.net.discovery.finder import AddressCandidate, Finder

log = logging.getLogger("memcrdt.net")

ADDRESSES: Final = 8  # per device; further addresses are ignored until one is dropped
STRANGERS: Final = 64  # devices that are not accepted (yet); the oldest is dropped first
FRESH_S: Final = 5.0  # minimum time between two reports of new addresses of one device
ASKED: Final = 64  # addresses whose device no source named
ASK_AGAIN_S: Final = 300.0  # until such an address is asked again
ASKS_AT_ONCE: Final = 4


class Candidates:
    """Runs finders, and keeps the addresses that they name for each device."""

    def __init__(
        self,
        finders: Sequence[Finder],
        *,
        accepted: Callable[[str], bool],
        fresh: Callable[[str], None],
        identify: Callable[[Address], Awaitable[str]],
    ) -> None:
        """Keep the parts.

        Args:
            finders: The sources.
            accepted: Returns whether a device is accepted.
            fresh: Called with an accepted device that has a new address.
            identify: Returns the id of the device at an address.
        """
        self._finders = finders
        self._accepted = accepted
        self._fresh = fresh
        self._identify = identify
        self._of: OrderedDict[str, list[AddressCandidate]] = OrderedDict()
        self._told: dict[str, float] = {}
        self._asked: OrderedDict[Address, float] = OrderedDict()
        self._asking = asyncio.Semaphore(ASKS_AT_ONCE)
        self._tasks = BackgroundTasks()

    def start(self) -> None:
        """Start the finders."""
        for finder in self._finders:
            self._tasks.spawn(finder.run(self.found))

    async def stop(self) -> None:
        """Stop the finders, and return when they have withdrawn their announcements."""
        await self._tasks.cancel()

    def announce(self, port: int | None) -> None:
        """Tell the finders the port where we listen; None if we do not listen."""
        for finder in self._finders:
            finder.announce(port)

    def of(self, device: str) -> list[AddressCandidate]:
        """Return the addresses where the device may be."""
        return list(self._of.get(device, ()))

    def failed(self, candidate: AddressCandidate) -> None:
        """Drop an address where the device was not reached, to make room for another."""
        known = self._of.get(candidate.device or "", [])
        if candidate in known:
            known.remove(candidate)

    def found(self, candidate: AddressCandidate) -> None:
        """Record a candidate from a finder. If it names no device, ask the device at its address for its id."""
        if candidate.device is None:
            self._ask(candidate)
            return
        known = self._of.setdefault(candidate.device, [])
        self._forget_strangers()
        if candidate not in known and len(known) < ADDRESSES:
            known.append(candidate)
            self._tell(candidate.device)

    def _tell(self, device: str) -> None:
        now = asyncio.get_running_loop().time()
        if self._accepted(device) and now - self._told.get(device, -FRESH_S) >= FRESH_S:
            self._told[device] = now
            self._fresh(device)

    def _forget_strangers(self) -> None:
        strangers = [device for device in self._of if not self._accepted(device)]
        for device in strangers[: max(0, len(strangers) - STRANGERS)]:
            del self._of[device]
            self._told.pop(device, None)

    def _ask(self, candidate: AddressCandidate) -> None:
        now = asyncio.get_running_loop().time()
        asked = self._asked.get(candidate.address)
        if asked is not None and now - asked < ASK_AGAIN_S:
            return
        if asked is None and len(self._asked) >= ASKED:
            oldest, at = next(iter(self._asked.items()))
            if now - at < ASK_AGAIN_S:
                return
            del self._asked[oldest]
        self._asked[candidate.address] = now
        self._asked.move_to_end(candidate.address)
        self._tasks.spawn(self._learn(candidate))

    async def _learn(self, candidate: AddressCandidate) -> None:
        async with self._asking:
            try:
                device = await self._identify(candidate.address)
            except MemcrdtError as exc:
                log.debug("%s: %s", candidate.address, exc)
                return
        self.found(replace(candidate, device=device))
