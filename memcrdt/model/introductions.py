"""How a member that another has invited shows so to a member that has not heard of it.

It presents the statements that lead from the creator of the space to itself: the shortest chain of adds.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from memcrdt.model.statements import Statement, membership


def chain(creator: str, device: str, statements: Collection[Statement]) -> list[Statement] | None:
    """The adds that make the device a member, from the creator on; None if it is none, or there is no such chain."""
    known = membership(creator, statements)
    if device not in known.members:
        return None
    paths: dict[str, list[Statement]] = {creator: []}
    fresh = [creator]
    while fresh and device not in paths:
        signer = fresh.pop(0)
        for statement in statements:
            claim = statement.claim
            if claim.kind != "add" or statement.by != signer or claim.device in paths:
                continue
            if claim.device == device or known.may_write(claim.device):
                paths[claim.device] = [*paths[signer], statement]
                fresh.append(claim.device)
    return paths.get(device)


def vouches(creator: str, known: Sequence[Statement], presented: Sequence[Statement], device: str) -> bool:
    """Whether the device is a member once `presented` is heard, and only adds by members were presented: a stranger
    must not be able to fill a list of members with its own. The signatures have been checked."""
    after = membership(creator, [*known, *presented])
    genuine = all(each.claim.kind == "add" and after.may_write(each.by) for each in presented)
    return genuine and device in after.members
