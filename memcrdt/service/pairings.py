"""Codes that wait for another device, for clients that come back to ask."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Literal

from memcrdt import AsyncMemory
from memcrdt.errors import InputError, MemcrdtError, NotFoundError
from memcrdt.memory.pairing import EXPIRES_S, PairedDevice
from memcrdt.model.serialization import Record, UtcTime
from memcrdt.service.access import Access
from memcrdt.service.problems import problem_of

if TYPE_CHECKING:
    from memcrdt.memory.memory import Memory

WAITING: Final = 4  # codes at the same time
KEPT: Final = 32  # results
OPEN_S: Final = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PairingState(Record):
    """A pairing that this device has offered.

    Attributes:
        id: Its id on this server.
        code: The code to type on the other device, such as `7-crossover-granite`.
        addresses: The addresses of this device, for a device that cannot find it.
        expires_at: When the code becomes invalid.
        state: `waiting`, `paired`, or `failed`.
        device: The other device, once it is paired.
        error: Why it failed.
    """

    id: str
    code: str
    addresses: tuple[str, ...]
    expires_at: UtcTime
    state: Literal["waiting", "paired", "failed"]
    device: PairedDevice | None = None
    error: str | None = None


class _Offer:
    """One code, and the task that waits for it."""

    def __init__(self, access: Access) -> None:
        self.access = access
        self.state: PairingState | None = None
        self.changed = asyncio.Event()
        self.task: asyncio.Task[None] | None = None


class Pairings:
    """The codes of one server.

    Args:
        memory: The memory that other devices are paired with.
    """

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._offers: dict[str, _Offer] = {}

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Make all codes invalid at the end of the context."""
        try:
            yield
        finally:
            tasks = [offer.task for offer in self._offers.values() if offer.task is not None]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def offer(self, access: Access, options: Mapping[str, Any]) -> PairingState:
        """Show a code, and wait for the device on which it is typed.

        Raises:
            InputError: Too many codes wait, or a space cannot be shared.
            NotFoundError: A space does not exist here.
        """
        waiting = [each for each in self._offers.values() if each.task is not None and not each.task.done()]
        if len(waiting) >= WAITING:
            raise InputError(f"{WAITING} pairing codes wait already; cancel one, or wait until it expires")
        for old in list(self._offers)[:-KEPT]:
            del self._offers[old]
        name, offer = secrets.token_hex(8), _Offer(access)
        opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._offers[name] = offer
        offer.task = asyncio.create_task(self._wait(name, offer, options, opened), name="memcrdt pairing")
        try:
            await opened
        except BaseException:
            del self._offers[name]
            raise
        assert offer.state is not None
        return offer.state

    async def state(self, access: Access, name: str, wait_s: float) -> PairingState:
        """Return a pairing, after up to `wait_s` seconds while the code waits. Raises NotFoundError."""
        offer = self._known(access, name)
        with suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await offer.changed.wait()
        assert offer.state is not None
        return offer.state

    async def cancel(self, access: Access, name: str) -> None:
        """Make a code invalid, and forget the pairing. Paired devices stay paired. Raises NotFoundError."""
        offer = self._known(access, name)
        assert offer.task is not None
        offer.task.cancel()
        await asyncio.gather(offer.task, return_exceptions=True)
        self._offers.pop(name, None)

    def _known(self, access: Access, name: str) -> _Offer:
        offer = self._offers.get(name)
        if offer is None or offer.access != access or offer.state is None:
            raise NotFoundError(f"there is no pairing {name[:40]!r}")
        return offer

    async def _wait(self, name: str, offer: _Offer, options: Mapping[str, Any], opened: asyncio.Future[None]) -> None:
        try:
            async with asyncio.timeout(OPEN_S):
                invitation = await AsyncMemory(self._memory).sync.invite(**options)
            async with invitation:
                shown = PairingState(
                    id=name,
                    code=invitation.code,
                    addresses=invitation.addresses,
                    expires_at=datetime.now(UTC) + timedelta(seconds=EXPIRES_S),
                    state="waiting",
                )
                offer.state = shown
                opened.set_result(None)
                offer.state = await _result(shown, invitation)
        except (MemcrdtError, TimeoutError, asyncio.CancelledError) as exc:
            if not opened.done():
                opened.set_exception(exc)
                return
            raise
        finally:
            offer.changed.set()


async def _result(shown: PairingState, invitation: Any) -> PairingState:
    try:
        device = await invitation.joined()
    except MemcrdtError as exc:
        return replace(shown, state="failed", error=str(problem_of(exc)))
    return replace(shown, state="paired", device=device)
