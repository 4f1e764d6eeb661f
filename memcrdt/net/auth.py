"""Mutual authentication of two devices in three frames, without I/O.

    listener -> dialer    ["greeting", listener's key, listener's nonce]
    dialer -> listener    ["proof", dialer's key, dialer's nonce, dialer's signature]
    listener -> dialer    ["welcome", listener's signature]

Each signature covers its role, both keys, both nonces, and the channel binding (the hash of the TLS certificate) that
its signer sees on the stream. So a signature is invalid on any other stream, and a relay with its own certificate is
detected. Between `verify` and `welcome`, the caller decides whether to accept a device that has proven its key. No
other byte is sent before that. The pattern is SIGMA (Krawczyk, 2003).

If the device is not accepted, the listener sends another frame instead of the welcome:

    listener -> dialer    ["refusal", id of the device that revoked the dialer or "", listener's signature]

An unknown device may then send, in a frame of its own, statements that members of a space have signed about it. The
listener has proven who it is by then, so no other device learns of the space. The device gets its welcome, or the
stream ends. net/handshake.py sends and receives these frames.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Final

import msgpack

from memcrdt.errors import RemoteProtocolError, UntrustedPeerError
from memcrdt.model.device_ids import KEY_BYTES, Signer, device_id, is_device_id, shown

HANDSHAKE_FRAME_BYTES: Final = 1024
NONCE_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64

_CONTEXT = b"memcrdt.1 device authentication\0"
_LIMITS: Final[dict[str, Any]] = {
    "max_str_len": 16,
    "max_bin_len": SIGNATURE_BYTES,
    "max_array_len": 4,
    "max_map_len": 0,
    "max_ext_len": 0,
}


_REFUSES: Final = b"listener refuses "  # a role; the id of the device that revoked the dialer follows
_CLOCK_BYTES: Final = 8  # at the end of a nonce
_PORT_BYTES: Final = 2  # before the clock


def fresh_nonce(clock_ms: int | None, port: int) -> bytes:
    """Return a nonce (32 bytes): 22 random bytes, our port and our clock.

    The other device learns from it where to dial us and how far apart the clocks are, and the signatures cover both.

    Args:
        clock_ms: The time in ms since 1970; None if we doubt our clock.
        port: The port where we listen; 0 if we do not.
    """
    random = os.urandom(NONCE_BYTES - _PORT_BYTES - _CLOCK_BYTES)
    return random + port.to_bytes(_PORT_BYTES, "big") + (clock_ms or 0).to_bytes(_CLOCK_BYTES, "big")


def port_of(nonce: bytes) -> int:
    """Return the port where the device that made the nonce says it listens; 0 if it does not listen."""
    return int.from_bytes(nonce[-_CLOCK_BYTES - _PORT_BYTES : -_CLOCK_BYTES], "big")


def clock_of(nonce: bytes) -> int | None:
    """Return the clock of the device that made the nonce, in ms since 1970, or None if it doubts its clock.

    The clock is not verified.
    """
    return int.from_bytes(nonce[-_CLOCK_BYTES:], "big") or None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Our end of one stream.

    Attributes:
        identity: Our key.
        channel_binding: The channel binding that we see on the stream, for example the hash of its TLS certificate.
        nonce: A nonce from fresh_nonce().
        remote: Name of the other side in error messages.
    """

    identity: Signer
    channel_binding: bytes
    nonce: bytes
    remote: str


@dataclass(frozen=True, slots=True)
class ClaimedIdentity:
    """The identity that a listener claims, not proven yet."""

    device: str
    public_key: bytes
    nonce: bytes


@dataclass(frozen=True, slots=True)
class AuthenticatedPeer:
    """A device that has proven on this stream that it has its private key. It may be unknown or revoked."""

    device: str
    public_key: bytes
    listener_nonce: bytes
    dialer_nonce: bytes


@dataclass(frozen=True, slots=True)
class AccessRefusal:
    """The proven listener does not accept us: the device `revoked_by` revoked us, or we are unknown (None)."""

    revoked_by: str | None


class ListenerHandshake:
    """The side that was dialed: `greeting`, `verify`, then `welcome` if the device is accepted, otherwise `refusal`."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    def greeting(self) -> bytes:
        """Return the first frame."""
        return _frame("greeting", self._endpoint.identity.public_key, self._endpoint.nonce)

    def verify(self, frame: bytes) -> AuthenticatedPeer:
        """Return the dialer, proven by the second frame.

        Raises:
            RemoteProtocolError: The frame is malformed.
            UntrustedPeerError: The signature is not the dialer's.
        """
        public_key, nonce, signature = _fields(frame, "proof", (KEY_BYTES, NONCE_BYTES, SIGNATURE_BYTES))
        peer = AuthenticatedPeer(device_id(public_key), public_key, self._endpoint.nonce, nonce)
        _refuse_ourselves(self._endpoint, public_key)
        _verify(self._endpoint, public_key, signature, self._transcript(b"dialer", peer))
        return peer

    def welcome(self, peer: AuthenticatedPeer) -> bytes:
        """Return the third frame, which proves to the peer who we are."""
        return _frame("welcome", self._endpoint.identity.sign(self._transcript(b"listener", peer)))

    def refusal(self, peer: AuthenticatedPeer, revoked_by: str | None) -> bytes:
        """Return the frame that replaces the welcome. `revoked_by` is the id of the device that revoked the peer."""
        by = (revoked_by or "").encode()
        return _frame("refusal", by, self._endpoint.identity.sign(self._transcript(_REFUSES + by, peer)))

    def _transcript(self, role: bytes, peer: AuthenticatedPeer) -> bytes:
        keys = (self._endpoint.identity.public_key, peer.public_key)
        return _transcript(role, self._endpoint.channel_binding, keys, (peer.listener_nonce, peer.dialer_nonce))


def read_claim(frame: bytes) -> ClaimedIdentity:
    """Return the listener's claim from the first frame. Raises RemoteProtocolError for a malformed frame."""
    public_key, nonce = _fields(frame, "greeting", (KEY_BYTES, NONCE_BYTES))
    return ClaimedIdentity(device_id(public_key), public_key, nonce)


class DialerHandshake:
    """The side that dials: `read`, then `proof` if the claimed device is the wanted one, then `verify`."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint

    def read(self, frame: bytes) -> ClaimedIdentity:
        """Return the listener's claim from the first frame.

        Raises:
            RemoteProtocolError: The frame is malformed.
            UntrustedPeerError: The claimed key is our own.
        """
        claim = read_claim(frame)
        _refuse_ourselves(self._endpoint, claim.public_key)
        return claim

    def proof(self, claim: ClaimedIdentity) -> bytes:
        """Return the second frame, which proves to the listener who we are."""
        identity = self._endpoint.identity
        signature = identity.sign(self._transcript(b"dialer", claim))
        return _frame("proof", identity.public_key, self._endpoint.nonce, signature)

    def verify(self, claim: ClaimedIdentity, frame: bytes) -> AuthenticatedPeer | AccessRefusal:
        """Return the listener or its refusal; either is proven by the third frame.

        Raises:
            RemoteProtocolError: The frame is malformed.
            UntrustedPeerError: The signature is not the listener's.
        """
        message = _message(frame)
        if message[:1] == ["refusal"]:
            by, signature = _sized(message, "refusal", (None, SIGNATURE_BYTES))
            _verify(self._endpoint, claim.public_key, signature, self._transcript(_REFUSES + by, claim))
            return AccessRefusal(_device_in(by))
        (signature,) = _sized(message, "welcome", (SIGNATURE_BYTES,))
        _verify(self._endpoint, claim.public_key, signature, self._transcript(b"listener", claim))
        return AuthenticatedPeer(claim.device, claim.public_key, claim.nonce, self._endpoint.nonce)

    def _transcript(self, role: bytes, claim: ClaimedIdentity) -> bytes:
        keys = (claim.public_key, self._endpoint.identity.public_key)
        return _transcript(role, self._endpoint.channel_binding, keys, (claim.nonce, self._endpoint.nonce))


def _transcript(role: bytes, certificate: bytes, keys: tuple[bytes, bytes], nonces: tuple[bytes, bytes]) -> bytes:
    """Return the bytes to sign. Each part has its length before it, so no two transcripts are equal.

    The pairs are in the order listener, dialer.
    """
    parts = (role, certificate, *keys, *nonces)
    return _CONTEXT + b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def _verify(endpoint: Endpoint, public_key: bytes, signature: bytes, transcript: bytes) -> None:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    try:
        Ed25519PublicKey.from_public_bytes(public_key).verify(signature, transcript)
    except InvalidSignature:
        raise UntrustedPeerError(
            f"the device at {endpoint.remote} claims to be {shown(device_id(public_key))} and cannot prove it: it is "
            "an impostor, or a proxy between the two devices decrypts TLS; use the device's direct address"
        ) from None


def _refuse_ourselves(endpoint: Endpoint, public_key: bytes) -> None:
    if public_key == endpoint.identity.public_key:
        raise UntrustedPeerError(
            f"the device at {endpoint.remote} has this device's own key, {shown(endpoint.identity.device_id)}: it is "
            "this device, or a copy of its folder; on a copy, move device.key away and start it again"
        )


def _frame(kind: str, *fields: bytes) -> bytes:
    packed: bytes = msgpack.packb([kind, *fields])
    return packed


def _fields(frame: bytes, kind: str, sizes: tuple[int | None, ...]) -> list[bytes]:
    """Return the byte strings in a frame of the given kind. Raises RemoteProtocolError for any other frame."""
    return _sized(_message(frame), kind, sizes)


def _message(frame: bytes) -> list[Any]:
    if len(frame) > HANDSHAKE_FRAME_BYTES:
        raise RemoteProtocolError(
            f"a handshake frame has {len(frame)} bytes; the maximum is {HANDSHAKE_FRAME_BYTES} bytes"
        )
    try:
        message = msgpack.unpackb(frame, **_LIMITS)
    except (ValueError, msgpack.UnpackException) as exc:
        raise RemoteProtocolError("a handshake frame is not valid msgpack, or exceeds the limits") from exc
    if not isinstance(message, list):
        raise RemoteProtocolError("a handshake frame is not an array")
    return message


def _sized(message: list[Any], kind: str, sizes: tuple[int | None, ...]) -> list[bytes]:
    if len(message) != len(sizes) + 1 or message[0] != kind:
        raise RemoteProtocolError(f"a handshake frame is not the expected {kind!r} frame")
    fields: list[bytes] = message[1:]
    for field, size in zip(fields, sizes, strict=True):
        if not isinstance(field, bytes) or size not in (None, len(field)):
            raise RemoteProtocolError(f"a field of the {kind!r} frame has the wrong size or type")
    return fields


def _device_in(field: bytes) -> str | None:
    if not field:
        return None
    device = field.decode(errors="replace")
    if not is_device_id(device):
        raise RemoteProtocolError("a refusal contains an invalid device id")
    return device
