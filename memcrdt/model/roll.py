"""The roll of a space: the statements about its members that a device keeps.

A roll is sent in one frame, so it has a limit. Below the limit a device keeps every statement that is heard. Above it,
the statements without effect go first: the adds that no longer stand, for example those of a device that was revoked,
and the lists of relays that were replaced.
If the rest is still too much, the room is shared out along the tree of adds. Each device and the devices that it added
are a branch. Where the branches of one device do not all fit, each gets the same share, and what a small branch does
not need goes to the larger ones. So a member that floods the roll displaces its own statements, not those of others,
and no member can prevent its own revocation.

The result depends only on the set of statements, so two devices that have exchanged their rolls have the same roll.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Final

from memcrdt.model.membership import heard, membership
from memcrdt.model.relays import relays_in_force
from memcrdt.model.statements import ROLL_BYTES, STATEMENTS, Statement

UNIT_BYTES: Final = ROLL_BYTES // STATEMENTS  # a roll has room for STATEMENTS units; a long statement takes several


def retained(creator: str, statements: Collection[Statement]) -> list[Statement]:
    """Return the statements of a space that a device keeps.

    Args:
        creator: The device id in the space's id.
        statements: Different statements whose signatures have been checked, in any order.
    """
    said = heard(creator, statements)
    if _size(said) <= STATEMENTS:
        return said
    said = _with_effect(creator, said)
    if _size(said) <= STATEMENTS:
        return said
    return _shared_out(creator, _branches(creator, said))


@dataclass(slots=True)
class _Branch:
    """A device in the tree of adds, and everything that it and the devices below it signed.

    Attributes:
        parent: The device that added it first, seen from the creator; empty for the creator.
        edge: The add with which the parent did so; None for the creator.
        own: Its other statements.
        children: The devices that it added first.
        size: The units of the whole branch.
    """

    parent: str = ""
    edge: Statement | None = None
    own: list[Statement] = field(default_factory=list)
    children: list[str] = field(default_factory=list)
    size: int = 0


def _units(statement: Statement) -> int:
    return -(-len(statement.packed()) // UNIT_BYTES)


def _size(statements: Collection[Statement]) -> int:
    return sum(map(_units, statements))


def _with_effect(creator: str, said: Sequence[Statement]) -> list[Statement]:
    """Return the revocations, the adds that stand or that the revocations need to be heard, and the relays in force."""
    known = membership(creator, said)
    standing = known.standing | {each.id for each in relays_in_force(known, said)}
    branches = _branches(creator, said)
    needed: set[bytes] = set()
    for statement in said:
        device = statement.by
        while statement.claim.kind == "revoke" and (edge := branches[device].edge) and edge.id not in needed:
            needed.add(edge.id)
            device = edge.by
    return [each for each in said if each.claim.kind == "revoke" or each.id in standing or each.id in needed]


def _branches(creator: str, said: Sequence[Statement]) -> dict[str, _Branch]:
    """Return the tree of adds by device, from the creator downwards. Every statement is in exactly one branch."""
    by_signer: dict[str, list[Statement]] = defaultdict(list)
    for statement in sorted(said, key=_importance):
        by_signer[statement.by].append(statement)
    branches, waiting = {creator: _Branch()}, deque([creator])
    while waiting:
        device = waiting.popleft()
        branch = branches[device]
        for statement in by_signer[device]:
            claim = statement.claim
            if claim.kind != "add" or claim.read_only or claim.device in branches:
                branch.own.append(statement)
            else:
                branches[claim.device] = _Branch(device, statement)
                branch.children.append(claim.device)
                waiting.append(claim.device)
    for branch in reversed(branches.values()):
        branch.size += _size(branch.own) + (_units(branch.edge) if branch.edge else 0)
        if branch.edge:
            branches[branch.parent].size += branch.size
    return branches


def _shared_out(creator: str, branches: dict[str, _Branch]) -> list[Statement]:
    """Return the statements that fit if every branch gets its share."""
    chosen: list[Statement] = []
    waiting = [(creator, STATEMENTS)]
    while waiting:
        device, room = waiting.pop()
        branch = branches[device]
        if branch.edge:
            room -= _units(branch.edge)
            if room < 0:
                continue
            chosen.append(branch.edge)
        below = sum(branches[child].size for child in branch.children)
        for_own = max(room // 2, room - below)
        for statement in branch.own:
            if _units(statement) <= for_own:
                chosen.append(statement)
                for_own -= _units(statement)
                room -= _units(statement)
        waiting += _shares(room, {child: branches[child].size for child in branch.children})
    return chosen


def _shares(room: int, sizes: dict[str, int]) -> list[tuple[str, int]]:
    """Return the room for each branch: the same for all, except that no branch gets more than it needs."""
    shares = []
    for done, (device, size) in enumerate(sorted(sizes.items(), key=lambda item: (item[1], item[0]))):
        share = min(size, room // (len(sizes) - done))
        shares.append((device, share))
        room -= share
    return shares


def _importance(statement: Statement) -> tuple[int, bytes]:
    """Return the sort key of the statements of one device. Revocations come first, then adds; no date matters."""
    return ("revoke", "add", "relays").index(statement.claim.kind), statement.id
