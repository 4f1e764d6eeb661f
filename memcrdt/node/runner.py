"""Builds a running network from its parts, over the store of an open Memory."""

from __future__ import annotations

import platform
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from random import SystemRandom
from typing import TYPE_CHECKING

from memcrdt.memory.offline import home_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from memcrdt.memory.memory import Memory
    from memcrdt.node.driver import Driver
    from memcrdt.node.lock import ServeLock
    from memcrdt.node.options import NetOptions


@asynccontextmanager
async def running(memory: Memory, options: NetOptions, lock: ServeLock) -> AsyncIterator[Driver]:
    """Run the network of a memory while the context is entered, and yield its driver.

    Releases the lock at the end. Raises ReadOnlyError, and the errors of Driver.start().
    """
    from memcrdt.net.identity import Identity
    from memcrdt.node.change_signal import StoreChangeSignal
    from memcrdt.node.driver import Driver, DriverParts
    from memcrdt.node.store_replica import StoreReplica
    from memcrdt.store.membership.introductions import Introductions
    from memcrdt.store.membership.members import Members
    from memcrdt.store.membership.peers import Peers
    from memcrdt.sync.gossip import Gossip

    async with AsyncExitStack() as stack:
        stack.callback(lock.release)
        store, identity = memory.store, Identity.load_or_create(home_of(memory))
        change_signal = await stack.enter_async_context(StoreChangeSignal(store))
        lock.write(None, signal_port=change_signal.port, planned=options.port)
        parts = DriverParts(
            identity=identity,
            gossip=Gossip(identity.device_id, store.facts.incarnation, rng=SystemRandom()),
            replica=StoreReplica(store),
            peers=Peers(store),
            introductions=Introductions(store),
            change_signal=change_signal,
            settle=partial(Members(store).settle, identity, memory.config.device_name or platform.node()),
            finders=options.finders(identity.device_id, memory.config),
        )
        driver = Driver(parts, options.address, lock.write)
        stack.push_async_callback(driver.stop)
        await driver.start()
        yield driver
