"""The relays of a space: a pure function of the set of its signed statements, whatever the order of their arrival.

A list of relays names other lists, and replaces them. So a list wins against those that it replaces,
and two lists that were signed at the same time are both in force, until a further one replaces both. Dates have no
effect. Only lists of members that may write count. When a device is revoked, its lists count no more, nor does it count
what they replaced: the lists before them are in force again.

A relay is trusted with nothing, so a member that lists a bad one only causes delay.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from itertools import islice
from typing import NamedTuple

from memcrdt.model.membership import Membership
from memcrdt.model.relay_addresses import RELAYS
from memcrdt.model.statements import KEPT, Statement


class NextList(NamedTuple):
    """The content of a list of relays, and the ids of the lists that it replaces."""

    relays: tuple[str, ...]
    replaces: tuple[bytes, ...]


def relays_in_force(known: Membership, statements: Iterable[Statement]) -> list[Statement]:
    """Return the lists of relays that count, ordered by id.

    Args:
        known: The members by the same statements.
        statements: Statements whose signatures have been checked, in any order.
    """
    lists = [each for each in statements if each.claim.kind == "relays" and known.may_write(each.by)]
    replaced = {former for each in lists for former in each.claim.replaces}
    return sorted((each for each in lists if each.id not in replaced), key=lambda each: each.id)


def named_relays(in_force: Iterable[Statement]) -> dict[str, str]:
    """Return all relays in the lists, and for each of them a device that lists it."""
    named: dict[str, str] = {}
    for each in in_force:
        for relay in each.claim.relays:
            named.setdefault(relay, each.by)
    return named


def listed_relays(in_force: Iterable[Statement]) -> dict[str, str]:
    """Return the relays of a space, of which there are at most four: the first ones of named_relays()."""
    return dict(islice(named_relays(in_force).items(), RELAYS))


def next_list(in_force: Iterable[Statement], own: str, added: Iterable[str], removed: Collection[str]) -> NextList:
    """Return the list that a device signs to add and remove relays.

    It replaces the device's own lists, and those that name a removed relay. So whoever adds a relay takes over none of
    another device, and the relays of a hostile device go with its revocation.

    Args:
        in_force: The lists in force.
        own: The id of the device.
        added: The relays to add.
        removed: The relays to remove.
    """
    replaced = [each for each in in_force if each.by == own or set(removed) & set(each.claim.relays)][:KEPT]
    kept = [relay for relay in named_relays(replaced) if relay not in removed]
    relays = tuple(dict.fromkeys([*kept, *added]))[:RELAYS]
    return NextList(relays, tuple(each.id for each in replaced))
