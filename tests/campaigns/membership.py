"""The members of simulated spaces: invitations, rights and revocations, made with the product's own code.

Either all computers accept each other by hand, and their separate spaces become one. Or one computer invites the next,
as pairing does, and the rest learn of it from signed statements.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from memcrdt.errors import PairingError, ReadOnlyError
from memcrdt.model.scopes import PERSONAL
from memcrdt.pairing.channel import PairingOffer, spaces_to_join
from memcrdt.store.membership.members import Entry, Members
from tests.campaigns import work
from tests.campaigns.computer import Computer
from tests.campaigns.hostile import HostileComputer, TamperedComputer
from tests.campaigns.second_key import SecondKey
from tests.campaigns.world import CLUB, TAMPERED_WORD, World

_PORT: Final = 1  # never dialed
_DAY_MS: Final = 86_400_000
_LEAVE: Final = "memcrdt space leave"  # in the advice
_CARRIED_OFF: Final = 0.3  # share of the opportunities


def set_up(world: World) -> None:
    """Make the computers, and connect those that know each other from the start."""
    rng = world.rng
    world.by_hand = rng.random() < 0.4 and not world.has_thief
    count = rng.choice((2, 3, 3, 4))
    on_mains = rng.randrange(count) if rng.random() < 0.25 else None
    made = [
        Computer(world.site, "ABCD"[n], skew_ms=rng.choice((0, 0, -3, 5)) * _DAY_MS, on_mains=n == on_mains)
        for n in range(count)
    ]
    if rng.random() < 0.2 and not world.has_thief:
        world.suspect = Computer(world.site, "R")
        made.append(world.suspect)
    first, *others = made
    first.boot()
    world.enroll(first)
    if len(others) > 1 and not world.by_hand and rng.random() < 0.4:
        world.waiting.append(others.pop(0))
    for each in others:
        _join(world, each)
    _let_in_others(world)
    if rng.random() < 0.3:
        _found_club(world)
    world.counts["clock that is days off"] += sum(each.skew_ms != 0 for each in made)


def invite(world: World, computer: Computer) -> None:
    """Invite a computer that was alone until now. The other members learn of it."""
    if world.waiting and computer in world.inviters():
        late = world.waiting.pop()
        late.boot()
        world.enroll(late)
        work.write(world, late)
        _pair(world, computer, late, PERSONAL)
        world.counts["invited later"] += 1


def revoke(world: World, computer: Computer) -> None:
    """Make a member revoke the suspect, whose later writes count for nothing."""
    suspect = world.suspect
    if suspect in (None, computer) or world.outcast or not computer.may_write(PERSONAL):
        return
    if computer.peers.is_accepted(suspect.id):
        computer.revoke(suspect)
        world.cast_out(suspect)
        world.counts["revoked"] += 1


def come_back(world: World, computer: Computer, like: Computer | None = None) -> None:
    """Pair a computer again, as far as needed.

    Its store was restored, perhaps to a time before it met any other computer. Or it is a copy of a computer (`like`)
    that has met the others.
    """
    if like is not None:
        world.parts[computer.id] = dict(world.parts[like.id])
        for devices in world.wiretap.secrets.values():
            if like.id in devices:
                devices.add(computer.id)
    for space, writes in world.parts[computer.id].items():
        if world.by_hand and space == PERSONAL:
            _meet(world, computer)
        elif like is not None or not shared_with(computer, space):
            _come_back_into(world, computer, space, read_only=not writes)


def _come_back_into(world: World, computer: Computer, space: str, *, read_only: bool) -> None:
    members = [
        each for each in world.computers if each not in (computer, world.suspect) and world.parts[each.id].get(space)
    ]
    if members:
        inviter = world.rng.choice(members)
        if not inviter.on:
            inviter.boot()
        _pair(world, inviter, computer, space, read_only=read_only)


def reunite(world: World) -> None:
    """Invite again every computer whose only inviter was restored to a time before the invitation."""
    for computer in world.computers if world.counts["store restored"] else ():
        for space, writes in world.parts[computer.id].items():
            if world.by_hand and space == PERSONAL:
                continue  # there, all computers accept each other
            members = [each for each in world.inviters(space) if each.may_write(space)]
            others = [each for each in members if each is not computer]
            if others and not any(each.knows(computer, space) for each in others):
                _pair(world, world.rng.choice(others), computer, space, read_only=not writes)


def follow_advice(world: World) -> None:
    """Do what computers report about two groups that stay apart: those of one group leave, and join the other."""
    spaces = {computer.id: computer.space(PERSONAL) for computer in world.computers}
    for computer in world.computers:
        peers = {each.peer for each in computer.node.reports if each.kind == "apart" and _LEAVE in each.text}
        others = [each for each in world.inviters() if each.id in peers and spaces[each.id] < spaces[computer.id]]
        if others:
            Members(computer.memory.store).leave(PERSONAL)
            if world.by_hand:
                _meet(world, computer)
            else:
                _pair(world, others[0], computer, PERSONAL, read_only=not world.parts[computer.id][PERSONAL])
            world.counts["groups that stayed apart"] += 1


def haunt(world: World) -> None:
    """Make computers without rights continue to write, and make some take over the space under their own id."""
    for computer in world.strangers:
        if (
            computer.on
            and isinstance(computer, HostileComputer | TamperedComputer)
            and world.rng.random() < _CARRIED_OFF
        ):
            _note_creator(world)
            computer.carry_off()
            world.promises.doubt(computer)  # what it sent to a reader, it may keep from the others
            world.counts["space under another id"] += 1
        is_tampered = isinstance(computer, TamperedComputer)
        if computer.on and (is_tampered or computer is world.outcast):
            with suppress(ReadOnlyError):  # it has just learned again that it may not write
                computer.memory.add(f"{TAMPERED_WORD if is_tampered else ''} {world.text()}")
                computer.committed()
                world.counts["written by one who may not"] += 1


def _note_creator(world: World) -> None:
    """Note the creator of `personal`, if it knows that others have joined it: then nobody takes them away."""
    if not world.by_hand:
        for computer in world.computers:
            if computer.on and computer.is_joined(PERSONAL) and computer.creator(PERSONAL) == computer.id:
                world.creators.add(computer.id)


def _join(world: World, computer: Computer) -> None:
    inviter = world.rng.choice(world.inviters())
    computer.boot()
    world.enroll(computer)
    if world.by_hand:
        _meet(world, computer)
    else:
        _pair(world, inviter, computer, PERSONAL)


def _let_in_others(world: World) -> None:
    """Add a reader, a tampered reader that ignores its limits, and a hostile member."""
    rng = world.rng
    if not world.by_hand and rng.random() < 0.25:
        reader = Computer(world.site, "V")
        reader.boot()
        inviter = rng.choice(world.inviters())
        world.enroll(reader, read_only=True)
        _pair(world, inviter, reader, PERSONAL, read_only=True)
    if not world.by_hand and rng.random() < 0.15:
        tampered = TamperedComputer(world.site, "T")
        tampered.boot()
        world.strangers.append(tampered)
        _pair(world, rng.choice(world.inviters()), tampered, PERSONAL, read_only=True)
    if rng.random() < 0.15 or world.has_thief:
        hostile = HostileComputer(world.site, "X")
        hostile.boot()
        world.strangers.append(hostile)
        world.promises.doubt(hostile)  # what it sends to a reader, it may keep from the others
        if world.by_hand:
            _meet(world, hostile)
        else:
            _pair(world, rng.choice(world.inviters()), hostile, PERSONAL)
        world.counts["member that was taken over"] += 1
        if world.suspect is None and (rng.random() < 0.5 or world.has_thief):
            world.suspect = hostile
            if not world.by_hand:
                world.second_key = SecondKey(world.site, hostile)
                world.second_key.prepare()


def _found_club(world: World) -> None:
    """Make some computers share a space that must stay unknown to the others, perhaps one of them as a reader."""
    candidates = world.inviters()
    if len(candidates) < 2:
        return
    founder, *others = world.rng.sample(candidates, min(len(candidates), world.rng.choice((2, 2, 3))))
    founder.memory.space(CLUB).create()
    world.parts[founder.id][CLUB] = True
    members = {founder.id}
    for secret in (founder.space(CLUB), CLUB):
        world.wiretap.secrets[secret.encode()] = members
    for other in others:
        writes = world.rng.random() < 0.7
        members.add(other.id)
        world.parts[other.id][CLUB] = writes
        _pair(world, founder, other, CLUB, read_only=not writes)
    world.counts["space of which others know nothing"] += 1


def _meet(world: World, computer: Computer) -> None:
    """Make a computer and all others accept each other by hand."""
    for other in world.everyone:
        if other not in (computer, world.outcast):
            for one, whom in ((computer, other), (other, computer)):
                if not one.on:
                    one.boot()
                one.accept(whom, [PERSONAL])


def _pair(world: World, inviter: Computer, joiner: Computer, space: str, *, read_only: bool = False) -> None:
    """Do the steps of pairing after the correct code. After a refusal, the joiner follows the advice of the error."""
    known = {each: Members(each.memory.store) for each in (inviter, joiner)}

    def joined() -> tuple[Sequence[Entry], Sequence[Entry]]:
        theirs = PairingOffer(inviter.name, _PORT, read_only, tuple(known[inviter].entries([space])))
        return spaces_to_join(
            theirs, PairingOffer(joiner.name, _PORT, False, tuple(known[joiner].known_entries([space])))
        )

    try:
        both = joined()
    except PairingError:  # one of them is now in a taken-over space, and the other was restored to a time before that
        known[joiner].leave(space)
        both = joined()
    for computer, entries in zip((inviter, joiner), both, strict=True):
        for entry in entries:
            known[computer].join(entry, read_only=read_only and computer is joiner)
    inviter.accept(joiner, [space], read_only=read_only)
    joiner.accept(inviter, [space])
    if read_only:
        world.wiretap.readers.add((joiner.id, space))


def shared_with(computer: Computer, space: str) -> set[str]:
    sql = "SELECT device FROM shares JOIN spaces USING(space) WHERE name = ?"
    with computer.memory.store.reading() as db:
        return {str(device) for (device,) in db.execute(sql, (space,))}
