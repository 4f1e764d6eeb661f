"""The members of a space: a pure function of the set of its signed statements.

No statement proves when it was made, and devices receive statements in any order. So the rule uses neither dates nor
order. docs/membership.md has the reasons, and an example of each part:

- A statement is heard if a chain of adds with the right to write leads from the creator of the space to its signer.
- Every revocation that is heard counts, for ever and against every add, even if its signer is revoked too.
- An add stands if its signer is the creator or was let in to write by an add that stands. If the signer is revoked, a
  revocation of it must also keep the add, and the signer of this revocation must stand without that add. So the adds
  that stand are a least fixpoint, which begins at the creator.
- If only devices that depend on a revoked device have revoked it, the adds stand that all of these revocations keep.
- A member has the greatest right that any standing add gives it.

A device that is revoked, or that no standing add lets in, cannot let any device in or give it a right: its statements
only ever remove members.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from memcrdt.model.statements import Statement


@dataclass(frozen=True, slots=True)
class Member:
    """A device that takes part in a space, as it was added."""

    name: str
    read_only: bool


@dataclass(frozen=True, slots=True)
class Membership:
    """The meaning of a set of statements.

    Attributes:
        members: The devices that take part, by id.
        revoked: The devices that were revoked.
        contested: The revoked devices that only devices depending on them have revoked. A revocation by another member
            decides which of their adds stand.
        standing: The ids of the adds that stand.
    """

    members: Mapping[str, Member]
    revoked: frozenset[str]
    contested: frozenset[str] = frozenset()
    standing: frozenset[bytes] = frozenset()

    def may_write(self, device: str) -> bool:
        """Return whether updates and statements of the device count."""
        return device in self.members and not self.members[device].read_only


class Side(NamedTuple):
    """One of two spaces of a name: its id, its creator, and whether another device has signed a statement about it."""

    id: str
    creator: str
    is_joined: bool


def side(id: str, creator: str, statements: Collection[Statement]) -> Side:
    """Return what counts of a space when it may become one with another."""
    return Side(id, creator, any(each.by != creator for each in heard(creator, statements)))


def remaining(ours: Side, theirs: Side, own: str, peer: str) -> Side | None:
    """Return under which of two ids both spaces continue, or None if they stay apart.

    A space that others have joined keeps its id, so no member can take others away to a space of its own. Only its
    creator can, on whose word all its members rely anyway: devices that have just united can have joined a third one
    each.

    Args:
        ours: Our space.
        theirs: The space of the same name on the peer.
        own: The id of this device.
        peer: The id of the peer.
    """
    we_joined, they_joined = ours.creator != own, theirs.creator != peer
    ours_lasts, theirs_lasts = ours.is_joined or we_joined, theirs.is_joined or they_joined
    if ours_lasts != theirs_lasts:
        return ours if ours_lasts else theirs
    if ours_lasts and (ours.creator == peer) != (theirs.creator == own):
        return theirs if ours.creator == peer else ours
    if ours_lasts and ours.creator != peer:
        return None
    return min(ours, theirs, key=lambda each: each.id)


class Adoption(NamedTuple):
    """The result of comparing a space with the same space under another id on another device.

    Attributes:
        moved: Whether our space continues under the other id.
        hindrance: Why the two spaces can never become one, in words for the user; empty if no reason is known.
    """

    moved: bool
    hindrance: str = ""


def membership(creator: str, statements: Collection[Statement], revoked: Collection[str] = ()) -> Membership:
    """Return the members of a space.

    Args:
        creator: The device id in the space's id.
        statements: Statements whose signatures have been checked, in any order.
        revoked: Devices to treat as revoked by a revocation that keeps nothing.
    """
    derivation = _Derivation(creator, heard(creator, statements), revoked)
    derivation.run()
    members = {creator: Member("", read_only=False)}
    for add in sorted(derivation.standing.values(), key=_precedence):
        claim = add.claim
        may_write = claim.device in members and not members[claim.device].read_only
        members[claim.device] = Member(claim.name, claim.read_only and not may_write)
    out = frozenset(derivation.revoked)
    return Membership(
        {device: member for device, member in members.items() if device not in out},
        out,
        frozenset(derivation.contested),
        frozenset(derivation.standing),
    )


def heard(creator: str, statements: Collection[Statement]) -> list[Statement]:
    """Return the statements whose signer could ever write. The others have no effect and would only take space."""
    added = defaultdict(list)
    for each in statements:
        if each.claim.kind == "add" and not each.claim.read_only:
            added[each.by].append(each.claim.device)
    writers, fresh = {creator}, [creator]
    while fresh:
        for device in added[fresh.pop()]:
            if device not in writers:
                writers.add(device)
                fresh.append(device)
    return [each for each in statements if each.by in writers]


def chain(creator: str, device: str, statements: Collection[Statement]) -> list[Statement] | None:
    """Return the shortest chain of standing adds that gives the device the right it has.

    None if the device is not a member, or if no chain leads to it through devices that may write.
    """
    known = membership(creator, statements)
    if device not in known.members:
        return None
    reads = known.members[device].read_only
    standing = [each for each in statements if each.id in known.standing and (reads or not each.claim.read_only)]
    paths: dict[str, list[Statement]] = {creator: []}
    fresh = [creator]
    while fresh and device not in paths:
        signer = fresh.pop(0)
        for statement in standing:
            added = statement.claim.device
            leads_on = not statement.claim.read_only and known.may_write(added)
            if statement.by == signer and added not in paths and (added == device or leads_on):
                paths[added] = [*paths[signer], statement]
                fresh.append(added)
    return paths.get(device)


def vouches(creator: str, known: Sequence[Statement], presented: Sequence[Statement], device: str) -> bool:
    """Return whether `presented` introduces the device to a member that knows `known`.

    It does if the device is a member once `presented` is added, and if `presented` has only adds by members: an unknown
    device must not be able to fill a list of members with its own statements. The signatures have been checked.
    """
    after = membership(creator, [*known, *presented])
    genuine = all(each.claim.kind == "add" and after.may_write(each.by) for each in presented)
    return genuine and device in after.members


class _Derivation:
    """Derives which adds stand. Every fact is only ever added, so the order of the steps does not matter.

    Attributes:
        standing: The adds that stand, by id.
        revoked: The revoked devices, each with the revocations of it.
        contested: The revoked devices that only devices depending on them have revoked.
    """

    def __init__(self, creator: str, statements: Iterable[Statement], revoked: Iterable[str]) -> None:
        self.standing: dict[bytes, Statement] = {}
        self.revoked: dict[str, list[Statement]] = {device: [] for device in revoked}
        self.contested: set[str] = set()
        self._adds: dict[bytes, Statement] = {}
        self._adds_by: dict[str, list[bytes]] = defaultdict(list)
        self._revocations_by: dict[str, list[Statement]] = defaultdict(list)
        self._kept: set[bytes] = set()
        self._writers = {creator}  # the creator, and the devices that a standing add lets in to write; some are revoked
        self._fresh = [creator]  # of these, the devices whose own statements have not been looked at
        for each in statements:
            self._sort_in(each)

    def run(self) -> None:
        """Derive the adds that stand."""
        while True:
            self._follow()
            contested = [device for device in self._writers & self.revoked.keys() if self._is_contested(device)]
            if not contested:
                return
            self.contested.update(contested)
            for device in contested:
                keeps = [set(each.claim.keep) for each in self.revoked[device]]
                self._keep(device, set.intersection(*keeps) if keeps else ())

    def _sort_in(self, statement: Statement) -> None:
        if statement.claim.kind == "add":
            self._adds[statement.id] = statement
            self._adds_by[statement.by].append(statement.id)
        elif statement.claim.kind == "revoke":
            self.revoked.setdefault(statement.claim.device, []).append(statement)
            self._revocations_by[statement.by].append(statement)

    def _is_contested(self, device: str) -> bool:
        by = {each.by for each in self.revoked[device]}
        return device not in self.contested and not by & self._writers - self.revoked.keys()

    def _follow(self) -> None:
        while self._fresh:
            device = self._fresh.pop()
            for revocation in () if device in self.revoked else self._revocations_by[device]:
                self._keep(revocation.claim.device, revocation.claim.keep)
            for add in self._adds_by[device]:
                self._consider(add)

    def _keep(self, device: str, adds: Iterable[bytes]) -> None:
        """Keep adds by a revoked device. A revocation says nothing about the adds of other devices."""
        for add in adds:
            if add in self._adds and self._adds[add].by == device:
                self._kept.add(add)
                self._consider(add)

    def _consider(self, add: bytes) -> None:
        statement = self._adds[add]
        is_doubtful = statement.by in self.revoked and add not in self._kept
        if statement.by not in self._writers or is_doubtful:
            return
        self.standing[add] = statement
        device = statement.claim.device
        if not statement.claim.read_only and device not in self._writers:
            self._writers.add(device)
            self._fresh.append(device)


def _precedence(add: Statement) -> tuple[bool, int, bytes]:
    """Return the sort key of adds of one device: the last one sets its name. A device's own word counts most."""
    return add.by == add.claim.device, add.claim.at, add.id
