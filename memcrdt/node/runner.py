"""Puts the parts of a running network together, over the store of an open Memory."""

from __future__ import annotations

import ipaddress
import platform
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, fields
from functools import partial
from random import SystemRandom
from typing import TYPE_CHECKING, Any

from memcrdt.errors import InputError
from memcrdt.memory.offline import home_of
from memcrdt.model.checks import check_flag
from memcrdt.model.ports import DEFAULT_PAIRING_PORT, DEFAULT_PORT
from memcrdt.net.addresses import Address

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from memcrdt.config import Config
    from memcrdt.memory.memory import Memory
    from memcrdt.net.discovery.finder import Finder
    from memcrdt.node.driver import Driver
    from memcrdt.node.lock import ServeLock


@dataclass(frozen=True, slots=True, kw_only=True)
class NetOptions:
    """Where to listen, at `host` (empty: all interfaces) and `port` (0: any free one, None: nowhere), and how devices
    are found.

    None is as the home's settings say. Whoever listens on the loopback interface only is not looked for, and does not
    look. Raises InputError for a host or port that can be none.
    """

    host: str = ""
    port: int | None = DEFAULT_PORT
    mdns: bool | None = None
    tailscale: bool | None = None

    def __post_init__(self) -> None:
        _ = self.address
        for name in ("mdns", "tailscale"):
            if (given := getattr(self, name)) is not None:
                check_flag(given, name)

    @classmethod
    def of(cls, options: Mapping[str, Any]) -> NetOptions:
        """Those that a caller named. Raises InputError, also for what is none of them."""
        known = [f.name for f in fields(cls)]
        if unknown := sorted(set(options) - set(known)):
            raise InputError(f"the network has no option {unknown[0]!r}; its options are {', '.join(known)}")
        return cls(**options)

    def finders(self, device: str, config: Config, *, pairing: int | None = None) -> list[Finder]:
        """The sources of addresses, for our device id and the settings of our home; `pairing` is the number of a code
        that waits at our port."""
        from memcrdt.net.discovery.mdns import MdnsFinder
        from memcrdt.net.discovery.tailscale import TailscaleFinder

        if self.host == "localhost" or self.host.startswith("127.") or self.host == "::1":
            return []
        finders: list[Finder] = []
        if config.mdns if self.mdns is None else self.mdns:
            finders.append(MdnsFinder(device, pairing=pairing, interfaces=[self.host] if _is_ip(self.host) else None))
        if config.tailscale if self.tailscale is None else self.tailscale:
            finders.append(
                TailscaleFinder(port=DEFAULT_PAIRING_PORT if self.port == DEFAULT_PAIRING_PORT else DEFAULT_PORT)
            )
        return finders

    @property
    def address(self) -> Address | None:
        """Where to listen; None: nowhere."""
        return None if self.port is None else Address(self.host, self.port)


def _is_ip(host: str) -> bool:
    with suppress(ValueError):
        return bool(ipaddress.ip_address(host))
    return False


@asynccontextmanager
async def running(memory: Memory, options: NetOptions, lock: ServeLock) -> AsyncIterator[Driver]:
    """The started driver of a memory's store. Takes the lock over, and releases it.

    Raises what Driver.start() does, ReadOnlyError.
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
        lock.write(None, bell=change_signal.port, planned=options.port)
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
