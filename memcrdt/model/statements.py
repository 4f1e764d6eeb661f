"""Signed statements about a space: who takes part, who may write, who was revoked, and at which relays members meet.

A statement is an `add`, a `revoke` or a list of `relays`, signed by a device. memcrdt/model/membership.py derives the
members from the statements, memcrdt/model/relays.py the relays, and memcrdt/model/roll.py chooses the statements that a
device keeps of a space.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, TypeAlias

import msgpack

from memcrdt.errors import RemoteProtocolError
from memcrdt.model import limits
from memcrdt.model.device_ids import DEVICE_ID_CHARS, KEY_BYTES, device_id, is_device_id
from memcrdt.model.relay_addresses import RELAYS, is_relay_address

STATEMENTS: Final = 1_000  # in one space
ROLL_BYTES: Final = 960 * limits.KIB  # all statements of one space, which are sent in one frame
STATEMENT_BYTES: Final = 8 * limits.KIB
KEPT: Final = 256  # statements kept by one revocation, or replaced by one list of relays
NAME_CHARS: Final = limits.NAME_CHARS
ID_BYTES: Final = 16
SIGNATURE_BYTES: Final = 64
CONTEXT: Final = b"memcrdt.1 statement of a member\0"  # precedes the signed bytes

Kind: TypeAlias = Literal["add", "revoke", "relays"]
_KINDS: Final[tuple[Kind, ...]] = ("add", "revoke", "relays")


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The content of a statement.

    Attributes:
        kind: Whether a device is added or revoked, or relays are listed.
        space: The id of the space.
        device: The id of the device that is added or revoked; for a list of relays, of the device that signs it.
        at: The time in ms.
        name: The name of the device; for an add.
        read_only: Whether the device may only read; for an add.
        keep: The ids of statements that stay valid although their signer is revoked; for a revocation.
        relays: The relays of the space, as HOST:PORT; for a list of relays.
        replaces: The ids of the lists that no longer count; for a list of relays.
    """

    kind: Kind
    space: str
    device: str
    at: int
    name: str = ""
    read_only: bool = False
    keep: tuple[bytes, ...] = ()
    relays: tuple[str, ...] = ()
    replaces: tuple[bytes, ...] = ()

    def packed(self) -> bytes:
        """Return the bytes that are signed, after CONTEXT."""
        fields: list[Any] = [_KINDS.index(self.kind), self.space, self.device, self.at]
        fields += [self.relays, self.replaces] if self.kind == "relays" else [self.name, self.read_only, self.keep]
        data: bytes = msgpack.packb(fields)
        return data


@dataclass(frozen=True, slots=True)
class Statement:
    """A claim with the public key of its signer and the signature.

    Attributes:
        claim: The content.
        key: The public key of the signer.
        signature: The signature of CONTEXT and the packed claim.
        id: The hash of the key and the claim, 16 bytes.
    """

    claim: Claim
    key: bytes
    signature: bytes
    id: bytes = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        digest = hashlib.blake2b(self.key + self.claim.packed(), digest_size=ID_BYTES).digest()
        object.__setattr__(self, "id", digest)  # computed once, since the rule of membership uses it often

    @property
    def by(self) -> str:
        """The device id of the signer."""
        return device_id(self.key)

    def packed(self) -> bytes:
        """Return the statement as it is stored and sent."""
        data: bytes = msgpack.packb([self.claim.packed(), self.key, self.signature])
        return data


def unpack(data: bytes) -> Statement:
    """Return the statement in `data` without checking its signature. Raises RemoteProtocolError."""
    if len(data) > STATEMENT_BYTES:
        raise RemoteProtocolError(f"a statement has {len(data)} bytes; the maximum is {STATEMENT_BYTES}")
    try:
        signed, key, signature = _array(_unpacked(data), 3)
        claim = _claim(_array(_unpacked(_bytes(signed, len(signed))), None))
        statement = Statement(claim, _bytes(key, KEY_BYTES), _bytes(signature, SIGNATURE_BYTES))
    except (ValueError, TypeError, IndexError, msgpack.UnpackException) as exc:
        raise RemoteProtocolError("a statement is malformed") from exc
    if claim.packed() != signed or not _is_canonical(statement):
        raise RemoteProtocolError("a statement is not in its canonical form")
    return statement


def _claim(fields: tuple[Any, ...]) -> Claim:
    """Return the claim with these fields. Raises ValueError, TypeError or IndexError."""
    kind, space, device, at, *rest = fields
    claim = Claim(kind=_KINDS[_whole(kind)], space=_text(space, DEVICE_ID_CHARS), device=_device(device), at=_whole(at))
    if claim.kind == "relays":
        relays, replaces = rest
        return replace(claim, relays=tuple(map(_relay, _array(relays, None))), replaces=_ids(replaces))
    name, read_only, keep = rest
    return replace(claim, name=_text(name, NAME_CHARS), read_only=bool(read_only), keep=_ids(keep))


def _is_canonical(statement: Statement) -> bool:
    """Return whether the fields are those of the kind, within their limits."""
    claim = statement.claim
    match claim.kind:
        case "add":
            return not claim.keep
        case "revoke":
            return len(claim.keep) <= KEPT and not (claim.name or claim.read_only)
        case "relays":
            is_list = len(claim.relays) <= RELAYS and len(set(claim.relays)) == len(claim.relays)
            return is_list and len(claim.replaces) <= KEPT and claim.device == statement.by


def _unpacked(data: bytes) -> object:
    return msgpack.unpackb(
        data,
        use_list=False,
        max_array_len=KEPT,
        max_map_len=0,
        max_ext_len=0,
        max_str_len=4 * NAME_CHARS,
        max_bin_len=STATEMENT_BYTES,
    )


def _array(value: Any, length: int | None) -> tuple[Any, ...]:
    if not isinstance(value, tuple) or length not in (None, len(value)):
        raise ValueError("not an array of that length")
    return value


def _ids(value: Any) -> tuple[bytes, ...]:
    return tuple(_bytes(each, ID_BYTES) for each in _array(value, None))


def _relay(value: Any) -> str:
    if not is_relay_address(value):
        raise ValueError("not the address of a relay")
    return str(value)


def _bytes(value: Any, length: int) -> bytes:
    if not isinstance(value, bytes) or len(value) != length:
        raise ValueError("not bytes of that length")
    return value


def _text(value: Any, chars: int) -> str:
    if not isinstance(value, str) or len(value) > chars:
        raise ValueError("not a text of that length")
    return value


def _device(value: Any) -> str:
    if not is_device_id(device := _text(value, DEVICE_ID_CHARS)):
        raise ValueError("not a device id")
    return device


def _whole(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= limits.INTEGER_MAX:
        raise ValueError("not a number in range")
    return value
