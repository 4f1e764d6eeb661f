"""Which devices to dial, and when.

Up to 6 devices are all connected to each other. Beyond that each keeps 5 connections, to devices chosen at random, and
exchanges one of them every minute, so that two groups of which each has enough by itself still find each other. Two of
them at least go to devices that may write: who may only read passes nothing on.
Source of the number: HyParView (Leitão et al., 2007) keeps 5 active for 10,000 nodes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Set
    from random import Random

MESH: Final = 6  # so many known devices are all dialed
VIEW: Final = 5  # of more, so many are kept
WRITERS: Final = 2  # so many of these may write, if there are that many
BACKOFF_MIN_S: Final = 0.1
BACKOFF_MAX_S: Final = 30.0
HEALTHY_S: Final = 10.0  # a connection that lasted so long makes up for the failures before


@dataclass(slots=True)
class _Peer:
    due: float
    writes: bool
    failures: int = 0
    dialing: bool = False


class Topology:
    """The known devices, and how the dials to them went. `active` are those that are connected."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._peers: dict[str, _Peer] = {}

    @property
    def is_mesh(self) -> bool:
        """Whether every device is to be connected to every other."""
        return len(self._peers) <= MESH

    def know(self, peer: str, now: float, *, writes: bool = True) -> None:
        """The device has an address: it may be dialed at once. `writes`: whether it may, in any space of ours."""
        entry = self._peers.setdefault(peer, _Peer(now, writes))
        entry.due, entry.writes = now, writes

    def forget(self, peer: str) -> None:
        """The device is not to be dialed any more."""
        self._peers.pop(peer, None)

    def hurry(self, now: float) -> None:
        """Every device may be dialed at once."""
        for peer in self._peers.values():
            peer.due = now

    def connected(self, peer: str) -> None:
        """A dial succeeded."""
        if peer in self._peers:
            self._peers[peer].dialing = False

    def failed(self, peer: str, now: float) -> None:
        """A dial failed, or its connection ended too soon."""
        if peer in self._peers:
            entry = self._peers[peer]
            entry.dialing = False
            delay_s = min(BACKOFF_MAX_S, BACKOFF_MIN_S * 2 ** min(entry.failures, 10))
            entry.due = now + delay_s * self._rng.uniform(0.5, 1.5)
            entry.failures += 1

    def lost(self, peer: str, now: float, lasted_s: float) -> None:
        """A connection that had lasted so long has ended."""
        if peer in self._peers and lasted_s >= HEALTHY_S:
            self._peers[peer].failures = 0
        self.failed(peer, now)

    def choose(self, active: Set[str], now: float) -> list[str]:
        """The devices to dial now. Each has to be answered by `connected` or `failed`."""
        due = [peer for peer, entry in self._waiting(active) if entry.due <= now]
        if not self.is_mesh:
            due = self._sample(due, active | {peer for peer, entry in self._peers.items() if entry.dialing})
        return [self._dial(peer) for peer in due]

    def _sample(self, due: list[str], taken: Set[str]) -> list[str]:
        """Of the devices that are due as many as there is room for beside `taken`; writers also beyond that, if they
        are too few."""
        self._rng.shuffle(due)
        few = [peer for peer in due if self._peers[peer].writes][: max(0, WRITERS - self._writers(taken))]
        rest = [peer for peer in due if peer not in few]
        return few + rest[: max(0, VIEW - len(taken) - len(few))]

    def is_needed(self, peer: str, active: Set[str]) -> bool:
        """Whether the connection has to stay: it is one of the last to devices that may write."""
        return self._writers({peer}) > 0 and self._writers(active) <= WRITERS

    def _writers(self, peers: Set[str]) -> int:
        return sum(entry.writes for peer, entry in self._peers.items() if peer in peers)

    def choose_other(self, active: Set[str]) -> list[str]:
        """One device to dial although there are enough connections; none where all are connected anyway."""
        waiting = [] if self.is_mesh else [peer for peer, _ in self._waiting(active)]
        return [self._dial(self._rng.choice(waiting))] if waiting else []

    def next_due(self, active: Set[str], now: float) -> float | None:
        """When `choose` is worth another call, if time alone can make it so."""
        waiting = [entry for _, entry in self._waiting(active)]
        if not self.is_mesh and len(active) >= VIEW:
            waiting = [entry for entry in waiting if entry.writes and self._writers(active) < WRITERS]
        return min((entry.due for entry in waiting if entry.due > now), default=None)

    def _waiting(self, active: Set[str]) -> list[tuple[str, _Peer]]:
        return [(peer, entry) for peer, entry in self._peers.items() if peer not in active and not entry.dialing]

    def _dial(self, peer: str) -> str:
        self._peers[peer].dialing = True
        return peer
