"""`memcrdt status`, `peers`, `accept` and `revoke`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import click

from memcrdt.cli.face import Face, command, pass_face
from memcrdt.cli.filters import several
from memcrdt.cli.output import Column, say

if TYPE_CHECKING:
    from memcrdt.memory import Serving, Status
    from memcrdt.store.overview import PeerStatus, SpaceStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerLine:
    """Another device as it is printed. `behind` counts our changes that it has not confirmed to hold."""

    device: str
    name: str | None
    state: str
    connected: bool
    via: str | None
    address: str | None
    since: datetime | None
    behind: int
    confirmed_at: datetime | None
    seen_at: datetime | None
    addresses: tuple[str, ...]
    error: str | None
    error_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusLine:
    """All that `memcrdt status` shows, as its JSON names it. `serving` is None when nothing serves."""

    home: str
    device: str
    serving: Serving | None
    size: int
    ignored: int
    quarantined: int
    to_scrub: int
    spaces: tuple[SpaceStatus, ...]
    peers: tuple[PeerLine, ...]


_SPACES: tuple[Column[SpaceStatus], ...] = (
    Column("space", lambda space: space.name),
    Column("memories", lambda space: space.memories),
    Column("forgotten", lambda space: space.forgotten),
    Column("devices", lambda space: len(space.members)),
    Column("digest", lambda space: space.digest),
)
_PEERS: tuple[Column[PeerLine], ...] = (
    Column("device", lambda line: _readable(line.device)),
    Column("name", lambda line: line.name),
    Column("state", lambda line: line.state),
    Column("connected", lambda line: f"{line.via} {line.address}" if line.connected else ""),
    Column("behind", lambda line: line.behind),
    Column("seen", lambda line: line.seen_at),
    Column("error", lambda line: line.error),
)


@command("status")
@pass_face
def status_command(face: Face) -> None:
    """Show what is here, who has it, and whether anything serves."""
    with face.open() as memory:
        status = _status(memory.status())
    if face.json:
        face.printer.record(status)
        return
    face.printer.record(
        {
            "home": status.home,
            "device": _readable(status.device),
            "serving": _where(status.serving),
            "size": f"{status.size:,} bytes",
            "ignored": status.ignored or None,
            "quarantined": status.quarantined or None,
            "to scrub": status.to_scrub or None,
        }
    )
    face.printer.table(status.spaces, _SPACES)
    if status.peers:
        face.printer.table(status.peers, _PEERS)


@command("peers")
@pass_face
def peers_command(face: Face) -> None:
    """List the other devices: accepted, revoked, and those that knocked (pending)."""
    with face.open() as memory:
        status = _status(memory.status())
    face.printer.table(status.peers, _PEERS)


@command("accept")
@click.argument("device")
@click.option("--name", metavar="NAME", help="What to call it here.")
@click.option("--at", "address", metavar="HOST[:PORT]", help="Where it listens.")
@several("--space", "spaces", "NAME", "What to share with it; can be repeated. Without: personal.")
@pass_face
def accept_command(face: Face, device: str, name: str | None, address: str | None, spaces: tuple[str, ...]) -> None:
    """Trust DEVICE and share memories with it. The other device has to accept this one too."""
    from memcrdt.model.requests import PERSONAL
    from memcrdt.net.addresses import Address
    from memcrdt.net.identity import parse_device_id
    from memcrdt.store.peers import Peers

    accepted = parse_device_id(device)
    where = None if address is None else str(Address.parse(address))
    with face.open() as memory:
        Peers(memory.store).accept(accepted, name=name, address=where, spaces=spaces or (PERSONAL,))
        own = _readable(memory.store.device)
    say(f"accepted; unless that is done already, run on the other device: memcrdt accept {own}")


@command("revoke")
@click.argument("device")
@pass_face
def revoke_command(face: Face, device: str) -> None:
    """Trust DEVICE no longer: nothing more is sent to it or taken from it."""
    from memcrdt.net.identity import parse_device_id
    from memcrdt.store.peers import Peers

    revoked = parse_device_id(device)
    with face.open() as memory:
        Peers(memory.store).revoke(revoked)
    say("revoked; what it has already stays there")


def _status(status: Status) -> StatusLine:
    store = status.store
    return StatusLine(
        home=str(status.home),
        device=store.device,
        serving=status.serving,
        size=store.size,
        ignored=store.ignored,
        quarantined=store.quarantined,
        to_scrub=store.to_scrub,
        spaces=store.spaces,
        peers=tuple(_peer(peer) for peer in store.peers),
    )


def _peer(status: PeerStatus) -> PeerLine:
    peer, link = status.peer, status.peer.connected
    return PeerLine(
        device=peer.device,
        name=peer.name,
        state=peer.state,
        connected=link is not None,
        via=None if link is None else link.via,
        address=None if link is None else link.address,
        since=None if link is None else _time(link.since),
        behind=status.behind,
        confirmed_at=_time(status.confirmed_at),
        seen_at=_time(peer.seen_at),
        addresses=peer.addresses,
        error=peer.error,
        error_at=_time(peer.error_at),
    )


def _time(ms: int | None) -> datetime | None:
    from memcrdt.model.values import from_ms

    return None if ms is None else from_ms(ms)


def _readable(device: str) -> str:
    from memcrdt.net.identity import shown

    return shown(device)


def _where(serving: Serving | None) -> str:
    if serving is None:
        return "no: nothing is sent or received until `memcrdt serve` runs"
    where = "nowhere, since nobody is accepted" if serving.port is None else f"at port {serving.port}"
    return f"process {serving.pid}, listening {where}"
