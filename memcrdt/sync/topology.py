"""Which devices to dial, and when.

Up to 6 devices are all connected to each other. Beyond that, each device keeps 5 connections, to devices chosen at
random, and replaces one of them every minute: so two groups that have connections enough among themselves still find
each other. At least two connections go to devices that may write, since a device that may only read passes nothing on.
Source of the number: HyParView (Leitão et al., 2007) keeps 5 active for 10,000 nodes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Set
    from random import Random

MESH: Final = 6  # known devices up to which all are dialed
VIEW: Final = 5  # connections of a device that knows more
WRITERS: Final = 2  # of these, the least that go to devices that may write
BACKOFF_MIN_S: Final = 0.1
BACKOFF_MAX_S: Final = 30.0
HEALTHY_S: Final = 10.0  # a connection that lasted this long makes up for earlier failures


@dataclass(slots=True)
class _Peer:
    due: float
    writes: bool
    failures: int = 0
    dialing: bool = False


class Topology:
    """The known devices, and how the dials to them went. `active` are the connected devices, times are in seconds."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._peers: dict[str, _Peer] = {}

    @property
    def is_mesh(self) -> bool:
        """Whether every device is to be connected to every other."""
        return len(self._peers) <= MESH

    def know(self, peer: str, now: float, *, writes: bool = True) -> None:
        """Let the device be dialed at once: it has an address. `writes`: it may write in one of our spaces."""
        entry = self._peers.setdefault(peer, _Peer(now, writes))
        entry.due, entry.writes = now, writes

    def forget(self, peer: str) -> None:
        """Never dial the device again."""
        self._peers.pop(peer, None)

    def hurry(self, now: float) -> None:
        """Let every device be dialed at once."""
        for peer in self._peers.values():
            peer.due = now

    def connected(self, peer: str) -> None:
        """Note that a dial succeeded."""
        if peer in self._peers:
            self._peers[peer].dialing = False

    def failed(self, peer: str, now: float) -> None:
        """Note that a dial failed, or that its connection ended: the next dial waits, longer after each failure."""
        if peer in self._peers:
            entry = self._peers[peer]
            entry.dialing = False
            delay_s = min(BACKOFF_MAX_S, BACKOFF_MIN_S * 2 ** min(entry.failures, 10))
            entry.due = now + delay_s * self._rng.uniform(0.5, 1.5)
            entry.failures += 1

    def lost(self, peer: str, now: float, lasted_s: float) -> None:
        """Note that a connection has ended, which had lasted for `lasted_s` seconds."""
        if peer in self._peers and lasted_s >= HEALTHY_S:
            self._peers[peer].failures = 0
        self.failed(peer, now)

    def choose(self, active: Set[str], now: float) -> list[str]:
        """Return the devices to dial now. Each has to be followed by `connected` or `failed`."""
        due = [peer for peer, entry in self._waiting(active) if entry.due <= now]
        if not self.is_mesh:
            due = self._sample(due, active | {peer for peer, entry in self._peers.items() if entry.dialing})
        return [self._dial(peer) for peer in due]

    def _sample(self, due: list[str], taken: Set[str]) -> list[str]:
        """Choose among the devices that are due as many as there is room for beside `taken`.

        Devices that may write are chosen beyond that if too few of them are connected.
        """
        self._rng.shuffle(due)
        few = [peer for peer in due if self._peers[peer].writes][: max(0, WRITERS - self._writers(taken))]
        rest = [peer for peer in due if peer not in few]
        return few + rest[: max(0, VIEW - len(taken) - len(few))]

    def is_needed(self, peer: str, active: Set[str]) -> bool:
        """Return whether the connection has to stay, as one of the last to devices that may write."""
        return self._writers({peer}) > 0 and self._writers(active) <= WRITERS

    def _writers(self, peers: Set[str]) -> int:
        return sum(entry.writes for peer, entry in self._peers.items() if peer in peers)

    def choose_other(self, active: Set[str]) -> list[str]:
        """Return one device to dial although there are enough connections; none if all devices are connected anyway."""
        waiting = [] if self.is_mesh else [peer for peer, _ in self._waiting(active)]
        return [self._dial(self._rng.choice(waiting))] if waiting else []

    def next_due(self, active: Set[str], now: float) -> float | None:
        """Return the time at which `choose` is worth another call, if time alone can make it so."""
        waiting = [entry for _, entry in self._waiting(active)]
        if not self.is_mesh and len(active) >= VIEW:
            waiting = [entry for entry in waiting if entry.writes and self._writers(active) < WRITERS]
        return min((entry.due for entry in waiting if entry.due > now), default=None)

    def _waiting(self, active: Set[str]) -> list[tuple[str, _Peer]]:
        return [(peer, entry) for peer, entry in self._peers.items() if peer not in active and not entry.dialing]

    def _dial(self, peer: str) -> str:
        self._peers[peer].dialing = True
        return peer
