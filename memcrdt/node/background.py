"""BackgroundNode: the network in a thread of its own, behind Memory.start_sync() and Memory.wait_synced().

Every open memory has one. So what only a running network needs, above all asyncio, is imported when it starts: that is
20 ms of a process that only searches.
"""

from __future__ import annotations

import atexit
import concurrent.futures.thread  # noqa: F401 - its exit handler has to be registered before ours, to run after ours
import logging
import os
import threading
from concurrent.futures import Future
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakSet

from memcrdt.errors import LockedError, MemcrdtError
from memcrdt.memory.offline import home_of
from memcrdt.memory.sync import Look, Serving
from memcrdt.model.device_ids import parse_device_id
from memcrdt.model.ports import AUTO, DEFAULT_PORT
from memcrdt.node.lock import ServeLock, holder, signal_change

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Iterator

    from memcrdt.memory.memory import Memory
    from memcrdt.node.options import NetOptions

log = logging.getLogger("memcrdt.net")

TAKEOVER_S: Final = 1.0  # between two attempts of a standby process to take the network over


class BackgroundNode:
    """The network of a Memory in its own thread, for programs without an event loop.

    While another process runs the network of the home, this one is on standby. It takes over within 2 s after the other
    process ends.
    """

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._home = home_of(memory)
        memory.store.subscribe(partial(signal_change, self._home))
        memory.store.on_write(partial(signal_change, self._home))
        self._lock = threading.RLock()
        self._wanted = False  # whether start() was called
        self._waits = 0  # callers of asking() that also need the network
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop
        self._ending: asyncio.Event  # stop() was called

    def start(self, **options: Any) -> None:
        """Start the network, and return when it runs or is on standby. A second call does nothing.

        Args:
            options: The options of memcrdt.node.options.NetOptions.

        Raises:
            InputError: An option is unknown or wrong, or the host is not one of this machine.
            LockedError: Another program has the port.
            ReadOnlyError: The memory is read-only.
        """
        from memcrdt.node.options import NetOptions

        asked = NetOptions.of(options)
        with self._lock:
            self._begin(asked)
            self._wanted = True

    def stop(self) -> None:
        """Close all connections, and return when the thread has ended."""
        with self._lock:
            self._wanted = False
            self._end()

    @contextmanager
    def asking(self, timeout_s: float | None, peers: list[str] | None) -> Iterator[Look]:
        """Ask the process with the network to sync, and run the network here if no process does. Implements Network."""
        from memcrdt.node.sync_wait import SyncWait

        devices = None if peers is None else {parse_device_id(peer) for peer in peers}
        with self._running_meanwhile():
            wait = SyncWait(self._memory.store, devices, timeout_s)
            signal_change(self._home)
            yield wait.look

    def serving(self) -> Serving | None:
        """Return the process that runs the network for this home."""
        found = holder(self._home)
        return None if found is None else Serving(found.pid, found.port, found.error)

    def address(self, text: str) -> str:
        """Return HOST[:PORT] in the form in which it is stored."""
        from memcrdt.net.addresses import Address

        return str(Address.parse(text))

    @contextmanager
    def _running_meanwhile(self) -> Iterator[None]:
        """Run the network if no other process does, until the last waiting caller is done."""
        with self._lock:
            is_ours = self._waits > 0 or (self._thread is None and holder(self._home) is None)
            if is_ours:
                self._begin_for_a_while()
                self._waits += 1
        try:
            yield
        finally:
            if is_ours:
                with self._lock:
                    self._waits -= 1
                    if not self._waits and not self._wanted:
                        self._end()

    def _begin_for_a_while(self) -> None:
        from memcrdt.node.options import NetOptions

        port = self._memory.config.port
        try:
            self._begin(NetOptions(port=DEFAULT_PORT if port == AUTO else port))
        except LockedError:
            # The port is in use, perhaps by another home. Dialing needs no port, and other devices would remember one
            # where nothing listens any more after this.
            self._begin(NetOptions(port=None))

    def _begin(self, options: NetOptions) -> None:
        if self._thread is not None:
            return
        import asyncio

        _running.add(self)
        started: Future[None] = Future()
        self._loop, self._ending = asyncio.new_event_loop(), asyncio.Event()
        self._thread = threading.Thread(target=self._run, args=(options, started), name="memcrdt-network", daemon=True)
        self._thread.start()
        try:
            started.result()
        except BaseException:  # including Ctrl-C while waiting: the thread must not stay behind
            self._end()
            raise

    def _end(self) -> None:
        _running.discard(self)
        if self._thread is not None:
            with suppress(RuntimeError):  # its loop has ended already
                self._loop.call_soon_threadsafe(self._ending.set)
            self._thread.join()
            self._thread = None

    def _run(self, options: NetOptions, started: Future[None]) -> None:
        import asyncio

        try:
            with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
                runner.run(self._serve(options, started))
        except BaseException as exc:  # start() waits for the result, whatever it is
            if started.done():
                raise
            started.set_exception(exc)

    async def _serve(self, options: NetOptions, started: Future[None]) -> None:
        import asyncio

        while not self._ending.is_set():
            try:
                await self._serve_once(options, started)
            except MemcrdtError as exc:
                if not started.done():
                    raise
                log.error("%s", exc)
            with suppress(TimeoutError):
                async with asyncio.timeout(TAKEOVER_S):
                    await self._ending.wait()

    async def _serve_once(self, options: NetOptions, started: Future[None]) -> None:
        """Run the network until stop(), or return at once when another process runs it."""
        from memcrdt.node.runner import running

        try:
            lock = ServeLock(self._home)
        except LockedError:
            if not started.done():
                started.set_result(None)
            return
        async with running(self._memory, options, lock):
            if not started.done():
                started.set_result(None)
            await self._ending.wait()


_running: WeakSet[BackgroundNode] = WeakSet()


def _stop_all() -> None:
    """Stop the networks of a program that exits without close(), so that peers and finders are told."""
    for node in list(_running):
        node.stop()


# Stopping in order needs the threads of executors, which end in a handler that is registered the same way.
getattr(threading, "_register_atexit", atexit.register)(_stop_all)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_running.clear)  # the threads belong to the parent
