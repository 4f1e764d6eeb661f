"""The frames of pairing, and the agreement of two devices after the code was proven.

    joiner -> inviter    ["pair", number of the code, SPAKE2 message]
    inviter -> joiner    ["reply", SPAKE2 message]
    joiner -> inviter    ["proof", MAC]
    inviter -> joiner    ["proof", MAC]
    inviter -> joiner    ["offer", name, port, read-only, spaces]
    joiner -> inviter    ["offer", name, port, false, its spaces of the same names]
    inviter -> joiner    ["done"]
    joiner -> inviter    ["done"]

Instead of any of these frames, ["no", why] ends the pairing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import msgpack

from memcrdt.errors import InputError, PairingError, RemoteProtocolError
from memcrdt.memory.pairing import PairedDevice
from memcrdt.model import limits
from memcrdt.net.addresses import Address
from memcrdt.net.auth import HANDSHAKE_FRAME_BYTES
from memcrdt.store import spaces
from memcrdt.store.membership.members import Entry, Members
from memcrdt.store.membership.peers import Peers
from memcrdt.store.membership.relays import meet_at
from memcrdt.store.spaces import Genesis

if TYPE_CHECKING:
    from memcrdt.net.connection import Connection
    from memcrdt.store.base import BaseStore
    from memcrdt.store.sql import SqlConnection

OFFER_BYTES: Final = 64 << 10
SPACES: Final = 64
NAME_CHARS: Final = limits.NAME_CHARS
PAIRING_S: Final = 15.0  # from the connection to the end

OTHER_NUMBER: Final = "another code waits here"
VOID: Final = "the code is used up"
WRONG: Final = "the code is wrong"
_MEANS: Final = {
    OTHER_NUMBER: "shows another code; compare its number, or give another address",
    VOID: "no longer shows a code; start pairing there again",
    WRONG: "says that the code is wrong; one wrong guess invalidates a code, so start pairing there again",
}


@dataclass(frozen=True, slots=True)
class PairingOffer:
    """What one side says about itself and wants to share.

    Attributes:
        name: The device's own name.
        port: The port where it listens; 0 if it is not known.
        read_only: Whether the other side may only read the spaces.
        entries: The spaces.
    """

    name: str
    port: int
    read_only: bool
    entries: tuple[Entry, ...]

    def address_at(self, connection: Connection) -> str | None:
        """Return where the device at the other end of a connection listens, as HOST:PORT; None if it is not known."""
        if not self.port or connection.is_relayed:
            return None
        return str(Address(Address.parse(connection.address).host, self.port))


class PairingChannel:
    """Sends and receives the frames of pairing over one authenticated connection."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection

    async def send(self, kind: str, *fields: Any) -> None:
        """Send a frame. Raises UnreachableError."""
        await self.connection.send(msgpack.packb([kind, *fields]))

    async def receive(self, kind: str, fields: int, limit: int = HANDSHAKE_FRAME_BYTES) -> list[Any]:
        """Return the fields of the next frame.

        Args:
            kind: The expected kind of the frame.
            fields: The expected number of fields.
            limit: Maximum size of the frame, in bytes.

        Raises:
            PairingError: The other side ended the pairing, or hung up.
            RemoteProtocolError: The other side sent anything else.
        """
        frame = await self.connection.receive(limit)
        if frame is None:
            raise PairingError(f"{self.connection} hung up before the devices were paired; try again")
        try:
            message = msgpack.unpackb(frame, max_array_len=SPACES, max_map_len=0, max_str_len=1024, max_ext_len=0)
        except (ValueError, msgpack.UnpackException) as exc:
            raise RemoteProtocolError(f"{self.connection} sent a pairing frame that is not valid msgpack") from exc
        match message:
            case ["no", str(why)]:
                raise PairingError(f"{self.connection} {_MEANS.get(why, f'says: {why}')}")
            case [str(said), *rest] if said == kind and len(rest) == fields:
                return rest
        raise RemoteProtocolError(f"{self.connection} sent another frame than the expected {kind!r} frame")

    async def send_offer(self, offer: PairingOffer) -> None:
        """Send an offer."""
        entries = [(e.name, e.id, e.genesis.creator, e.genesis.nonce, e.shared) for e in offer.entries]
        await self.send("offer", offer.name, offer.port, offer.read_only, entries)

    async def receive_offer(self) -> PairingOffer:
        """Return the offer of the other side. Raises as receive() does."""
        name, port, read_only, entries = await self.receive("offer", 4, OFFER_BYTES)
        try:
            offer = PairingOffer(
                _text(name), Address("", port).port, bool(read_only), tuple(_entry(*each) for each in entries)
            )
        except (TypeError, ValueError, InputError) as exc:
            raise RemoteProtocolError(f"{self.connection} sent an invalid offer") from exc
        return offer


def spaces_to_join(inviter: PairingOffer, joiner: PairingOffer) -> tuple[list[Entry], list[Entry]]:
    """Decide which of the other side's spaces each device joins.

    For each space in the inviter's offer, a device that does not share its own space of that name yet joins the other
    device's space.

    Returns:
        The spaces that the inviter joins, and the spaces that the joiner joins.

    Raises:
        PairingError: Both devices already share different spaces of one name with others, or the joiner shares a space
            with others that it is offered read-only.
    """
    theirs = {entry.name: entry for entry in joiner.entries}
    by_inviter, by_joiner = [], []
    for entry in inviter.entries:
        other = theirs.get(entry.name)
        if other is None or (other.id != entry.id and not other.shared):
            by_joiner.append(entry)
        elif other.id != entry.id and entry.shared:
            raise PairingError(
                f"both devices share a space called {entry.name!r} with others; on one of them run: "
                f"memcrdt space leave {entry.name}"
            )
        elif other.id != entry.id and inviter.read_only:
            raise PairingError(
                f"the other device already shares {entry.name!r} with others, so it cannot join it read-only; "
                "let it invite this device instead"
            )
        elif other.id != entry.id:
            by_inviter.append(other)
    return by_inviter, by_joiner


async def record_pairing(
    store: BaseStore[SqlConnection],
    partner: PairedDevice,
    joined: Iterable[Entry],
    read_only: bool,
    *,
    as_reader: bool = False,
    relay: str | None = None,
) -> PairedDevice:
    """Record a pairing in the store: the trust in the partner, its address, and the spaces.

    A relay through which the devices were paired becomes one of the shared spaces: they have no other path yet.

    Args:
        store: Our store.
        partner: The other device.
        joined: Spaces of the other device that we join.
        read_only: Whether the other device may only read the spaces that we share.
        as_reader: Whether we may only read the joined spaces.
        relay: The relay that joins the two devices, or None.

    Returns:
        The partner, with the new names of our own spaces that were set aside.

    Raises the errors of Members.join() and Peers.accept().
    """

    def write() -> PairedDevice:
        names = {entry.name: Members(store).join(entry, read_only=as_reader) for entry in joined}
        Peers(store).accept(
            partner.device, name=partner.name, address=partner.address, spaces=partner.spaces, read_only=read_only
        )
        if relay is not None:
            meet_at(store, partner.spaces, relay)
        return replace(partner, aside={name: aside for name, aside in names.items() if aside is not None})

    return await asyncio.to_thread(write)


def _entry(name: str, space: str, creator: str, nonce: bytes, shared: bool) -> Entry:
    if not isinstance(nonce, bytes):
        raise ValueError("no nonce")
    entry = Entry(_text(name), _text(space), Genesis(_text(creator), nonce), bool(shared))
    if name == spaces.LOCAL or entry.genesis.space_id != space:
        raise ValueError("no space that can be shared")
    return entry


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.isprintable() or not 0 < len(value) <= NAME_CHARS:
        raise ValueError("no name")
    return value
