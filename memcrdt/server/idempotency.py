"""`Idempotency-Key`: a POST that is sent again, because its answer was lost, is not done again.

The first answer is kept in memory for a day and sent again. After a restart of the server it is gone. Then adding the
same text in the same space and scope still finds the memory that is there, and forgetting it again counts none.
"""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from memcrdt.model import limits
from memcrdt.server.body_limits import IMPORT
from memcrdt.server.callers import STATE, Caller
from memcrdt.server.problems import problem

HEADER: Final = "idempotency-key"
KEY_CHARS: Final = 255
KEPT_S: Final = 24 * 3_600.0
ANSWERS: Final = 4_096
ANSWERS_BYTES: Final = 16 * limits.MIB
ANSWER_BYTES: Final = 1 * limits.MIB

_REPLAYED: Final = (b"idempotency-replayed", b"true")


@dataclass(eq=False, slots=True)
class _Answer:
    """The answer to the first request with a key. `messages` are empty until it is complete."""

    request: bytes
    at: float
    messages: list[Message] = field(default_factory=list)
    size: int = 0
    is_complete: bool = False


class Idempotency:
    """Keeps the answers of requests that have a key, for the token that sent them.

    Args:
        app: Answers the requests.
        now: Returns the time in seconds.
    """

    def __init__(self, app: ASGIApp, now: Callable[[], float] = time.monotonic) -> None:
        self._app = app
        self._now = now
        self._answers: OrderedDict[tuple[Any, ...], _Answer] = OrderedDict()
        self._size = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or send its answer again."""
        key = Headers(scope=scope).get(HEADER, "") if scope["type"] == "http" and scope["method"] == "POST" else ""
        caller: Caller | None = scope.get("state", {}).get(STATE)
        if not key or caller is None or scope["path"] == IMPORT:
            await self._app(scope, receive, send)
        elif len(key) > KEY_CHARS:
            await problem("malformed", f"the Idempotency-Key has over {KEY_CHARS} characters")(scope, receive, send)
        else:
            await self._once((caller.name, caller.since, key), scope, receive, send)

    async def _once(self, key: tuple[Any, ...], scope: Scope, receive: Receive, send: Send) -> None:
        body, request = await _read(scope, receive)
        self._drop_old()
        known = self._answers.get(key)
        if known is None:
            answer = self._answers[key] = _Answer(request, self._now())
            try:
                await self._app(scope, _replay(body, receive), _recorded(answer, send))
            finally:
                self._keep(key, answer)
        elif known.request != request:
            again = problem("key_reused", "another request was sent with this Idempotency-Key before")
            await again(scope, receive, send)
        elif not known.is_complete:
            await problem("key_in_use", "the first request with this Idempotency-Key runs")(scope, receive, send)
        else:
            start, *rest = known.messages
            await send({**start, "headers": [*start["headers"], _REPLAYED]})
            for message in rest:
                await send(message)

    def _keep(self, key: tuple[Any, ...], answer: _Answer) -> None:
        """Keep an answer if the request was done. One that was refused may be sent again."""
        is_done = bool(answer.messages) and 200 <= answer.messages[0]["status"] < 300
        if is_done and answer.is_complete and answer.size <= ANSWER_BYTES:
            self._size += answer.size
        else:
            del self._answers[key]

    def _drop_old(self) -> None:
        """Drop answers that are too old, and the oldest ones if there are too many. Those that run stay."""
        for key, answer in list(self._answers.items()):
            is_full = len(self._answers) > ANSWERS or self._size > ANSWERS_BYTES
            if not is_full and self._now() - answer.at < KEPT_S:
                return
            if answer.is_complete:
                self._size -= answer.size
                del self._answers[key]


async def _read(scope: Scope, receive: Receive) -> tuple[bytes, bytes]:
    """Return the content of a request, and a hash of all that makes it the same request."""
    parts = []
    more = True
    while more:
        message = await receive()
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
    body = b"".join(parts)
    said = [scope["path"].encode(), scope["query_string"], Headers(scope=scope).get("if-match", "").encode(), body]
    return body, hashlib.blake2b(b"\0".join(said), digest_size=16).digest()


def _replay(body: bytes, receive: Receive) -> Receive:
    """Return a function that receives the content that was read, and then what follows."""
    is_sent = False

    async def received() -> Message:
        nonlocal is_sent
        if is_sent:
            return await receive()
        is_sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return received


def _recorded(answer: _Answer, send: Send) -> Send:
    """Return a function that sends messages and notes them."""

    async def recorded(message: Message) -> None:
        answer.size += len(message.get("body", b""))
        if answer.size <= ANSWER_BYTES:
            answer.messages.append(message)
        answer.is_complete = message["type"] == "http.response.body" and not message.get("more_body", False)
        await send(message)

    return recorded
