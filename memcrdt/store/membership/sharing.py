"""The members of a space as users see and change them. members.py signs statements about the changes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from memcrdt.errors import InputError, NotFoundError, ReadOnlyError
from memcrdt.model.device_ids import shown
from memcrdt.model.serialization import Record
from memcrdt.store.membership.refusals import name_of, revocation
from memcrdt.store.membership.shares import NO_INVITATION, revoke_if_alone, revoked_here, shared_with, withdrawn
from memcrdt.store.membership.statement_store import creator_of, known_members, revoked_by
from memcrdt.store.spaces import LOCAL, is_read_only, shareable_space_number, space_name, space_number
from memcrdt.store.sql import SqlConnection

if TYPE_CHECKING:
    from memcrdt.store.base import BaseStore
    from memcrdt.store.reading import Readable

Rights = Literal["read", "read and write"]

_RIGHTS: Final[tuple[Rights, Rights]] = ("read and write", "read")  # by read_only


@dataclass(frozen=True, slots=True, kw_only=True)
class SpaceMember(Record):
    """A device that shares a space, or was revoked from it.

    Attributes:
        device: The device id.
        name: The local name of the device; None if it has none here.
        rights: `read` or `read and write`; None for a revoked device.
        state: `member` or `revoked`.
        ours: Whether it is this device.
    """

    device: str
    name: str | None
    rights: Rights | None
    state: Literal["member", "revoked"]
    ours: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Audience:
    """The audience of a space.

    Attributes:
        space: The name of the space.
        others: Whether other devices share it.
        revoked_by: The name (or the id) of the device that revoked this device from it, so that other devices refuse
            its writes; None if this device was not revoked.
    """

    space: str
    others: bool
    revoked_by: str | None


def audience(store: BaseStore[SqlConnection], space: int) -> Audience:
    """Return the audience of a space (its local number)."""
    with store.reading() as db:
        found = revocation(db, space)
        return Audience(
            space=space_name(db, space),
            others=bool(shared_with(db, space)),
            revoked_by=None if found is None else name_of(db, found.by),
        )


_SHARED_WITH: Final = """
SELECT s.id, s.name FROM spaces s JOIN shares USING(space) JOIN peers p USING(device)
WHERE device = ? AND p.state = 'accepted' AND s.name <> ? ORDER BY s.id"""

_DEVICES: Final = """
SELECT device FROM shares JOIN spaces s USING(space) JOIN peers p USING(device)
WHERE s.id = ? AND s.name <> ? AND p.state = 'accepted'"""

_READ_ONLY: Final = """
SELECT read_only FROM shares JOIN peers USING(device) WHERE space = ? AND device = ? AND state = 'accepted'"""

_HAS_MEMBERS: Final = """
SELECT EXISTS(SELECT 1 FROM shares WHERE space = ?1) OR EXISTS(SELECT 1 FROM members WHERE space = ?1)"""


def spaces_shared_with(db: SqlConnection, device: str) -> list[tuple[str, str]]:
    """Return the id and name of each space that is shared with an accepted device, ordered by id."""
    return [(str(space), str(name)) for space, name in db.execute(_SHARED_WITH, (device, LOCAL))]


def devices_sharing(db: SqlConnection, space: str) -> frozenset[str]:
    """Return the accepted devices that share the space with the id `space`."""
    return frozenset(device for (device,) in db.execute(_DEVICES, (space, LOCAL)))


def rights_of(db: SqlConnection, space: int, device: str) -> Rights | None:
    """Return the rights of another device in a space (its local number); None if it does not share the space."""
    read_only: int | None = db.execute(_READ_ONLY, (space, device)).get
    return None if read_only is None else _RIGHTS[bool(read_only)]


def has_members(db: SqlConnection, space: int) -> bool:
    """Return whether the space (its local number) is or was shared with other devices."""
    return bool(db.execute(_HAS_MEMBERS, (space,)).get)


def check_may_invite(db: SqlConnection, names: Iterable[str], device: str) -> None:
    """Check that this device may invite another device into these spaces.

    Raises:
        ReadOnlyError: This device may only read a space that the other device does not share yet.
        InputError: A space is `local`.
        NotFoundError: There is no such space.
    """
    for name in names:
        space = shareable_space_number(db, name)
        if is_read_only(db, space) and device not in known_members(db, space).members:
            raise ReadOnlyError(NO_INVITATION.format(name=name))


def share(db: SqlConnection, space: int, device: str, *, read_only: bool) -> None:
    """Share a space (its local number) with an accepted device. A device that already shares it keeps its rights.

    Raises:
        InputError: The device was revoked from the space, or is to become read-only but may already write.
    """
    if device in known_members(db, space).revoked:
        raise InputError(
            f"the device {shown(device)} was revoked, and other devices know it; to come back it needs a new key:"
            " move its device.key away, start it again, and pair it"
        )
    db.execute("DELETE FROM withdrawn WHERE space = ? AND device = ?", (space, device))
    for table in ("invited", "shares"):
        sql = f"INSERT INTO {table}(space, device, read_only) VALUES(?, ?, ?) ON CONFLICT DO NOTHING"
        db.execute(sql, (space, device, read_only))
    if read_only and not shared_with(db, space)[device]:
        name = space_name(db, space)
        raise InputError(
            f"the device {shown(device)} may already write the space {name!r}, and this right cannot be withdrawn; to"
            " let it only read, revoke it and pair it with a new key"
        )


def invite(store: BaseStore[SqlConnection], name: str, device: str) -> None:
    """Share a space with an accepted device, with write access. Raises InputError, NotFoundError, ReadOnlyError."""
    _check_other(store, name, device)
    with store.writing() as db:
        check_may_invite(db, (name,), device)
        state = db.execute("SELECT state FROM peers WHERE device = ?", (device,)).get
        if state is None:
            raise NotFoundError(
                f"no device {shown(device)} is known here; pair it (memcrdt pair), or accept its id (memcrdt accept)"
            )
        if state != "accepted":
            has = "was revoked" if state == "revoked" else "has only tried to connect"
            raise InputError(f"the device {shown(device)} {has} and is not accepted; run memcrdt accept first")
        share(db, shareable_space_number(db, name), device, read_only=False)


def revoke(store: BaseStore[SqlConnection], name: str, device: str) -> None:
    """Remove a device from a space. Revoke it entirely if no other space is shared with it.

    A second call does nothing.

    Raises:
        InputError: The device is this device, or the space is `local`.
        ReadOnlyError: This device may only read the space.
        NotFoundError: There is no such space, or the device does not share it.
    """
    _check_other(store, name, device)
    with store.writing() as db:
        space = shareable_space_number(db, name)
        if is_read_only(db, space):
            raise ReadOnlyError(
                f"this device may only read the space {name!r}, so it cannot revoke; do that on a device that may write"
            )
        known = known_members(db, space)
        if device in known.revoked - known.contested | revoked_by(db, space, store.device):
            return
        if device not in {*known.members, *known.contested, *shared_with(db, space), *withdrawn(db, space)}:
            raise NotFoundError(
                f"the device {shown(device)} does not share the space {name!r}; `memcrdt space members {name}`"
                " lists the devices that do"
            )
        db.execute("INSERT INTO withdrawn(space, device) VALUES(?, ?) ON CONFLICT DO NOTHING", (space, device))
        for table in ("shares", "invited"):
            db.execute(f"DELETE FROM {table} WHERE space = ? AND device = ?", (space, device))
        revoke_if_alone(db, device)


def confirm_revocations(db: SqlConnection, own: str, device: str) -> None:
    """Decide to revoke the device from the spaces from which only devices that depend on it have revoked it.

    Args:
        db: A connection with the write lock.
        own: The id of this device.
        device: The id of the other device.
    """
    for (space,) in list(db.execute("SELECT space FROM spaces")):
        if device in known_members(db, space).contested - revoked_by(db, space, own):
            db.execute("INSERT INTO withdrawn(space, device) VALUES(?, ?) ON CONFLICT DO NOTHING", (space, device))


def members(store: Readable, name: str) -> list[SpaceMember]:
    """Return the devices that share the space or were revoked, this device first, then by id. Raises NotFoundError."""
    with store.reading() as db:
        space = space_number(db, name)
        if creator_of(db, space) == store.device and not (has_members(db, space) or withdrawn(db, space)):
            rights = _RIGHTS[is_read_only(db, space)]
            return [SpaceMember(device=store.device, name=None, rights=rights, state="member", ours=True)]
        known, shared = known_members(db, space), shared_with(db, space)
        reads = {device for device, read_only in shared.items() if read_only}
        reads |= {device for device, member in known.members.items() if member.read_only}
        names = {device: member.name for device, member in known.members.items() if member.name}
        names |= dict(db.execute("SELECT device, name FROM peers WHERE name IS NOT NULL"))
        out = known.revoked | withdrawn(db, space) | (known.members.keys() & set(revoked_here(db)))
        if is_read_only(db, space):
            reads.add(store.device)
        if revocation(db, space):
            out |= {store.device}
    return [
        SpaceMember(
            device=device,
            name=names.get(device),
            rights=None if device in out else _RIGHTS[device in reads],
            state="revoked" if device in out else "member",
            ours=device == store.device,
        )
        for device in dict.fromkeys((store.device, *sorted({*shared, *known.members, *out})))
    ]


def _check_other(store: BaseStore[SqlConnection], name: str, device: str) -> None:
    if device == store.device:
        raise InputError(f"that is this device's own id; to leave the space, run: memcrdt space leave {name}")
