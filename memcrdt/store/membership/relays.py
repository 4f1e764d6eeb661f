"""The relays of spaces: what signed lists say, and what the user of this device has decided since.

A decision counts at once on this device. Members.settle() signs a list that contains it, if this device may write.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from memcrdt.errors import InputError, NotFoundError, ReadOnlyError
from memcrdt.model.relay_addresses import RELAYS
from memcrdt.model.serialization import Record
from memcrdt.store.membership.statement_store import known_members, statements_of
from memcrdt.store.spaces import LOCAL, is_read_only, shareable_space_number, space_name, space_number
from memcrdt.store.sql import SqlConnection

if TYPE_CHECKING:
    from memcrdt.model.relays import NextList
    from memcrdt.model.statements import Statement
    from memcrdt.store.base import BaseStore
    from memcrdt.store.reading import Readable


@dataclass(frozen=True, slots=True, kw_only=True)
class SpaceRelay(Record):
    """A relay at which the members of a space meet if no direct path works.

    Attributes:
        address: Its address, as HOST:PORT.
        space: The name of the space.
        listed_by: The id of a device that lists it; this device's own id while its list is not signed yet.
    """

    address: str
    space: str
    listed_by: str


def relays_of(store: Readable, name: str) -> tuple[SpaceRelay, ...]:
    """Return the relays of the space called `name`. Raises NotFoundError."""
    with store.reading() as db:
        found = _listed(db, space_number(db, name))
    return tuple(SpaceRelay(address=relay, space=name, listed_by=by or store.device) for relay, by in found.items())


def add_relay(store: BaseStore[SqlConnection], name: str, relay: str) -> None:
    """List a relay. A second call does nothing.

    Args:
        store: The store.
        name: The name of the space.
        relay: The address as relay_address() returns it.

    Raises:
        InputError: The space is `local`, or lists four relays already.
        NotFoundError: There is no such space.
        ReadOnlyError: This device may only read the space.
    """
    with store.writing() as db:
        space = _writable(db, name)
        listed = _listed(db, space)
        if relay not in listed and len(listed) >= RELAYS:
            raise InputError(
                f"the space {name!r} lists {RELAYS} relays already, which is the maximum; remove one first: memcrdt"
                f" relays remove {next(iter(listed))} --space {name}"
            )
        if relay not in listed:
            decide(db, space, relay)


def remove_relay(store: BaseStore[SqlConnection], name: str, relay: str) -> None:
    """List a relay no longer, whichever device has listed it.

    Args:
        store: The store.
        name: The name of the space.
        relay: The address as relay_address() returns it.

    Raises:
        InputError: The space is `local`.
        NotFoundError: There is no such space, or it does not list the relay.
        ReadOnlyError: This device may only read the space.
    """
    with store.writing() as db:
        space = _writable(db, name)
        if relay not in _listed(db, space):
            raise NotFoundError(
                f"the space {name!r} does not list the relay {relay}; `memcrdt relays list` shows the relays"
            )
        db.execute(_DECIDE, (space, relay, 0))
        forget_decisions(db, space)


def meet_at(store: BaseStore[SqlConnection], names: Iterable[str], relay: str) -> None:
    """List a relay for spaces because it has joined this device and a new member. A full list stays as it is.

    On a device that may only read, the relay is listed for this device alone.
    """
    with store.writing() as db:
        for name in names:
            space = shareable_space_number(db, name)
            if len(_listed(db, space)) < RELAYS:
                decide(db, space, relay)


def decide(db: SqlConnection, space: int, relay: str) -> None:
    """Note that a relay is to be listed for a space (its local number). `db` has the write lock."""
    db.execute(_DECIDE, (space, relay, 1))
    forget_decisions(db, space)


def forget_decisions(db: SqlConnection, space: int) -> None:
    """Delete the decisions about a space (its local number) with which the signed lists agree."""
    if decided := _decided(db, space):
        signed = _signed(db, space)
        settled = [(space, relay) for relay, listed in decided.items() if listed == (relay in signed)]
        db.executemany("DELETE FROM relay_decisions WHERE space = ? AND relay = ?", settled)


def decide_again(db: SqlConnection, space: int, own: str) -> None:
    """Make decisions of the relays that this device has listed itself, before the lists of a space become void."""
    for relay, by in _signed(db, space).items():
        if by == own:
            db.execute(_DECIDE_AGAIN, (space, relay))


def list_due(db: SqlConnection, space: int, own: str) -> NextList | None:
    """Return the list that this device (`own`) has to sign for a space (its local number), or None."""
    if not (decided := _decided(db, space)):
        return None
    from memcrdt.model.relays import next_list

    signed, in_force = _signed(db, space), _in_force(db, space)
    added = [relay for relay, listed in decided.items() if listed and relay not in signed]
    removed = [relay for relay, listed in decided.items() if not listed and relay in signed]
    due = next_list(in_force, own, added, removed)
    return due if removed or set(due.relays) & set(added) else None


def relays_by_device(store: Readable) -> dict[str, tuple[str, ...]]:
    """Return, for each device that shares a space, the relays of the spaces that it shares."""
    found: dict[str, dict[str, None]] = {}
    with store.reading() as db:
        shares = list(db.execute(_SHARES, (LOCAL,)))
        listed = {int(space): _listed(db, int(space)) for space in dict.fromkeys(space for space, _ in shares)}
        for space, device in shares:
            found.setdefault(str(device), {}).update(dict.fromkeys(listed[int(space)]))
    return {device: tuple(relays) for device, relays in found.items()}


def _listed(db: SqlConnection, space: int) -> dict[str, str]:
    """Return the relays of a space, and who lists each; empty for a decision of this device."""
    decided = _decided(db, space)
    signed = {relay: by for relay, by in _signed(db, space).items() if decided.get(relay, True)}
    added = [relay for relay, listed in decided.items() if listed]
    return dict([*signed.items(), *((relay, "") for relay in added if relay not in signed)][:RELAYS])


def _signed(db: SqlConnection, space: int) -> dict[str, str]:
    """Return all relays that signed lists name, and who lists each."""
    if not (in_force := _in_force(db, space)):
        return {}
    from memcrdt.model.relays import named_relays

    return named_relays(in_force)


def _in_force(db: SqlConnection, space: int) -> list[Statement]:
    lists = [each for each in statements_of(db, space) if each.claim.kind == "relays"]
    if not lists:  # as in most spaces
        return []
    from memcrdt.model.relays import relays_in_force

    return relays_in_force(known_members(db, space), lists)


def _decided(db: SqlConnection, space: int) -> dict[str, bool]:
    rows: Iterable[tuple[str, int]] = db.execute(_DECISIONS, (space,))
    return {str(relay): bool(listed) for relay, listed in rows}


def _writable(db: SqlConnection, name: str) -> int:
    space = shareable_space_number(db, name)
    if is_read_only(db, space):
        raise ReadOnlyError(
            f"this device may only read the space {space_name(db, space)!r}, so it cannot change its relays; do that on"
            " a device that may write"
        )
    return space


_DECIDE: Final = (
    "INSERT INTO relay_decisions(space, relay, listed) VALUES(?, ?, ?)"
    " ON CONFLICT(space, relay) DO UPDATE SET listed = excluded.listed"
)
_DECIDE_AGAIN: Final = "INSERT INTO relay_decisions(space, relay, listed) VALUES(?, ?, 1) ON CONFLICT DO NOTHING"
_DECISIONS: Final = "SELECT relay, listed FROM relay_decisions WHERE space = ? ORDER BY relay"
_SHARES: Final = "SELECT space, device FROM shares JOIN spaces USING(space) WHERE name <> ? ORDER BY space, device"
