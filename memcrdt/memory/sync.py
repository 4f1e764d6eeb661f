"""`memory.sync`: trust in other devices, the spaces to share with them, and when to sync."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Final, Literal, Protocol, TypeAlias, Unpack

from memcrdt.memory.devices import Device, device_of, find_device
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
from memcrdt.model.scopes import PERSONAL
from memcrdt.model.serialization import Record
from memcrdt.store import overview
from memcrdt.store.base import AnyStore, Notice
from memcrdt.store.log import LOCAL
from memcrdt.store.membership import sharing
from memcrdt.store.membership.peers import Peers
from memcrdt.store.overview import PeerStatus

POLL_S: Final = 0.05  # between two looks at the state of the sync

Look: TypeAlias = Callable[[], bool | None]  # whether the devices agree, or None while it is unknown; never waits


@dataclass(frozen=True, slots=True)
class Serving(Record):
    """The process that runs the network of a home.

    Attributes:
        pid: The process id.
        port: The port it listens at, or None if it does not listen.
        error: Why it cannot listen although a device is accepted, or None if it can.
    """

    pid: int
    port: int | None
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncResult(Record):
    """The result of Sync.wait().

    Attributes:
        synced: Whether all requested devices have the same data as this device.
        devices: The accepted devices.
        reached: The accepted devices that could be reached.
    """

    synced: bool
    devices: tuple[Device, ...]
    reached: tuple[Device, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncWarning(Record):
    """A reason why changes do not leave this machine.

    Attributes:
        reason: `revoked` if this device was revoked from the spaces, `not served` if no process runs the network.
        spaces: The names of the spaces.
        text: The warning as a sentence.
    """

    reason: Literal["revoked", "not served"]
    spaces: tuple[str, ...]
    text: str


class Network(Protocol):
    """The interface that Sync needs from the network. memcrdt.node.background implements it."""

    def start(self, **options: Any) -> None:
        """Start the network in a thread. Raises PeerError or StoreError."""
        ...

    def stop(self) -> None:
        """Stop the network. Does nothing if it was not started."""
        ...

    def asking(self, timeout_s: float | None, peers: list[str] | None) -> AbstractContextManager[Look]:
        """Sync with the devices inside the context. Raises NotFoundError.

        The Look returns whether all devices have the same data. After `timeout_s` it returns False if they differ.
        """
        ...

    def serving(self) -> Serving | None:
        """Return the process that runs the network of this home, or None. It may be this process."""
        ...

    def address(self, text: str) -> str:
        """Return HOST[:PORT] in its canonical form. Raises InputError."""
        ...


class Sync:
    """Sync of one memory with other devices: `memory.sync`.

    Device ids may be written in groups with check characters, as commands print them. Every method that takes a device
    id raises InputError for a mistyped id.
    """

    def __init__(self, store: AnyStore, network: Network, pairing: Pairing) -> None:
        self._store = store
        self._network = network
        self._pairing = pairing
        self._changed: set[int] = set()  # the local numbers of spaces with changes of this program
        store.subscribe(self._note)

    def start(self, /, **options: Any) -> None:
        """Run the network in a thread until stop() or Memory.close().

        While another process runs the network of this home, this process waits to take over.

        Args:
            **options: `host`, `port`, `mdns` and `tailscale`, as for Node.

        Raises:
            InputError: An option is invalid.
            LockedError: The address is in use or not available.
        """
        self._network.start(**options)

    def stop(self) -> None:
        """Stop the network that start() started. A second call does nothing."""
        self._network.stop()

    def serving(self) -> Serving | None:
        """Return the process that runs the network of this home, or None. It may be this process."""
        return self._network.serving()

    def wait(self, *, timeout: float | None = None, peers: Iterable[str] | None = None) -> SyncResult:
        """Sync now, and wait until the other devices have the same data as this device.

        If no process runs the network, this process runs it during the call.

        Args:
            timeout: Maximum time to wait, in seconds. Without it, the call waits without limit.
            peers: Ids of devices that must all be reached. Default: every device that can be reached.

        Returns:
            Whether the devices have the same data, and which devices were reached.

        Raises:
            NotFoundError: A device is unknown.

        Example:
            >>> memory.sync.wait(timeout=30).synced
            True
        """
        started = self._event()
        with self._asking(timeout, peers) as look:
            while (synced := look()) is None:
                time.sleep(POLL_S)
        return self._result(synced, started)

    def _event(self) -> int:
        return Peers(self._store).event()

    def _result(self, synced: bool, started: int) -> SyncResult:
        """Return the result of a sync that started after the event of this number."""
        accepted = [state for state in self._states() if state.peer.state == "accepted"]
        reached = [state for state in accepted if state.peer.connected or state.peer.seen_event > started]
        return SyncResult(
            synced=synced, devices=tuple(map(device_of, accepted)), reached=tuple(map(device_of, reached))
        )

    def _asking(self, timeout: float | None, peers: Iterable[str] | None) -> AbstractContextManager[Look]:
        """Sync inside the context. For callers that wait in their own way."""
        devices = None if peers is None else checks.check_devices(peers)
        return self._network.asking(checks.check_timeout(timeout), devices)

    def devices(self) -> list[Device]:
        """Return the other devices: accepted and revoked ones, and pending devices that tried to connect."""
        return [device_of(state) for state in self._states()]

    def find(self, device: str) -> str:
        """Return the id of a device that is named in a shorter way.

        Args:
            device: The local name of an accepted or revoked device, the first characters (4 or more) of its name or id,
                or the whole id of any device. If they fit accepted and revoked devices, the accepted ones count.

        Raises:
            InputError: Several devices are named so, or the id is mistyped. The message lists the devices.
            NotFoundError: No device is named so.

        Example:
            >>> memory.revoke(memory.sync.find("laptop-c"))
        """
        return find_device(Peers(self._store).all(), device)

    def _states(self) -> tuple[PeerStatus, ...]:
        return overview.peer_states(self._store, served=self.serving() is not None)

    def accept(
        self,
        /,
        device: str,
        *,
        name: str | None = None,
        address: str | None = None,
        spaces: str | Iterable[str] | None = None,
    ) -> Device:
        """Trust a device and share spaces with it. The other device has to accept this device too.

        A second call adds to the first. A device that may only read stays a reader.

        Args:
            device: The device id.
            name: The local name for the device.
            address: The address that the device listens at, as HOST[:PORT].
            spaces: The spaces to share. Default: `personal`, or nothing new if a space is shared already.

        Returns:
            The device as it is known now.

        Raises:
            InputError: The id is mistyped or the id of this device, the space is `local`, or the device was revoked
                from the space.
            NotFoundError: A space does not exist here.
            ReadOnlyError: This device may only read a space.

        Example:
            >>> memory.sync.accept("ABCDEFG-…", name="laptop", spaces=["personal", "acme"])
        """
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
        """Stop trusting a device, and remove it from every space that this device may write, for all members.

        Connections to the device end within a second, and the other members learn of the revocation. The key of the
        device cannot become a member again. The device keeps its data. Space.revoke() removes it from one space.

        Args:
            device: The device id.

        Returns:
            The shared spaces that this device may only read. Their members do not learn of the revocation.

        Raises:
            InputError: The id is mistyped.
            NotFoundError: The device is unknown.
        """
        revoked = parse_device_id(device)
        unheard = self._only_read_with(revoked)
        Peers(self._store).revoke(revoked)
        return unheard

    def invite(self, /, **options: Unpack[InviteOptions]) -> Invitation:
        """Create a code for pairing. The device on which the code is typed pairs with this device.

        Args:
            **options: The options that memcrdt.InviteOptions describes.

        Returns:
            A context manager with the code. Its joined() waits for the other device.

        Raises:
            InputError: A space cannot be shared.
            NotFoundError: A space does not exist here.

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
            address: The address of the other device, as HOST[:PORT]. Without it, memcrdt searches for the device.
            timeout: Maximum time of the search, in seconds.
            **options: The options that memcrdt.JoinOptions describes.

        Returns:
            The other device.

        Raises:
            InputError: The code or the address is malformed.
            PairingError: The device was not found or refused.
            UnreachableError: No device answers at the address.

        Example:
            >>> memory.sync.join("7-crossover-granite").name
            'laptop'
        """
        with LoopThread() as loop:
            return loop.run(self._joining(code, address, timeout, options))

    async def _joining(self, code: str, address: str | None, find_s: float, options: JoinOptions) -> PairedDevice:
        """Pair as join() does, for callers with an event loop."""
        limit_s = checks.check_timeout(find_s)
        checked = join_options(options)
        return await self._pairing.join(code, checked, at=address, find_s=FIND_S if limit_s is None else limit_s)

    def spell(self, code: str) -> str:
        """Return a typed code as the other device shows it. Raises InputError that names a mistyped word."""
        return self._pairing.spell(code)

    def warnings(self) -> tuple[SyncWarning, ...]:
        """Return the reasons why changes of this program in shared spaces do not leave this machine now."""
        found = [sharing.audience(self._store, space) for space in sorted(self._changed)]
        warnings = [
            SyncWarning(
                reason="revoked",
                spaces=(each.space,),
                text=f"the change stays here: this device was revoked from the space {each.space!r} by"
                f" {each.revoked_by}; see `memcrdt status`",
            )
            for each in found
            if each.revoked_by
        ]
        waiting = tuple(each.space for each in found if each.others and not each.revoked_by)
        if waiting and self.serving() is None:
            text = "the change is saved, but not sent yet: no process serves this home; `memcrdt serve` sends it"
            warnings.append(SyncWarning(reason="not served", spaces=waiting, text=text))
        return tuple(warnings)

    def _only_read_with(self, device: str) -> tuple[str, ...]:
        """Return the spaces shared with a device that this device may only read."""
        shared = next((known.spaces for known in self.devices() if known.device == device), ())
        return tuple(name for name in shared if sharing.members(self._store, name)[0].rights == "read")

    def _note(self, notice: Notice) -> None:
        if notice.origin == LOCAL:
            self._changed.update(space for space, _, _ in notice.changes)
