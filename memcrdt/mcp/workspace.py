"""The memory behind a server: opened in the background, so that a client sees its tools at once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from memcrdt.errors import MemcrdtError, PeerError, StoreError
from memcrdt.service.access import Access
from memcrdt.service.context import Context

if TYPE_CHECKING:
    from memcrdt.memory.memory import Memory
    from memcrdt.service.service import Service


HEAD_START_S: Final = 0.3  # for the first answers, which would otherwise share the interpreter with loading the store


class Workspace:
    """Opens a memory in a thread, after a moment or as soon as it is needed, and makes the service for each call.

    Args:
        opener: Opens the memory.
        context: Project and conversation of this server.
        sync: Whether to run the network, or wait to take over while another process runs it.
    """

    def __init__(self, opener: Callable[[], Memory], context: Context, *, sync: bool) -> None:
        self.context = context
        self._opener = opener
        self._sync = sync
        self._wanted = threading.Event()
        self._opened = threading.Event()
        self._asked = False
        self._closing = False
        self._owned = True
        self._memory: Memory | None = None
        self._error: MemcrdtError | None = None
        self.sync_error: str | None = None
        self._thread = threading.Thread(target=self._open, name="memcrdt opening", daemon=True)

    @classmethod
    def over(cls, memory: Memory, context: Context) -> Workspace:
        """Return a workspace over a memory that is open already, and that its owner closes."""
        workspace = cls(lambda: memory, context, sync=False)
        workspace._owned = False
        return workspace

    def start(self) -> None:
        """Begin to open the memory."""
        self._thread.start()

    def close(self) -> None:
        """Close the memory once it is open. If nobody has asked for it, it is not opened."""
        self._closing = True
        self._wanted.set()
        self._thread.join()
        if self._memory is not None and self._owned:
            self._memory.close()

    @property
    def memory(self) -> Memory:
        """The memory, when it is open. Blocks until then. Raises what opening it raised."""
        self._asked = True
        self._wanted.set()
        self._opened.wait()
        if self._memory is None:
            raise self._error or StoreError("the memory could not be opened; run `memcrdt status`")
        return self._memory

    def service(self, agent: str | None, access: Access) -> Service:
        """Return the service for a call of an agent."""
        from memcrdt.service.service import Service

        return Service(self.memory, replace(self.context, agent=self.context.agent or agent), access)

    def _open(self) -> None:
        self._wanted.wait(HEAD_START_S)
        try:
            if self._closing and not self._asked:
                return
            self._memory = self._opener()
            if self._sync:
                self._memory.start_sync()
        except PeerError as exc:
            self.sync_error = str(exc)
        except MemcrdtError as exc:
            if self._memory is None:
                self._error = exc
            else:
                self.sync_error = str(exc)
        finally:
            self._opened.set()
