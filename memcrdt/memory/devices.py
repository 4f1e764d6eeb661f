"""Other devices, as Memory.devices() returns them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from memcrdt.errors import InputError, NotFoundError
from memcrdt.model import limits
from memcrdt.model.device_ids import DEVICE_ID_CHARS, parse_device_id, shown
from memcrdt.model.serialization import Record, UtcTime
from memcrdt.model.values import from_ms
from memcrdt.store.membership.peers import Peer
from memcrdt.store.overview import PeerStatus

SKEW_MS: Final = 60_000
LISTED: Final = 10  # devices in an error


@dataclass(frozen=True, slots=True, kw_only=True)
class Device(Record):
    """Another device.

    Attributes:
        device: The device id.
        name: The local name of the device.
        state: `accepted`, `revoked`, or `pending` for an unknown device that tried to connect.
        spaces: The names of the spaces shared with the device.
        connected: Whether the device is connected now. If not, the next five fields are None.
        via: `dialed` if this device opened the connection, `accepted` if the other device did.
        found: The source of the address that this device dialed: `mdns`, `tailscale`, or `address` for a remembered or
            typed one. `relay` if a relay joins the two devices, whichever dialed.
        address: The address of the connection, as HOST:PORT; through a relay, that address after the word `relay`.
        since: The start of the connection.
        skew_ms: The milliseconds by which the clock of the device is ahead of ours.
        behind: The number of local changes that the device has not confirmed.
        unscrubbed: The number of forgotten memories that the device has not confirmed to have scrubbed from its file;
            for a hub, to have forgotten in its live database.
        agreed_at: The time since when both devices have had the same data in all shared spaces.
        confirmed_at: The time of the last confirmation.
        seen_at: The time of the last contact.
        addresses: The addresses to dial, as HOST:PORT, newest first.
        error: The last failure, in plain words.
        error_at: The time of the last failure.
    """

    device: str
    name: str | None
    state: Literal["accepted", "pending", "revoked"]
    spaces: tuple[str, ...]
    connected: bool
    via: Literal["dialed", "accepted"] | None
    found: str | None
    address: str | None
    since: UtcTime | None
    skew_ms: int | None
    behind: int
    unscrubbed: int
    agreed_at: UtcTime | None
    confirmed_at: UtcTime | None
    seen_at: UtcTime | None
    addresses: tuple[str, ...]
    error: str | None
    error_at: UtcTime | None

    @property
    def clock_differs(self) -> bool:
        """Whether the two clocks differ by over a minute. The clocks decide which of two edits is the later one."""
        return self.skew_ms is not None and abs(self.skew_ms) > SKEW_MS


def find_device(peers: Iterable[Peer], text: str) -> str:
    """Return the id of the one device that `text` names. Sync.find() has the contract."""
    plain = "".join(text.upper().replace("-", "").split())
    if len(plain) >= DEVICE_ID_CHARS:
        return parse_device_id(text)
    known = [peer for peer in peers if peer.state != "pending"]  # a stranger can choose the first characters of its id
    found = [peer for peer in known if peer.name == text]
    if not found and len(plain) >= limits.PREFIX_CHARS:  # without dashes and blanks: these say nothing about an id
        found = [
            peer
            for peer in known
            if shown(peer.device).replace("-", "").startswith(plain) or (peer.name or "").startswith(text)
        ]
    found = [peer for peer in found if peer.state != "revoked"] or found  # a device paired again has its old name
    if len(found) == 1:
        return found[0].device
    listed = ", ".join(f"{peer.name or 'unnamed'} ({shown(peer.device)})" for peer in (found or known)[:LISTED])
    if found:
        raise InputError(f"{text[:80]!r} is more than one device: {listed}; give more of the id")
    raise NotFoundError(
        f"no device has the name {text[:80]!r}, or an id that begins so ({limits.PREFIX_CHARS} characters or more); "
        + (f"the devices are {listed}" if listed else "no other device is known here")
    )


def device_of(status: PeerStatus) -> Device:
    """Return the state of a device for users."""
    peer, link = status.peer, status.peer.connected
    return Device(
        device=peer.device,
        name=peer.name,
        state=peer.state,
        spaces=status.spaces,
        connected=link is not None,
        via=None if link is None else link.via,
        found=None if link is None else link.found,
        address=None if link is None else link.address,
        since=None if link is None else from_ms(link.since),
        skew_ms=None if link is None else link.skew,
        behind=status.behind,
        unscrubbed=status.unscrubbed,
        agreed_at=_time(status.agreed_at),
        confirmed_at=_time(status.confirmed_at),
        seen_at=_time(peer.seen_at),
        addresses=peer.addresses,
        error=peer.error,
        error_at=_time(peer.error_at),
    )


def _time(ms: int | None) -> UtcTime | None:
    return None if ms is None else from_ms(ms)
