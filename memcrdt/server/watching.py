"""Clients that wait for changes. One reader follows the log for all of them, and each has a bounded queue.

A change is encoded once, whoever follows it, and joined to one text once for all clients that see the same spaces.
Clients are many, and share the event loop with the node: what is done for each of them slows sync.

A client that reads more slowly than changes come is cut off and told so. It loses nothing: it comes back with the
position of the last change that it has read, and reads on from there.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter, deque
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import anyio.to_thread

from memcrdt.errors import MemcrdtError
from memcrdt.server.callers import Caller
from memcrdt.service.access import Access
from memcrdt.service.changes import ChangeReader, Numbered

if TYPE_CHECKING:
    from memcrdt.memory.memory import Memory

QUEUE: Final = 1_024  # changes that wait for one client
CLIENTS: Final = 512
CLIENTS_OF_TOKEN: Final = 256
CHECK_S: Final = 15.0  # between two looks at the tokens while nothing changes


class TooManyClientsError(Exception):
    """No further client can wait for changes."""


class View(NamedTuple):
    """The changes that a client wants to know of: those in all spaces that it sees, or in some of them."""

    access: Access
    spaces: tuple[str, ...] = ()

    def shows(self, space: str) -> bool:
        """Return whether changes in a space are wanted."""
        return self.access.sees(space) and (not self.spaces or space in self.spaces)


class Event(NamedTuple):
    """A change of a log row in a space, as it is sent."""

    row: int
    space: str
    content: bytes


class Batch:
    """The events of one look at the log that a view shows."""

    def __init__(self, events: Iterable[Event]) -> None:
        self._events = tuple(events)
        self._content = b"".join(each.content for each in self._events)

    def __len__(self) -> int:
        return len(self._events)

    def after(self, row: int) -> bytes:
        """Return the events of the rows after this one, as they are sent."""
        if all(each.row > row for each in self._events[:1]):  # they are in the order of their rows
            return self._content
        return b"".join(each.content for each in self._events if each.row > row)


class ChangeWatcher:
    """One client that waits.

    Args:
        caller: Who it is.
        view: What it wants to know of.

    Attributes:
        caller: Who it is.
        view: What it wants to know of.
        ended: Why the stream ends: `cut` for a slow reader, `revoked`, `restored` when the store has lost changes, or
            `closing` when the server ends.
    """

    def __init__(self, caller: Caller, view: View) -> None:
        self.caller = caller
        self.view = view
        self.ended: str | None = None
        self._queue: deque[Batch] = deque()
        self._news = asyncio.Event()

    def offer(self, batch: Batch) -> None:
        """Queue changes. Cut the client off if they do not fit."""
        if sum(map(len, self._queue)) + len(batch) > QUEUE:
            self.end("cut")
        elif batch:
            self._queue.append(batch)
            self._news.set()

    def end(self, reason: str) -> None:
        """Let the stream end."""
        if self.ended is None:
            self.ended = reason
            self._queue.clear()
            self._news.set()

    async def next(self, timeout_s: float) -> list[Batch]:
        """Wait for changes, and return all that wait; an empty list if none came in this time or the stream ends."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._news.wait()
        self._news.clear()
        found = list(self._queue)
        self._queue.clear()
        return found


class ChangeWatchers:
    """All clients that wait. The log is followed while there are any.

    Args:
        memory: The memory.
    """

    def __init__(self, memory: Memory) -> None:
        self._memory = memory
        self._watchers: set[ChangeWatcher] = set()
        self._news = asyncio.Event()
        self._starting = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """End all streams at the end of the context."""
        try:
            yield
        finally:
            self.end_all()
            if self._task is not None:
                self._task.cancel()
                await asyncio.gather(self._task, return_exceptions=True)

    @asynccontextmanager
    async def watching(self, caller: Caller, spaces: tuple[str, ...]) -> AsyncIterator[ChangeWatcher]:
        """Wait for changes inside the context. Every change of a later commit is offered.

        Args:
            caller: Who waits.
            spaces: The spaces to narrow to; none for all that the caller sees.

        Raises:
            TooManyClientsError: There are too many clients, or too many of this token.
        """
        of_token = Counter(each.caller.name for each in self._watchers)[caller.name]
        if len(self._watchers) >= CLIENTS or of_token >= CLIENTS_OF_TOKEN:
            raise TooManyClientsError
        watcher = ChangeWatcher(caller, View(caller.access, spaces))
        self._watchers.add(watcher)
        try:
            await self._start()
            yield watcher
        finally:
            self._watchers.discard(watcher)
            self._news.set()  # nobody may be left to follow the log for

    async def _start(self) -> None:
        """Follow the log, if nothing does."""
        async with self._starting:
            if self._task is None or self._task.done():
                reader = await anyio.to_thread.run_sync(ChangeReader, self._memory, Access())
                self._task = asyncio.create_task(self._follow(reader), name="memcrdt changes")

    async def _follow(self, reader: ChangeReader) -> None:
        loop = asyncio.get_running_loop()
        try:
            signal = await anyio.to_thread.run_sync(self._memory.changes)
        except MemcrdtError:
            self.end_all()
            return

        def wake() -> None:
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(self._news.set)

        signal.on_change(wake)
        self._news.set()  # for changes since the reader was made
        try:
            while self._watchers:
                with suppress(TimeoutError):
                    async with asyncio.timeout(CHECK_S):
                        await self._news.wait()
                self._news.clear()
                while signal.poll() is not None:  # it only says that there is news
                    pass
                await self._tell(reader)
        except MemcrdtError:  # the store cannot be read: the clients come back, and are told why
            self.end_all()
        finally:
            signal.close()

    async def _tell(self, reader: ChangeReader) -> None:
        """Offer all new changes to the clients whose tokens still stand."""
        more = True
        while more:
            found, more, rights = await anyio.to_thread.run_sync(self._look, reader)
            if found is None:
                self.end_all("restored")
                return
            batches: dict[View, Batch] = {}
            for watcher in list(self._watchers):
                caller, view = watcher.caller, watcher.view
                is_revoked = caller.since is not None and rights.get((caller.name, caller.since)) != caller.access
                if is_revoked or caller.ended():
                    watcher.end("revoked")
                    continue
                if view not in batches:
                    batches[view] = Batch(each for each in found if view.shows(each.space))
                watcher.offer(batches[view])

    def _look(self, reader: ChangeReader) -> tuple[list[Event] | None, bool, dict[tuple[str, datetime], Access]]:
        """Return new events, whether there are more, and the rights of all tokens.

        None instead of events: the store has lost changes, and other rows have their numbers. What a client has read
        says nothing then; when it comes back, its position is compared.
        """
        found, more = reader.read()
        if found and found[0].change.kind == "missed":
            return None, more, self._rights()
        return [Event(each.row, each.change.space, encoded(each)) for each in found], more, self._rights()

    def _rights(self) -> dict[tuple[str, datetime], Access]:
        return {
            (token.name, token.created_at): Access(spaces=token.spaces, rights=token.rights)
            for token in self._memory.tokens.list()
        }

    def end_all(self, reason: str = "closing") -> None:
        """Let all streams end. Without a reason, the server ends or cannot read the memory."""
        for watcher in self._watchers:
            watcher.end(reason)


def encoded(each: Numbered) -> bytes:
    """Return a change as an event of a stream. The last one of its row has the position after it."""
    position = f"id: {each.after}\n" if each.after is not None else ""
    return f"{position}event: {each.change.kind}\ndata: {json.dumps(each.change.to_dict())}\n\n".encode()


def ended_by(reason: str) -> dict[str, Any]:
    """Return what a client is told whose stream ends."""
    said = {
        "cut": "this client reads more slowly than changes come; come back with the last id, and nothing is lost",
        "revoked": "the token of this stream was revoked or its rights have changed, or the session has ended",
        "restored": "the store was restored and has lost changes; come back with the last id",
        "closing": "the server ends, or cannot read the memory; come back with the last id",
    }
    return {"reason": reason, "detail": said[reason]}
