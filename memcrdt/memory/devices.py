"""Other devices, as a Memory shows them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from memcrdt.model.serialization import Record
from memcrdt.model.values import from_ms
from memcrdt.store.overview import PeerStatus

SKEW_MS: Final = 60_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Device(Record):
    """Another device.

    Attributes:
        device: Its id.
        name: Its name here.
        state: `accepted`, `revoked`, or `pending` for a device that knocked.
        spaces: The names of the spaces shared with it.
        connected: Whether it is connected now. The next five are None otherwise.
        via: Whether we `dialed` it, or `accepted` its connection.
        found: How its address was found.
        address: The address of the connection.
        since: The time at which the connection began.
        skew_ms: The milliseconds by which its clock is ahead of ours.
        behind: The number of our changes that it has not confirmed to hold.
        unscrubbed: The number of forgotten memories of which it has not confirmed that no byte is left in its file.
        agreed_at: The time since when both hold the same of everything that they share.
        confirmed_at: The time of its last confirmation.
        seen_at: The time at which it was last heard of.
        addresses: The addresses to dial, as HOST:PORT, newest first.
        error: The last failure, in plain words.
        error_at: The time of that failure.
    """

    device: str
    name: str | None
    state: Literal["accepted", "pending", "revoked"]
    spaces: tuple[str, ...]
    connected: bool
    via: Literal["dialed", "accepted"] | None
    found: str | None
    address: str | None
    since: datetime | None
    skew_ms: int | None
    behind: int
    unscrubbed: int
    agreed_at: datetime | None
    confirmed_at: datetime | None
    seen_at: datetime | None
    addresses: tuple[str, ...]
    error: str | None
    error_at: datetime | None

    @property
    def clock_differs(self) -> bool:
        """Whether its clock is over a minute apart from ours, which decides what of two edits is the later one."""
        return self.skew_ms is not None and abs(self.skew_ms) > SKEW_MS


def device_of(status: PeerStatus) -> Device:
    """Return what the store knows of a device, for its user."""
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


def _time(ms: int | None) -> datetime | None:
    return None if ms is None else from_ms(ms)
