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
from memcrdt.service.access import Access

if TYPE_CHECKING:
    from mcp.server import MCPServer

    from memcrdt.memory.tokens import YjsToken

DEFAULT_HOST: Final = "127.0.0.1"
DEFAULT_PORT: Final = 27_383
PATH: Final = "/mcp"
GRACE_S: Final = 2  # open streams end after it


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
        return (
            Access(spaces=(), read_only=True)
            if found is None
            else Access(spaces=found.spaces, read_only=found.read_only)
        )

    def _find(self, secret: str) -> YjsToken | None:
        try:
            return self._workspace.memory.tokens.find(secret)
        except MemcrdtError:  # without the memory, there is no token
            return None


def listen(address: str) -> socket.socket:
    """Return a socket that listens on an address of this machine.

    Args:
        address: HOST:PORT, HOST, or nothing for 127.0.0.1:27383. Port 0 is a free one.

    Raises:
        InputError: The address is malformed, can be reached by other machines, or is in use.
    """
    host, port = _parse(address)
    if not ipaddress.ip_address(host).is_loopback:
        raise InputError(
            f"{host} can be reached by other machines, and the MCP server has no TLS; listen on {DEFAULT_HOST},"
            " and put a proxy with TLS before it, or pair the machines and run a server on each"
        )
    try:
        return socket.create_server(
            (host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET, backlog=128
        )
    except OSError as exc:
        raise InputError(
            f"the server cannot listen on {address or f'{host}:{port}'}: {exc}; name another port"
        ) from exc


def url_of(listener: socket.socket) -> str:
    """Return the address that clients use."""
    return f"http://{_authority(listener)}{PATH}"


async def serve(server: MCPServer[Any], listener: socket.socket) -> None:
    """Serve until the process is interrupted or terminated. Then end open streams, and close the memory."""
    import uvicorn
    from mcp.server.transport_security import TransportSecuritySettings

    hosts = [_authority(listener), f"localhost:{listener.getsockname()[1]}"]
    app = server.streamable_http_app(
        streamable_http_path=PATH,
        transport_security=TransportSecuritySettings(
            allowed_hosts=hosts, allowed_origins=[f"http://{host}" for host in hosts]
        ),
    )
    config = uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=GRACE_S, lifespan="on")
    await uvicorn.Server(config).serve(sockets=[listener])


def _authority(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _parse(address: str) -> tuple[str, int]:
    """Return host and port. Raises InputError."""
    host, colon, port = address.rpartition(":")
    if not colon or address.endswith("]"):
        host, port = address, str(DEFAULT_PORT)
    host = host.strip("[]") or DEFAULT_HOST
    host = DEFAULT_HOST if host == "localhost" else host
    try:
        ipaddress.ip_address(host)
        number = int(port)
    except ValueError:
        number = -1
    if not 0 <= number < 1 << 16:
        raise InputError(f"{address[:80]!r} is not an address; write HOST:PORT, such as {DEFAULT_HOST}:{DEFAULT_PORT}")
    return host, number
