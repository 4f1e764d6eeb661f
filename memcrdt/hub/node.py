"""The network of one process of a hub.

A hub is a member device like others: the same protocol, the same signed lists of members, the same receipts. Its
processes have one key and one database, so other devices see one device. Every process listens. Which of them dials a
device is settled in the database (memcrdt/hub/peers.py).
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Self

from memcrdt.errors import MemcrdtError, StoreError
from memcrdt.hub.change_signal import HubChangeSignal
from memcrdt.hub.connection import check_address
from memcrdt.hub.peers import RENEW_S, HubPeers
from memcrdt.hub.quotas import QuotaReplica, Quotas
from memcrdt.model.ports import DEFAULT_PORT
from memcrdt.net.addresses import Address, own_addresses
from memcrdt.net.listener import Places
from memcrdt.net.tasks import BackgroundTasks
from memcrdt.node.driver import Driver
from memcrdt.node.runner import driver_parts
from memcrdt.sync.messages import HubHint

if TYPE_CHECKING:
    from collections.abc import Sequence

    from memcrdt.hub.hub import Hub

ANSWER_S: Final = 5.0  # for a look at the database
# All connections of a balancer come from its address. Where one address may have every place, a new connection can
# displace the oldest, so silent ones keep nobody out.
PLACES: Final = Places(total=64, per_host=64)

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class HubOptions:
    """Where a process of a hub listens.

    Attributes:
        host: The host to listen at. Empty: all interfaces.
        port: The port; 0 for any free one.
        listen_dsn: The address of the database for LISTEN, without a pooler that lends connections for one
            transaction. None: changes of other processes are noticed up to a second later.
        quotas: What a member may send in a minute.
        backup_days: For how many days backups of the database keep what was forgotten. Members see it. None: unknown.

    Raises:
        InputError: The address of the database for LISTEN is not well formed.
    """

    host: str = ""
    port: int = DEFAULT_PORT
    listen_dsn: str | None = None
    backup_days: int | None = None
    quotas: Quotas = Quotas()  # noqa: RUF009 - it is frozen

    def __post_init__(self) -> None:
        if self.listen_dsn is not None:
            check_address(self.listen_dsn)


class HubNode:
    """Runs the network of one process of a hub: `async with HubNode(hub, options) as node`.

    It listens while a device is accepted, or was revoked and has to be told so when it dials.

    Entering the context raises:
        LockedError: Another program has the port.
        InputError: The host is not one of this machine.
        StoreError: The database does not answer.
    """

    def __init__(self, hub: Hub, options: HubOptions) -> None:
        """Take the options; nothing runs yet. Call it inside the running event loop."""
        self._hub = hub
        self._options = options
        self._peers = HubPeers(hub.store)
        self._tasks = BackgroundTasks()
        self._problem: str | None = None  # why it cannot listen

    async def __aenter__(self) -> Self:
        hub, options = self._hub, self._options
        async with AsyncExitStack() as stack:
            changes = await stack.enter_async_context(HubChangeSignal(hub.store, options.listen_dsn))
            parts = replace(
                driver_parts(hub.store, hub.identity, changes, lambda: hub.name, hub=HubHint(options.backup_days)),
                replica=QuotaReplica(hub.store, options.quotas),
                peers=self._peers,
                places=PLACES,
                may_dial=self._peers.may_dial,
            )
            self._driver = Driver(parts, (Address(options.host, options.port),), self._port_changed)
            stack.push_async_callback(self._driver.stop)
            await self._driver.start()
            self._tasks.spawn(self._renew())
            stack.push_async_callback(self._tasks.cancel)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    @property
    def port(self) -> int | None:
        """The port where this process listens; None until a device is accepted."""
        return self._driver.port

    @property
    def addresses(self) -> list[str]:
        """Where other devices can dial this process, as HOST:PORT; empty until a device is accepted."""
        return [] if self.port is None else own_addresses(self._options.host, self.port)

    @property
    def connected(self) -> frozenset[str]:
        """The ids of the devices that are connected to this process."""
        return self._driver.connected

    async def problems(self) -> Sequence[str]:
        """Return why this process does not do its work; nothing if it does."""
        try:
            async with asyncio.timeout(ANSWER_S):
                await asyncio.to_thread(self._hub.store.version)
        except TimeoutError:
            return [f"PostgreSQL does not answer within {ANSWER_S:g} s"]
        except MemcrdtError as exc:
            return [str(exc)]
        return [self._problem] if self._problem else []

    def _port_changed(self, port: int | None, problem: str | None) -> None:
        self._problem = problem

    async def _renew(self) -> None:
        """Keep the leases of the connections. Without the database, they run out, and so does this process's work."""
        while True:
            await asyncio.sleep(RENEW_S)
            try:
                if await asyncio.to_thread(self._peers.renew):
                    self._hub.store.scrub_later()  # a killed process may have left forgotten text in the log
            except StoreError as exc:
                _log.warning("the leases of the connections could not be renewed: %s", exc)
