"""The peers table for the event loop. All reads and writes run in the thread of the store, never in the loop."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from memcrdt.errors import MemcrdtError, NotFoundError, StoreError, UnreachableError
from memcrdt.model.device_ids import shown
from memcrdt.net.addresses import Address
from memcrdt.net.auth import HANDSHAKE_FRAME_BYTES
from memcrdt.net.connection import listening_address
from memcrdt.net.handshake import TrustPolicy
from memcrdt.node.peer_lines import PeerLines
from memcrdt.store.membership import peers as stored
from memcrdt.store.membership.shares import COME_BACK
from memcrdt.sync.messages import HubHint

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from concurrent.futures import Executor, Future

    from memcrdt.net.auth import AuthenticatedPeer
    from memcrdt.node.peer_link import PeerLink
    from memcrdt.store.membership.introductions import Introductions
    from memcrdt.store.membership.peers import Peers

log = logging.getLogger("memcrdt.net")
peers_log = logging.getLogger("memcrdt.net.peers")  # one line for each change of a device, addresses at DEBUG
T = TypeVar("T")

DIAL_GRACE_S: Final = 5.0  # failed dials are not logged before: a device that was just paired listens a moment later
UNKNOWN_PER_S: Final = 8  # each is a commit or a long read; a flood of unknown devices must not keep the store busy


class PeerRecords(TrustPolicy):
    """Answers questions about other devices, and records their events in order.

    Implements AdmissionPolicy and TrustPolicy.
    """

    def __init__(
        self, peers: Peers, introductions: Introductions, store: Executor, name_of: Callable[[str], str]
    ) -> None:
        """`name_of` returns how messages call a device."""
        self._peers = peers
        self._name_of = name_of
        self._lines = PeerLines(name_of)
        self._held: asyncio.TimerHandle | None = None  # says the lines that were held back
        self._introductions = introductions
        self._store = store
        self._unknown, self._revoked, self._introduced = _RateLimit(), _RateLimit(), _RateLimit()
        self._problems: dict[str, str] = {}  # the last problem of each device since its last connection
        self._failing_since: dict[str, float] = {}  # the first failed dial of each device since its last connection

    async def is_accepted(self, device: str) -> bool:
        """Return whether we talk to the device. Raises StoreError."""
        return await self._call(partial(self._peers.is_accepted, device))

    async def addresses(self, device: str) -> list[Address]:
        """Return the stored addresses of the device, newest first. Raises NotFoundError or StoreError."""
        peer = await self._call(partial(self._peers.get, device))
        return [Address.parse(address) for address in peer.addresses]

    async def admits(self, peer: AuthenticatedPeer, address: str) -> bool:
        """Return whether the device is accepted, and record an unknown device. False if the store fails."""
        try:
            if await self.is_accepted(peer.device):
                return True
            if self._unknown.one_more():
                home = listening_address(peer, address)
                await self._call(partial(self._peers.knocked, peer.device, peer.public_key, home))
        except MemcrdtError as exc:
            log.warning("%s at %s was not accepted: %s", shown(peer.device), address, exc)
        return False

    async def revoker_of(self, peer: AuthenticatedPeer) -> str | None:
        """Return the id of the device that revoked the peer; None if none did, or if the store fails."""
        return await self._appeal(peer, self._revoked, partial(self._introductions.revoker_of, peer.device))

    async def introduced(self, peer: AuthenticatedPeer, introduction: bytes) -> bool:
        """Return whether the device is accepted because of its introduction. Raises RemoteProtocolError."""
        take = partial(self._introductions.take, peer.device, introduction)
        return await self._appeal(peer, self._introduced, take) or False

    async def introduction(self, device: str) -> bytes | None:
        """Implement TrustPolicy. Raises StoreError."""
        return await self._call(partial(self._introductions.to, device, HANDSHAKE_FRAME_BYTES))

    async def revoked(self, device: str, by: str) -> str:
        """Implement TrustPolicy, and store the refusal. The failed dial logs the same text. Raises StoreError."""
        name = None
        with suppress(NotFoundError):
            name = (await self._call(partial(self._peers.get, by))).name
        self._note(partial(self._peers.refused, device, by))
        return f"this device was revoked by {name or shown(by)}; {COME_BACK}"

    def stop(self) -> None:
        """Say nothing any more."""
        if self._held is not None:
            self._held.cancel()

    def accepted(self, device: str) -> None:
        """Note that a device was accepted. Its next failures are not logged before it had time to listen."""
        self._forget_failures(device)
        self._lines.accepted(device)
        self._say()

    def removed(self, device: str) -> None:
        """Note that a device is no longer accepted."""
        self._lines.removed(device)
        self._say()

    def shares(self, device: str, spaces: Iterable[str]) -> None:
        """Note the ids of the spaces that a connected device and this one share."""
        self._lines.shares(device, spaces)
        self._say()

    def connected(self, link: PeerLink) -> None:
        """Record that a device is connected."""
        connection = link.connection
        note = stored.PeerConnection(connection.via, connection.address, link.since_ms, connection.found, link.skew_ms)
        home = connection.listens_at
        self._forget_failures(link.peer)
        self._lines.connected(link.peer, connection.found)
        peers_log.debug("%s is at %s, %s", self._name_of(link.peer), connection.address, connection.via)
        self._say()
        self._note(partial(self._peers.connected, link.peer, connection.peer.public_key, note, home))

    def disconnected(self, device: str) -> None:
        """Record that a device is no longer connected."""
        self._lines.disconnected(device, asyncio.get_running_loop().time())
        self._say()
        self._note(partial(self._peers.disconnected, device))

    def failed(self, device: str, problem: str) -> None:
        """Record a problem with the device, in words for the user. Log it if it differs from the last problem."""
        problem = self._named(device, problem)
        if self._problems.get(device) != problem:
            self._problems[device] = problem
            log.warning("%s", problem)
        self._note(partial(self._peers.failed, device, problem))

    def dial_failed(self, device: str, error: MemcrdtError) -> None:
        """Record that no dial to the device succeeded. Log it, as failed() does, once dials have failed for 5 s.

        A device that does not answer is switched off, or not there yet. It is waited for without a warning.
        """
        now, problem = asyncio.get_running_loop().time(), self._named(device, str(error))
        is_away = isinstance(error, UnreachableError)
        if now - self._failing_since.setdefault(device, now) >= DIAL_GRACE_S and not is_away:
            self.failed(device, problem)
            return
        if is_away:
            self._lines.unreachable(device, now)
            self._say()
        peers_log.debug("%s", problem)
        self._note(partial(self._peers.failed, device, problem))

    def agreed(self, device: str, space: str) -> None:
        """Record that the device and this one have the same content in a space. `space` is the space's id."""
        self._lines.agreed(device, space)
        self._say()
        self._note(partial(self._peers.agreed, device, space))

    def role(self, device: str, role: str) -> None:
        """Record what a device says of itself: the features of a hub, or nothing."""
        hub = HubHint.of(role.split())
        days = None if hub is None else hub.backup_days
        self._note(partial(self._peers.note_hub, device, hub is not None, backup_days=days))

    def alarm(self, text: str) -> None:
        """Record and log a problem that the user has to solve."""
        log.warning("%s", text)
        self._note(partial(self._peers.alarm, text))

    def _say(self) -> None:
        """Log the lines that are due, and those that are held back when their time has come."""
        loop = asyncio.get_running_loop()
        for line in self._lines.take(loop.time()):
            peers_log.info("%s", line)
        if self._held is not None:
            self._held.cancel()
        held_s = self._lines.held_s(loop.time())
        self._held = None if held_s is None else loop.call_later(held_s, self._say)

    def _named(self, device: str, problem: str) -> str:
        """Return the problem with the name of the device in place of its id. A command that it names keeps the id."""
        name = self._name_of(device)
        return problem if name in shown(device) else problem.replace(shown(device), name, 1)  # not in a command

    def _forget_failures(self, device: str) -> None:
        self._problems.pop(device, None)
        self._failing_since.pop(device, None)

    async def _appeal(self, peer: AuthenticatedPeer, limit: _RateLimit, ask: Callable[[], T]) -> T | None:
        """Ask the store about a device that is not accepted. None if the store fails, or if it was asked too often."""
        if not limit.one_more():
            return None
        try:
            return await self._call(ask)
        except StoreError as exc:
            log.warning("%s was not accepted: %s", shown(peer.device), exc)
            return None

    async def _call(self, call: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._store, call)

    def _note(self, write: Callable[[], None]) -> None:
        self._store.submit(write).add_done_callback(_log_failure)


class _RateLimit:
    """Limits how often devices that are not accepted can make us use the store."""

    def __init__(self) -> None:
        self._times: deque[float] = deque(maxlen=UNKNOWN_PER_S)

    def one_more(self) -> bool:
        """Return whether one more use is within the limit, and count it if so."""
        now = asyncio.get_running_loop().time()
        if len(self._times) == UNKNOWN_PER_S and now - self._times[0] < 1:
            return False
        self._times.append(now)
        return True


def _log_failure(future: Future[None]) -> None:
    if not future.cancelled() and (problem := future.exception()):
        log.error("an event of a peer could not be recorded: %s", problem)
