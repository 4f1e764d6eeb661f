"""The server over HTTP: on this machine only, each request with a token of `memcrdt token create`.

The SDK checks the Host header, so that a page of a foreign name cannot reach the server, and refuses foreign origins.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import anyio.to_thread
from mcp.server.auth.middleware.auth_context import get_access_token
from mcp.server.auth.provider import AccessToken
from mcp.server.auth.settings import AuthSettings

from memcrdt.errors import InputError, MemcrdtError, UntrustedPeerError
from memcrdt.mcp.workspace import Workspace
from memcrdt.model.ports import DEFAULT_MCP_PORT
from memcrdt.service.access import Access

if TYPE_CHECKING:
    from mcp.server import MCPServer

    from memcrdt.memory.tokens import YjsToken

DEFAULT_HOST: Final = "127.0.0.1"
PATH: Final = "/mcp"
BACKLOG: Final = 128
GRACE_S: Final = 2  # open streams end after it
UNSAFE: Final = (
    f"the MCP server has no TLS; listen on {DEFAULT_HOST}, and put a proxy with TLS before it, or pair the machines and"
    " run a server on each"
)


class Tokens:
    """The bearer tokens of a memory, and the rights of clients that have one.

    Args:
        workspace: The memory.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace

    def options(self, url: str) -> dict[str, Any]:
        """Return the arguments of an MCP server that wants a token with each request."""
        # There is no authorization server; the SDK wants its address all the same, and shows it to nobody.
        settings = AuthSettings.model_validate({"issuer_url": url, "resource_server_url": None})
        return {"token_verifier": self, "auth": settings}

    async def verify_token(self, token: str) -> AccessToken | None:
        """Return a token if it stands, or None. A revoked token is refused from the next request on."""
        found = await anyio.to_thread.run_sync(self._find, token)
        if found is None:
            return None
        # A session belongs to one token. Another token of the same name has another time.
        return AccessToken(token=token, client_id=found.name, scopes=[], subject=found.created_at.isoformat())

    def access(self) -> Access:
        """Return the rights of the request that is being answered. Raises UntrustedPeerError without a token."""
        return self.lasting_access()()

    def lasting_access(self) -> Callable[[], Access]:
        """Return what returns the rights of the client that is being answered: none after its token is revoked.

        Raises:
            UntrustedPeerError: The request has no token.
        """
        token = get_access_token()
        if token is None:
            raise UntrustedPeerError("this request has no token")
        return partial(self._access, token.token)

    def _access(self, secret: str) -> Access:
        found = self._find(secret)
        return Access(spaces=(), rights=()) if found is None else Access(spaces=found.spaces, rights=found.rights)

    def _find(self, secret: str) -> YjsToken | None:
        try:
            return self._workspace.memory.tokens.find(secret)
        except MemcrdtError:  # without the memory, there is no token
            return None


def listen(address: str, usual_port: int = DEFAULT_MCP_PORT, *, unsafe: str | None = UNSAFE) -> socket.socket:
    """Return a socket that listens on an address of this machine.

    Args:
        address: HOST:PORT, HOST, or nothing for 127.0.0.1 and the usual port. Port 0 is a free one.
        usual_port: The port if the address has none.
        unsafe: Why no address may be used that other machines can reach. None: it may, because there is TLS.

    Raises:
        InputError: The address is malformed, may not be used, or is in use.
    """
    host, port = _parse(address, usual_port)
    if unsafe is not None and not ipaddress.ip_address(host).is_loopback:
        raise InputError(f"{host} can be reached by other machines, and {unsafe}")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=BACKLOG)
        # asyncio sends small packets at once only on sockets that name their protocol. Otherwise the second packet of
        # an answer waits until the client confirms the first one, which takes 40 ms.
        return socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP, fileno=listener.detach())
    except OSError as exc:
        raise InputError(
            f"the server cannot listen on {address or f'{host}:{port}'}: {exc}; name another port"
        ) from exc


def url_of(listener: socket.socket) -> str:
    """Return the address that clients use."""
    return f"http://{authority(listener)}{PATH}"


async def serve(server: MCPServer[Any], listener: socket.socket) -> None:
    """Serve until the process is interrupted or terminated. Then end open streams, and close the memory."""
    import uvicorn
    from mcp.server.transport_security import TransportSecuritySettings

    hosts = [authority(listener), f"localhost:{listener.getsockname()[1]}"]
    app = server.streamable_http_app(
        streamable_http_path=PATH,
        transport_security=TransportSecuritySettings(
            allowed_hosts=hosts, allowed_origins=[f"http://{host}" for host in hosts]
        ),
    )
    config = uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=GRACE_S, lifespan="on")
    await uvicorn.Server(config).serve(sockets=[listener])


def authority(listener: socket.socket) -> str:
    """Return the HOST:PORT of a socket."""
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _parse(address: str, usual_port: int) -> tuple[str, int]:
    """Return host and port. Raises InputError."""
    host, colon, port = address.rpartition(":")
    if not colon or address.endswith("]"):
        host, port = address, str(usual_port)
    host = host.strip("[]") or DEFAULT_HOST
    host = DEFAULT_HOST if host == "localhost" else host
    try:
        ipaddress.ip_address(host)
        number = int(port)
    except ValueError:
        number = -1
    if not 0 <= number < 1 << 16:
        raise InputError(f"{address[:80]!r} is not an address; write HOST:PORT, such as {DEFAULT_HOST}:{usual_port}")
    return host, number
