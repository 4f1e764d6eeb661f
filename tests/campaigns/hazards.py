"""What happens to clocks and files in a simulated world without any member's doing.

The times and the choices follow from the seed, but from the separate random generator of the attacks: up to the first
hazard a run is the same as without.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from memcrdt.errors import StoreError
from memcrdt.model.device_ids import KEY_BYTES, device_id
from memcrdt.model.scopes import PERSONAL
from memcrdt.store.clock import JUMP_MS
from tests.campaigns import disk_rot, membership
from tests.campaigns.computer import Computer
from tests.campaigns.expected import LostError
from tests.campaigns.work import write_expiring
from tests.campaigns.world import World

_DAY_MS: Final = 86_400_000
_JUMPS_DAYS: Final = (100, 100, 1_100, -1_100)


def strike(world: World) -> None:
    """Let something happen to the clock or the files of an honest computer that may write."""
    honest = [each for each in world.computers if each.on and world.parts[each.id][PERSONAL]]
    if honest:
        disk_rot.attempt(world, world.attacks.choice(honest), world.attacks.choice(_HAZARDS))


def meet_clocks(world: World) -> None:
    """Let connected computers show each other their clocks, as they do when they connect."""
    on = {each.id: each for each in world.computers if each.on}
    for link in [link for link in world.sim.links.values() if link.up] if world.has_hazards else ():
        one, other = (on.get(end.node.id) for end in link.ends)
        if one is not None and other is not None and one is not other:
            one.see_clock(other)
            other.see_clock(one)


def make_peace(world: World) -> None:
    """Set the clocks right that have jumped."""
    for computer in world.computers:
        if abs(computer.skew_ms) > JUMP_MS:
            computer.skew_ms = 0


# --- clocks -----------------------------------------------------------------------------------------------------------


def _jump(world: World, computer: Computer) -> None:
    """Set a clock wrong by months or years, or right again."""
    wrong = 0 if computer.skew_ms else world.attacks.choice(_JUMPS_DAYS) * _DAY_MS
    write_expiring(world, computer)
    computer.skew_ms = wrong
    write_expiring(world, computer)
    world.counts["clock that jumps"] += 1


def _jump_together(world: World, computer: Computer) -> None:
    """Set the clocks of all computers wrong by the same time, as a wrong time server does.

    They show each other their clocks before and after they notice. Then a user asks to forget what has expired.
    """
    write_expiring(world, computer)
    wrong = world.attacks.choice(_JUMPS_DAYS) * _DAY_MS
    for each in world.computers:
        each.skew_ms = wrong
    meet_clocks(world)
    for each in world.computers:
        if each.on:
            with suppress(StoreError):  # the clock is doubted
                each.memory.forget_expired()
            each.committed()
    meet_clocks(world)
    world.counts["clocks that jump together"] += 1


# --- files ------------------------------------------------------------------------------------------------------------


def _restore_crafted(world: World, computer: Computer) -> None:
    """Restore a backup that a hostile hand has prepared.

    Raise LostError if the computer then trusts others than before.
    """
    if computer.on_mains:
        return
    since, files = world.backups.get(computer.id) or (world.sim.now, computer.files())
    before = computer.trust()
    after = computer.restore_crafted(files, device_id(world.attacks.randbytes(KEY_BYTES)))
    world.promises.restored(computer, since)
    world.wiretap.restored(computer)
    if after != before:
        raise LostError(f"{computer.name}: a backup has changed which devices it trusts")
    write_expiring(world, computer)
    world.counts["crafted backup restored"] += 1


def _roll_back(world: World, computer: Computer) -> None:
    """Roll the disk back, with the store and its marks, within one boot of the machine. First make the image."""
    if computer.on_mains:
        return
    if computer.id not in world.images:
        computer.crash()
        world.images[computer.id] = world.sim.now, computer.image()
        computer.start()
        write_expiring(world, computer)
        return
    since, image = world.images.pop(computer.id)
    write_expiring(world, computer)  # under the client id that the image has, too, unless the machine was booted since
    client_id = computer.memory.store.facts.client_id
    computer.stop()
    computer.put_image(image)
    computer.start()
    _check_after_loss(world, computer, since, client_id)
    world.counts["disk rolled back with the marks"] += 1


def _replace_in_use(world: World, computer: Computer) -> None:
    """Put an older copy in the place of the store while its processes run.

    Raise LostError if they go on, or if they change a byte of the other files.
    """
    if computer.on_mains or computer.id not in world.backups:
        return
    since, files = world.backups[computer.id]
    write_expiring(world, computer)
    client_id = computer.memory.store.facts.client_id
    computer.replace(files)
    if not computer.is_refused():
        raise LostError(f"{computer.name}: goes on with a store whose file was replaced")
    computer.stop()
    if computer.files() != files:
        raise LostError(f"{computer.name}: has changed the files that replaced its store")
    computer.start()
    _check_after_loss(world, computer, since, client_id)
    world.counts["store replaced while it was in use"] += 1


def _check_after_loss(world: World, computer: Computer, since: float, client_id: int) -> None:
    """Note that the store is at an earlier state, and go on.

    Raise LostError if the store says nothing of that, or uses a client id under which it has written more.
    """
    world.promises.restored(computer, since)
    world.wiretap.restored(computer)
    world.counts["store restored"] += 1
    if computer.memory.store.facts.client_id == client_id:
        raise LostError(f"{computer.name}: writes again under a client id under which it has written more")
    if not computer.alarms():
        raise LostError(f"{computer.name}: says nothing of acknowledged memories that are lost")
    membership.come_back(world, computer)
    write_expiring(world, computer)


_HAZARDS: Final = (_jump, _jump_together, _restore_crafted, _roll_back, _roll_back, _replace_in_use)
