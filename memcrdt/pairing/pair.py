"""Pairing for an open Memory: `invite` makes a code, `join` takes the typed code."""

from __future__ import annotations

import asyncio
import platform
from typing import TYPE_CHECKING

from memcrdt.memory.offline import home_of
from memcrdt.memory.pairing import FIND_S, PairedDevice, PairOptions
from memcrdt.model.ports import DEFAULT_PAIRING_PORT, DEFAULT_PORT
from memcrdt.net.addresses import Address
from memcrdt.net.identity import Identity
from memcrdt.node.lock import holder
from memcrdt.node.options import NetOptions
from memcrdt.node.relayed import RelayPlan
from memcrdt.pairing.channel import PairingOffer
from memcrdt.pairing.codes import parse_code
from memcrdt.pairing.inviting import InvitationListener, PairingContext
from memcrdt.pairing.joining import JoinAttempt
from memcrdt.store.membership.members import Members
from memcrdt.store.membership.relays import relays_of
from memcrdt.store.spaces import space_names

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from memcrdt.memory.memory import Memory


async def invite(memory: Memory, options: PairOptions) -> InvitationListener:
    """Return an invitation as a context manager to enter.

    Raises:
        NotFoundError: A space does not exist.
        InputError: A space cannot be shared.
    """
    ours = await asyncio.to_thread(_ours, memory, options)
    relays = await asyncio.to_thread(_relays, memory, options, options.spaces)
    invitation = InvitationListener(ours, options.host, relays)
    number = invitation.code.number
    invitation.finders = _network(options).finders(ours.identity.device_id, memory.config, pairing=number)
    return invitation


async def join(
    memory: Memory, code: str, options: PairOptions, *, at: str | None = None, find_s: float = FIND_S
) -> PairedDevice:
    """Pair with the device that shows the code.

    Args:
        memory: The open memory.
        code: The code as the user typed it.
        options: How to find the device, and the name to give it.
        at: The other device's address, as HOST[:PORT]. None: find the device.
        find_s: Maximum time to find the device, in seconds.

    Raises:
        InputError: The code or the address is malformed.
        PairingError: No device with the code was found, the code is wrong, or the devices could not agree.
        UnreachableError: The device at `at` does not answer.
        RemoteProtocolError: The device at `at` breaks the protocol.
    """
    typed = parse_code(code)
    address = None if at is None else Address.parse(at, DEFAULT_PAIRING_PORT)
    joining = JoinAttempt(await asyncio.to_thread(_ours, memory, options), typed)
    if address is not None:
        return await joining.join_at(address)
    if options.relay is not None:
        return await joining.join_at(Address.parse(options.relay), by_relay=True)
    relays = await asyncio.to_thread(_relays, memory, options, None)
    return await joining.find_and_join(_network(options).finders(memory.store.device, memory.config), find_s, relays)


def _relays(memory: Memory, options: PairOptions, spaces: Iterable[str] | None) -> list[Address]:
    """Return the given relay, those of the settings, and those of the spaces (None: of all)."""
    if spaces is None:
        with memory.store.reading() as db:
            spaces = space_names(db)
    listed = [relay.address for name in spaces for relay in relays_of(memory.store, name)]
    given = () if options.relay is None else (options.relay,)
    return RelayPlan.of((*given, *memory.config.relays, *listed), {}).waited_at()


def _network(options: PairOptions) -> NetOptions:
    """Return the options for finding devices."""
    return NetOptions(host=options.host, port=DEFAULT_PAIRING_PORT, mdns=options.mdns, tailscale=options.tailscale)


def _ours(memory: Memory, options: PairOptions) -> PairingContext:
    home = home_of(memory)
    offer = PairingOffer(
        memory.config.device_name or platform.node() or "device",
        _port(home, memory.config.port),
        options.read_only,
        tuple(Members(memory.store).entries(options.spaces)),
    )
    return PairingContext(identity=Identity.load_or_create(home), store=memory.store, offer=offer, name=options.name)


def _port(home: Path, port: int | str) -> int:
    """Return the port where the other device will find us; 0 if it is not known.

    If no process runs the network, this is the port of the settings, or the default port of `memcrdt serve`. A process
    that runs the network may begin to listen only after the pairing, at its planned port.
    """
    serving = holder(home)
    if serving is None:
        return port if isinstance(port, int) else DEFAULT_PORT
    return serving.port or serving.planned or 0
