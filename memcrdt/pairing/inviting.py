"""The inviting side of pairing: shows a code, and waits for the device where the user types it."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass
from random import SystemRandom
from typing import TYPE_CHECKING, Final, Self

from memcrdt.errors import LockedError, MemcrdtError, PairingError
from memcrdt.memory.pairing import CLOSED, EXPIRES_S, PairedDevice
from memcrdt.model.device_ids import shown
from memcrdt.model.ports import DEFAULT_PAIRING_PORT
from memcrdt.net.addresses import Address, own_addresses, relay_of
from memcrdt.net.listener import Listener
from memcrdt.net.tasks import BackgroundTasks
from memcrdt.net.websocket import PAIRING_PATH
from memcrdt.node.relayed import Relays
from memcrdt.pairing.channel import (
    OTHER_NUMBER,
    PAIRING_S,
    VOID,
    WRONG,
    PairingChannel,
    PairingOffer,
    record_pairing,
    spaces_to_join,
)
from memcrdt.pairing.codes import new_code
from memcrdt.pairing.exchange import MESSAGE_BYTES, PROOF_BYTES, CodeExchange

if TYPE_CHECKING:
    from collections.abc import Sequence

    from memcrdt.model.device_ids import Signer
    from memcrdt.net.auth import AuthenticatedPeer
    from memcrdt.net.connection import Connection
    from memcrdt.net.discovery.finder import Finder
    from memcrdt.store.base import BaseStore
    from memcrdt.store.sql import SqlConnection

log = logging.getLogger("memcrdt.net")

ATTEMPTS: Final = 4  # connections that may try the code at the same time


@dataclass(frozen=True, slots=True, kw_only=True)
class PairingContext:
    """Our side of a pairing.

    Attributes:
        identity: Our key.
        store: Our store.
        offer: Our offer to the other device.
        name: The user's name for the other device. None: use the device's own name.
    """

    identity: Signer
    store: BaseStore[SqlConnection]
    offer: PairingOffer
    name: str | None = None


class InvitationListener:
    """Listens for the device where the code is typed: `async with InvitationListener(...)`, then `joined()`.

    One wrong guess ends the code. Implements AdmissionPolicy.

    Attributes:
        code: The code.
        finders: Sources that announce the port while the invitation is entered.
        addresses: Where the invitation can be reached while it is entered, as HOST:PORT.
        relays: The relays at which it can be reached, as HOST:PORT.
    """

    def __init__(self, ours: PairingContext, host: str, relays: Sequence[Address] = ()) -> None:
        """Make a code; nothing listens yet.

        Args:
            ours: Our side.
            host: The host to listen at. Empty: all interfaces.
            relays: The relays at which the invitation can be reached as well.
        """
        self.code = new_code(for_relays=bool(relays))
        self.finders: Sequence[Finder] = ()
        self.relays = [str(relay) for relay in relays]
        self.addresses: list[str] = []
        self._ours = ours
        self._host = host
        self._listener = Listener(ours.identity, self, self.serve, PAIRING_PATH)
        self._partner: asyncio.Future[PairedDevice] = asyncio.get_running_loop().create_future()
        self._guessing = asyncio.Lock()
        self._attempts = 0
        self._tasks = BackgroundTasks()
        self._meeting = Relays(ours.identity, self._listener, SystemRandom(), pairing=self.code.number)
        self._meets_at = relays

    async def __aenter__(self) -> Self:
        try:
            port = self._listener.start(Address(self._host, DEFAULT_PAIRING_PORT))
        except LockedError:  # another invitation on this machine uses the port
            port = self._listener.start(Address(self._host, 0))
        self.addresses = own_addresses(self._host, port)
        for finder in self.finders:
            finder.announce(port)
            self._tasks.spawn(finder.run(lambda _: None))
        self._meeting.wait_at(self._meets_at, self._tasks)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._fail(CLOSED)  # ends a joined() that still waits
        self._partner.exception()  # asyncio would log an error that no caller waits for
        await self._tasks.cancel()
        await self._listener.close()

    async def joined(self, expires_s: float = EXPIRES_S) -> PairedDevice:
        """Wait for the device where the code was typed, for up to `expires_s` seconds, and return it.

        Raises:
            PairingError: The code was wrong or has expired, or the devices could not agree.
        """
        try:
            async with asyncio.timeout(expires_s):
                return await asyncio.shield(self._partner)
        except TimeoutError:
            raise PairingError(f"the code was not typed within {expires_s:.0f} s; start pairing again") from None

    async def admits(self, peer: AuthenticatedPeer, address: str) -> bool:
        """Implement AdmissionPolicy: any device that proves its key may try the code."""
        return self._attempts < ATTEMPTS and not self._partner.done()

    async def revoker_of(self, peer: AuthenticatedPeer) -> str | None:
        """Implement AdmissionPolicy: pairing ignores revocations."""
        return None

    async def introduced(self, peer: AuthenticatedPeer, introduction: bytes) -> bool:
        """Implement AdmissionPolicy: pairing accepts no introductions."""
        return False

    async def serve(self, connection: Connection) -> None:
        """Let the connected device try the code, and close the connection."""
        self._attempts += 1
        try:
            async with asyncio.timeout(PAIRING_S):
                await self._pair(PairingChannel(connection))
        except (MemcrdtError, TimeoutError) as exc:
            log.info("pairing with %s failed: %s", connection, exc)
        finally:
            self._attempts -= 1
            await connection.close()

    async def _pair(self, channel: PairingChannel) -> None:
        number, message = await channel.receive("pair", 2)
        if number != self.code.number:
            await channel.send("no", OTHER_NUMBER)
            return
        async with self._guessing:
            if self._partner.done():
                await channel.send("no", VOID)
            elif await self._prove(channel, message):
                try:
                    partner = await self._agree(channel)
                except MemcrdtError as exc:
                    self._fail(f"the code was typed, but the devices were not paired: {exc}")
                    raise
                if not self._partner.done():
                    self._partner.set_result(partner)

    async def _prove(self, channel: PairingChannel, message: object) -> bool:
        """Check the other side's proof that it has the code, and send ours. A wrong guess ends the code."""
        exchange = CodeExchange("inviter", self.code, self._ours.identity.public_key, channel.connection.peer)
        exchange.finish(_sized(message, MESSAGE_BYTES))
        await channel.send("reply", exchange.message)
        (proof,) = await channel.receive("proof", 1)
        if exchange.proves(_sized(proof, PROOF_BYTES)):
            await channel.send("proof", exchange.proof())
            return True
        device, address = shown(channel.connection.peer.device), channel.connection.address
        self._fail(
            f"{device} at {address} typed a wrong code, and one wrong guess invalidates the code; start pairing again"
        )
        await channel.send("no", WRONG)
        return False

    def _fail(self, why: str) -> None:
        if not self._partner.done():  # it is done if joined() has ended
            self._partner.set_exception(PairingError(why))

    async def _agree(self, channel: PairingChannel) -> PairedDevice:
        """Exchange the offers, and record the pairing."""
        ours = self._ours.offer
        await channel.send_offer(ours)
        theirs = await channel.receive_offer()
        device, name = channel.connection.peer.device, self._ours.name or theirs.name
        spaces = tuple(entry.name for entry in ours.entries)
        partner = PairedDevice(device, name, theirs.address_at(channel.connection), spaces)
        try:
            joined, _ = spaces_to_join(ours, theirs)
            relay = relay_of(channel.connection.address)
            await record_pairing(self._ours.store, partner, joined, ours.read_only, relay=relay)
        except MemcrdtError as exc:
            await channel.send("no", str(exc))
            raise
        await channel.send("done")
        with suppress(PairingError):  # our side is recorded, even if the other side fails to record it
            await channel.receive("done", 0)
        return partner


def _sized(value: object, size: int) -> bytes:
    """Return `value` if it is bytes of this size; otherwise zeros, which are no valid proof."""
    return value if isinstance(value, bytes) and len(value) == size else bytes(size)
