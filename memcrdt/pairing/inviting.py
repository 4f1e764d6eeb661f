"""The side that shows a code, and waits for whoever types it."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self

from memcrdt.errors import LockedError, MemcrdtError, PairingError
from memcrdt.model.device_ids import shown
from memcrdt.net.addresses import DEFAULT_PAIRING_PORT, Address, own_hosts
from memcrdt.net.listener import Listener
from memcrdt.net.tasks import BackgroundTasks
from memcrdt.net.websocket import PAIRING_PATH
from memcrdt.pairing import talk
from memcrdt.pairing.codes import new_code
from memcrdt.pairing.exchange import MESSAGE_BYTES, PROOF_BYTES, CodeExchange
from memcrdt.pairing.talk import PairedDevice, PairingChannel, PairingOffer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from memcrdt.net.auth import AuthenticatedPeer
    from memcrdt.net.connection import Connection
    from memcrdt.net.discovery.finder import Finder
    from memcrdt.net.identity import Identity
    from memcrdt.store.store import Store

log = logging.getLogger("memcrdt.net")

EXPIRES_S: Final = 300.0
TALKS: Final = 4  # at once


@dataclass(frozen=True, slots=True, kw_only=True)
class PairingContext:
    """Our side of a pairing: what we offer, where our store is, and what the user calls the other device."""

    identity: Identity
    store: Store
    offer: PairingOffer
    name: str | None = None


class Invitation:
    """A code that waits: `async with Invitation(...) as invitation`, then `joined()`. Implements ConnectionHandler."""

    def __init__(self, ours: PairingContext, host: str, finders: Sequence[Finder] = ()) -> None:
        self.code = new_code()
        self.finders = finders  # told of the port when it is entered
        self.addresses: list[str] = []  # where it can be reached, as HOST:PORT
        self._ours = ours
        self._host = host
        self._listener = Listener(ours.identity, self, self.serve, PAIRING_PATH)
        self._partner: asyncio.Future[PairedDevice] = asyncio.get_running_loop().create_future()
        self._guessing = asyncio.Lock()
        self._talks = 0
        self._tasks = BackgroundTasks()

    async def __aenter__(self) -> Self:
        try:
            port = self._listener.start(Address(self._host, DEFAULT_PAIRING_PORT))
        except LockedError:  # another code waits on this machine
            port = self._listener.start(Address(self._host, 0))
        self.addresses = [str(Address(host, port)) for host in ([self._host] if self._host else own_hosts())]
        for finder in self.finders:
            finder.announce(port)
            self._tasks.spawn(finder.run(lambda _: None))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._partner.cancel()
        await self._tasks.cancel()
        await self._listener.close()

    async def joined(self, expires_s: float = EXPIRES_S) -> PairedDevice:
        """The device that has typed the code. Raises PairingError when the code was guessed wrong or has expired."""
        try:
            async with asyncio.timeout(expires_s):
                return await asyncio.shield(self._partner)
        except TimeoutError:
            raise PairingError(f"nobody typed the code within {expires_s:.0f} s; run memcrdt pair again") from None

    async def admits(self, peer: AuthenticatedPeer, address: str) -> bool:
        """Whoever has a key may try the code. Part of ConnectionHandler."""
        return self._talks < TALKS and not self._partner.done()

    async def revoker_of(self, peer: AuthenticatedPeer) -> str | None:
        """Part of ConnectionHandler."""
        return None

    async def introduced(self, peer: AuthenticatedPeer, introduction: bytes) -> bool:
        """Part of ConnectionHandler."""
        return False

    async def serve(self, connection: Connection) -> None:
        """Lets one device try the code. Part of ConnectionHandler."""
        self._talks += 1
        try:
            async with asyncio.timeout(talk.TALK_S):
                await self._talk(PairingChannel(connection))
        except (MemcrdtError, TimeoutError) as exc:
            log.info("pairing with %s failed: %s", connection, exc)
        finally:
            self._talks -= 1
            await connection.close()

    async def _talk(self, other: PairingChannel) -> None:
        number, message = await other.hear("pair", 2)
        if number != self.code.number:
            await other.say("no", talk.OTHER_NUMBER)
            return
        async with self._guessing:
            if self._partner.done():
                await other.say("no", talk.VOID)
                return
            exchange = CodeExchange("inviter", self.code, self._ours.identity.public_key, other.connection.peer)
            exchange.finish(_sized(message, MESSAGE_BYTES))
            await other.say("reply", exchange.message)
            (proof,) = await other.hear("proof", 1)
            if not exchange.proves(_sized(proof, PROOF_BYTES)):
                await self._burn(other)
                return
            await other.say("proof", exchange.proof())
            try:
                partner = await self._agree(other)
            except MemcrdtError as exc:
                self._fail(f"the code was typed, but the devices were not paired: {exc}")
                raise
            if not self._partner.done():
                self._partner.set_result(partner)

    async def _burn(self, other: PairingChannel) -> None:
        device = shown(other.connection.peer.device)
        self._fail(f"{device} at {other.connection.address} typed a wrong code, which ends it; run memcrdt pair again")
        await other.say("no", talk.WRONG)

    def _fail(self, why: str) -> None:
        if not self._partner.done():  # it is when nobody waits any more
            self._partner.set_exception(PairingError(why))

    async def _agree(self, other: PairingChannel) -> PairedDevice:
        ours = self._ours.offer
        await other.offer(ours)
        theirs = await other.hear_offer()
        device, name = other.connection.peer.device, self._ours.name or theirs.name
        address = str(Address(Address.parse(other.connection.address).host, theirs.port)) if theirs.port else None
        partner = PairedDevice(device, name, address, tuple(entry.name for entry in ours.entries))
        try:
            joined, _ = talk.joins(ours, theirs)
            await talk.settle(self._ours.store, partner, joined, ours.read_only)
        except MemcrdtError as exc:
            await other.say("no", str(exc))
            raise
        await other.say("done")
        with suppress(PairingError):  # ours is settled, whatever became of theirs
            await other.hear("done", 0)
        return partner


def _sized(value: object, size: int) -> bytes:
    """Those bytes; others of that size, which prove nothing, for what is none."""
    return value if isinstance(value, bytes) and len(value) == size else bytes(size)
