"""The relay's sockets: performs what the rendezvous decides, and passes bytes between joined links.

It keeps at most 64 KiB of a joined link in memory, and reads on only when the other side has taken them. Bytes are
neither read nor stored.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import os
import socket as sockets
import sys
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Self

from memcrdt.errors import InputError
from memcrdt.model.checks import check_port
from memcrdt.model.device_ids import parse_device_id
from memcrdt.model.ports import DEFAULT_RELAY_PORT
from memcrdt.net.addresses import Address, host_group
from memcrdt.net.connection_gate import listening_socket
from memcrdt.net.relay.protocol import NONCE_BYTES
from memcrdt.net.relay.rendezvous import Effect, End, Join, RelayLimits, Rendezvous, Send
from memcrdt.net.tasks import BackgroundTasks

if TYPE_CHECKING:
    from collections.abc import Sequence

log = logging.getLogger("memcrdt.net.relay")

BUFFER_BYTES: Final = 64 * 1024
IDLE_S: Final = 60.0  # without a byte in a joined pair; devices send something every 15 s
TICK_S: Final = 1.0
FLUSH_S: Final = 10.0  # how long a link that ends may take to send what it still has
BURST_S: Final = 0.25  # how far a pair may be ahead of its rate before it is paused
RATE: Final = 4 << 20
TOTAL_RATE: Final = 16 << 20
RATE_MIN: Final = 1 << 10
_BACKLOG: Final = 256
_ACCEPT_RETRY_S: Final = 1.0  # as asyncio's own servers
_SPARE_FILES: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayOptions:
    """Where a relay listens, whom it serves, and how much it passes. The constructor raises InputError.

    Attributes:
        host: The local address to listen at. Empty: all interfaces.
        port: The port; 0 for any free one.
        names: The hosts by which devices dial this relay. Then a proof for another relay is refused here. Empty: not
            checked.
        devices: The ids of the only devices that may use it. Empty: every device.
        rate: Maximum bytes a second of one pair, both directions together.
        total_rate: Maximum bytes a second of all pairs.
        limits: How much one device and one address may use.
    """

    host: str = ""
    port: int = DEFAULT_RELAY_PORT
    names: Sequence[str] = ()
    devices: Sequence[str] = ()
    rate: int = RATE
    total_rate: int = TOTAL_RATE
    limits: RelayLimits = field(default_factory=RelayLimits)

    def __post_init__(self) -> None:
        check_port(self.port, "the port")
        Address(self.host, self.port)
        for name in ("rate", "total_rate"):
            if getattr(self, name) < RATE_MIN:
                raise InputError(f"{name} is {getattr(self, name)} bytes a second; the minimum is {RATE_MIN}")
        for each in self.devices:
            parse_device_id(each)


class Relay:
    """Joins devices that cannot reach each other: `async with Relay() as relay`.

    It passes their TLS streams on and can read nothing in them. It learns the ids and addresses of the devices, and
    when and how much they send.

    Entering the context raises:
        LockedError: Another program has the port.
        InputError: The host is not one of this machine.

    Attributes:
        port: The port where it listens, while it is entered.
        opened_total: The number of connections that were opened so far.
        joined_total: The number of pairs that were joined so far.
        passed_bytes: The number of bytes that were passed on so far.

    Example:
        async with memcrdt.Relay(memcrdt.RelayOptions(port=27392)) as relay:
            await asyncio.Event().wait()
    """

    def __init__(self, options: RelayOptions | None = None) -> None:
        """Take the options; nothing runs yet."""
        self._options = options or RelayOptions()
        self.port = self._options.port
        self._tasks = BackgroundTasks()
        self._numbers = itertools.count(1)
        self._links: dict[int, _Link] = {}
        self.opened_total = self.joined_total = self.passed_bytes = 0
        self._ready_at = 0.0  # when the bytes that were passed so far fit the total rate
        self._rendezvous = Rendezvous(
            self._options.limits,
            nonce=lambda: os.urandom(NONCE_BYTES),
            names=frozenset(self._options.names),
            allowed=frozenset(map(parse_device_id, self._options.devices)),
        )

    @property
    def waiting(self) -> int:
        """The number of connections in which a device waits for calls."""
        return self._rendezvous.waiting

    @property
    def connections(self) -> int:
        """The number of open connections."""
        return len(self._links)

    @property
    def joined(self) -> int:
        """The number of pairs that are joined."""
        return sum(link.partner is not None for link in self._links.values()) // 2

    async def __aenter__(self) -> Self:
        _allow_files(self._options.limits.links + _SPARE_FILES)
        self._listening = listening_socket(Address(self._options.host, self._options.port))
        self._listening.listen(_BACKLOG)
        self.port = self._listening.getsockname()[1]
        self._tasks.spawn(self._accept())
        self._tasks.spawn(self._tick())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._tasks.cancel()
        self._listening.close()
        while self._links:  # an aborted link is closed, and noted as lost, when the loop runs next
            for link in list(self._links.values()):
                link.transport.abort()
            await asyncio.sleep(0)

    async def _accept(self) -> None:
        # Not create_server(): a connection that it has accepted when it is closed stays open.
        loop = asyncio.get_running_loop()
        while True:
            try:
                connected, _ = await loop.sock_accept(self._listening)
            except ConnectionAbortedError:  # the client hung up before it was accepted
                continue
            except OSError:  # no file handle is left; waiting clients stay in the backlog
                await asyncio.sleep(_ACCEPT_RETRY_S)
                continue
            await loop.connect_accepted_socket(lambda: _Link(self), connected)

    async def _tick(self) -> None:
        while True:
            await asyncio.sleep(TICK_S)
            now = self._now()
            self._perform(self._rendezvous.tick(now))
            for link in list(self._links.values()):
                if link.partner is not None and now - max(link.heard_at, link.partner.heard_at) >= IDLE_S:
                    link.finish()

    # --- called by the links ------------------------------------------------------------------------------------------

    def opened(self, link: _Link) -> None:
        """Take a new link."""
        self.opened_total += 1
        link.number = next(self._numbers)
        self._links[link.number] = link
        host = (link.transport.get_extra_info("peername") or ("0.0.0.0",))[0]  # noqa: S104 - it has left already
        self._perform(self._rendezvous.opened(link.number, host_group(host.removeprefix("::ffff:")), self._now()))

    def received(self, link: _Link, data: bytes) -> None:
        """Take bytes of a link that is not joined."""
        self._perform(self._rendezvous.received(link.number, data, self._now()))

    def passed(self, link: _Link, size: int) -> None:
        """Count bytes that a joined link has passed on. Pause the pair if it, or all together, are too fast."""
        assert link.partner is not None
        self.passed_bytes += size
        link.heard_at = now = self._now()
        self._ready_at = max(self._ready_at, now) + size / self._options.total_rate
        link.ready_at = link.partner.ready_at = max(link.ready_at, now) + size / self._options.rate
        pause_s = max(self._ready_at, link.ready_at) - now
        if pause_s > BURST_S:
            link.rest(pause_s)
            link.partner.rest(pause_s)

    def lost(self, link: _Link) -> None:
        """Note the end of a link."""
        del self._links[link.number]
        if link.partner is not None:
            link.partner.partner = None
            link.partner.finish()
        self._perform(self._rendezvous.lost(link.number, self._now()))

    def _perform(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            match effect:
                case Send(number, data):
                    self._links[number].transport.write(data)
                case End(number, why):
                    if number in self._links:
                        log.debug("connection %d ends: %s", number, why)
                        self._links[number].finish()
                case Join(caller, called):
                    self.joined_total += 1
                    one, other = self._links[caller], self._links[called]
                    one.partner, other.partner = other, one
                    one.heard_at = other.heard_at = self._now()

    def _now(self) -> float:
        return asyncio.get_running_loop().time()


class _Link(asyncio.Protocol):
    """One connection to the relay."""

    __slots__ = ("_ending", "_is_full", "_rests", "_server", "heard_at", "number", "partner", "ready_at", "transport")

    def __init__(self, server: Relay) -> None:
        self._server = server
        self._rests: asyncio.TimerHandle | None = None  # until its rate allows more
        self._ending: asyncio.TimerHandle | None = None
        self._is_full = False  # the other side does not take what it was sent
        self.number = 0
        self.partner: _Link | None = None
        self.heard_at = self.ready_at = 0.0
        self.transport: asyncio.Transport

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        transport.set_write_buffer_limits(high=BUFFER_BYTES)
        # asyncio does this only for sockets that name their protocol, which accepted ones do not.
        transport.get_extra_info("socket").setsockopt(sockets.IPPROTO_TCP, sockets.TCP_NODELAY, 1)
        self._server.opened(self)

    def data_received(self, data: bytes) -> None:
        if self.partner is None:
            self._server.received(self, data)
        else:
            self.partner.transport.write(data)
            self._server.passed(self, len(data))

    def pause_writing(self) -> None:
        if self.partner is None:  # it takes no answers, and so deserves none
            self.transport.abort()
        else:
            self.partner._is_full = True
            self.partner._flow()

    def resume_writing(self) -> None:
        if self.partner is not None:
            self.partner._is_full = False
            self.partner._flow()

    def rest(self, pause_s: float) -> None:
        """Read nothing for a time."""
        if self._rests is not None:
            self._rests.cancel()
        self._rests = asyncio.get_running_loop().call_later(pause_s, self._rested)
        self._flow()

    def finish(self) -> None:
        """Send what is still to send, then close."""
        if self._ending is None:
            self._ending = asyncio.get_running_loop().call_later(FLUSH_S, self.transport.abort)
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        for timer in (self._rests, self._ending):
            if timer is not None:
                timer.cancel()
        self._server.lost(self)

    def _rested(self) -> None:
        self._rests = None
        self._flow()

    def _flow(self) -> None:
        if self._is_full or self._rests is not None:
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()


def _allow_files(wanted: int) -> None:
    """Let this process have so many open files, if the system permits it. Windows has no such limit."""
    if sys.platform != "win32":
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft != resource.RLIM_INFINITY and soft < wanted:
            allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
            with suppress(ValueError, OSError):
                resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
            if allowed < wanted:
                log.warning("this process may have %d open files, which is too few for %d connections", allowed, wanted)
