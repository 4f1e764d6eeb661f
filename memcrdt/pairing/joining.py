"""The side on which the code is typed: finds the device that shows it, and proves to have it."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from memcrdt.errors import MemcrdtError, PairingError, RemoteProtocolError, UnreachableError
from memcrdt.net.addresses import Address
from memcrdt.net.dialer import Dialer, DialTarget
from memcrdt.net.discovery.finder import Candidate
from memcrdt.net.handshake import TrustPolicy
from memcrdt.net.tasks import BackgroundTasks
from memcrdt.net.websocket import PAIRING_PATH
from memcrdt.pairing import talk
from memcrdt.pairing.exchange import MESSAGE_BYTES, PROOF_BYTES, CodeExchange
from memcrdt.pairing.talk import PairedDevice, PairingChannel, PairingOffer
from memcrdt.store.membership.members import Members

if TYPE_CHECKING:
    from collections.abc import Sequence

    from memcrdt.net.discovery.finder import Finder
    from memcrdt.pairing.codes import Code
    from memcrdt.pairing.inviting import PairingContext

log = logging.getLogger("memcrdt.net")

FIND_S: Final = 60.0
CANDIDATES: Final = 128  # asked, one after the other


class JoinAttempt:
    """Looks for the device that shows the code, and joins it."""

    def __init__(self, ours: PairingContext, code: Code) -> None:
        """The entries of our offer are put together when the other side has said which spaces it means."""
        self._ours = ours
        self._code = code
        self._proved = False  # whoever has our proof has tested one guess at the code by it: no second device gets one
        # Who is there is settled by the code.
        self._dialer = Dialer(ours.identity, TrustPolicy(), PAIRING_PATH, "memcrdt pair waiting")

    async def join_at(self, address: Address) -> PairedDevice:
        """Pairs with the device there. Raises PairingError, UnreachableError, RemoteProtocolError."""
        try:
            return await self._try(Candidate(address, "address"))
        finally:
            await self._dialer.close()

    async def find_and_join(self, finders: Sequence[Finder], find_s: float = FIND_S) -> PairedDevice:
        """Pairs with whichever device is found that shows the code. Raises PairingError."""
        found: asyncio.Queue[Candidate] = asyncio.Queue()
        problems: list[MemcrdtError] = []  # with those that announced the number of the code
        tasks = BackgroundTasks()
        for finder in finders:
            tasks.spawn(finder.run(found.put_nowait))
        try:
            async with asyncio.timeout(find_s):
                return await self._first(found, problems)
        except TimeoutError:
            failed = f"; one that announces it was found, but {problems[0]}" if problems else ""
            raise PairingError(
                f"no device that shows the code {self._code.number}-… was reached within {find_s:.0f} s{failed}; name "
                "its address, which it shows beside the code: memcrdt pair CODE --at HOST:PORT"
            ) from None
        finally:
            await tasks.cancel()
            await self._dialer.close()

    async def _first(self, found: asyncio.Queue[Candidate], problems: list[MemcrdtError]) -> PairedDevice:
        tried: set[Address] = set()
        while True:
            candidate = await found.get()
            fits = candidate.pairing == self._code.number or candidate.found != "mdns"
            if not fits or candidate.address in tried or len(tried) >= CANDIDATES:
                continue
            tried.add(candidate.address)
            try:
                return await self._try(candidate)
            except MemcrdtError as exc:
                if self._proved:
                    raise
                log.debug("%s", exc)
                if candidate.pairing == self._code.number:
                    problems.append(exc)

    async def _try(self, candidate: Candidate) -> PairedDevice:
        connection = await self._dialer.dial(DialTarget(candidate.address, candidate.device))
        try:
            async with asyncio.timeout(talk.TALK_S):
                return await self._talk(PairingChannel(connection))
        except TimeoutError:
            raise UnreachableError(f"{connection} stopped answering; run memcrdt pair there again") from None
        finally:
            await connection.close()

    async def _talk(self, other: PairingChannel) -> PairedDevice:
        exchange = CodeExchange("joiner", self._code, self._ours.identity.public_key, other.connection.peer)
        await other.say("pair", self._code.number, exchange.message)
        (message,) = await other.hear("reply", 1)
        exchange.finish(_bytes(message, MESSAGE_BYTES))
        self._proved = True
        await other.say("proof", exchange.proof())
        (proof,) = await other.hear("proof", 1)
        if not exchange.proves(_bytes(proof, PROOF_BYTES)):
            raise PairingError(
                f"{other.connection} does not have the code; somebody else may be answering: run memcrdt pair there "
                "again, and name its address with --at"
            )
        return await self._agree(other)

    async def _agree(self, other: PairingChannel) -> PairedDevice:
        theirs = await other.hear_offer()
        spaces = tuple(entry.name for entry in theirs.entries)
        known = await asyncio.to_thread(Members(self._ours.store).known_entries, spaces)
        ours = PairingOffer(self._ours.offer.name, self._ours.offer.port, False, tuple(known))
        try:
            _, joined = talk.joins(theirs, ours)
        except PairingError as exc:
            await other.say("no", str(exc))
            raise
        await other.offer(ours)
        await other.hear("done", 0)
        address = str(Address(Address.parse(other.connection.address).host, theirs.port)) if theirs.port else None
        partner = PairedDevice(other.connection.peer.device, self._ours.name or theirs.name, address, spaces)
        partner = await talk.settle(self._ours.store, partner, joined, read_only=False, as_reader=theirs.read_only)
        await other.say("done")
        return partner


def _bytes(value: object, size: int) -> bytes:
    if not isinstance(value, bytes) or len(value) != size:
        raise RemoteProtocolError("the other device sent no message of SPAKE2")
    return value
