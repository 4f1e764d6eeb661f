"""The joining side of pairing: finds the device that shows the code, and proves that it has the code."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final

from memcrdt.errors import MemcrdtError, PairingError, RemoteProtocolError, UnreachableError
from memcrdt.memory.pairing import FIND_S, PairedDevice
from memcrdt.net.addresses import Address
from memcrdt.net.dialer import Dialer, DialTarget
from memcrdt.net.discovery.finder import AddressCandidate
from memcrdt.net.handshake import TrustPolicy
from memcrdt.net.tasks import BackgroundTasks
from memcrdt.net.websocket import PAIRING_PATH
from memcrdt.pairing.channel import (
    PAIRING_S,
    PairingChannel,
    PairingOffer,
    record_pairing,
    spaces_to_join,
)
from memcrdt.pairing.exchange import MESSAGE_BYTES, PROOF_BYTES, CodeExchange
from memcrdt.store.membership.members import Members

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from memcrdt.net.connection import Connection
    from memcrdt.net.discovery.finder import Finder
    from memcrdt.pairing.codes import Code
    from memcrdt.pairing.inviting import PairingContext

log = logging.getLogger("memcrdt.net")

CANDIDATES: Final = 128  # maximum number of addresses tried, one after the other


class JoinAttempt:
    """Finds the device that shows the code, and pairs with it."""

    def __init__(self, ours: PairingContext, code: Code) -> None:
        """Take our side. The spaces in our offer are filled in once the other side has named the spaces it shares."""
        self._ours = ours
        self._code = code
        # Our proof lets the other device test one guess at the code, so no second device may get a proof.
        self._has_proved = False

    async def join_at(self, address: Address) -> PairedDevice:
        """Pair with the device at an address. Raises PairingError, UnreachableError or RemoteProtocolError."""
        async with self._dialing() as dialer:
            return await self.join_over(await dialer.dial(DialTarget(address)))

    async def find_and_join(self, finders: Sequence[Finder], find_s: float = FIND_S) -> PairedDevice:
        """Find the device that shows the code, for up to `find_s` seconds, and pair with it. Raises PairingError."""
        found: asyncio.Queue[AddressCandidate] = asyncio.Queue()
        problems: list[MemcrdtError] = []  # with devices that announced the code's number
        tasks = BackgroundTasks()
        for finder in finders:
            tasks.spawn(finder.run(found.put_nowait))
        try:
            async with self._dialing() as dialer, asyncio.timeout(find_s):
                return await self._join_first(dialer, found, problems)
        except TimeoutError:
            failed = f"; a device that announces it was found, but {problems[0]}" if problems else ""
            raise PairingError(
                f"no device that shows the code {self._code.number}-… was reached within {find_s:.0f} s{failed}; give "
                "the address that it shows next to the code, as in: memcrdt pair CODE --at HOST:PORT"
            ) from None
        finally:
            await tasks.cancel()

    async def join_over(self, connection: Connection) -> PairedDevice:
        """Pair with the device at the other end of a connection, and close the connection.

        Raises:
            PairingError: The device does not have the code, or the devices could not agree on the spaces.
            UnreachableError: The device stopped answering.
            RemoteProtocolError: The device broke the protocol.
        """
        try:
            async with asyncio.timeout(PAIRING_S):
                channel = PairingChannel(connection)
                await self._prove(channel)
                return await self._agree(channel)
        except TimeoutError:
            raise UnreachableError(f"{connection} stopped answering; start pairing there again") from None
        finally:
            await connection.close()

    @asynccontextmanager
    async def _dialing(self) -> AsyncIterator[Dialer]:
        # TrustPolicy accepts every device, because the code identifies the right one.
        dialer = Dialer(self._ours.identity, TrustPolicy(), PAIRING_PATH, "memcrdt pair waiting")
        try:
            yield dialer
        finally:
            await dialer.close()

    async def _join_first(
        self, dialer: Dialer, found: asyncio.Queue[AddressCandidate], problems: list[MemcrdtError]
    ) -> PairedDevice:
        tried: set[Address] = set()
        while True:
            candidate = await found.get()
            fits = candidate.pairing == self._code.number or candidate.found != "mdns"
            if not fits or candidate.address in tried or len(tried) >= CANDIDATES:
                continue
            tried.add(candidate.address)
            try:
                return await self.join_over(await dialer.dial(DialTarget(candidate.address, candidate.device)))
            except MemcrdtError as exc:
                if self._has_proved:
                    raise
                log.debug("%s", exc)
                if candidate.pairing == self._code.number:
                    problems.append(exc)

    async def _prove(self, channel: PairingChannel) -> None:
        """Prove that we have the code, and check the other side's proof. Raises PairingError if it is wrong."""
        exchange = CodeExchange("joiner", self._code, self._ours.identity.public_key, channel.connection.peer)
        await channel.send("pair", self._code.number, exchange.message)
        (message,) = await channel.receive("reply", 1)
        exchange.finish(_bytes(message, MESSAGE_BYTES))
        self._has_proved = True
        await channel.send("proof", exchange.proof())
        (proof,) = await channel.receive("proof", 1)
        if not exchange.proves(_bytes(proof, PROOF_BYTES)):
            raise PairingError(
                f"{channel.connection} does not have the code; another device may be answering: start pairing again "
                "on the device that showed the code, and give its address here"
            )

    async def _agree(self, channel: PairingChannel) -> PairedDevice:
        """Exchange the offers, and record the pairing."""
        theirs = await channel.receive_offer()
        spaces = tuple(entry.name for entry in theirs.entries)
        known = await asyncio.to_thread(Members(self._ours.store).known_entries, spaces)
        ours = PairingOffer(self._ours.offer.name, self._ours.offer.port, False, tuple(known))
        try:
            _, joined = spaces_to_join(theirs, ours)
        except PairingError as exc:
            await channel.send("no", str(exc))
            raise
        await channel.send_offer(ours)
        await channel.receive("done", 0)
        address = theirs.address_at(channel.connection)
        partner = PairedDevice(channel.connection.peer.device, self._ours.name or theirs.name, address, spaces)
        partner = await record_pairing(self._ours.store, partner, joined, read_only=False, as_reader=theirs.read_only)
        await channel.send("done")
        return partner


def _bytes(value: object, size: int) -> bytes:
    if not isinstance(value, bytes) or len(value) != size:
        raise RemoteProtocolError("the other device sent an invalid SPAKE2 message")
    return value
