"""Notifications that a resource has changed, here or on another device.

Clients of 2026-07-28 keep a request `subscriptions/listen` open. Older ones subscribe to one address at a time.
Both become watchers. One thread follows the change feed of the memory while the server runs, and tells every watcher
that may read the space of the change. A notification only says that a resource is worth reading again, so there may
be too many: of a memory that was changed or forgotten, the former scope is not known, and all watched scopes are told.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, Final

import anyio
import anyio.from_thread
import anyio.to_thread
from anyio.abc import TaskGroup
from anyio.lowlevel import EventLoopToken, current_token
from mcp import MCPError
from mcp.server import MCPServer
from mcp.server.context import ServerRequestContext
from mcp.server.subscriptions import ListenHandler, ResourceUpdated, ServerEvent
from mcp_types import (
    INTERNAL_ERROR,
    INVALID_PARAMS,
    EmptyResult,
    SubscribeRequestParams,
    SubscriptionsListenRequestParams,
    SubscriptionsListenResult,
    UnsubscribeRequestParams,
)

from memcrdt.errors import InputError, MemcrdtError, NotFoundError
from memcrdt.mcp.resources import GRAPH, ONE, RECENT, scope_of
from memcrdt.mcp.workspace import Workspace
from memcrdt.model.records import Change
from memcrdt.service.access import Access
from memcrdt.service.problems import problem_of

MOST_URIS: Final = 1_000  # of one watcher
MOST_WATCHERS: Final = 1_000
URI_CHARS: Final = 2_048

_STATE: Final = "memcrdt.watcher"  # of a connection


@dataclass(eq=False, slots=True)
class Watcher:
    """A client that wants to know of changes.

    Attributes:
        access: Returns what it may read now.
        tell: Reports an address to it. Called in the event loop.
        uris: The addresses that it watches.
    """

    access: Callable[[], Access]
    tell: Callable[[str], None]
    uris: set[str] = field(default_factory=set)


class Subscriptions:
    """The watchers of one server.

    Args:
        workspace: The memory.
        lasting_access: Returns what returns the rights of the client that is being answered, now and later.
    """

    def __init__(self, workspace: Workspace, lasting_access: Callable[[], Callable[[], Access]]) -> None:
        self._workspace = workspace
        self._lasting_access = lasting_access
        self._watchers: set[Watcher] = set()
        self._starting = anyio.Lock()
        self._is_following = False
        self._tasks: TaskGroup | None = None

    def add_to(self, server: MCPServer[Any]) -> None:
        """Serve subscriptions on both wires. The SDK has no public way to any of the three."""
        handlers = server._lowlevel_server
        handlers.add_request_handler("subscriptions/listen", SubscriptionsListenRequestParams, self._listen)
        handlers.add_request_handler("resources/subscribe", SubscribeRequestParams, self._subscribe)
        handlers.add_request_handler("resources/unsubscribe", UnsubscribeRequestParams, self._unsubscribe)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Send notifications while the block runs."""
        async with anyio.create_task_group() as self._tasks:
            yield
            self._tasks.cancel_scope.cancel()

    async def _listen(
        self, ctx: ServerRequestContext[Any, Any], params: SubscriptionsListenRequestParams
    ) -> SubscriptionsListenResult:
        uris = params.notifications.resource_subscriptions or []
        _check(uris)
        await self._follow()
        return await ListenHandler(_Bus(self, self._lasting_access(), uris))(ctx, params)

    async def _subscribe(self, ctx: ServerRequestContext[Any, Any], params: SubscribeRequestParams) -> EmptyResult:
        await self._follow()
        connection = ctx.session._connection
        watcher = connection.state.get(_STATE)
        _check({params.uri} if watcher is None else {*watcher.uris, params.uri})
        if watcher is None:
            watcher = connection.state[_STATE] = Watcher(self._lasting_access(), self._teller(ctx))
            connection.exit_stack.callback(self.watch(watcher))
        watcher.uris.add(params.uri)
        return EmptyResult()

    async def _unsubscribe(self, ctx: ServerRequestContext[Any, Any], params: UnsubscribeRequestParams) -> EmptyResult:
        if watcher := ctx.session._connection.state.get(_STATE):
            watcher.uris.discard(params.uri)
        return EmptyResult()

    def watch(self, watcher: Watcher) -> Callable[[], None]:
        """Add a watcher, and return what removes it. Raises MCPError if there are too many."""
        if len(self._watchers) >= MOST_WATCHERS:
            raise MCPError(INTERNAL_ERROR, f"there are at most {MOST_WATCHERS:,} subscribers")
        self._watchers.add(watcher)
        return lambda: self._watchers.discard(watcher)

    def _teller(self, ctx: ServerRequestContext[Any, Any]) -> Callable[[str], None]:
        """Return what notifies a client of the older protocol. A slow client has each address waiting only once."""
        waiting: set[str] = set()

        async def send(uri: str) -> None:
            waiting.discard(uri)
            with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
                await ctx.session.send_resource_updated(uri)

        def tell(uri: str) -> None:
            if uri not in waiting and self._tasks is not None:
                waiting.add(uri)
                self._tasks.start_soon(send, uri)

        return tell

    async def _follow(self) -> None:
        """Begin to follow the change feed, for the first watcher. Raises MCPError if the memory cannot be opened."""
        async with self._starting:
            if self._is_following:
                return
            token = current_token()
            try:
                await anyio.to_thread.run_sync(self._begin, token)
            except MemcrdtError as exc:
                raise MCPError(INTERNAL_ERROR, str(problem_of(exc))) from exc
            self._is_following = True

    def _begin(self, token: EventLoopToken) -> None:
        memory = self._workspace.memory

        def report(change: Change) -> None:
            scope = None
            if change.kind == "added":
                with suppress(NotFoundError):  # forgotten since
                    scope = memory.get(change.id).scope
            watchers = [
                each for each in list(self._watchers) if change.kind == "missed" or each.access().sees(change.space)
            ]
            with suppress(anyio.RunFinishedError):  # the server has ended
                anyio.from_thread.run_sync(self._report, watchers, change, scope, token=token)

        memory.subscribe(report)

    def _report(self, watchers: list[Watcher], change: Change, scope: str | None) -> None:
        for watcher in watchers:
            for uri in [each for each in watcher.uris if self._concerns(each, change, scope)]:
                watcher.tell(uri)

    def _concerns(self, uri: str, change: Change, scope: str | None) -> bool:
        """Return whether a change may be seen at an address. `scope` is the scope of a new memory."""
        watched = scope_of(uri)
        if change.kind == "missed" or uri in (GRAPH, ONE + change.id):
            return True
        if watched is None and uri != RECENT:
            return False
        if scope is None:
            return True
        try:
            scopes = self._workspace.context.to_read(watched)
        except InputError:
            return False
        return not scopes or scope in scopes


class _Bus:
    """Connects the SDK's handler of one `subscriptions/listen` with the watchers."""

    def __init__(self, subscriptions: Subscriptions, access: Callable[[], Access], uris: Iterable[str]) -> None:
        self._subscriptions = subscriptions
        self._access = access
        self._uris = set(uris)

    def subscribe(self, listener: Callable[[ServerEvent], None]) -> Callable[[], None]:
        """Add the client as a watcher, and return what removes it."""
        return self._subscriptions.watch(Watcher(self._access, lambda uri: listener(ResourceUpdated(uri)), self._uris))

    async def publish(self, event: ServerEvent) -> None:
        """Do nothing: all events come from the change feed."""


def _check(uris: Iterable[str]) -> None:
    """Raise MCPError for too many addresses, or one that is too long."""
    given = list(uris)
    if len(given) > MOST_URIS or any(len(each) > URI_CHARS for each in given):
        raise MCPError(
            INVALID_PARAMS, f"a client may watch at most {MOST_URIS:,} addresses of {URI_CHARS:,} characters"
        )
