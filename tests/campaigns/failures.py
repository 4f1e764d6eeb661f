"""The failures of simulated computers and of the network between them."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from memcrdt.errors import StoreError
from tests.campaigns import membership, work
from tests.campaigns.computer import Computer
from tests.campaigns.world import World

MOST: Final = 5  # maximum number of honest computers
_OPERATIONS: Final = 25  # disk operations within which the power fails; a commit has about five


def cut(world: World) -> None:
    """End connections."""
    up = [link.number for link in world.sim.links.values() if link.up]
    for number in up if world.rng.random() < 0.3 else up[:1]:
        world.sim.cut(number)


def part(world: World) -> None:
    """Cut some computers off from the others, perhaps in one direction only."""
    ids = [computer.id for computer in world.everyone]
    some = world.rng.sample(ids, world.rng.randrange(1, len(ids)))
    others = [device for device in ids if device not in some]
    world.sim.block(some, others)
    if world.rng.random() < 0.6:
        world.sim.block(others, some)


def mend(world: World) -> None:
    """Let every computer reach every other."""
    world.sim.mend()


def boot(world: World) -> None:
    """Switch on every computer that is off."""
    for computer in world.everyone:
        if not computer.on:
            computer.boot()


def crash(world: World, computer: Computer) -> None:
    """End the processes of a computer, and perhaps start them again."""
    computer.crash()
    if world.rng.random() < 0.6:
        computer.start()


def stop(world: World, computer: Computer) -> None:
    """Shut a computer down."""
    computer.stop()


def lose_power(world: World) -> None:
    """Cut the power while an agent writes. Everything acknowledged or sent before must survive."""
    for computer in world.writers():
        if computer.on_mains:
            computer.lose_power_within(world.rng.randrange(1, _OPERATIONS))
            with suppress(StoreError):
                for _ in range(3):
                    world.rng.choice((work.write, work.update))(world, computer)
            computer.cut_power()
            computer.boot()
            world.wiretap.check_kept(computer)
            world.counts["power cut"] += 1


def back_up(world: World, computer: Computer) -> None:
    """Copy the files of a computer elsewhere."""
    world.backups[computer.id] = world.sim.now, computer.files()


def restore(world: World, computer: Computer) -> None:
    """Restore the copy. Everything since the copy is lost, perhaps memberships too."""
    if computer.id in world.backups:
        since, files = world.backups[computer.id]
        computer.stop()
        computer.put(files)
        world.promises.restored(computer, since)
        world.wiretap.restored(computer)
        computer.start()
        world.counts["store restored"] += 1
        membership.come_back(world, computer)
        if world.rng.random() < 0.5 and world.may_write(computer):
            work.write(world, computer)  # before any device can send it the missing data


def clone(world: World, computer: Computer) -> None:
    """Copy the home of a computer to a new computer with its own key."""
    if len(world.computers) < MOST and all(world.parts[computer.id].values()):
        computer.stop()
        copy = Computer(world.site, "EFGHIJKL"[world.counts["store cloned"]])
        computer.copy_to(copy)
        world.promises.copied(computer, copy)
        computer.start()
        copy.boot()
        world.enroll(copy)
        world.counts["store cloned"] += 1
        membership.come_back(world, copy, like=computer)
