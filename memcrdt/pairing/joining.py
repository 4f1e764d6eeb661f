"""The joining side of pairing: finds the device that shows the code, and proves that it has the code."""

from __future__ import annotations

import asyncio
import logging
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Final

from memcrdt.errors import MemcrdtError, PairingError, RemoteProtocolError, UnreachableError
from memcrdt.memory.pairing import FIND_S, PairedDevice
from memcrdt.net.addresses import Address, relay_of
from memcrdt.net.dialer import Dialer, DialTarget
from memcrdt.net.discovery.finder import AddressCandidate
from memcrdt.net.handshake import TrustPolicy
from memcrdt.net.tasks import BackgroundTasks
from memcrdt.net.websocket import PAIRING_PATH
from memcrdt.node.dial_race import DIRECT_S
from memcrdt.pairing.channel import (
    PAIRING_S,
    PairingChannel,
    PairingOffer,
    record_pairing,
    spaces_to_join,
)
from memcrdt.pairing.codes import NUMBERS
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
EARLY_S: Final = 2.5  # after which a mistyped number is told; mDNS answers within a second or two
SHOWN: Final = 5  # other numbers in a message
BY_ADDRESS: Final = "give what it shows next to the code, as in: memcrdt pair CODE --at HOST:PORT, or --relay HOST:PORT"


class JoinAttempt:
    """Finds the device that shows the code, and pairs with it."""

    def __init__(self, ours: PairingContext, code: Code) -> None:
        """Take our side. The spaces in our offer are filled in once the other side has named the spaces it shares."""
        self._ours = ours
        self._code = code
        # Our proof lets the other device test one guess at the code, so no second device may get a proof.
        self._has_proved = False
        self._announced: set[int] = set()  # the numbers of the codes that devices announce
        self._dialed: set[Address] = set()
        self._problems: list[MemcrdtError] = []  # with devices that announce the code's number

    async def join_at(self, address: Address, *, by_relay: bool = False) -> PairedDevice:
        """Pair with the device at an address, or with the one that shows the code at a relay.

        Raises PairingError, UnreachableError or RemoteProtocolError.
        """
        target = DialTarget(address, by_relay=by_relay, pairing=self._code.number if by_relay else None)
        async with self._dialing() as dialer:
            return await self.join_over(await dialer.dial(target))

    async def find_and_join(
        self, finders: Sequence[Finder], find_s: float = FIND_S, relays: Sequence[Address] = ()
    ) -> PairedDevice:
        """Find the device that shows the code, for up to `find_s` seconds, and pair with it.

        A code with a number of six digits is also looked for at the relays, once direct paths had a head start.

        After a few seconds the search ends if only other numbers are announced, because this one is mistyped. If none
        is announced, or there are devices that announce no number, the log says so, and the search goes on.

        Raises:
            PairingError: The device was not found, or does not have the code.
        """
        found: asyncio.Queue[AddressCandidate] = asyncio.Queue()
        tasks = BackgroundTasks()
        for finder in finders:
            tasks.spawn(finder.run(partial(self._note, found)))
        if self._code.is_for_relays:
            tasks.spawn(self._offer_relays(found, relays))
        try:
            async with self._dialing() as dialer:
                return await self._within(find_s, asyncio.create_task(self._join_first(dialer, found)))
        finally:
            await tasks.cancel()

    async def _within(self, find_s: float, joining: asyncio.Task[PairedDevice]) -> PairedDevice:
        """Return the result of the search. Raises PairingError when its time is up, or when the code is mistyped."""
        early_s = min(EARLY_S, find_s)
        try:
            for wait_s, explain in ((early_s, self._check_number), (find_s - early_s, lambda: None)):
                if (await asyncio.wait({joining}, timeout=wait_s))[0]:
                    return joining.result()
                explain()
        finally:
            joining.cancel()
            await asyncio.gather(joining, return_exceptions=True)
        failed = f"; a device that announces it was found, but {self._problems[0]}" if self._problems else ""
        raise PairingError(
            f"no device that shows the code {self._code.number}-… was reached within {find_s:.0f} s{failed};"
            f" {BY_ADDRESS}"
        )

    async def _offer_relays(self, found: asyncio.Queue[AddressCandidate], relays: Sequence[Address]) -> None:
        await asyncio.sleep(DIRECT_S)
        for relay in relays:
            self._note(found, AddressCandidate(relay, "relay", pairing=self._code.number))

    def _note(self, found: asyncio.Queue[AddressCandidate], candidate: AddressCandidate) -> None:
        """Take a candidate from a finder. A flood of other numbers must not hide the right one."""
        number = candidate.pairing
        if number is not None and (number == self._code.number or len(self._announced) < NUMBERS):
            self._announced.add(number)
        found.put_nowait(candidate)

    def _check_number(self) -> None:
        """Raise PairingError if only other numbers are announced, and warn if none is."""
        number, others = self._code.number, sorted(self._announced)
        if number in self._announced:
            return
        if not others:
            log.warning(
                "no device on this network announces a code yet; the search goes on. Is `memcrdt pair` waiting on the"
                " other device, on the same network, and is no firewall blocking UDP 5353 (mDNS)? Otherwise, %s",
                BY_ADDRESS,
            )
        else:
            shown = ", ".join(map(str, others[:SHOWN])) + (" and others" if len(others) > SHOWN else "")
            text = (
                f"no device on this network announces a code with the number {number}; announced: {shown}. Probably the"
                f" number is mistyped. Otherwise, {BY_ADDRESS}"
            )
            if not self._dialed:
                raise PairingError(text)
            log.warning("%s", text)  # it may still be a device of the tailnet, which announces no number

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

    async def _join_first(self, dialer: Dialer, found: asyncio.Queue[AddressCandidate]) -> PairedDevice:
        while True:
            candidate = await found.get()
            fits = candidate.pairing == self._code.number or candidate.found != "mdns"
            if not fits or candidate.address in self._dialed or len(self._dialed) >= CANDIDATES:
                continue
            self._dialed.add(candidate.address)
            try:
                return await self.join_over(await dialer.dial(_target(candidate)))
            except MemcrdtError as exc:
                if self._has_proved:
                    raise
                if candidate.pairing != self._code.number:
                    log.debug("%s", exc)
                    continue
                if not self._problems:
                    log.warning("a device that announces the code was found, but %s", exc)
                self._problems.append(exc)

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
        partner = await record_pairing(
            self._ours.store,
            partner,
            joined,
            read_only=False,
            as_reader=theirs.read_only,
            relay=relay_of(channel.connection.address),
        )
        await channel.send("done")
        return partner


def _target(candidate: AddressCandidate) -> DialTarget:
    if candidate.found == "relay":
        return DialTarget(candidate.address, by_relay=True, pairing=candidate.pairing)
    return DialTarget(candidate.address, candidate.device)


def _bytes(value: object, size: int) -> bytes:
    if not isinstance(value, bytes) or len(value) != size:
        raise RemoteProtocolError("the other device sent an invalid SPAKE2 message")
    return value
