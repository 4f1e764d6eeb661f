"""Disks that change written data, in a simulated world.

Data that other devices have comes back, and nothing else is disturbed. The time and the place of each fault follow
from the seed, but from a random generator of their own: up to the first fault a run is the same as without faults.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from memcrdt.errors import CorruptError
from tests.campaigns.computer import Computer
from tests.campaigns.world import World

_OFTEN: Final = 0.04  # share of the steps

#: In the message of a store when sync meets a damaged row that is not set aside yet.
TOLD: Final = "run `memcrdt doctor --repair`"


def spoil(world: World) -> None:
    """Let a disk change a row, now and then. What only its computer was told may be lost then."""
    if world.rot is None or world.rot.random() >= _OFTEN:
        return
    sound = [computer for computer in world.computers if computer.on and not computer.on_mains]
    if sound:
        computer = world.rot.choice(sound)
        world.wiretap.spoiled.add(computer.id)
        if computer.spoil(world.rot):
            world.spoiled.append(computer)
            world.promises.doubt(computer)
            world.counts["row spoiled"] += 1


def attempt(world: World, computer: Computer, act: Callable[[World, Computer], None]) -> None:
    """Perform an action on the computer, and call the doctor if an error says so."""
    try:
        act(world, computer)
    except CorruptError:
        if not world.spoiled:
            raise
        _call_doctor(world, computer)


def give_up(world: World) -> None:
    """Let every computer give up what nobody has brought back."""
    for computer in world.everyone if world.spoiled else ():  # clones have what was spoiled before, too
        _call_doctor(world, computer, give_up=True)


def _call_doctor(world: World, computer: Computer, *, give_up: bool = False) -> None:
    computer.memory.doctor(repair=True, give_up=give_up)
    computer.committed()
    world.counts["doctor called"] += 1
