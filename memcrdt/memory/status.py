"""`memory.status()`: the state of a home, its contents, and the devices that share it."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import dataclass
from pathlib import Path

from memcrdt.memory.devices import Device, device_of
from memcrdt.memory.retention import Budget, Retention
from memcrdt.memory.sync import Serving
from memcrdt.mirror.records import MirrorInfo, MirrorRecords
from memcrdt.model.serialization import Record
from memcrdt.search.searcher import SearchStatus
from memcrdt.store import alarms, overview
from memcrdt.store.alarms import StoreAlarm
from memcrdt.store.base import AnyStore
from memcrdt.store.overview import SpaceStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Status(Record):
    """The state of a home.

    Attributes:
        home: The folder, or None for a store in memory.
        device: The id of this device.
        serving: The process that runs the network, or None while no process does.
        size: The size of the store in bytes.
        budget: The bytes in use and the limit.
        search: The model in use and its backlog.
        ignored: The number of registers that are malformed or belong to no memory. They are kept and not shown.
        quarantined: The number of refused updates.
        to_scrub: The number of shards with bytes of forgotten memories that wait to be scrubbed.
        alarms: The alarms that nobody has acknowledged, oldest first.
        acknowledged: The alarms that were acknowledged and whose cause is still the same.
        spaces: The spaces with their sizes and digests.
        peers: The other devices, as Memory.devices() returns them.
        mirrors: The mirrored folders, as Mirrors.list() returns them.
    """

    home: str | None
    device: str
    serving: Serving | None
    size: int
    budget: Budget
    search: SearchStatus
    ignored: int
    quarantined: int
    to_scrub: int
    alarms: tuple[StoreAlarm, ...]
    acknowledged: tuple[StoreAlarm, ...]
    spaces: tuple[SpaceStatus, ...]
    peers: tuple[Device, ...]
    mirrors: tuple[MirrorInfo, ...]


def status_of(
    home: Path | None,
    store: AnyStore,
    serving: Serving | None,
    retention: Retention,
    search: SearchStatus,
) -> Status:
    """Combine the parts into the status for users."""
    held = overview.overview(store, served=serving is not None)
    new, seen = _alarms(store, retention)
    if not store.options.read_only:
        _forget_acknowledgments(store, {alarm.id for alarm in seen})
    return Status(
        home=None if home is None else str(home),
        device=held.device,
        serving=serving,
        size=held.size,
        budget=retention.budget(),
        search=search,
        ignored=held.ignored,
        quarantined=held.quarantined,
        to_scrub=held.to_scrub,
        alarms=new,
        acknowledged=seen,
        spaces=held.spaces,
        peers=tuple(device_of(peer) for peer in held.peers),
        mirrors=() if home is None else tuple(MirrorRecords(home).all()),
    )


def acknowledge(store: AnyStore, retention: Retention) -> tuple[StoreAlarm, ...]:
    """Acknowledge the present alarms, and return those that were not acknowledged before."""
    new, seen = _alarms(store, retention)
    if new:
        with store.writing() as db:
            known, now = alarms.acknowledged(db), store.now_ms()
            alarms.acknowledge(db, {alarm.id: known.get(alarm.id, now) for alarm in (*new, *seen)})
    return new


def _alarms(store: AnyStore, retention: Retention) -> tuple[tuple[StoreAlarm, ...], tuple[StoreAlarm, ...]]:
    """Return the present alarms: those that nobody has acknowledged, and the others."""
    present = (*overview.alarms_of(store), *retention.alarms())
    with store.reading() as db:
        known = alarms.acknowledged(db)
    return tuple(each for each in present if each.id not in known), tuple(each for each in present if each.id in known)


def _forget_acknowledgments(store: AnyStore, present: Set[str]) -> None:
    """Forget acknowledgments of alarms that have ended, so that an alarm is shown if its cause comes back."""
    with store.reading() as db:
        has_ended = not alarms.acknowledged(db).keys() <= present
    if has_ended:
        with store.writing() as db:
            still = {alarm: at for alarm, at in alarms.acknowledged(db).items() if alarm in present}
            alarms.acknowledge(db, still)
