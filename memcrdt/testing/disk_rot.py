"""Disks that change what was written, in a simulated life: what others have comes back, and nothing else is disturbed.

When that happens and to what follows from the seed as well, but not from the dice of the rest: the life is the same as
without, up to the first spoiled row.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from memcrdt.errors import CorruptError
from memcrdt.testing.computer import Computer
from memcrdt.testing.state import Life

_OFTEN: Final = 0.04  # of the steps

#: What a store says of a damaged row when sync comes across it, before it is set aside.
TOLD: Final = "run `memcrdt doctor --repair`"


def spoil(life: Life) -> None:
    """Perhaps the disk of one changes a row. What only that one was told may be lost then."""
    if life.rot is None or life.rot.random() >= _OFTEN:
        return
    sound = [computer for computer in life.computers if computer.on and not computer.on_mains]
    if sound:
        computer = life.rot.choice(sound)
        life.wiretap.spoiled.add(computer.id)
        if computer.spoil(life.rot):
            life.spoiled.append(computer)
            life.promises.doubt(computer)
            life.counts["row spoiled"] += 1


def attempt(life: Life, computer: Computer, act: Callable[[Life, Computer], None]) -> None:
    """Does what somebody does with the computer. Whoever is told to call the doctor calls it."""
    try:
        act(life, computer)
    except CorruptError:
        if not life.spoiled:
            raise
        _call_doctor(life, computer)


def give_up(life: Life) -> None:
    """What nobody has brought by now, nobody has."""
    for computer in life.everyone if life.spoiled else ():  # clones have what was spoiled before, too
        _call_doctor(life, computer, give_up=True)


def _call_doctor(life: Life, computer: Computer, *, give_up: bool = False) -> None:
    computer.memory.doctor(repair=True, give_up=give_up)
    computer.committed()
    life.counts["doctor called"] += 1
