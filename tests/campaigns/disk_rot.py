"""Disks that change written data, in a simulated world.

Data that other devices have comes back, and no other data is affected. The time and the place of each fault follow
from the seed, but from a separate random generator: up to the first fault a run is the same as without faults.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from memcrdt.errors import CorruptError
from tests.campaigns.computer import Computer
from tests.campaigns.world import World

_OFTEN: Final = 0.04  # share of the steps

#: Part of the error when sync reads a damaged row that is not set aside yet.
TOLD: Final = "run `memcrdt doctor --repair`"


def spoil(world: World) -> None:
    """Occasionally make a disk change a row. Data that only its computer has may then be lost."""
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
    """Perform an action on the computer, and run the doctor if an error recommends it."""
    try:
        act(world, computer)
    except CorruptError:
        if not world.spoiled:
            raise
        _call_doctor(world, computer)


def give_up(world: World) -> None:
    """Make every computer give up rows that no other computer has sent again."""
    for computer in world.everyone if world.spoiled else ():  # clones have earlier damage too
        _call_doctor(world, computer, give_up=True)


def _call_doctor(world: World, computer: Computer, *, give_up: bool = False) -> None:
    computer.memory.doctor(repair=True, give_up=give_up)
    computer.committed()
    world.counts["doctor called"] += 1
