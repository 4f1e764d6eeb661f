"""Dials another device: TLS, WebSocket, authentication. No proxy, no redirect, no cookie."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import aiohttp
from yarl import URL

from memcrdt.errors import RemoteProtocolError, UnreachableError, UntrustedPeerError
from memcrdt.model.device_ids import Signer, shown
from memcrdt.net.addresses import describe_os_error
from memcrdt.net.auth import HANDSHAKE_FRAME_BYTES, AccessRefusal, AuthenticatedPeer, DialerHandshake, read_claim
from memcrdt.net.connection import (
    CLOSE_S,
    GOODBYE,
    HEARTBEAT_S,
    MAX_MSG_SIZE,
    NOT_ACCEPTED,
    NOT_AUTHENTIC,
    PATH,
    PROTOCOL_BROKEN,
    SUBPROTOCOL,
    UPDATE,
    Connection,
    close_socket,
    new_side,
    receive_frame,
)
from memcrdt.net.tls import certificate_hash, dialer_context

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from memcrdt.net.addresses import Address

DIAL_S: Final = 10.0  # from the name lookup to the end of authentication; slow links take several round trips


@dataclass(frozen=True, slots=True)
class DialTarget:
    """What to dial. With `device`, only that one will do; without, any that `accepted` says yes to."""

    address: Address
    device: str | None = None


class RefusedError(UntrustedPeerError):
    """The right device answered, and it does not let us in: nothing that another address says is worth more."""


class AnotherDeviceError(UntrustedPeerError):
    """Another device than the wanted one is at the address, which is an old one, then."""


class OurselvesError(UntrustedPeerError):
    """Our own listener is at the address: no copy of this device, and nothing to worry about."""


class TrustPolicy:
    """Whom a dialer accepts, and what it says to those who do not accept us. This one accepts whoever answers."""

    async def is_accepted(self, device: str) -> bool:
        """Whether we talk to the device."""
        return True

    async def introduction(self, device: str) -> bytes | None:
        """What members of a space have signed about us, for one of them that does not know us; at most 1 KiB."""
        return None

    async def revoked(self, by: str) -> str:
        """We were revoked, by the device `by`. Returns how to say that, and what to do."""
        return f"this device was revoked by {shown(by)}"


class Dialer:
    """Dials for one identity. Close it after use."""

    def __init__(
        self, identity: Signer, trust: TrustPolicy, path: str = PATH, expected: str = "memcrdt serving"
    ) -> None:
        """`expected` is what should run at the addresses, as a message asks for it when nothing answers."""
        self.port: int | None = None  # where we listen, for the other side to know
        self.certificate: bytes | None = None  # the hash of what our own listener shows
        self._identity = identity
        self._trust = trust
        self._path = path
        self._expected = expected
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=dialer_context(), force_close=True, limit=0),
            cookie_jar=aiohttp.DummyCookieJar(),
            middlewares=(_refuse_redirects,),
            timeout=aiohttp.ClientTimeout(total=None),
            trust_env=False,
        )

    async def dial(self, target: DialTarget) -> Connection:
        """An authenticated connection to an accepted device.

        Raises UnreachableError when no memcrdt answers, UntrustedPeerError when the device is not the one
        wanted or is not accepted here, OurselvesError when it is this one, RefusedError when it does not accept us,
        RemoteProtocolError when it breaks the protocol.
        """
        try:
            async with asyncio.timeout(DIAL_S):
                socket = await self._connect(target.address)
                return await self._authenticated(socket, target)
        except (OSError, aiohttp.ClientError) as exc:  # TimeoutError is an OSError
            raise _unreachable(target, exc, self._expected) from exc

    async def identify(self, address: Address) -> str:
        """The id that the device at the address claims; it learns nothing of us.

        Raises UnreachableError when no memcrdt answers, RemoteProtocolError when it breaks the protocol.
        """
        target = DialTarget(address)
        try:
            async with asyncio.timeout(DIAL_S):
                socket = await self._connect(address)
                try:
                    return read_claim(await _next(socket, target)).device
                finally:
                    await close_socket(socket, GOODBYE)
        except (OSError, aiohttp.ClientError) as exc:
            raise _unreachable(target, exc, self._expected) from exc

    async def close(self) -> None:
        """Frees the sockets of dials that were cut short. Connections made before stay open."""
        await self._session.close()

    async def _connect(self, address: Address) -> aiohttp.ClientWebSocketResponse:
        return await self._session.ws_connect(
            URL.build(scheme="https", host=address.host, port=address.port, path=self._path),
            protocols=(SUBPROTOCOL,),
            timeout=aiohttp.ClientWSTimeout(ws_close=CLOSE_S),
            heartbeat=HEARTBEAT_S,
            compress=0,
            max_msg_size=MAX_MSG_SIZE,
        )

    async def _authenticated(self, socket: aiohttp.ClientWebSocketResponse, target: DialTarget) -> Connection:
        code = NOT_AUTHENTIC
        try:
            peer = await self._authenticate(socket, target)
            code = GOODBYE
            return Connection(socket, peer, str(target.address), "dialed")
        except RemoteProtocolError as exc:
            code = PROTOCOL_BROKEN
            raise RemoteProtocolError(f"{_whom(target)} breaks the protocol: {exc}; {UPDATE}") from exc
        finally:
            if code != GOODBYE:
                await close_socket(socket, code)

    async def _authenticate(self, socket: aiohttp.ClientWebSocketResponse, target: DialTarget) -> AuthenticatedPeer:
        tls = socket.get_extra_info("ssl_object")
        if not isinstance(tls, ssl.SSLObject) or (der := tls.getpeercert(binary_form=True)) is None:
            raise UnreachableError(
                f"the connection to {target.address} ended before its certificate was read; try again"
            )
        if (seen := certificate_hash(der)) == self.certificate:
            raise OurselvesError(f"{target.address} is this device itself; give the address of the other one")
        side = new_side(self._identity, seen, str(target.address), self.port)
        handshake = DialerHandshake(side)
        claim = handshake.read(await _next(socket, target))
        await self._check(claim.device, target)
        await socket.send_bytes(handshake.proof(claim))
        answer = handshake.verify(claim, await self._next(socket, target, claim.device))
        if isinstance(answer, AccessRefusal):
            await self._appeal(socket, target, claim.device, answer)
            answer = handshake.verify(claim, await self._next(socket, target, claim.device))
        if isinstance(answer, AccessRefusal):
            raise RemoteProtocolError(f"the device at {target.address} refused us twice")
        return answer

    async def _next(self, socket: aiohttp.ClientWebSocketResponse, target: DialTarget, device: str) -> bytes:
        """The next handshake frame of a device that knows by now who we are."""
        try:
            return await _next(socket, target)
        except UnreachableError:
            if socket.close_code == NOT_ACCEPTED:
                raise _not_accepted(device, target, self._identity.device_id) from None
            if socket.close_code == NOT_AUTHENTIC:
                raise UntrustedPeerError(
                    f"{shown(device)} at {target.address} finds our signature wrong: something between the two opens "
                    "TLS; use the device's direct address"
                ) from None
            raise

    async def _appeal(
        self, socket: aiohttp.ClientWebSocketResponse, target: DialTarget, device: str, refusal: AccessRefusal
    ) -> None:
        """Says who we are to a device that refuses us. Raises RefusedError where there is nothing to say."""
        if refusal.revoked_by is not None:
            words = await self._trust.revoked(refusal.revoked_by)
            raise RefusedError(f"{shown(device)} at {target.address} does not let this device in: {words}")
        introduction = await self._trust.introduction(device)
        if introduction is None:
            raise _not_accepted(device, target, self._identity.device_id)
        await socket.send_bytes(introduction)

    async def _check(self, device: str, target: DialTarget) -> None:
        """Whether the claimed device is one to talk to. Nothing of ours has been sent yet."""
        if target.device not in (None, device):
            raise AnotherDeviceError(
                f"{target.address} is {shown(device)}, not {shown(str(target.device))}; "
                "correct the address, or accept the device that is there"
            )
        if not await self._trust.is_accepted(device):
            raise UntrustedPeerError(
                f"the device at {target.address} says it is {shown(device)}, which is not accepted here; "
                f"compare that with what it shows itself, then run: memcrdt accept {shown(device)}"
            )


async def _next(socket: aiohttp.ClientWebSocketResponse, target: DialTarget) -> bytes:
    """The next handshake frame."""
    frame = await receive_frame(socket, HANDSHAKE_FRAME_BYTES, str(target.address))
    if frame is None:
        raise UnreachableError(
            f"the device at {target.address} hung up during authentication; it may be busy, or about to end: try again"
        )
    return frame


def _not_accepted(device: str, target: DialTarget, ours: str) -> RefusedError:
    return RefusedError(
        f"{shown(device)} at {target.address} does not accept this device; run there: memcrdt accept {shown(ours)}"
    )


def _whom(target: DialTarget) -> str:
    return f"{shown(target.device)} at {target.address}" if target.device else str(target.address)


def _unreachable(target: DialTarget, cause: Exception, expected: str) -> UnreachableError:
    whom = _whom(target)
    if isinstance(cause, aiohttp.WSServerHandshakeError):
        return UnreachableError(f"what answers at {whom} is not {expected} (HTTP {cause.status}); check host and port")
    if isinstance(cause, TimeoutError):
        return UnreachableError(f"no answer from {whom} within {DIAL_S:g} s; is it awake, and {expected} there?")
    if isinstance(cause, aiohttp.ClientConnectorDNSError):
        return UnreachableError(f"cannot reach {whom}: the name leads to no address; check it, or give an IP address")
    if isinstance(cause, aiohttp.ClientConnectorError):
        cause = cause.os_error
    why = describe_os_error(cause) if isinstance(cause, OSError) else str(cause)
    return UnreachableError(f"cannot reach {whom}: {why}; is {expected} there, and the port open?")


async def _refuse_redirects(
    request: aiohttp.ClientRequest, handler: Callable[[aiohttp.ClientRequest], Awaitable[aiohttp.ClientResponse]]
) -> aiohttp.ClientResponse:
    response = await handler(request)
    if response.status != 101:
        response.close()
        raise aiohttp.WSServerHandshakeError(
            response.request_info, response.history, status=response.status, message="no WebSocket"
        )
    return response
