"""`memory.sync`: the other devices, whom to trust, what to share with them, and when to sync with them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias

from memcrdt.memory.devices import Device, device_of
from memcrdt.model import checks
from memcrdt.model.device_ids import parse_device_id
from memcrdt.model.requests import PERSONAL
from memcrdt.store import overview
from memcrdt.store.membership import sharing
from memcrdt.store.membership.peers import Peers
from memcrdt.store.store import Store

POLL_S: Final = 0.05  # between two looks whether the devices agree

Look: TypeAlias = Callable[[], bool | None]  # whether the devices agree; None while that is open; never waits


@dataclass(frozen=True, slots=True)
class Serving:
    """The process that runs the network of a home, and the port it listens on (None: it does not listen)."""

    pid: int
    port: int | None


class Network(Protocol):
    """What Sync needs of the network. memcrdt.node.node implements it."""

    def start(self, **options: Any) -> None:
        """Start the background task in a thread of its own. Raises PeerError or StoreError."""
        ...

    def stop(self) -> None:
        """End the background task. Does nothing when it was not started."""
        ...

    def asking(self, timeout_s: float | None, peers: list[str] | None) -> AbstractContextManager[Look]:
        """Sync with the devices while the context is entered; the Look tells whether all hold the same, for which
        they have `timeout_s`. Raises NotFoundError."""
        ...

    def serving(self) -> Serving | None:
        """Return the process that runs the network of this home, this one or another; None if none does."""
        ...

    def address(self, text: str) -> str:
        """Return HOST[:PORT] in the form in which it is remembered. Raises InputError."""
        ...


class Sync:
    """Sync of one memory with other devices: `memory.sync`.

    Device ids may be written as people see them, in groups with check characters. Every method that takes one raises
    InputError for a mistyped id.
    """

    def __init__(self, store: Store, network: Network) -> None:
        self._store = store
        self._network = network

    def start(self, /, **options: Any) -> None:
        """Run the network in a thread of its own, until stop() or the end of the memory. See Memory.start_sync()."""
        self._network.start(**options)

    def stop(self) -> None:
        """End what start() began. A second call does nothing."""
        self._network.stop()

    def serving(self) -> Serving | None:
        """Return the process that runs the network of this home, this one or another; None if none does."""
        return self._network.serving()

    def wait(self, *, timeout: float | None = None, peers: Iterable[str] | None = None) -> bool:
        """Sync now and wait for the devices within reach. See Memory.wait_synced()."""
        with self.asking(timeout, peers) as look:
            while (synced := look()) is None:
                time.sleep(POLL_S)
            return synced

    def asking(self, timeout: float | None, peers: Iterable[str] | None) -> AbstractContextManager[Look]:
        """Sync while the context is entered. For callers that wait in another way than wait() does."""
        devices = None if peers is None else checks.check_devices(peers)
        return self._network.asking(checks.check_timeout(timeout), devices)

    def devices(self) -> list[Device]:
        """Return the other devices that are known here. See Memory.devices()."""
        served = self.serving() is not None
        return [device_of(status) for status in overview.peer_states(self._store, served=served)]

    def accept(
        self,
        /,
        device: str,
        *,
        name: str | None = None,
        address: str | None = None,
        spaces: str | Iterable[str] | None = None,
    ) -> Device:
        """Trust a device and share spaces with it. See Memory.accept()."""
        accepted = parse_device_id(device)
        if spaces is None:
            spaces = [] if any(known.spaces for known in self.devices() if known.device == accepted) else PERSONAL
        names = checks.check_names(spaces, "the spaces")
        checks.check_optional_label(name, "the device's name")
        where = None if address is None else self._network.address(address)
        with self._store.reading() as db:
            sharing.check_may_invite(db, names, accepted)
        Peers(self._store).accept(accepted, name=name, address=where, spaces=names)
        return next(known for known in self.devices() if known.device == accepted)

    def revoke(self, /, device: str) -> None:
        """Stop trusting a device, and take it out of every space. See Memory.revoke()."""
        Peers(self._store).revoke(parse_device_id(device))
