"""Limits of what a request contains: its type, its size, and how long it may take to arrive."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from memcrdt.model import limits
from memcrdt.server.problems import problem

BODY_BYTES: Final = 4 * limits.MIB  # 2 MiB of texts, as one call takes them, each character of which JSON may escape
STALL_S: Final = 30.0  # without a byte of the content
IMPORT: Final = "/v1/import"  # reads its lines one by one

#: The types of content by path; JSON elsewhere.
_TYPES: Final[Mapping[str, tuple[str, ...]]] = {IMPORT: ("application/x-ndjson", "application/jsonl")}
_JSON: Final = ("application/json", "application/merge-patch+json")


class BodyLimits:
    """Refuses content that is too large, of another type, or does not arrive.

    A form of a web page cannot send JSON, so a page that got so far would still change nothing.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a request by its headers, or hand it on with a limit on what it sends."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers, path = Headers(scope=scope), scope["path"]
        size = headers.get("content-length", "0")
        has_body = size != "0" or "transfer-encoding" in headers
        kind = headers.get("content-type", "").partition(";")[0].strip().lower()
        if has_body and kind not in (types := _TYPES.get(path, _JSON)):
            answer = problem(
                "wrong_media_type", f"{path} takes {' or '.join(types)}, not {kind[:60] or 'nothing named'}"
            )
            await answer(scope, receive, send)
        elif path != IMPORT and size.isdigit() and int(size) > BODY_BYTES:
            answer = problem("too_large", f"the request has {int(size):,} bytes; the maximum is {BODY_BYTES:,}")
            await answer(scope, receive, send)
        else:
            await self._app(scope, _Limited(receive, None if path == IMPORT else BODY_BYTES), send)


class _Limited:
    """Receives the messages of a request. Raises HTTPException if its content is too large or does not arrive."""

    def __init__(self, receive: Receive, most: int | None) -> None:
        self._receive = receive
        self._most = most
        self._size = 0
        self._is_complete = False

    async def __call__(self) -> Message:
        """Return the next message."""
        if self._is_complete:  # what follows is the end of the connection
            return await self._receive()
        try:
            async with asyncio.timeout(STALL_S):
                message = await self._receive()
        except TimeoutError:
            raise HTTPException(408, f"no content arrived for {STALL_S:.0f} s") from None
        self._is_complete = not message.get("more_body", False)
        self._size += len(message.get("body", b""))
        if self._most is not None and self._size > self._most:
            raise HTTPException(413, f"the request has over {self._most:,} bytes")
        return message
