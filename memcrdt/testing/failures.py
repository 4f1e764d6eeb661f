"""What goes wrong with simulated computers and between them."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from memcrdt.errors import StoreError
from memcrdt.testing import membership_lives, work
from memcrdt.testing.computer import Computer
from memcrdt.testing.state import Life

MOST: Final = 5  # computers that keep to the rules
_OPERATIONS: Final = 25  # of the disk, in which the power fails: a commit has about five


def cut(life: Life) -> None:
    """Connections end."""
    up = [link.number for link in life.sim.links.values() if link.up]
    for number in up if life.rng.random() < 0.3 else up[:1]:
        life.sim.cut(number)


def part(life: Life) -> None:
    """Some no longer reach the others, perhaps in one direction only."""
    ids = [computer.id for computer in life.everyone]
    some = life.rng.sample(ids, life.rng.randrange(1, len(ids)))
    others = [device for device in ids if device not in some]
    life.sim.block(some, others)
    if life.rng.random() < 0.6:
        life.sim.block(others, some)


def mend(life: Life) -> None:
    """All reach all."""
    life.sim.mend()


def boot(life: Life) -> None:
    """Whatever is off is on again."""
    for computer in life.everyone:
        if not computer.on:
            computer.boot()


def crash(life: Life, computer: Computer) -> None:
    """The processes end, and perhaps start again."""
    computer.crash()
    if life.rng.random() < 0.6:
        computer.start()


def stop(life: Life, computer: Computer) -> None:
    """The computer is shut down."""
    computer.stop()


def lose_power(life: Life) -> None:
    """The power fails while the agent of one writes. What was acknowledged before, or was sent, has to be there."""
    for computer in life.writers():
        if computer.on_mains:
            computer.lose_power_within(life.rng.randrange(1, _OPERATIONS))
            with suppress(StoreError):
                for _ in range(3):
                    life.rng.choice((work.write, work.update))(life, computer)
            computer.cut_power()
            computer.boot()
            life.wiretap.check_kept(computer)
            life.counts["power cut"] += 1


def back_up(life: Life, computer: Computer) -> None:
    """Its files are copied to elsewhere."""
    life.backups[computer.id] = life.sim.now, computer.files()


def restore(life: Life, computer: Computer) -> None:
    """The copy comes back, and what happened since then is lost, perhaps also who takes part in what."""
    if computer.id in life.backups:
        since, files = life.backups[computer.id]
        computer.stop()
        computer.put(files)
        life.promises.restored(computer, since)
        life.wiretap.restored(computer)
        computer.start()
        life.counts["store restored"] += 1
        membership_lives.come_back(life, computer)
        if life.rng.random() < 0.5 and life.may_write(computer):
            work.write(life, computer)  # before anybody can say what is missing


def clone(life: Life, computer: Computer) -> None:
    """Its home is copied to a new computer, which has a key of its own."""
    if len(life.computers) < MOST and all(life.parts[computer.id].values()):
        computer.stop()
        copy = Computer(life.site, "EFGHIJKL"[life.counts["store cloned"]])
        computer.copy_to(copy)
        life.promises.copied(computer, copy)
        computer.start()
        copy.boot()
        life.enroll(copy)
        life.counts["store cloned"] += 1
        membership_lives.come_back(life, copy, like=computer)
