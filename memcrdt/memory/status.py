"""`memory.status()`: the state of a home, its contents, and the devices that share it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from memcrdt.memory.devices import Device, device_of
from memcrdt.memory.retention import Budget
from memcrdt.memory.sync import Serving
from memcrdt.model.serialization import Record
from memcrdt.search.searcher import SearchStatus
from memcrdt.store.meta import StoreAlarm
from memcrdt.store.overview import SpaceStatus, StoreStatus


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
        alarms: The alarms, oldest first.
        spaces: The spaces with their sizes and digests.
        peers: The other devices, as Memory.devices() returns them.
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
    spaces: tuple[SpaceStatus, ...]
    peers: tuple[Device, ...]


def status_of(
    home: Path | None, store: StoreStatus, serving: Serving | None, budget: Budget, search: SearchStatus
) -> Status:
    """Combine the parts into the status for users."""
    return Status(
        home=None if home is None else str(home),
        device=store.device,
        serving=serving,
        size=store.size,
        budget=budget,
        search=search,
        ignored=store.ignored,
        quarantined=store.quarantined,
        to_scrub=store.to_scrub,
        alarms=store.alarms,
        spaces=store.spaces,
        peers=tuple(device_of(peer) for peer in store.peers),
    )
