"""Node: runs the network of an open Memory.

One process per home runs the network: the first that starts it. A memory that another process adds is durable and
searchable at once, and the process with the network sends it to other devices.
"""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol, Self

from memcrdt.errors import LockedError
from memcrdt.memory.offline import home_of
from memcrdt.model.device_ids import parse_device_id
from memcrdt.model.serialization import Names, Record
from memcrdt.net.addresses import Address, own_addresses
from memcrdt.node.lock import ServeLock
from memcrdt.node.options import NetOptions
from memcrdt.node.runner import running
from memcrdt.store.store import in_file

if TYPE_CHECKING:
    from pathlib import Path

    from memcrdt.memory.memory import Memory
    from memcrdt.node.driver import Driver
    from memcrdt.store.store import Store

LOCK_TRIES: Final = 5  # a process that checks whether the network runs takes the lock for a moment
LOCK_RETRY_S: Final = 0.05


@dataclass(frozen=True, slots=True)
class NodeStatus(Record):
    """The network of this process at one moment.

    Attributes:
        device: The id of this device.
        port: The port where it listens; None until a device is accepted.
        connected: The ids of the connected devices.
    """

    device: str
    port: int | None
    connected: Names


class RunningEndpoint(Protocol):
    """An endpoint for clients of the store that is listening.

    Attributes:
        url: Where clients connect.
    """

    url: str


class ClientEndpoint(Protocol):
    """An endpoint for clients of the store, opened and closed with a Node's network. memcrdt.YjsOptions is one."""

    def open(self, store: Store) -> AbstractAsyncContextManager[RunningEndpoint]:
        """Return a context manager that listens for clients of the store while it is entered."""
        ...


class Node:
    """Runs the network of an open Memory: `async with Node(memory) as node`.

    It listens while a device is accepted, or was revoked and has to be told so when it dials.

    Entering the context raises:
        LockedError: Another process runs the network of this home, or another program has a port.
        InputError: A host is not one of this machine.
        ReadOnlyError: The memory is read-only.

    Attributes:
        yjs_url: Where Yjs clients find the spaces, while the node is entered; None without `yjs`.

    Example:
        async with memcrdt.Node(memory) as node:
            await node.connect("192.168.1.20")
    """

    def __init__(self, memory: Memory, *, yjs: ClientEndpoint | None = None, **options: Any) -> None:
        """Take the options; nothing runs yet.

        Args:
            memory: The open memory.
            yjs: YjsOptions, to accept stock Yjs clients too.
            options: The options of memcrdt.node.options.NetOptions: `host`, `port`, `mdns` and `tailscale`.

        Raises:
            InputError: An option is unknown or wrong.
        """
        self._memory = memory
        self._options = NetOptions.of(options)
        self._yjs = yjs
        self._driver: Driver
        self.yjs_url: str | None = None

    async def __aenter__(self) -> Self:
        lock = await _acquire(home_of(self._memory))
        async with AsyncExitStack() as stack:
            network = running(self._memory, self._options, lock)
            self._driver = await stack.enter_async_context(network)
            if self._yjs is not None:
                self.yjs_url = (await stack.enter_async_context(self._yjs.open(in_file(self._memory.store)))).url
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    @property
    def port(self) -> int | None:
        """The port where the node listens; None until a device is accepted."""
        return self._driver.port

    @property
    def addresses(self) -> list[str]:
        """Where other devices can dial this device, as HOST:PORT; empty until a device is accepted."""
        return [] if self.port is None else own_addresses(self._options.host, self.port)

    async def connect(self, address: str, device: str | None = None) -> str:
        """Dial an accepted device and remember its address.

        Args:
            address: HOST[:PORT].
            device: The id of the only device that will do; None for any accepted device.

        Returns:
            The device's id.

        Raises:
            InputError: The address or the id is malformed.
            UnreachableError: No memcrdt answers.
            UntrustedPeerError: Another device than the wanted one answers, or one side does not accept the other.
            RemoteProtocolError: The device breaks the protocol.
        """
        return await self._driver.connect(Address.parse(address), None if device is None else parse_device_id(device))

    def sync_now(self) -> None:
        """Compare with every connected peer now, without waiting for the interval, and dial the other peers."""
        self._driver.sync_now()

    def status(self) -> NodeStatus:
        """Return the state of the network at this moment."""
        return NodeStatus(self._memory.store.device, self.port, self._driver.connected)


async def _acquire(home: Path) -> ServeLock:
    for _ in range(LOCK_TRIES - 1):
        with suppress(LockedError):
            return ServeLock(home)
        await asyncio.sleep(LOCK_RETRY_S)
    return ServeLock(home)
