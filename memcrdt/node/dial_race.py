"""Dials all addresses of a device in a race, so that an unreachable address costs a quarter of a second.

The next address is dialed when the one before has failed or 0.25 s have passed. The first authenticated connection
wins, and the other dials are cancelled. Relays come last: when all direct dials have failed, or after 2 s.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from memcrdt.errors import MemcrdtError, UnreachableError
from memcrdt.model.device_ids import shown
from memcrdt.net.dialer import DialTarget
from memcrdt.net.discovery.finder import AddressCandidate
from memcrdt.net.handshake import AnotherDeviceError, OurselvesError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from memcrdt.net.addresses import Address
    from memcrdt.net.connection import Connection
    from memcrdt.net.dialer import Dialer
    from memcrdt.net.discovery.candidates import Candidates
    from memcrdt.net.tasks import BackgroundTasks
    from memcrdt.node.peer_records import PeerRecords

HEAD_START_S: Final = 0.25  # as RFC 8305 (Happy Eyeballs) recommends
ADDRESSES: Final = 16  # dialed in one race
DIRECT_S: Final = 2.0  # head start of the direct paths; a relay is slower, and its user's line is used twice


class DialRace:
    """Dials devices at their remembered addresses, and at the addresses that finders named."""

    def __init__(
        self,
        dialer: Dialer,
        records: PeerRecords,
        candidates: Candidates,
        tasks: BackgroundTasks,
        relays: Callable[[str], Sequence[Address]] = lambda device: (),
    ) -> None:
        """Take the parts.

        Args:
            dialer: Dials one address.
            records: Has the remembered addresses.
            candidates: Has the addresses that finders named.
            tasks: Runs the cleanup of dials that lost a race, which no caller awaits.
            relays: Returns the relays at which a device may wait. They are tried last.
        """
        self._relays = relays
        self._dialer = dialer
        self._tasks = tasks
        self._records = records
        self._candidates = candidates

    async def dial(self, device: str, *, directly: bool = False) -> Connection:
        """Return the first authenticated connection to the device. `directly`: through no relay.

        Raises:
            NotFoundError: The device is not known here.
            StoreError: The table of peers cannot be read.
            MemcrdtError: All dials failed. Of their errors, the one that says most about the device is raised, so that
                an outdated address does not hide why the device refuses us.
        """
        remembered = [AddressCandidate(address, "address", device) for address in await self._records.addresses(device)]
        known = {candidate.address for candidate in remembered}
        found = [candidate for candidate in self._candidates.of(device) if candidate.address not in known]
        direct = [*remembered, *found][:ADDRESSES]
        relays = [] if directly else [AddressCandidate(relay, "relay", device) for relay in self._relays(device)]
        if not direct and not relays:
            raise _nowhere(device)
        try:
            return await self._race([*direct, *relays])
        except (
            OurselvesError
        ):  # two homes on one machine, or the network has given us an old address of the other device
            raise _nowhere(device, " except this device's own") from None

    async def _race(self, candidates: Sequence[AddressCandidate]) -> Connection:
        waiting = list(candidates)
        loop = asyncio.get_running_loop()
        relays_at = loop.time() + DIRECT_S
        dials: dict[asyncio.Task[Connection], AddressCandidate] = {}
        problems: dict[AddressCandidate, MemcrdtError] = {}
        try:
            while waiting or dials:
                too_early_s = relays_at - loop.time() if waiting and waiting[0].found == "relay" and dials else 0.0
                if waiting and too_early_s <= 0:
                    candidate = waiting.pop(0)
                    dials[asyncio.create_task(self._dial(candidate))] = candidate
                timeout = max(HEAD_START_S, too_early_s) if waiting else None
                ended, _ = await asyncio.wait(dials, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
                for dial in ended:
                    candidate = dials.pop(dial)
                    try:
                        return dial.result()
                    except MemcrdtError as exc:
                        problems[candidate] = exc
        finally:
            if dials:
                self._tasks.spawn(self._drop(dials))
        raise max((problems[candidate] for candidate in candidates), key=_rank)

    async def _dial(self, candidate: AddressCandidate) -> Connection:
        try:
            connection = await self._dialer.dial(
                DialTarget(candidate.address, candidate.device, by_relay=candidate.found == "relay")
            )
        except RefusedError:
            raise  # the address is right, and the device may accept us the next time
        except MemcrdtError:
            self._candidates.failed(candidate)
            raise
        connection.found = candidate.found
        return connection

    async def _drop(self, dials: Collection[asyncio.Task[Connection]]) -> None:
        """Cancel the dials that lost the race, and close their connections."""
        for dial in dials:
            dial.cancel()
        for end in await asyncio.gather(*dials, return_exceptions=True):
            if not isinstance(end, BaseException):
                await end.close()


def _nowhere(device: str, but: str = "") -> UnreachableError:
    return UnreachableError(
        f"no address of {shown(device)} is known{but}, and discovery found none; is memcrdt serving there? If so, give "
        f"its address: memcrdt accept {shown(device)} --at HOST:PORT"
    )


def _rank(problem: MemcrdtError) -> int:
    """Rank an error by how much it says about the device.

    From most to least: the device refuses us, authentication failed at its address, the device is not there, our own
    listener is there. Of equal errors, the error of the newest address counts.
    """
    match problem:
        case RefusedError():
            return 3
        case OurselvesError():
            return 0
        case UnreachableError() | AnotherDeviceError():
            return 1
    return 2
