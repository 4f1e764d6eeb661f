"""The other devices: whom to trust, what to share with them, and syncing with them. The part of Memory that is about
more than this machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias

from memcrdt.memory.devices import Device, device_of
from memcrdt.memory.spaces import Space
from memcrdt.model import checks
from memcrdt.model.device_ids import parse_device_id
from memcrdt.model.requests import PERSONAL
from memcrdt.store import overview
from memcrdt.store.membership import sharing
from memcrdt.store.membership.peers import Peers
from memcrdt.store.store import Store

POLL_S: Final = 0.05  # between two looks whether the devices agree

Look: TypeAlias = Callable[[], bool | None]  # whether they do, or None while that is open; never waits


class Network(Protocol):
    """What Memory asks of the network: implemented by memcrdt.node.node."""

    def start(self, **options: Any) -> None:
        """Starts the background task in a thread of its own. Raises PeerError or StoreError."""
        ...

    def asking(self, timeout_s: float | None, peers: list[str] | None) -> AbstractContextManager[Look]:
        """Syncs with the devices while it is entered, and tells whether they hold the same as we do, which they have
        `timeout_s` for. Raises NotFoundError."""
        ...

    def stop(self) -> None:
        """Ends it. Without a start it does nothing."""
        ...

    def serving(self) -> Serving | None:
        """Which process runs the network for this home, be it this one or another; None if none does."""
        ...

    def address(self, text: str) -> str:
        """HOST[:PORT] as it is remembered. Raises InputError."""
        ...


@dataclass(frozen=True, slots=True)
class Serving:
    """The process that runs the network for a home, and the port it listens on (None: it does not listen)."""

    pid: int
    port: int | None


class Syncing:
    """Memory is one; its methods raise what Memory's do. Device ids may be given as people see them, in groups with
    check characters, and any of them raises InputError for one that is mistyped."""

    store: Store
    _network: Network

    def space(self, name: str) -> Space:
        """The space of that name; `create()` makes it."""
        return Space(self.store, name)

    def devices(self) -> list[Device]:
        """The other devices that are known here: accepted, revoked, and pending ones, which knocked."""
        served = self._network.serving() is not None
        return [device_of(status) for status in overview.peer_states(self.store, served=served)]

    def accept(
        self,
        /,
        device: str,
        *,
        name: str | None = None,
        address: str | None = None,
        spaces: str | Iterable[str] | None = None,
    ) -> Device:
        """Trusts the device of this id, and shares the spaces with it; the other device has to accept this one too.

        Without `spaces` that is `personal`, unless something is shared with it already. `name` is what to call it here,
        `address` where it listens (HOST[:PORT]). Once more adds what is said anew; a device that may only read stays
        so. Raises InputError for our own id, for `local`, and for a device that was revoked from one of the spaces;
        NotFoundError for a space that is not here, ReadOnlyError for one that this device itself may only read.
        """
        accepted = parse_device_id(device)
        if spaces is None:
            spaces = [] if any(known.spaces for known in self.devices() if known.device == accepted) else PERSONAL
        names = checks.check_names(spaces, "the spaces")
        checks.check_optional_label(name, "the device's name")
        where = None if address is None else self._network.address(address)
        with self.store.reading() as db:
            sharing.check_may_invite(db, names, accepted)
        Peers(self.store).accept(accepted, name=name, address=where, spaces=names)
        return next(known for known in self.devices() if known.device == accepted)

    def revoke(self, /, device: str) -> None:
        """Trusts a device no longer, and takes it out of every space in which we may write, for all members.

        Its connections end within a second, the other members hear of it, and its key never comes back; what it has
        already stays there. Space.revoke() takes it out of one. Raises NotFoundError for a device that is not known.
        """
        Peers(self.store).revoke(parse_device_id(device))

    def start_sync(self, /, **options: Any) -> None:
        """Runs the network in a thread of its own, until stop_sync() or close(). `options` are those of Node.

        While another process runs the network of this home, it stands by. Raises InputError or LockedError when the
        address cannot be listened at.
        """
        self._network.start(**options)

    def wait_synced(self, *, timeout: float | None = None, peers: Iterable[str] | None = None) -> bool:
        """Syncs now, and returns True when the other devices within reach hold all that is here and we all of theirs.

        `timeout` is in seconds; `peers` are device ids, all of which must be reached then. False means that not all
        of them, or none at all, could be reached, or not in time: `status()` says why. When no process runs the
        network, it runs for as long as this takes. Raises NotFoundError for a device that is not known.
        """
        with asking(self, timeout, peers) as look:
            while (synced := look()) is None:
                time.sleep(POLL_S)
            return synced

    def stop_sync(self) -> None:
        """Ends what start_sync() began."""
        self._network.stop()


def asking(memory: Syncing, timeout: float | None, peers: Iterable[str] | None) -> AbstractContextManager[Look]:
    """What wait_synced() enters, and looks at again and again, for those who wait in another way."""
    devices = None if peers is None else checks.check_devices(peers)
    return memory._network.asking(checks.check_timeout(timeout), devices)
