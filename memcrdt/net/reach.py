"""How a device is reached: all its addresses, raced, so that a dead one costs a quarter of a second."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from memcrdt.errors import MemcrdtError, UnreachableError
from memcrdt.model.devices import shown
from memcrdt.net.dialer import RefusedError, Target
from memcrdt.net.discovery.finder import Candidate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from memcrdt.net.connection import Connection
    from memcrdt.net.contacts import Contacts
    from memcrdt.net.dialer import Dialer
    from memcrdt.net.discovery.candidates import Candidates
    from memcrdt.net.tasks import Tasks

HEAD_START_S: Final = 0.25  # as RFC 8305 (Happy Eyeballs) recommends
ADDRESSES: Final = 16  # dialed in one race


class Reach:
    """Dials devices at their remembered addresses and at those that finders named."""

    def __init__(self, dialer: Dialer, contacts: Contacts, candidates: Candidates, tasks: Tasks) -> None:
        """`tasks` holds what nobody waits for."""
        self._dialer = dialer
        self._tasks = tasks
        self._contacts = contacts
        self._candidates = candidates

    async def reach(self, device: str) -> Connection:
        """The first connection that stands.

        Raises NotFoundError, StoreError, or what went wrong: of several addresses what tells the most, so that an old
        one does not hide why the device does not let us in.
        """
        remembered = [Candidate(address, "address", device) for address in await self._contacts.addresses(device)]
        known = {candidate.address for candidate in remembered}
        found = [candidate for candidate in self._candidates.of(device) if candidate.address not in known]
        if not remembered and not found:
            raise UnreachableError(
                f"no address of {shown(device)} is known, and nothing found it; is memcrdt serving there? If so, name "
                f"its address: memcrdt accept {shown(device)} --at HOST:PORT"
            )
        return await self._race([*remembered, *found][:ADDRESSES])

    async def _race(self, candidates: Sequence[Candidate]) -> Connection:
        waiting = list(candidates)
        dials: set[asyncio.Task[Connection]] = set()
        problems: list[MemcrdtError] = []  # in the order in which they came; of equal ones the first is told
        try:
            while waiting or dials:
                if waiting:
                    dials.add(asyncio.create_task(self._dial(waiting.pop(0))))
                timeout = HEAD_START_S if waiting else None
                ended, dials = await asyncio.wait(dials, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
                for dial in ended:
                    try:
                        connection = dial.result()
                    except MemcrdtError as exc:
                        problems.append(exc)
                    else:
                        dials |= ended - {dial}
                        return connection
        finally:
            if dials:
                self._tasks.spawn(self._drop(dials))
        raise max(problems, key=_tells)

    async def _dial(self, candidate: Candidate) -> Connection:
        try:
            connection = await self._dialer.dial(Target(candidate.address, candidate.device))
        except RefusedError:
            raise  # it is there, and may let us in the next time
        except MemcrdtError:
            self._candidates.failed(candidate)
            raise
        connection.found = candidate.found
        return connection

    async def _drop(self, dials: set[asyncio.Task[Connection]]) -> None:
        """Ends the dials that came too late."""
        for dial in dials:
            dial.cancel()
        for end in await asyncio.gather(*dials, return_exceptions=True):
            if not isinstance(end, BaseException):
                await end.close()


def _tells(problem: MemcrdtError) -> int:
    """How much it says about the device: its own word, then what is wrong with whoever answers, then silence."""
    if isinstance(problem, RefusedError):
        return 2
    return 0 if isinstance(problem, UnreachableError) else 1
