"""Spaces, devices and the state of the home, as a caller may see and change them.

A caller learns of the spaces that it opens and of the devices that share them. Only one with the right `admin` changes
who they are, and only in its own spaces: what it was told by a text cannot let a stranger into another one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from memcrdt.errors import NotFoundError, ReadOnlyError
from memcrdt.memory.devices import Device
from memcrdt.memory.retention import Budget
from memcrdt.memory.sync import Serving
from memcrdt.model.scopes import PERSONAL
from memcrdt.model.serialization import Record
from memcrdt.model.values import from_ms
from memcrdt.search.searcher import SearchStatus
from memcrdt.service.service import Service
from memcrdt.service.verdict import Verdict, verdict
from memcrdt.store.alarms import StoreAlarm
from memcrdt.store.membership.sharing import SpaceMember
from memcrdt.store.overview import SpaceStatus
from memcrdt.store.spaces import LOCAL, space_names

if TYPE_CHECKING:
    from memcrdt.memory.status import Status
    from memcrdt.store.recovery.doctor import DoctorReport


@dataclass(frozen=True, slots=True, kw_only=True)
class Health(Record):
    """The state of a home, as far as a caller may see it.

    Attributes:
        verdict: Whether the devices have the same memories, in a sentence.
        device: The id of this device.
        serving: The process that runs the network, or None.
        size: The size of the store in bytes.
        budget: The bytes in use and the limit.
        search: The model in use and its backlog.
        alarms: The alarms that nobody has acknowledged. Empty without the right `admin`, because they name devices.
    """

    verdict: Verdict
    device: str
    serving: Serving | None
    size: int
    budget: Budget
    search: SearchStatus
    alarms: tuple[StoreAlarm, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class RevokedDevice(Record):
    """The result of revoking a device.

    Attributes:
        device: The device id.
        unheard: The shared spaces that this device may only read. Their members do not learn of the revocation.
    """

    device: str
    unheard: tuple[str, ...]


def spaces(service: Service) -> list[SpaceStatus]:
    """Return the spaces of the caller."""
    return list(_status(service).spaces)


def space(service: Service, name: str) -> SpaceStatus:
    """Return one space of the caller. Raises NotFoundError."""
    service.access.to_read(name)
    for each in spaces(service):
        if each.name == name:
            return each
    raise NotFoundError(f"there is no space called {name[:60]!r} here")


def members(service: Service, name: str) -> list[SpaceMember]:
    """Return the members of a space, and the devices that were revoked from it. Raises NotFoundError."""
    service.access.to_read(name)
    return list(service.memory.space(name).members(revoked=True))


def invite_member(service: Service, name: str, device: str) -> list[SpaceMember]:
    """Share a space with an accepted device. Raises as Space.invite() does, and ReadOnlyError without `admin`."""
    service.access.check("admin")
    service.access.to_read(name)
    service.memory.space(name).invite(_known(service, device).device)
    return members(service, name)


def revoke_member(service: Service, name: str, device: str) -> list[SpaceMember]:
    """Remove a device from a space, for all members. Raises as Space.revoke() does."""
    service.access.check("admin")
    service.access.to_read(name)
    service.memory.space(name).revoke(device)
    return members(service, name)


def devices(service: Service) -> list[Device]:
    """Return the other devices that share a space of the caller; with the right `admin` also unknown ones that tried.

    Without that right, addresses are left out.
    """
    is_admin = "admin" in service.access.rights
    found = [each for each in service.memory.devices() if _shares(service, each) or (is_admin and not each.spaces)]
    return [_shown(service, each, is_admin=is_admin) for each in found]


def device(service: Service, name: str) -> Device:
    """Return one of these devices, by its id, its name, or the first characters of one. Raises NotFoundError."""
    return _shown(service, _known(service, name), is_admin="admin" in service.access.rights)


def accept(
    service: Service, device: str, *, name: str | None, address: str | None, spaces: Iterable[str] | None
) -> Device:
    """Trust a device and share spaces of the caller with it. Raises as Sync.accept() does.

    The default is the usual space of the caller.
    """
    service.access.check("admin")
    shared = [service.access.one(None)] if spaces is None else list(service.access.to_read(tuple(spaces)) or ())
    return service.memory.accept(device, name=name, address=address, spaces=shared)


def revoke(service: Service, name: str) -> RevokedDevice:
    """Stop trusting a device, and remove it from every space.

    Raises:
        NotFoundError: The caller may not know of the device.
        ReadOnlyError: The caller lacks the right `admin`, or a space that the device shares.
    """
    service.access.check("admin")
    found = _known(service, name)
    check_every_space(service, found.spaces)
    return RevokedDevice(device=found.device, unheard=service.memory.revoke(found.device))


def check_every_space(service: Service, wanted: Iterable[str] | None = None) -> None:
    """Raise ReadOnlyError if the caller does not open all of these spaces, by default all that can be shared."""
    if wanted is None:
        with service.memory.store.reading() as db:
            wanted = [name for name in space_names(db) if name != LOCAL]
    if not all(map(service.access.sees, wanted)):
        raise ReadOnlyError("this concerns spaces that the token does not open; nothing was changed")


def pairing_options(service: Service, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of Sync.invite() for a caller. Raises ReadOnlyError, NotFoundError."""
    service.access.check("admin")
    asked = given.get("spaces") or [PERSONAL if service.access.sees(PERSONAL) else service.access.one(None)]
    return {**given, "spaces": list(service.access.to_read(tuple(asked)) or asked)}


def health(service: Service) -> Health:
    """Return the state of the home."""
    status = _status(service)
    is_admin = "admin" in service.access.rights
    return Health(
        verdict=verdict(status, from_ms(service.memory.store.now_ms())),
        device=status.device,
        serving=status.serving,
        size=status.size,
        budget=status.budget,
        search=status.search,
        alarms=status.alarms if is_admin else (),
    )


def acknowledge(service: Service) -> list[StoreAlarm]:
    """Hide the present alarms, and return them. Raises ReadOnlyError."""
    service.access.check("admin")
    return list(service.memory.acknowledge_alarms())


def examine(service: Service) -> DoctorReport:
    """Check every row of the store. Nothing is changed. Raises ReadOnlyError."""
    service.access.check("admin")
    return service.memory.doctor()


def _status(service: Service) -> Status:
    """Return the status, with the spaces and the devices of the caller."""
    status = service.memory.status()
    peers = tuple(each for each in status.peers if each.state == "accepted" and _shares(service, each))
    seen = tuple(each for each in status.spaces if service.access.sees(each.name))
    mirrors = tuple(each for each in status.mirrors if service.access.sees(each.space))
    return replace(status, peers=peers, spaces=seen, mirrors=mirrors)


def _shares(service: Service, device: Device) -> bool:
    return service.access.spaces is None or any(map(service.access.sees, device.spaces))


def _known(service: Service, name: str) -> Device:
    """Return a device that the caller may know of. Raises InputError, NotFoundError."""
    found = service.memory.sync.find(name)
    is_admin = "admin" in service.access.rights
    for each in service.memory.devices():
        if each.device == found and (_shares(service, each) or (is_admin and not each.spaces)):
            return each
    raise NotFoundError("this token knows of no such device")


def _shown(service: Service, device: Device, *, is_admin: bool) -> Device:
    seen = tuple(name for name in device.spaces if service.access.sees(name))
    if is_admin:
        return replace(device, spaces=seen)
    return replace(device, spaces=seen, address=None, addresses=(), error=None)
