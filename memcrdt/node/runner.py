"""Builds a running network from its parts: over any store, or over the store of an open Memory."""

from __future__ import annotations

import asyncio
import platform
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import replace
from functools import partial
from random import SystemRandom
from typing import TYPE_CHECKING

from memcrdt.errors import MemcrdtError
from memcrdt.memory.offline import home_of
from memcrdt.store import clock, meta
from memcrdt.store.membership.relays import relays_by_device

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from memcrdt.memory.memory import Memory
    from memcrdt.model.device_ids import Signer
    from memcrdt.net.addresses import Address
    from memcrdt.node.driver import ChangeSignal, Driver, DriverParts
    from memcrdt.node.lock import ServeLock
    from memcrdt.node.options import NetOptions
    from memcrdt.node.relayed import RelayPlan
    from memcrdt.store.base import BaseStore
    from memcrdt.store.clock import ClockNote
    from memcrdt.store.sql import SqlConnection
    from memcrdt.sync.messages import HubHint


def driver_parts(
    store: BaseStore[SqlConnection],
    identity: Signer,
    change_signal: ChangeSignal,
    own_name: Callable[[], str],
    *,
    hub: HubHint | None = None,
) -> DriverParts:
    """Return the parts of a driver over any store, without finders and relays.

    Args:
        store: The store.
        identity: The key of this device.
        change_signal: Signals changes of the store.
        own_name: Returns the name that other devices see. It is called in a thread.
        hub: What this device says of itself if it is a hub.
    """
    from memcrdt.node.driver import DriverParts
    from memcrdt.node.store_replica import StoreReplica
    from memcrdt.store.membership.introductions import Introductions
    from memcrdt.store.membership.members import Members
    from memcrdt.store.membership.peers import Peers
    from memcrdt.sync.gossip import Gossip

    members = Members(store)
    return DriverParts(
        identity=identity,
        gossip=Gossip(identity.device_id, store.facts.incarnation, rng=SystemRandom(), hub=hub),
        replica=StoreReplica(store),
        peers=Peers(store),
        introductions=Introductions(store),
        change_signal=change_signal,
        settle=lambda: members.settle(identity, own_name()),
        incarnation=partial(_incarnation, store),
        note_clock=partial(clock.note_time, store),
    )


@asynccontextmanager
async def running(memory: Memory, options: NetOptions, lock: ServeLock) -> AsyncIterator[Driver]:
    """Run the network of a memory and its mirrors while the context is entered, and yield its driver.

    Releases the lock at the end. Raises ReadOnlyError, and the errors of Driver.start().
    """
    from memcrdt.memory.mirror_follower import MirrorFollower
    from memcrdt.net.identity import Identity
    from memcrdt.node.change_signal import StoreChangeSignal
    from memcrdt.node.driver import Driver
    from memcrdt.store.store import in_file

    async with AsyncExitStack() as stack:
        stack.callback(lock.release)
        store, identity = memory.store, Identity.load_or_create(home_of(memory))
        change_signal = await stack.enter_async_context(StoreChangeSignal(in_file(store), is_noted=True))
        addresses = options.addresses(memory.config)
        lock.write(None, signal_port=change_signal.port, planned=_planned_port(addresses))
        name = memory.config.device_name or platform.node()
        parts = replace(
            driver_parts(store, identity, change_signal, lambda: name),
            note_clock=partial(_note_clock, memory),
            finders=options.finders(identity.device_id, memory.config),
            relays=partial(_relay_plan, memory),
        )
        driver = Driver(parts, addresses, lock.write, must_listen=options.must_listen)
        stack.push_async_callback(driver.stop)
        await driver.start()
        mirrors = MirrorFollower(memory.mirrors)
        mirrors.start()
        stack.push_async_callback(asyncio.to_thread, mirrors.stop)
        yield driver


def _relay_plan(memory: Memory) -> RelayPlan:
    from memcrdt.node.relayed import RelayPlan

    return RelayPlan.of(memory.config.relays, relays_by_device(memory.store))


def _incarnation(store: BaseStore[SqlConnection]) -> str:
    with store.reading() as db:
        return meta.facts(db).incarnation


def _note_clock(memory: Memory) -> ClockNote:
    memory.retention.note_time()
    with memory.store.reading() as db:
        return clock.read(db)


def _planned_port(addresses: Sequence[Address]) -> int | None:
    """Return the port where the network will listen; None if it is not known."""
    from memcrdt.net.connection_gate import free_address  # loads aiohttp, which most programs never need

    with suppress(MemcrdtError):  # the driver reports it
        return free_address(addresses).port or None if addresses else None
    return addresses[0].port or None
