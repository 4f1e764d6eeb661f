"""Waits until other devices have everything in our store.

The waiting process reads the tables that the process with the network writes, so the two need no other channel.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from memcrdt.store import log
from memcrdt.store.membership.peers import Peers
from memcrdt.store.overview import PeerStatus, peer_states

if TYPE_CHECKING:
    from collections.abc import Collection

    from memcrdt.store.base import AnyStore

REACH_S: Final = 12.0  # a dial takes 10 s at most
FIND_S: Final = 3.0  # time for discovery to find a device that has no address
STILL_S: Final = 30.0  # without progress of any device; longer than the largest frame takes on a slow link


class SyncWait:
    """A wait, from now on, until other devices agree with us. Each call of look() checks once and returns at once."""

    def __init__(self, store: AnyStore, devices: Collection[str] | None, timeout_s: float | None) -> None:
        """Ask the process with the network to sync.

        Args:
            store: Our store.
            devices: The devices to wait for; None for all reachable devices.
            timeout_s: Maximum time to wait, in seconds; None for no limit.

        Raises:
            NotFoundError: A device is not known here.
        """
        self._store = store
        self._devices = devices
        self._timeout_s = timeout_s
        peers = Peers(store)
        for device in devices or ():
            peers.get(device)  # raises NotFoundError before the wait begins
        self._asked_event = peers.ask_to_sync()
        self._asked = self._moved = time.monotonic()
        self._seen: object = None

    def look(self) -> bool | None:
        """Return whether all devices agreed, at least one; None while the result is open."""
        settled = self._settled()
        if settled is None and self._timeout_s is not None and time.monotonic() - self._asked >= self._timeout_s:
            return False
        return settled

    def _settled(self) -> bool | None:
        """Return the result regardless of the timeout; None while it is open."""
        states = [state for state in peer_states(self._store) if self._is_meant(state)]
        agreed = [state for state in states if self._has_agreed(state)]
        away = [state for state in states if state not in agreed and self._is_away(state)]
        if len(agreed) + len(away) < len(states):
            return False if self._stands_still(states) else None
        return bool(agreed) and not (away and self._devices)

    def _stands_still(self, states: Collection[PeerStatus]) -> bool:
        """Return whether nothing was sent or received for a while.

        A device that accepts less from us than we share with it never agrees, so the wait for it has to end.
        """
        with self._store.reading() as db:
            seen = log.head(db), [(state.peer.device, state.behind, state.agreed_event) for state in states]
        if seen != self._seen:
            self._seen, self._moved = seen, time.monotonic()
        return time.monotonic() - self._moved >= STILL_S

    def _is_meant(self, state: PeerStatus) -> bool:
        return state.peer.device in self._devices if self._devices else state.peer.state == "accepted"

    def _has_agreed(self, state: PeerStatus) -> bool:
        return not state.behind and state.agreed_event > self._asked_event

    def _is_away(self, state: PeerStatus) -> bool:
        peer, waited_s = state.peer, time.monotonic() - self._asked
        if peer.state != "accepted":
            return True
        if peer.connected is not None:
            return False
        if not peer.addresses:
            return waited_s >= FIND_S
        return waited_s >= REACH_S or (peer.error is not None and peer.error_event > self._asked_event)
