"""Who takes part in the spaces of a simulation: invitations, rights and revocations, by what the product does for them.

Either everyone accepts everyone by hand, and spaces made apart become one; or one invites the other, as pairing
does, and the rest hear of it by the signed statements.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from memcrdt.errors import PairingError, ReadOnlyError
from memcrdt.pairing.talk import Offer, joins
from memcrdt.store.membership.members import Entry, Members
from memcrdt.store.meta import PERSONAL
from memcrdt.testing import work
from memcrdt.testing.computer import Computer
from memcrdt.testing.hostile import HostileComputer, TamperedComputer
from memcrdt.testing.state import CLUB, TAMPERED_WORD, Life

_PORT: Final = 1  # that nobody dials
_DAY_MS: Final = 86_400_000
_CARRIED_OFF: Final = 0.3  # of the chances


def set_up(life: Life) -> None:
    """Makes the computers, and lets those that know each other from the start meet."""
    rng = life.rng
    life.by_hand = rng.random() < 0.4
    count = rng.choice((2, 3, 3, 4))
    on_mains = rng.randrange(count) if rng.random() < 0.25 else None
    made = [
        Computer(life.site, "ABCD"[n], skew_ms=rng.choice((0, 0, -3, 5)) * _DAY_MS, on_mains=n == on_mains)
        for n in range(count)
    ]
    if rng.random() < 0.2:
        life.suspect = Computer(life.site, "R")
        made.append(life.suspect)
    first, *others = made
    first.boot()
    life.enroll(first)
    if len(others) > 1 and not life.by_hand and rng.random() < 0.4:
        life.waiting.append(others.pop(0))
    for each in others:
        _join(life, each)
    _let_in_others(life)
    if rng.random() < 0.3:
        _found_club(life)
    life.counts["clock that is days off"] += sum(each.skew_ms != 0 for each in made)


def invite(life: Life, computer: Computer) -> None:
    """One that has lived alone until now is invited; the others hear of it."""
    if life.waiting and computer in life.inviters():
        late = life.waiting.pop()
        late.boot()
        life.enroll(late)
        work.write(life, late)
        _pair(life, computer, late, PERSONAL)
        life.counts["invited later"] += 1


def revoke(life: Life, computer: Computer) -> None:
    """The suspect is revoked by somebody who is known as a member, and will hear of nothing any more."""
    suspect = life.suspect
    if suspect in (None, computer) or life.outcast or not computer.may_write(PERSONAL):
        return
    if computer.peers.is_accepted(suspect.id):
        computer.revoke(suspect)
        life.cast_out(suspect)
        life.counts["revoked"] += 1


def come_back(life: Life, computer: Computer, like: Computer | None = None) -> None:
    """One whose store was restored, perhaps to before it met anyone, or is a copy of one `like` that has met them, is
    paired again as far as that is needed."""
    if like is not None:
        life.parts[computer.id] = dict(life.parts[like.id])
        for devices in life.wiretap.secrets.values():
            if like.id in devices:
                devices.add(computer.id)
    for space, writes in life.parts[computer.id].items():
        if life.by_hand and space == PERSONAL:
            _meet(life, computer)
        elif like is not None or not _shared_with(computer, space):
            _come_back_into(life, computer, space, read_only=not writes)


def _come_back_into(life: Life, computer: Computer, space: str, *, read_only: bool) -> None:
    members = [
        each for each in life.computers if each not in (computer, life.suspect) and life.parts[each.id].get(space)
    ]
    if members:
        inviter = life.rng.choice(members)
        if not inviter.on:
            inviter.boot()
        _pair(life, inviter, computer, space, read_only=read_only)


def reunite(life: Life) -> None:
    """Whoever was invited by one whose store was restored to before that, and by nobody else, is invited again."""
    for computer in life.computers if life.counts["store restored"] else ():
        for space, writes in life.parts[computer.id].items():
            if life.by_hand and space == PERSONAL:
                continue  # all accept each other there
            members = [each for each in life.inviters(space) if each.may_write(space)]
            others = [each for each in members if each is not computer]
            if others and not any(each.knows(computer, space) for each in others):
                _pair(life, life.rng.choice(others), computer, space, read_only=not writes)


def haunt(life: Life) -> None:
    """Those of whom nothing may be taken go on writing, and some would carry the space off."""
    for computer in life.strangers:
        if (
            computer.on
            and isinstance(computer, HostileComputer | TamperedComputer)
            and life.rng.random() < _CARRIED_OFF
        ):
            computer.carry_off()
            life.counts["space under another id"] += 1
        is_tampered = isinstance(computer, TamperedComputer)
        if computer.on and (is_tampered or computer is life.outcast):
            with suppress(ReadOnlyError):  # it has just heard again that it may not
                computer.memory.add(f"{TAMPERED_WORD if is_tampered else ''} {life.text()}")
                computer.committed()
                life.counts["written by one who may not"] += 1


def _join(life: Life, computer: Computer) -> None:
    inviter = life.rng.choice(life.inviters())
    computer.boot()
    life.enroll(computer)
    if life.by_hand:
        _meet(life, computer)
    else:
        _pair(life, inviter, computer, PERSONAL)


def _let_in_others(life: Life) -> None:
    """One that may only read, one that has been tampered with so that it doesn't keep to that, and a hostile one."""
    rng = life.rng
    if not life.by_hand and rng.random() < 0.25:
        reader = Computer(life.site, "V")
        reader.boot()
        inviter = rng.choice(life.inviters())
        life.enroll(reader, read_only=True)
        _pair(life, inviter, reader, PERSONAL, read_only=True)
    if not life.by_hand and rng.random() < 0.15:
        tampered = TamperedComputer(life.site, "T")
        tampered.boot()
        life.strangers.append(tampered)
        _pair(life, rng.choice(life.inviters()), tampered, PERSONAL, read_only=True)
    if rng.random() < 0.15:
        hostile = HostileComputer(life.site, "X")
        hostile.boot()
        life.strangers.append(hostile)
        if life.by_hand:
            _meet(life, hostile)
        else:
            _pair(life, rng.choice(life.inviters()), hostile, PERSONAL)
        life.counts["member that was taken over"] += 1
        if life.suspect is None and rng.random() < 0.5:
            life.suspect = hostile


def _found_club(life: Life) -> None:
    """Some share a space that the others must not hear of, one of them perhaps only to read."""
    candidates = life.inviters()
    if len(candidates) < 2:
        return
    founder, *others = life.rng.sample(candidates, min(len(candidates), life.rng.choice((2, 2, 3))))
    founder.memory.space(CLUB).create()
    life.parts[founder.id][CLUB] = True
    members = {founder.id}
    for secret in (founder.space(CLUB), CLUB):
        life.wiretap.secrets[secret.encode()] = members
    for other in others:
        writes = life.rng.random() < 0.7
        members.add(other.id)
        life.parts[other.id][CLUB] = writes
        _pair(life, founder, other, CLUB, read_only=not writes)
    life.counts["space of which others know nothing"] += 1


def _meet(life: Life, computer: Computer) -> None:
    """It and all the others accept each other by hand."""
    for other in life.everyone:
        if other not in (computer, life.outcast):
            for one, whom in ((computer, other), (other, computer)):
                if not one.on:
                    one.boot()
                one.accept(whom, [PERSONAL])


def _pair(life: Life, inviter: Computer, joiner: Computer, space: str, *, read_only: bool = False) -> None:
    """What pairing comes to, once the code was right. Should it be refused, the joiner does what the error says."""
    known = {each: Members(each.memory.store) for each in (inviter, joiner)}

    def joined() -> tuple[Sequence[Entry], Sequence[Entry]]:
        theirs = Offer(inviter.name, _PORT, read_only, tuple(known[inviter].entries([space])))
        return joins(theirs, Offer(joiner.name, _PORT, False, tuple(known[joiner].known_entries([space]))))

    try:
        both = joined()
    except PairingError:  # one of them was carried off, and the other was restored to before that
        known[joiner].leave(space)
        both = joined()
    for computer, entries in zip((inviter, joiner), both, strict=True):
        for entry in entries:
            known[computer].join(entry, read_only=read_only and computer is joiner)
    inviter.accept(joiner, [space], read_only=read_only)
    joiner.accept(inviter, [space])
    if read_only:
        life.wiretap.readers.add((joiner.id, space))


def _shared_with(computer: Computer, space: str) -> set[str]:
    sql = "SELECT device FROM shares JOIN spaces USING(space) WHERE name = ?"
    with computer.memory.store.reading() as db:
        return {str(device) for (device,) in db.execute(sql, (space,))}
