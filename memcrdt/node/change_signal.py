"""Detects changes of a store by any process.

The store reports the commits of this process. Other processes send an empty datagram on the loopback interface after a
commit, or to ask for a sync. A datagram may be lost, and other writes send none, so SQLite's own version number is also
read four times a second.
"""

from __future__ import annotations

import asyncio
import socket
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING, Final, Self

from memcrdt.node.lock import noted_signal_port
from memcrdt.store.connections import data_version

if TYPE_CHECKING:
    from pathlib import Path

    from memcrdt.store.store import Notice, Store

POLL_S: Final = 0.25  # a shorter time costs battery: an idle process wakes for nothing else
_LOOPBACK: Final = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}  # a machine may lack either


class StoreChangeSignal:
    """Signals the commits of every process on the store. An async context manager.

    Attributes:
        port: The UDP port for the signals of other processes; None if the machine has no loopback address.
    """

    def __init__(self, store: Store) -> None:
        self.port: int | None = None
        self._store = store
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._held = AsyncExitStack()
        self._open = True
        self._timer: asyncio.TimerHandle

    async def __aenter__(self) -> Self:
        self._held.callback(self._store.subscribe(self._wake))
        # Version numbers of different connections cannot be compared, so one connection is used for all checks.
        self._db = self._held.enter_context(self._store.reading())
        self._seen = self._version()
        for host in _LOOPBACK.values():
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

    def _poll(self) -> None:
        self._timer = self._loop.call_later(POLL_S, self._poll)
        self.look()

    def _version(self) -> int:
        return data_version(self._db)


class _DatagramListener(asyncio.DatagramProtocol):
    def __init__(self, change_signal: StoreChangeSignal) -> None:
        self._signal = change_signal

    def datagram_received(self, data: bytes, addr: object) -> None:
        self._signal.look()


def signal_change(home: Path, _: Notice | None = None) -> None:
    """Signal a change to the process that runs the network of a home, if it is another process."""
    if port := noted_signal_port(home):
        for family, host in _LOOPBACK.items():
            with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as sender:
                sender.setblocking(False)  # if the datagram is lost, that process detects the change by polling
                sender.sendto(b"", (host, port))
                return
