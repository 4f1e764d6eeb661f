"""One line for each change of another device, for whoever watches `memcrdt serve` or the log.

A device is waited for, connected, up to date, or lost. The lines follow this state, not the single events: dials that
fail, a second connection or repeated comparisons change nothing. A device that comes and goes has a limited number of
lines a minute. Then its line is held back, and the next one shows its state at that time. So the last line is true.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

LINES: Final = 10  # of one device in WINDOW_S
WINDOW_S: Final = 60.0
LOST_S: Final = 3.0  # without a connection, after which a device counts as lost
STILL_S: Final = 30.0  # of failed dials, after which a line says where to look

_FOUND: Final = {"mdns": " (mDNS)", "tailscale": " (Tailscale)", "relay": " (relay)"}


@dataclass(slots=True)
class _Peer:
    line: str = ""  # about the present state
    said: str = ""  # the last line that was said
    said_at: deque[float] = field(default_factory=lambda: deque(maxlen=LINES))
    is_accepted: bool = False
    is_connected: bool = False
    was_connected: bool = False  # by the line that was said last
    not_before: float = 0.0  # when the line may be said
    waits_since: float | None = None  # the first failed dial since the last connection
    shared: frozenset[str] = frozenset()  # the ids of the spaces in the greetings of this connection
    differing: frozenset[str] = frozenset()  # those that have yet to be found equal

    def held_s(self, now: float) -> float:
        """Return the seconds until the line may be said: 0 if it may be said now."""
        has_room = self.said_at[0] + WINDOW_S if len(self.said_at) == LINES else 0.0
        return max(0.0, max(has_room, self.not_before) - now)


class PeerLines:
    """The lines about other devices. Takes events and the time in seconds, and returns lines.

    Args:
        name_of: Returns how a device is called in a line.

    Example:
        >>> lines = PeerLines(lambda device: "laptop-a")
        >>> lines.accepted(device)
        >>> lines.take(now=0.0)
        ['waiting for laptop-a']
    """

    def __init__(self, name_of: Callable[[str], str]) -> None:
        self._name_of = name_of
        self._peers: dict[str, _Peer] = {}

    def accepted(self, device: str) -> None:
        """Note that the device is accepted, and not connected yet. Events of other devices are ignored."""
        peer = self._peers.setdefault(device, _Peer())
        if not peer.is_accepted:
            peer.line, peer.is_accepted, peer.waits_since = f"waiting for {self._name_of(device)}", True, None

    def removed(self, device: str) -> None:
        """Note that the device is no longer accepted."""
        if peer := self._accepted(device):
            peer.line = f"{self._name_of(device)} is no longer accepted"
            peer.is_accepted = peer.is_connected = False

    def connected(self, device: str, found: str | None) -> None:
        """Note a connection. `found` is the source of its address, or None."""
        peer = self._accepted(device)
        if peer and not peer.is_connected:
            line = f"connected to {self._name_of(device)}{_FOUND.get(found or '', '')}"
            peer.line = peer.said if peer.was_connected else line  # the loss was not said, so it is no news
            peer.is_connected, peer.waits_since, peer.not_before = True, None, 0.0
            peer.shared = peer.differing = frozenset()

    def disconnected(self, device: str, now: float) -> None:
        """Note that no connection is left. It is said after a moment: a session may end only to begin anew."""
        if peer := self._connected(device):
            peer.line, peer.is_connected = f"lost {self._name_of(device)}, trying again", False
            peer.not_before = now + LOST_S

    def unreachable(self, device: str, now: float) -> None:
        """Note that a dial found nobody."""
        peer = self._accepted(device)
        if peer is None or peer.is_connected:
            return
        if peer.waits_since is None:
            peer.waits_since = now
        elif now - peer.waits_since >= STILL_S:
            name = self._name_of(device)
            peer.line = f"still waiting for {name}; does memcrdt serve there? `memcrdt peers` shows the last error"

    def shares(self, device: str, spaces: Iterable[str]) -> None:
        """Note the spaces (their ids) that the greetings of both devices name."""
        if peer := self._connected(device):
            shared = frozenset(spaces)
            peer.differing = (peer.differing | (shared - peer.shared)) & shared
            peer.shared = shared

    def agreed(self, device: str, space: str) -> None:
        """Note that a space has the same content on both devices."""
        if peer := self._connected(device):
            peer.differing -= {space}
            if peer.shared and not peer.differing:
                peer.line = f"{self._name_of(device)} is up to date"

    def take(self, now: float) -> list[str]:
        """Return the lines to say now."""
        due = [peer for peer in self._peers.values() if peer.line != peer.said and not peer.held_s(now)]
        for peer in due:
            peer.said, peer.was_connected = peer.line, peer.is_connected
            peer.said_at.append(now)
        return [peer.said for peer in due]

    def held_s(self, now: float) -> float | None:
        """Return the seconds until take() has a line that is held back, or None if none is."""
        return min((peer.held_s(now) for peer in self._peers.values() if peer.line != peer.said), default=None)

    def _accepted(self, device: str) -> _Peer | None:
        peer = self._peers.get(device)
        return peer if peer is not None and peer.is_accepted else None

    def _connected(self, device: str) -> _Peer | None:
        peer = self._peers.get(device)
        return peer if peer is not None and peer.is_connected else None
