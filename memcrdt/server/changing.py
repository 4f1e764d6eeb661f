"""/v1/changes: what changes, as a stream of events, or as the answer to a question that waits."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import Annotated, Final

import anyio.to_thread
from fastapi import APIRouter, Header, Query
from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.types import Message, Receive, Scope, Send

from memcrdt.server.answers import json_of
from memcrdt.server.bodies import Body, Labels
from memcrdt.server.callers import caller_of
from memcrdt.server.problems import problem
from memcrdt.server.watching import ChangeWatcher, ChangeWatchers, TooManyClientsError, encoded, ended_by
from memcrdt.service.changes import BATCH, ChangeReader, Changes, changes

HEARTBEAT_S: Final = 15.0
HEARTBEAT: Final = b": still here\n\n"
STALL_S: Final = 30.0  # a client that takes nothing for so long is gone
RETRY_MS: Final = 1_000  # when a browser comes back
WAIT_S: Final = 60.0
EVENTS: Final = "text/event-stream"

router = APIRouter(prefix="/v1", tags=["changes"])


class ChangesQuery(Body):
    """What to read, and how long to wait for it."""

    since: Annotated[str, Field(max_length=40)] | None = Field(
        None, description="`next` of the answer before, or the id of an event. Default: now"
    )
    wait: Annotated[float, Field(ge=0, le=WAIT_S)] = Field(
        0, description="Seconds to wait for a change, if there is none yet. Not for a stream"
    )
    space: Labels = Field(default_factory=list)
    limit: Annotated[int, Field(ge=1, le=BATCH)] = BATCH


@router.get(
    "/changes",
    response_model=Changes,
    responses={
        200: {
            "content": {
                EVENTS: {
                    "schema": {"type": "string"},
                    "example": 'id: 42-9f3a2b1c\nevent: added\ndata: {"kind": "added", "id": "01K9XQ3V…"}\n\n',
                }
            }
        }
    },
)
async def get_changes(
    request: Request,
    asked: Annotated[ChangesQuery, Query()],
    last_event_id: Annotated[str | None, Header(max_length=40)] = None,
) -> Response:
    """Return the changes after a position, each memory once; with `Accept: text/event-stream`, as a stream.

    A stream resumes after `Last-Event-ID`. Its events are `added`, `updated` and `forgotten`, `missed` (list the
    memories again: there were more changes than can be told), and before it ends `end` with the reason.
    """
    caller, memory = caller_of(request), request.app.state.memory
    watchers: ChangeWatchers = request.app.state.watchers
    spaces = tuple(asked.space)
    is_stream = EVENTS in request.headers.get("accept", "")
    since = (last_event_id or asked.since) if is_stream else asked.since
    async with AsyncExitStack() as held:
        try:
            watcher = await held.enter_async_context(watchers.watching(caller, spaces))
        except TooManyClientsError:
            return problem("busy", "too many clients wait for changes")
        reader = await anyio.to_thread.run_sync(ChangeReader, memory, caller.access, spaces, since)
        if not is_stream:
            return await _changes(reader, watcher, asked)
        return EventStream(_events(watcher, reader), held.pop_all())


async def _changes(reader: ChangeReader, watcher: ChangeWatcher, asked: ChangesQuery) -> JSONResponse:
    """Return the next changes, or wait for them."""
    deadline = asyncio.get_running_loop().time() + asked.wait
    found = await anyio.to_thread.run_sync(changes, reader, asked.limit)
    while not found.changes and watcher.ended is None:
        left = deadline - asyncio.get_running_loop().time()
        if left <= 0:
            break
        await watcher.next(left)
        found = await anyio.to_thread.run_sync(changes, reader, asked.limit)
    return json_of(found.to_dict())


async def _events(watcher: ChangeWatcher, reader: ChangeReader) -> AsyncIterator[bytes]:
    """Yield the events of a stream: what was changed since the position, then what changes."""
    yield f"retry: {RETRY_MS}\n\n".encode()
    more = True
    while more:
        found, more = await anyio.to_thread.run_sync(_read, reader)
        if found:
            yield found
    read = reader.position  # what the watcher has of earlier rows is known
    yield f"id: {read}\n\n".encode()
    while watcher.ended is None:
        news = await watcher.next(HEARTBEAT_S)
        if found := b"".join(batch.after(read.row) for batch in news):
            yield found
        elif watcher.ended is None:
            yield HEARTBEAT
    yield f"event: end\ndata: {json.dumps(ended_by(watcher.ended))}\n\n".encode()


def _read(reader: ChangeReader) -> tuple[bytes, bool]:
    found, more = reader.read()
    return b"".join(map(encoded, found)), more


class EventStream(StreamingResponse):
    """A stream of events. A client that takes nothing for half a minute is disconnected."""

    def __init__(self, events: AsyncIterator[bytes], held: AsyncExitStack) -> None:
        headers = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        super().__init__(events, headers=headers, media_type=EVENTS)
        self._held = held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events until the stream ends or the client is gone."""

        async def send_in_time(message: Message) -> None:
            try:
                async with asyncio.timeout(STALL_S):
                    await send(message)
            except TimeoutError as exc:
                raise OSError("the client takes no more events") from exc  # as for a client that is gone

        async with self._held:
            await super().__call__(scope, receive, send_in_time)
