"""Who sends a request, and what they may do."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Final, ParamSpec, Protocol, TypeVar

import anyio.to_thread
from starlette.requests import Request

from memcrdt.service.access import Access
from memcrdt.service.context import Context
from memcrdt.service.service import Service

if TYPE_CHECKING:
    from memcrdt.memory.memory import Memory

P = ParamSpec("P")
T = TypeVar("T")

STATE: Final = "memcrdt.caller"  # of a request


@dataclass(frozen=True, slots=True)
class Caller:
    """The sender of a request.

    Attributes:
        name: The name of the token. It is the author of what the caller writes and gives no other author.
        access: The rights of the token.
        since: When the token was made, which ends its streams when it is revoked. None: it is no token.
        ended: Returns whether the caller may no longer send requests, which ends its streams. A token has `since`.
    """

    name: str
    access: Access
    since: datetime | None = None
    ended: Callable[[], bool] = field(default=lambda: False, compare=False)


class Authenticator(Protocol):
    """Finds out who sends a request. The dashboard's sessions are another one beside bearer tokens."""

    async def caller(self, headers: Mapping[str, str]) -> Caller | None:
        """Return the sender of a request with these headers (in lower case), or None. Raises MemcrdtError."""
        ...


class BearerTokens:
    """The tokens of `memcrdt token create`, in the header `Authorization: Bearer TOKEN`.

    Args:
        memory: The memory with the tokens.
    """

    def __init__(self, memory: Memory) -> None:
        self._memory = memory

    async def caller(self, headers: Mapping[str, str]) -> Caller | None:
        """Return the caller of a token that stands. A revoked token is refused from the next request on."""
        secret = bearer_of(headers)
        if not secret:
            return None
        token = await anyio.to_thread.run_sync(self._memory.tokens.find, secret)
        if token is None:
            return None
        return Caller(token.name, Access(spaces=token.spaces, rights=token.rights), token.created_at)


def bearer_of(headers: Mapping[str, str]) -> str:
    """Return the secret in `Authorization: Bearer SECRET`; an empty text if there is none."""
    scheme, _, secret = headers.get("authorization", "").partition(" ")
    return secret.strip() if scheme.lower() == "bearer" else ""


def caller_of(request: Request) -> Caller:
    """Return the sender of a request that the guard let in."""
    caller: Caller = request.scope["state"][STATE]
    return caller


def service_of(request: Request) -> Service:
    """Return the service with the rights of the sender of a request."""
    caller = caller_of(request)
    return Service(request.app.state.memory, Context(agent=caller.name), caller.access)


async def in_thread(call: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Make a call of the service in a thread, for a route that runs in the event loop."""
    return await anyio.to_thread.run_sync(partial(call, *args, **kwargs))
