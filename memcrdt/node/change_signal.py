"""Detects changes of a store by any process.

The store reports what this process writes. Other processes send an empty datagram on the loopback interface after each
commit and each change of other data, such as peers, or to ask for a sync. They find the port in the note of the process
that runs the network. A datagram may be lost, and other programs send none, so SQLite's own version number is also read
now and then: seldom where datagrams are expected, because every wake-up of an idle process costs battery.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING, Final, Self

from memcrdt.node.lock import LOOPBACK
from memcrdt.store.connections import data_version

if TYPE_CHECKING:
    from memcrdt.store.base import Notice
    from memcrdt.store.store import Store

SIGNALED_POLL_S: Final = 2.0  # where other processes know the port
POLL_S: Final = 0.25  # where nothing else tells of other processes
WRITE_S: Final = 0.25  # after a write without a change of a memory: many may follow each other


class StoreChangeSignal:
    """Signals the commits of every process on the store. An async context manager.

    Attributes:
        port: The UDP port for the signals of other processes; None if the machine has no loopback address.
    """

    def __init__(self, store: Store, *, is_noted: bool = False) -> None:
        """Take the store; nothing runs yet.

        Args:
            store: The store.
            is_noted: Whether the caller notes the port, so that other processes send datagrams to it.
        """
        self.port: int | None = None
        self._store = store
        self._is_noted = is_noted
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._held = AsyncExitStack()
        self._open = True
        self._timer: asyncio.TimerHandle
        self._soon: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Self:
        self._held.callback(self._store.subscribe(self._wake))
        self._held.callback(self._store.on_write(self._wake_soon))
        # Version numbers of different connections cannot be compared, so one connection is used for all checks.
        self._db = self._held.enter_context(self._store.reading())
        self._seen = self._version()
        for host in LOOPBACK.values():
            with suppress(OSError):  # without a loopback address, polling detects the changes
                transport, _ = await self._loop.create_datagram_endpoint(
                    lambda: _DatagramListener(self), local_addr=(host, 0)
                )
                self._held.callback(transport.close)
                self.port = transport.get_extra_info("sockname")[1]
                break
        self._poll()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._open = False
        self._timer.cancel()
        if self._soon is not None:
            self._soon.cancel()
        await self._held.aclose()

    async def changed(self) -> None:
        """Return when the store has changed since the last call."""
        await self._changed.wait()
        self._changed.clear()

    def look(self) -> None:
        """Check whether the store has changed."""
        if not self._open:
            return  # the store has its connection back
        version = self._version()
        if version != self._seen:
            self._seen = version
            self._changed.set()

    def _wake(self, _: Notice) -> None:
        with suppress(RuntimeError):  # the loop was closed while another thread committed
            self._loop.call_soon_threadsafe(self.look)

    def _wake_soon(self) -> None:
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._look_soon)

    def _look_soon(self) -> None:
        if self._soon is None and self._open:
            self._soon = self._loop.call_later(WRITE_S, self._looked_soon)

    def _looked_soon(self) -> None:
        self._soon = None
        self.look()

    def _poll(self) -> None:
        is_told = self._is_noted and self.port is not None
        self._timer = self._loop.call_later(SIGNALED_POLL_S if is_told else POLL_S, self._poll)
        self.look()

    def _version(self) -> int:
        return data_version(self._db)


class _DatagramListener(asyncio.DatagramProtocol):
    def __init__(self, change_signal: StoreChangeSignal) -> None:
        self._signal = change_signal

    def datagram_received(self, data: bytes, addr: object) -> None:
        self._signal.look()
