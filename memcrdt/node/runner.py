"""Builds a running network from its parts, over the store of an open Memory."""

from __future__ import annotations

import platform
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from random import SystemRandom
from typing import TYPE_CHECKING

from memcrdt.errors import MemcrdtError
from memcrdt.memory.offline import home_of
from memcrdt.store import meta

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from memcrdt.memory.memory import Memory
    from memcrdt.net.addresses import Address
    from memcrdt.node.driver import Driver
    from memcrdt.node.lock import ServeLock
    from memcrdt.node.options import NetOptions
    from memcrdt.store.store import Store


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
        addresses = options.addresses(memory.config)
        lock.write(None, signal_port=change_signal.port, planned=_planned_port(addresses))
        parts = DriverParts(
            identity=identity,
            gossip=Gossip(identity.device_id, store.facts.incarnation, rng=SystemRandom()),
            replica=StoreReplica(store),
            peers=Peers(store),
            introductions=Introductions(store),
            change_signal=change_signal,
            settle=partial(Members(store).settle, identity, memory.config.device_name or platform.node()),
            incarnation=partial(_incarnation, store),
            finders=options.finders(identity.device_id, memory.config),
        )
        driver = Driver(parts, addresses, lock.write, must_listen=options.must_listen)
        stack.push_async_callback(driver.stop)
        await driver.start()
        yield driver


def _incarnation(store: Store) -> str:
    with store.reading() as db:
        return meta.facts(db).incarnation


def _planned_port(addresses: Sequence[Address]) -> int | None:
    """Return the port where the network will listen; None if it is not known."""
    from memcrdt.net.connection_gate import free_address  # loads aiohttp, which most programs never need

    with suppress(MemcrdtError):  # the driver reports it
        return free_address(addresses).port or None if addresses else None
    return addresses[0].port or None
