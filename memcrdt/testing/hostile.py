"""A member that has been taken over: it speaks the protocol, and every now and then it doesn't."""

from __future__ import annotations

from dataclasses import replace
from random import Random
from typing import Final

from memcrdt.sync.events import Effect, Event, SendFrame
from memcrdt.sync.messages import Diff, Fragment, Hello, Push, Unknown
from memcrdt.sync.wire import decode, encode
from memcrdt.testing.computer import Computer
from memcrdt.testing.mutate import ATTACKS, mutated
from memcrdt.testing.simulator import Reactor

_SHARE: Final = 0.15  # of its frames


class HostileComputer(Computer):
    """It spoils a share of what it sends. No promise of it counts."""

    def reactor(self, incarnation: str) -> Reactor:
        return _Hostile(super().reactor(incarnation), Random(self.sim.rng.random()))


class _Hostile:
    """Gossip whose frames are spoiled.

    What would be a valid update with another content is never sent: who tells two devices different things under one
    clock of his makes them differ for good, which is what members trust each other not to do.
    """

    def __init__(self, honest: Reactor, rng: Random) -> None:
        self._honest = honest
        self._rng = rng
        self._frames: list[bytes] = [b""]

    def handle(self, event: Event, now: float) -> list[Effect]:
        return [self._spoiled(effect) for effect in self._honest.handle(event, now)]

    def _spoiled(self, effect: Effect) -> Effect:
        if not isinstance(effect, SendFrame) or self._rng.random() > _SHARE:
            return effect
        return SendFrame(effect.link, self._frame(effect.data))

    def _frame(self, frame: bytes) -> bytes:
        message = decode(frame)
        if isinstance(message, Push | Diff):
            attack = self._rng.choice([attack for attack in ATTACKS.values() if 0 < len(attack) < _ATTACK_BYTES])
            return encode(replace(message, update=attack))
        if isinstance(message, Hello | Fragment | Unknown):
            return frame
        self._frames = [*self._frames[-20:], frame]
        return mutated(frame, self._frames, self._rng)


_ATTACK_BYTES: Final = 64 * 1024
