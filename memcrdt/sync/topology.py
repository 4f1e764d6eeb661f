"""The choice of devices to dial, and when.

Up to 6 devices are all connected to each other. With more, each device keeps 5 connections to randomly chosen devices,
and replaces one of them every minute. Otherwise two groups with enough connections among themselves would never find
each other. At least two connections lead to devices that may write, because a read-only device passes nothing on.

A hub is always on, so it is dialed before the others and its connection is kept. That a device is a hub is its own
word. So this counts for two at most: a member that lies gets a connection, and hides no other device.
Source of the number: HyParView (Leitão et al., 2007) keeps 5 active for 10,000 nodes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Set
    from random import Random

MESH: Final = 6  # maximum number of known devices that are all dialed
VIEW: Final = 5  # connections of a device that knows more devices
HUBS: Final = 2  # whose connections are kept
WRITERS: Final = 2  # minimum number of connections to devices that may write
BACKOFF_MIN_S: Final = 0.1
BACKOFF_MAX_S: Final = 30.0
HEALTHY_S: Final = 10.0  # a connection that lasted this long resets the count of failures


@dataclass(slots=True)
class _Peer:
    due: float
    writes: bool
    failures: int = 0
    dialing: bool = False


class Topology:
    """The known devices, and the results of dials. `active` are the connected devices. Times are in seconds."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._peers: dict[str, _Peer] = {}
        self._hubs: set[str] = set()

    @property
    def is_mesh(self) -> bool:
        """Whether there are so few devices that all should be connected to each other."""
        return len(self._peers) <= MESH

    def know(self, peer: str, now: float, *, writes: bool = True) -> None:
        """Note a device that has an address, to be dialed at once. `writes`: it may write one of our spaces."""
        entry = self._peers.setdefault(peer, _Peer(now, writes))
        entry.due, entry.writes = now, writes

    def note_hub(self, peer: str, is_hub: bool) -> None:
        """Note whether a device says that it is a hub. Of more than two, the first two count."""
        if not is_hub:
            self._hubs.discard(peer)
        elif len(self._hubs) < HUBS:
            self._hubs.add(peer)

    def is_hub(self, peer: str) -> bool:
        """Return whether the device is dialed first, and its connection kept."""
        return peer in self._hubs

    def forget(self, peer: str) -> None:
        """Never dial the device again."""
        self._peers.pop(peer, None)
        self._hubs.discard(peer)

    def hurry(self, now: float) -> None:
        """Let every device be dialed at once."""
        for peer in self._peers.values():
            peer.due = now

    def connected(self, peer: str) -> None:
        """Note that a dial succeeded."""
        if peer in self._peers:
            self._peers[peer].dialing = False

    def failed(self, peer: str, now: float) -> None:
        """Note that a dial failed or its connection ended. The next dial waits, longer after each failure."""
        if peer in self._peers:
            entry = self._peers[peer]
            entry.dialing = False
            delay_s = min(BACKOFF_MAX_S, BACKOFF_MIN_S * 2 ** min(entry.failures, 10))
            entry.due = now + delay_s * self._rng.uniform(0.5, 1.5)
            entry.failures += 1

    def lost(self, peer: str, now: float, lasted_s: float) -> None:
        """Note that a connection has ended after `lasted_s` seconds."""
        if peer in self._peers and lasted_s >= HEALTHY_S:
            self._peers[peer].failures = 0
        self.failed(peer, now)

    def choose(self, active: Set[str], now: float) -> list[str]:
        """Return the devices to dial now. The caller has to call `connected` or `failed` for each of them."""
        due = [peer for peer, entry in self._waiting(active) if entry.due <= now]
        if not self.is_mesh:
            due = self._sample(due, active | {peer for peer, entry in self._peers.items() if entry.dialing})
        return [self._dial(peer) for peer in sorted(due, key=lambda peer: peer not in self._hubs)]

    def _sample(self, due: list[str], taken: Set[str]) -> list[str]:
        """Choose as many of the due devices as there is room for in addition to `taken`.

        More are chosen if too few of the connected devices may write, or if a hub is not connected.
        """
        self._rng.shuffle(due)
        hubs = [peer for peer in due if peer in self._hubs]
        missing = max(0, WRITERS - self._writers({*taken, *hubs}))
        few = hubs + [peer for peer in due if self._peers[peer].writes and peer not in hubs][:missing]
        rest = [peer for peer in due if peer not in few]
        return few + rest[: max(0, VIEW - len(taken) - len(few))]

    def is_needed(self, peer: str, active: Set[str]) -> bool:
        """Return whether the connection has to stay: it leads to a hub, or few others to devices that may write."""
        return peer in self._hubs or (self._writers({peer}) > 0 and self._writers(active) <= WRITERS)

    def _writers(self, peers: Set[str]) -> int:
        return sum(entry.writes for peer, entry in self._peers.items() if peer in peers)

    def choose_other(self, active: Set[str]) -> list[str]:
        """Return one device to dial although there are enough connections; none if all devices are dialed anyway."""
        waiting = [] if self.is_mesh else [peer for peer, _ in self._waiting(active)]
        return [self._dial(self._rng.choice(waiting))] if waiting else []

    def next_due(self, active: Set[str], now: float) -> float | None:
        """Return the time when `choose` may next return a device, if no event comes before; None if it will not."""
        waiting = self._waiting(active)
        if not self.is_mesh and len(active) >= VIEW:
            has_few = self._writers(active) < WRITERS
            waiting = [each for each in waiting if each[0] in self._hubs or (each[1].writes and has_few)]
        return min((entry.due for _, entry in waiting if entry.due > now), default=None)

    def _waiting(self, active: Set[str]) -> list[tuple[str, _Peer]]:
        return [(peer, entry) for peer, entry in self._peers.items() if peer not in active and not entry.dialing]

    def _dial(self, peer: str) -> str:
        self._peers[peer].dialing = True
        return peer
