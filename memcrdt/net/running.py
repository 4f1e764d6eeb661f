"""Puts the parts of a running network together, over the store of an open Memory."""

from __future__ import annotations

from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from random import SystemRandom
from typing import TYPE_CHECKING

from memcrdt.net.addresses import DEFAULT_PORT, Address

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from memcrdt.net.driver import Driver
    from memcrdt.net.lock import ServeLock
    from memcrdt.store.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class NetOptions:
    """Where to listen: at `host` (empty: all interfaces) and `port` (0: any free one).

    Raises InputError for what can be neither.
    """

    host: str = ""
    port: int = DEFAULT_PORT

    def __post_init__(self) -> None:
        _ = self.address

    @property
    def address(self) -> Address:
        """Where to listen."""
        return Address(self.host, self.port)


@asynccontextmanager
async def running(home: Path, store: Store, options: NetOptions, lock: ServeLock) -> AsyncIterator[Driver]:
    """The started driver of a store. Takes the lock over, and releases it.

    Raises what Driver.start() does, ReadOnlyError.
    """
    from memcrdt.net.doorbell import StoreDoorbell
    from memcrdt.net.driver import Driver, Parts
    from memcrdt.net.identity import Identity
    from memcrdt.net.replica import StoreReplica
    from memcrdt.store.peers import Peers
    from memcrdt.sync.gossip import Gossip

    async with AsyncExitStack() as stack:
        stack.callback(lock.release)
        identity = Identity.load_or_create(home)
        doorbell = await stack.enter_async_context(StoreDoorbell(store))
        lock.write(None, bell=doorbell.port)
        parts = Parts(
            identity=identity,
            gossip=Gossip(identity.device_id, store.facts.incarnation, rng=SystemRandom()),
            replica=StoreReplica(store),
            peers=Peers(store),
            doorbell=doorbell,
        )
        driver = Driver(parts, options.address, lock.write)
        stack.push_async_callback(driver.stop)
        await driver.start()
        yield driver
