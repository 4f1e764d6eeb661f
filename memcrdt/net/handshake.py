"""Device authentication over a FrameStream: one function for each side, and the policies that they consult.

`net/auth.py` defines the frames and explains what they prove.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

from memcrdt.errors import RemoteProtocolError, UnreachableError, UntrustedPeerError
from memcrdt.model.device_ids import Signer, shown
from memcrdt.net.auth import (
    HANDSHAKE_FRAME_BYTES,
    AccessRefusal,
    AuthenticatedPeer,
    DialerHandshake,
    Endpoint,
    ListenerHandshake,
    fresh_nonce,
    read_claim,
)
from memcrdt.net.frame_stream import GOODBYE, NOT_ACCEPTED, NOT_AUTHENTIC, PROTOCOL_BROKEN

if TYPE_CHECKING:
    from collections.abc import Callable

    from memcrdt.net.frame_stream import FrameStream

Clock: TypeAlias = "Callable[[], int | None]"  # returns the time to show in ms since 1970, or None if it is doubted

# The next step for the user when a peer breaks the protocol.
UPDATE: Final = "if this keeps happening, update memcrdt on the older of the two devices"


class RefusedError(UntrustedPeerError):
    """The wanted device answered and does not accept us. Its other addresses would give the same answer."""


class AnotherDeviceError(UntrustedPeerError):
    """Another device than the wanted one is at the address, so the address is out of date."""


class OurselvesError(UntrustedPeerError):
    """Our own listener is at the address. This is harmless: it is not a copy of this device."""


def now_ms() -> int:
    """Return the time in ms since 1970."""
    return time.time_ns() // 1_000_000


@dataclass(frozen=True, slots=True)
class LocalDevice:
    """This device in a handshake.

    Attributes:
        identity: Its key.
        port: The port where it listens, told to the other side. None: it does not listen.
        channel_binding: The channel binding of its own listener, if it listens. A stream with the same channel binding
            leads back to this device.
        clock: Its clock.
    """

    identity: Signer
    port: int | None = None
    channel_binding: bytes | None = None
    clock: Clock = now_ms

    def endpoint(self, stream: FrameStream) -> Endpoint:
        """Return our end of a stream, with a fresh nonce."""
        nonce = fresh_nonce(self.clock(), self.port or 0)
        return Endpoint(self.identity, stream.channel_binding, nonce, stream.remote)


class AdmissionPolicy(Protocol):
    """A listener's decisions about a device that has proven its id."""

    async def admits(self, peer: AuthenticatedPeer, address: str) -> bool:
        """Return whether the device is accepted here. The policy may record an unknown device for the user."""
        ...

    async def revoker_of(self, peer: AuthenticatedPeer) -> str | None:
        """Return the id of the device that revoked the peer, or None if the peer was not revoked."""
        ...

    async def introduced(self, peer: AuthenticatedPeer, introduction: bytes) -> bool:
        """Return whether the device is accepted because of the members' signed statements in its introduction."""
        ...


class TrustPolicy:
    """Which devices a dialer accepts, and its replies to a refusal. This one accepts every device."""

    async def is_accepted(self, device: str) -> bool:
        """Return whether we talk to the device."""
        return True

    async def introduction(self, device: str) -> bytes | None:
        """Return statements that members of a space have signed about us, for a device that does not know us.

        Returns:
            At most 1 KiB; None if there are no such statements.
        """
        return None

    async def revoked(self, device: str, by: str) -> str:
        """Return a message for the user: the device `by` has revoked this device, and what to do about it.

        `device` is the device that refused us and told us so.
        """
        return f"this device was revoked by {shown(by)}"


async def authenticate_as_listener(
    stream: FrameStream, local: LocalDevice, policy: AdmissionPolicy
) -> AuthenticatedPeer | None:
    """Authenticate the device that dialed us, and prove to it who we are.

    Returns:
        The device, if the policy admits it. Otherwise None, and the stream is closed. Then the other side learns only a
        close code and, once it has proven its key, a signed refusal.
    """
    try:
        peer = await _answer(stream, ListenerHandshake(local.endpoint(stream)), policy)
        if peer is not None:
            return peer
        code = NOT_ACCEPTED
    except RemoteProtocolError:
        code = PROTOCOL_BROKEN
    except UntrustedPeerError:
        code = NOT_AUTHENTIC
    except UnreachableError:  # the other side hung up
        return None
    await stream.close(code)
    return None


async def _answer(
    stream: FrameStream, handshake: ListenerHandshake, policy: AdmissionPolicy
) -> AuthenticatedPeer | None:
    await stream.send(handshake.greeting())
    peer = handshake.verify(await _next_frame(stream))
    if not await policy.admits(peer, stream.remote):
        revoked_by = await policy.revoker_of(peer)
        await stream.send(handshake.refusal(peer, revoked_by))
        if revoked_by:
            return None
        introduction = await stream.receive(HANDSHAKE_FRAME_BYTES)
        if introduction is None or not await policy.introduced(peer, introduction):
            return None
    await stream.send(handshake.welcome(peer))
    return peer


async def authenticate_as_dialer(
    stream: FrameStream, local: LocalDevice, trust: TrustPolicy, wanted: str | None = None
) -> AuthenticatedPeer:
    """Authenticate the listener at the other end, and prove to it who we are. Closes the stream on failure.

    Args:
        stream: A stream that we opened.
        local: This device.
        trust: The devices that we accept. The listener learns nothing about us before this policy has accepted it.
        wanted: The only device that will do; None for any accepted device.

    Raises:
        AnotherDeviceError: The listener is not the wanted device.
        OurselvesError: The listener is our own.
        RefusedError: The listener does not accept us.
        UntrustedPeerError: The listener is not accepted here, or cannot prove its id.
        UnreachableError: The listener hung up.
        RemoteProtocolError: The listener broke the protocol.
    """
    code = NOT_AUTHENTIC
    try:
        peer = await _Dialing(stream, local, trust, wanted).run()
        code = GOODBYE
        return peer
    except RemoteProtocolError as exc:
        code = PROTOCOL_BROKEN
        name = f"{shown(wanted)} at {stream.remote}" if wanted else stream.remote
        raise RemoteProtocolError(f"{name} breaks the protocol: {exc}; {UPDATE}") from exc
    finally:
        if code != GOODBYE:
            await stream.close(code)


async def claimed_device(stream: FrameStream) -> str:
    """Return the device id that the listener at the other end claims, and close the stream.

    The claim is not verified, and the listener learns nothing about us.

    Raises:
        UnreachableError: The listener hung up.
        RemoteProtocolError: The listener broke the protocol.
    """
    try:
        return read_claim(await _next_frame(stream)).device
    finally:
        await stream.close()


class _Dialing:
    """The dialer's side of one handshake."""

    def __init__(self, stream: FrameStream, local: LocalDevice, trust: TrustPolicy, wanted: str | None) -> None:
        self._stream = stream
        self._local = local
        self._trust = trust
        self._wanted = wanted

    async def run(self) -> AuthenticatedPeer:
        stream = self._stream
        if stream.channel_binding == self._local.channel_binding:
            raise OurselvesError(f"{stream.remote} is this device itself; give the address of the other device")
        handshake = DialerHandshake(self._local.endpoint(stream))
        claim = handshake.read(await _next_frame(stream))
        await self._check(claim.device)
        await stream.send(handshake.proof(claim))
        answer = handshake.verify(claim, await self._next(claim.device))
        if isinstance(answer, AccessRefusal):
            await self._introduce_ourselves(claim.device, answer)
            answer = handshake.verify(claim, await self._next(claim.device))
        if isinstance(answer, AccessRefusal):
            raise RemoteProtocolError(f"the device at {stream.remote} refused us twice")
        return answer

    async def _check(self, device: str) -> None:
        """Raise an error unless the claimed device is wanted and accepted. Nothing about us has been sent yet."""
        if self._wanted not in (None, device):
            raise AnotherDeviceError(
                f"{self._stream.remote} is {shown(device)}, not {shown(str(self._wanted))}; "
                "correct the address, or accept the device at that address"
            )
        if not await self._trust.is_accepted(device):
            raise UntrustedPeerError(
                f"the device at {self._stream.remote} says it is {shown(device)}, which is not accepted here; "
                f"compare this id with the id that the device itself shows, then run: memcrdt accept {shown(device)}"
            )

    async def _next(self, device: str) -> bytes:
        """Return the next frame of a device to which we have proven who we are."""
        try:
            return await _next_frame(self._stream)
        except UnreachableError:
            if self._stream.close_code == NOT_ACCEPTED:
                raise self._not_accepted(device) from None
            if self._stream.close_code == NOT_AUTHENTIC:
                raise UntrustedPeerError(
                    f"{shown(device)} at {self._stream.remote} rejected our signature: a proxy between the two devices "
                    "decrypts TLS; use the device's direct address"
                ) from None
            raise

    async def _introduce_ourselves(self, device: str, refusal: AccessRefusal) -> None:
        """Answer a refusal with the statements that members have signed about us. Raises RefusedError without any."""
        if refusal.revoked_by is not None:
            words = await self._trust.revoked(device, refusal.revoked_by)
            raise RefusedError(f"{shown(device)} at {self._stream.remote} does not accept this device: {words}")
        introduction = await self._trust.introduction(device)
        if introduction is None:
            raise self._not_accepted(device)
        await self._stream.send(introduction)

    def _not_accepted(self, device: str) -> RefusedError:
        ours = shown(self._local.identity.device_id)
        return RefusedError(
            f"{shown(device)} at {self._stream.remote} does not accept this device; run there: memcrdt accept {ours}"
        )


async def _next_frame(stream: FrameStream) -> bytes:
    frame = await stream.receive(HANDSHAKE_FRAME_BYTES)
    if frame is None:
        raise UnreachableError(
            f"the device at {stream.remote} hung up during authentication; it may be busy or stopping: try again"
        )
    return frame
