"""How a device is reached: all its addresses, raced, so that a dead one costs a quarter of a second."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from memcrdt.errors import MemcrdtError, UnreachableError
from memcrdt.model.device_ids import shown
from memcrdt.net.dialer import DialTarget
from memcrdt.net.discovery.finder import Candidate
from memcrdt.net.handshake import AnotherDeviceError, OurselvesError, RefusedError

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from memcrdt.net.connection import Connection
    from memcrdt.net.dialer import Dialer
    from memcrdt.net.discovery.candidates import Candidates
    from memcrdt.net.tasks import BackgroundTasks
    from memcrdt.node.peer_records import PeerRecords

HEAD_START_S: Final = 0.25  # as RFC 8305 (Happy Eyeballs) recommends
ADDRESSES: Final = 16  # dialed in one race


class DialRace:
    """Dials devices at their remembered addresses and at those that finders named."""

    def __init__(self, dialer: Dialer, records: PeerRecords, candidates: Candidates, tasks: BackgroundTasks) -> None:
        """`tasks` holds what nobody waits for."""
        self._dialer = dialer
        self._tasks = tasks
        self._records = records
        self._candidates = candidates

    async def dial(self, device: str) -> Connection:
        """The first connection that stands.

        Raises NotFoundError, StoreError, or what went wrong: of several addresses what tells the most, so that an old
        one does not hide why the device does not let us in.
        """
        remembered = [Candidate(address, "address", device) for address in await self._records.addresses(device)]
        known = {candidate.address for candidate in remembered}
        found = [candidate for candidate in self._candidates.of(device) if candidate.address not in known]
        if not remembered and not found:
            raise _nowhere(device)
        try:
            return await self._race([*remembered, *found][:ADDRESSES])
        except OurselvesError:  # two homes on one machine, or the network gave us the address that was the other's once
            raise _nowhere(device, " but this device's own") from None

    async def _race(self, candidates: Sequence[Candidate]) -> Connection:
        waiting = list(candidates)
        dials: dict[asyncio.Task[Connection], Candidate] = {}
        problems: dict[Candidate, MemcrdtError] = {}
        try:
            while waiting or dials:
                if waiting:
                    candidate = waiting.pop(0)
                    dials[asyncio.create_task(self._dial(candidate))] = candidate
                timeout = HEAD_START_S if waiting else None
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
        raise max((problems[candidate] for candidate in candidates), key=_tells)

    async def _dial(self, candidate: Candidate) -> Connection:
        try:
            connection = await self._dialer.dial(DialTarget(candidate.address, candidate.device))
        except RefusedError:
            raise  # it is there, and may let us in the next time
        except MemcrdtError:
            self._candidates.failed(candidate)
            raise
        connection.found = candidate.found
        return connection

    async def _drop(self, dials: Collection[asyncio.Task[Connection]]) -> None:
        """Ends the dials that came too late."""
        for dial in dials:
            dial.cancel()
        for end in await asyncio.gather(*dials, return_exceptions=True):
            if not isinstance(end, BaseException):
                await end.close()


def _nowhere(device: str, but: str = "") -> UnreachableError:
    return UnreachableError(
        f"no address of {shown(device)} is known{but}, and nothing found it; is memcrdt serving there? If so, name "
        f"its address: memcrdt accept {shown(device)} --at HOST:PORT"
    )


def _tells(problem: MemcrdtError) -> int:
    """How much it says about the device: its own word, then that something is wrong with whoever answers in its name,
    then that it is not there, and nothing if we are. Of equal ones the newest address is told of, where it was last."""
    match problem:
        case RefusedError():
            return 3
        case OurselvesError():
            return 0
        case UnreachableError() | AnotherDeviceError():
            return 1
    return 2
