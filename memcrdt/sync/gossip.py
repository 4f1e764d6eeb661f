"""All sessions of a node: who is dialed, which connection counts, and what goes to whom."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from random import Random

    from memcrdt.sync.events import Effect, Event


class Gossip:
    """The state of one node's sync. `me` is our device id, `incarnation` that of our store."""

    def __init__(self, me: str, incarnation: str, *, rng: Random) -> None:
        self._me = me
        self._incarnation = incarnation
        self._rng = rng

    def handle(self, event: Event, now: float) -> list[Effect]:
        """Takes one event at `now` (seconds, monotonic), and returns what is to be done, in order. Never raises
        for what a peer sent."""
        raise NotImplementedError
