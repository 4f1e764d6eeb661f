"""Disks that change what was written, in a simulated world: what others have comes back, and nothing else is disturbed.

When that happens and to what follows from the seed as well, but not from the dice of the rest: the life is the same as
without, up to the first spoiled row.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from memcrdt.errors import CorruptError
from tests.campaigns.computer import Computer
from tests.campaigns.world import World

_OFTEN: Final = 0.04  # of the steps

#: What a store says of a damaged row when sync comes across it, before it is set aside.
TOLD: Final = "run `memcrdt doctor --repair`"


def spoil(world: World) -> None:
    """Perhaps the disk of one changes a row. What only that one was told may be lost then."""
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
    """Does what somebody does with the computer. Whoever is told to call the doctor calls it."""
    try:
        act(world, computer)
    except CorruptError:
        if not world.spoiled:
            raise
        _call_doctor(world, computer)


def give_up(world: World) -> None:
    """What nobody has brought by now, nobody has."""
    for computer in world.everyone if world.spoiled else ():  # clones have what was spoiled before, too
        _call_doctor(world, computer, give_up=True)


def _call_doctor(world: World, computer: Computer, *, give_up: bool = False) -> None:
    computer.memory.doctor(repair=True, give_up=give_up)
    computer.committed()
    world.counts["doctor called"] += 1
