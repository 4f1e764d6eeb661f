"""The frames between a device and a relay, without I/O, and the proof that a device has its key.

    relay -> device    ["challenge", relay's nonce]
    device -> relay    ["wait", key, relay's name, place, signature]    or
                       ["call", key, relay's name, place, signature]

A place is where a device waits: under its own id, or, while it shows a pairing code, under the public number of the
code. The relay learns nothing of the words of a code.

A waiting device gets ["waiting"] and sends a ["ping"] now and then, which is answered by ["pong"]. When another device
calls it, it gets ["called"] and answers ["ready"]. The caller then gets ["joined"]. From there on, each side's bytes
reach the other side unchanged, and the relay reads no more frames. A relay that cannot join them sends
["absent"] or ["refused", reason].

The signature covers the role, the nonce, the key, the name by which the device has dialed the relay, and the place. So
a proof is of no use at a later time, for another role or another place, nor at a relay that knows its own names. The
link to the relay is not encrypted: it transports device ids, and then the TLS stream of the two devices, in which they
authenticate each other as on any other stream (net/auth.py).
"""

from __future__ import annotations

import re
from dataclasses import astuple, dataclass
from typing import Any, Final, TypeAlias, get_args

import msgpack

from memcrdt.errors import RemoteProtocolError
from memcrdt.model.device_ids import KEY_BYTES, Signer, device_id, is_device_id

FRAME_BYTES: Final = 512  # of one frame, without the two bytes of its length
NONCE_BYTES: Final = 32
SIGNATURE_BYTES: Final = 64
NAME_CHARS: Final = 253  # RFC 1035
PLACE_CHARS: Final = 52  # a device id; the number of a code is shorter
REASON_CHARS: Final = 120

_HEADER_BYTES: Final = 2
_CODE: Final = re.compile(r"[1-9][0-9]{5}", re.ASCII)
_CONTEXT: Final = b"memcrdt.1 relay\0"
_LIMITS: Final[dict[str, Any]] = {
    "max_str_len": NAME_CHARS,
    "max_bin_len": SIGNATURE_BYTES,
    "max_array_len": 5,
    "max_map_len": 0,
    "max_ext_len": 0,
}


@dataclass(frozen=True, slots=True)
class Challenge:
    """The relay's first frame: a nonce that the proof of the device has to cover."""

    nonce: bytes


@dataclass(frozen=True, slots=True)
class Wait:
    """A device waits at a place for calls. `name` is the host by which it has dialed the relay."""

    public_key: bytes
    name: str
    place: str
    signature: bytes


@dataclass(frozen=True, slots=True)
class Call:
    """A device wants to be joined with the device that waits at a place."""

    public_key: bytes
    name: str
    place: str
    signature: bytes


@dataclass(frozen=True, slots=True)
class Waiting:
    """The relay has registered the device."""


@dataclass(frozen=True, slots=True)
class Ping:
    """The waiting device is still there."""


@dataclass(frozen=True, slots=True)
class Pong:
    """The relay is still there."""


@dataclass(frozen=True, slots=True)
class Called:
    """Another device calls the waiting device."""


@dataclass(frozen=True, slots=True)
class Ready:
    """The called device is there. Its next byte is for the caller."""


@dataclass(frozen=True, slots=True)
class Joined:
    """The called device has answered. The caller's next byte is for it."""


@dataclass(frozen=True, slots=True)
class Absent:
    """No device waits at the place."""


@dataclass(frozen=True, slots=True)
class Refused:
    """The relay does not do what was asked. `reason` is text for the user."""

    reason: str


Message: TypeAlias = Challenge | Wait | Call | Waiting | Ping | Pong | Called | Ready | Joined | Absent | Refused
_KINDS: Final[dict[str, type[Message]]] = {kind.__name__.lower(): kind for kind in get_args(Message)}
_BYTES: Final = {"nonce": NONCE_BYTES, "public_key": KEY_BYTES, "signature": SIGNATURE_BYTES}  # exactly so many
_CHARS: Final = {"name": NAME_CHARS, "place": PLACE_CHARS, "reason": REASON_CHARS}  # at most so many


def encode(message: Message) -> bytes:
    """Return a message as a frame with its length before it."""
    body: bytes = msgpack.packb([type(message).__name__.lower(), *astuple(message)])
    return len(body).to_bytes(_HEADER_BYTES, "big") + body


def decode(body: bytes) -> Message:
    """Return the message in a frame without its length. Raises RemoteProtocolError for anything else."""
    try:
        found = msgpack.unpackb(body, **_LIMITS)
    except (ValueError, msgpack.UnpackException) as exc:
        raise RemoteProtocolError("a frame of the relay protocol is not valid msgpack, or exceeds the limits") from exc
    if not isinstance(found, list) or not found or not isinstance(found[0], str) or found[0] not in _KINDS:
        raise RemoteProtocolError("a frame of the relay protocol is of no known kind")
    kind = _KINDS[found[0]]
    names = list(kind.__dataclass_fields__)
    if len(found) - 1 != len(names) or not all(map(_fits, names, found[1:])):
        raise RemoteProtocolError(f"a field of the {found[0]!r} frame of the relay protocol is wrong or missing")
    return kind(*found[1:])


def _fits(name: str, value: object) -> bool:
    if name in _BYTES:
        return isinstance(value, bytes) and len(value) == _BYTES[name]
    if not isinstance(value, str) or len(value) > _CHARS[name]:
        return False
    return value.isprintable() and (name != "place" or is_device_id(value) or is_code(value))


def is_code(place: str) -> bool:
    """Return whether a place is the number of a pairing code that can be used at relays."""
    return _CODE.fullmatch(place) is not None


class FrameReader:
    """Splits the bytes of a stream into frames: `feed` bytes, then call `next` until it returns None."""

    def __init__(self) -> None:
        self._bytes = b""

    def feed(self, data: bytes) -> None:
        """Add bytes that were received."""
        self._bytes += data

    def next(self) -> Message | None:
        """Return the next message, or None if it is not complete. Raises RemoteProtocolError."""
        if len(self._bytes) < _HEADER_BYTES:
            return None
        end = _HEADER_BYTES + body_size(self._bytes[:_HEADER_BYTES])
        if len(self._bytes) < end:
            return None
        body, self._bytes = self._bytes[_HEADER_BYTES:end], self._bytes[end:]
        return decode(body)

    def take_rest(self) -> bytes:
        """Return the bytes that belong to no message yet. They are no longer here."""
        rest, self._bytes = self._bytes, b""
        return rest


def body_size(header: bytes) -> int:
    """Return the number of bytes that follow the header (2 bytes). Raises RemoteProtocolError if there are too many."""
    size = int.from_bytes(header, "big")
    if size > FRAME_BYTES:
        raise RemoteProtocolError(
            f"a frame of the relay protocol claims {size} bytes; the maximum is {FRAME_BYTES} bytes"
        )
    return size


def wait(identity: Signer, nonce: bytes, name: str, place: str | None = None) -> Wait:
    """Return the frame by which a device registers at the relay that it has dialed by this name.

    Args:
        identity: The key of the device.
        nonce: The relay's nonce.
        name: The name by which the device has dialed the relay.
        place: The number of a pairing code; None: the device's own id.
    """
    place = place or identity.device_id
    return Wait(identity.public_key, name, place, _signature(identity, "wait", nonce, name, place))


def call(identity: Signer, nonce: bytes, name: str, place: str) -> Call:
    """Return the frame by which a device asks for the device that waits at a place."""
    return Call(identity.public_key, name, place, _signature(identity, "call", nonce, name, place))


def proven_device(message: Wait | Call, nonce: bytes) -> str:
    """Return the id of the device that has signed the message for this nonce. Raises RemoteProtocolError."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    role = "call" if isinstance(message, Call) else "wait"
    signed = _transcript(role, nonce, message.public_key, message.name, message.place)
    try:
        Ed25519PublicKey.from_public_bytes(message.public_key).verify(message.signature, signed)
    except (InvalidSignature, ValueError):
        raise RemoteProtocolError("the device has not signed the relay's nonce with its key") from None
    return device_id(message.public_key)


def _signature(identity: Signer, role: str, nonce: bytes, name: str, place: str) -> bytes:
    return identity.sign(_transcript(role, nonce, identity.public_key, name, place))


def _transcript(role: str, nonce: bytes, key: bytes, name: str, place: str) -> bytes:
    """Return the bytes to sign. Each part has its length before it, so no two transcripts are equal."""
    parts = (role.encode(), nonce, key, name.encode(), place.encode())
    return _CONTEXT + b"".join(len(part).to_bytes(4, "big") + part for part in parts)
