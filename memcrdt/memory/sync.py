"""`memory.sync`: the other devices, whom to trust, what to share with them, and when to sync with them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Literal, Protocol, TypeAlias, Unpack

from memcrdt.memory.devices import Device, device_of
from memcrdt.memory.pairing import (
    FIND_S,
    Invitation,
    InviteOptions,
    JoinOptions,
    LoopThread,
    PairedDevice,
    Pairing,
    invite_options,
    join_options,
)
from memcrdt.model import checks
from memcrdt.model.device_ids import parse_device_id
from memcrdt.model.requests import PERSONAL
from memcrdt.model.serialization import Record
from memcrdt.model.values import from_ms
from memcrdt.store import overview
from memcrdt.store.log import LOCAL
from memcrdt.store.membership import sharing
from memcrdt.store.membership.peers import Peers
from memcrdt.store.store import Notice, Store

POLL_S: Final = 0.05  # between two looks whether the devices agree

Look: TypeAlias = Callable[[], bool | None]  # whether the devices agree; None while that is open; never waits


@dataclass(frozen=True, slots=True)
class Serving:
    """The process that runs the network of a home, and the port it listens on (None: it does not listen)."""

    pid: int
    port: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncResult(Record):
    """The outcome of Sync.wait().

    Attributes:
        synced: Whether all devices that were asked for hold the same as this one.
        devices: The accepted devices.
        reached: Those of them that were within reach.
    """

    synced: bool
    devices: tuple[Device, ...]
    reached: tuple[Device, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncWarning(Record):
    """Why changes stay on this machine: it was revoked from the spaces, or no process runs the network.

    `text` says it in a sentence, for people.
    """

    reason: Literal["revoked", "not served"]
    spaces: tuple[str, ...]
    text: str


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

    def __init__(self, store: Store, network: Network, pairing: Pairing) -> None:
        self._store = store
        self._network = network
        self._pairing = pairing
        self._changed: set[int] = set()  # the local numbers of spaces that this program has changed
        store.subscribe(self._note)

    def start(self, /, **options: Any) -> None:
        """Run the network in a thread of its own, until stop() or the end of the memory. See Memory.start_sync()."""
        self._network.start(**options)

    def stop(self) -> None:
        """End what start() began. A second call does nothing."""
        self._network.stop()

    def serving(self) -> Serving | None:
        """Return the process that runs the network of this home, this one or another; None if none does."""
        return self._network.serving()

    def wait(self, *, timeout: float | None = None, peers: Iterable[str] | None = None) -> SyncResult:
        """Sync now, and wait until the other devices within reach hold the same as this one.

        When no process runs the network, this one runs it meanwhile.

        Args:
            timeout: Maximum time to wait, in seconds.
            peers: Ids of devices that must all be reached. Without it: every device within reach.

        Returns:
            Whether all of them hold the same, and which could be reached.

        Raises:
            NotFoundError: A device is not known.
        """
        started = self._now()
        with self._asking(timeout, peers) as look:
            while (synced := look()) is None:
                time.sleep(POLL_S)
        return self._result(synced, started)

    def _now(self) -> datetime:
        return from_ms(self._store.now_ms())

    def _result(self, synced: bool, started: datetime) -> SyncResult:
        """Return the outcome of a sync that was started at this time."""
        accepted = tuple(device for device in self.devices() if device.state == "accepted")
        reached = (each for each in accepted if each.connected or (each.seen_at and each.seen_at >= started))
        return SyncResult(synced=synced, devices=accepted, reached=tuple(reached))

    def _asking(self, timeout: float | None, peers: Iterable[str] | None) -> AbstractContextManager[Look]:
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

    def revoke(self, /, device: str) -> tuple[str, ...]:
        """Stop trusting a device, and take it out of every space. See Memory.revoke()."""
        revoked = parse_device_id(device)
        unheard = self._only_read_with(revoked)
        Peers(self._store).revoke(revoked)
        return unheard

    def invite(self, /, **options: Unpack[InviteOptions]) -> Invitation:
        """Show a code, and let the device on which it is typed pair with this one.

        Args:
            **options: `spaces` to share (`personal`), whether the other device may only read them (`read_only`), what
                to call it here (`name`), the address of this machine to wait at (`host`), and how to be found (`mdns`,
                `tailscale`; config.toml decides otherwise).

        Returns:
            A context manager with the code, on which to call joined().

        Raises:
            InputError: A space can't be shared.
            NotFoundError: A space is not here.

        Example:
            >>> with memory.sync.invite() as invitation:
            ...     print(f"type on the other device: {invitation.code}")
            ...     print(f"paired with {invitation.joined().name}")
        """
        return Invitation(self._pairing, invite_options(options))

    def join(
        self, /, code: str, *, address: str | None = None, timeout: float = FIND_S, **options: Unpack[JoinOptions]
    ) -> PairedDevice:
        """Pair with the device that shows this code.

        Args:
            code: The code, with dashes or blanks.
            address: Where the other device waits, as HOST[:PORT]. Without it, the device is looked for.
            timeout: Maximum time to look for it, in seconds.
            **options: What to call the other device here (`name`), and how to look for it (`host`, `mdns`,
                `tailscale`).

        Raises:
            InputError: The code or the address is malformed.
            PairingError: The device was not found, or said no.
            UnreachableError: Nothing answers at the address.
        """
        with LoopThread() as loop:
            return loop.run(self._joining(code, address, timeout, options))

    async def _joining(self, code: str, address: str | None, find_s: float, options: JoinOptions) -> PairedDevice:
        """Do what join() does, for callers with an event loop."""
        limit_s = checks.check_timeout(find_s)
        checked = join_options(options)
        return await self._pairing.join(code, checked, at=address, find_s=FIND_S if limit_s is None else limit_s)

    def spell(self, code: str) -> str:
        """Return a typed code as the other device shows it. Raises InputError, naming a mistyped word."""
        return self._pairing.spell(code)

    def warnings(self) -> tuple[SyncWarning, ...]:
        """Return why changes that this program made don't leave the machine now, though others share their spaces."""
        found = [sharing.audience(self._store, space) for space in sorted(self._changed)]
        warnings = [
            SyncWarning(
                reason="revoked",
                spaces=(each.space,),
                text=f"it stays here: this device was revoked from the space {each.space!r}; see `memcrdt status`",
            )
            for each in found
            if each.revoked
        ]
        waiting = tuple(each.space for each in found if each.others and not each.revoked)
        if waiting and self.serving() is None:
            text = "it is kept here and not sent yet, since nothing serves this home; `memcrdt serve` sends it"
            warnings.append(SyncWarning(reason="not served", spaces=waiting, text=text))
        return tuple(warnings)

    def _only_read_with(self, device: str) -> tuple[str, ...]:
        """Return the spaces that are shared with a device and that we may only read."""
        shared = next((known.spaces for known in self.devices() if known.device == device), ())
        return tuple(name for name in shared if sharing.members(self._store, name)[0].rights == "read")

    def _note(self, notice: Notice) -> None:
        if notice.origin == LOCAL:
            self._changed.update(space for space, _, _ in notice.changes)
