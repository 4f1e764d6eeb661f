"""Signed statements about the members of a space: who takes part, who may write, and who was revoked.

A statement is an `add` or a `revoke`. It counts if its signer is the creator of the space, whose device id is part of
the space's id, or if the signer was itself added with the right to write. So every `add` is chained to the creator. A
revocation by any such device counts, even if that device is revoked later, and it wins against every `add`. An `add` by
a revoked device counts only if a revocation keeps it, and if a device that is not revoked signed this revocation. So
devices that have received the same statements, in any order, know the same members.

A member that another member has invited introduces itself to members that do not know it yet: it presents the shortest
chain of adds from the creator to itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence, Set
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple, TypeAlias

import msgpack

from memcrdt.errors import RemoteProtocolError
from memcrdt.model import limits
from memcrdt.model.device_ids import DEVICE_ID_CHARS, KEY_BYTES, device_id, is_device_id

STATEMENTS: Final = 1_000  # in one space
FOR_REVOCATIONS: Final = 100  # of these, reserved: no member can prevent its own revocation by filling the list
BY_ONE: Final = 25  # revocations by one device that may use the reserve
REVOCATION_BYTES: Final = 5 * limits.KIB
ROLL_BYTES: Final = 960 * limits.KIB  # all statements of one space, which are sent in one frame
STATEMENT_BYTES: Final = 8 * limits.KIB
KEPT: Final = 256  # statements kept by one revocation
NAME_CHARS: Final = limits.NAME_CHARS
ID_BYTES: Final = 16
SIGNATURE_BYTES: Final = 64
CONTEXT: Final = b"memcrdt.1 statement of a member\0"  # precedes the signed bytes

Kind: TypeAlias = Literal["add", "revoke"]
_KINDS: Final[tuple[Kind, ...]] = ("add", "revoke")


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """The content of a statement about a device.

    Attributes:
        kind: Whether the device is added or revoked.
        space: The id of the space.
        device: The id of the device.
        at: The time in ms.
        name: The name of the device; for an add.
        read_only: Whether the device may only read; for an add.
        keep: The ids of statements that stay valid although their signer is revoked; for a revocation.
    """

    kind: Kind
    space: str
    device: str
    at: int
    name: str = ""
    read_only: bool = False
    keep: tuple[bytes, ...] = ()

    def packed(self) -> bytes:
        """Return the bytes that are signed, after CONTEXT."""
        fields = [_KINDS.index(self.kind), self.space, self.device, self.at, self.name, self.read_only, self.keep]
        data: bytes = msgpack.packb(fields)
        return data


@dataclass(frozen=True, slots=True)
class Statement:
    """A claim with the public key of its signer and the signature."""

    claim: Claim
    key: bytes
    signature: bytes

    @property
    def id(self) -> bytes:
        """The hash of the statement, 16 bytes."""
        return hashlib.blake2b(self.key + self.claim.packed(), digest_size=ID_BYTES).digest()

    @property
    def by(self) -> str:
        """The device id of the signer."""
        return device_id(self.key)

    def packed(self) -> bytes:
        """Return the statement as it is stored and sent."""
        data: bytes = msgpack.packb([self.claim.packed(), self.key, self.signature])
        return data


@dataclass(frozen=True, slots=True)
class Member:
    """A device that takes part in a space, as it was added."""

    name: str
    read_only: bool


@dataclass(frozen=True, slots=True)
class Membership:
    """The members that follow from a set of statements, and the revoked devices."""

    members: Mapping[str, Member]
    revoked: frozenset[str]

    def may_write(self, device: str) -> bool:
        """Return whether updates and statements of the device count."""
        return device in self.members and not self.members[device].read_only


class Side(NamedTuple):
    """One of two spaces that become one: its id, its creator, and the devices revoked from it."""

    id: str
    creator: str
    revoked: Set[str]


def stays(one: Side, other: Side) -> bool:
    """Return whether both spaces continue under the id of `one`.

    The smaller id stays, unless its creator was revoked from the other space. So a device that moved members into a
    space of its own loses them when it is revoked.
    """
    if (one.creator in other.revoked) != (other.creator in one.revoked):
        return other.creator in one.revoked
    return one.id < other.id


class Adoption(NamedTuple):
    """The result of comparing a space with the same space under another id on another device.

    Attributes:
        moved: Whether our space continues under the other id.
        hindrance: Why the two spaces can never become one, in words for the user; empty if no reason is known.
    """

    moved: bool
    hindrance: str = ""


def unpack(data: bytes) -> Statement:
    """Return the statement in `data` without checking its signature. Raises RemoteProtocolError."""
    if len(data) > STATEMENT_BYTES:
        raise RemoteProtocolError(f"a statement has {len(data)} bytes; the maximum is {STATEMENT_BYTES}")
    try:
        signed, key, signature = _array(_unpacked(data), 3)
        kind, space, device, at, name, read_only, keep = _array(_unpacked(_bytes(signed, len(signed))), 7)
        claim = Claim(
            kind=_KINDS[_whole(kind)],
            space=_text(space, DEVICE_ID_CHARS),
            device=_device(device),
            at=_whole(at),
            name=_text(name, NAME_CHARS),
            read_only=bool(read_only),
            keep=tuple(_bytes(each, ID_BYTES) for each in _array(keep, None)),
        )
        statement = Statement(claim, _bytes(key, KEY_BYTES), _bytes(signature, SIGNATURE_BYTES))
    except (ValueError, TypeError, IndexError, msgpack.UnpackException) as exc:
        raise RemoteProtocolError("a statement is malformed") from exc
    foreign = claim.keep if claim.kind == "add" else (claim.name or claim.read_only)
    if claim.packed() != signed or len(claim.keep) > KEPT or foreign:
        raise RemoteProtocolError("a statement is not in its canonical form")
    return statement


def heard(creator: str, statements: Collection[Statement]) -> list[Statement]:
    """Return the statements whose signer could ever write. The others have no effect and would only take space."""
    ever = _writers(creator, [each for each in statements if each.claim.kind == "add"])
    return [statement for statement in statements if statement.by in ever]


def membership(creator: str, statements: Collection[Statement]) -> Membership:
    """Return the members of a space.

    Args:
        creator: The device id in the space's id.
        statements: Statements whose signatures have been checked, in any order.
    """
    statements = heard(creator, statements)
    adds = [statement for statement in statements if statement.claim.kind == "add"]
    revokes = [statement for statement in statements if statement.claim.kind == "revoke"]
    revoked = frozenset(statement.claim.device for statement in revokes)
    kept = {each for statement in revokes if statement.by not in revoked for each in statement.claim.keep}
    standing = [statement for statement in adds if statement.by not in revoked or statement.id in kept]
    # If a revocation keeps an add, the added device stays chained to the creator through the revoked device.
    writers = _writers(creator, standing)
    members = {creator: Member("", read_only=False)}
    for statement in sorted(standing, key=lambda statement: (statement.claim.at, statement.id)):
        if statement.by in writers:
            members[statement.claim.device] = Member(statement.claim.name, statement.claim.read_only)
    return Membership({device: member for device, member in members.items() if device not in revoked}, revoked)


def chain(creator: str, device: str, statements: Collection[Statement]) -> list[Statement] | None:
    """Return the shortest chain of adds from the creator to the device.

    None if the device is not a member, or if there is no such chain.
    """
    known = membership(creator, statements)
    if device not in known.members:
        return None
    paths: dict[str, list[Statement]] = {creator: []}
    fresh = [creator]
    while fresh and device not in paths:
        signer = fresh.pop(0)
        for statement in statements:
            claim = statement.claim
            if claim.kind != "add" or statement.by != signer or claim.device in paths:
                continue
            if claim.device == device or known.may_write(claim.device):
                paths[claim.device] = [*paths[signer], statement]
                fresh.append(claim.device)
    return paths.get(device)


def vouches(creator: str, known: Sequence[Statement], presented: Sequence[Statement], device: str) -> bool:
    """Return whether `presented` introduces the device to a member that knows `known`.

    It does if the device is a member once `presented` is added, and if `presented` has only adds by members: an unknown
    device must not be able to fill a list of members with its own statements. The signatures have been checked.
    """
    after = membership(creator, [*known, *presented])
    genuine = all(each.claim.kind == "add" and after.may_write(each.by) for each in presented)
    return genuine and device in after.members


def _writers(creator: str, adds: Iterable[Statement]) -> set[str]:
    """Return the devices that a chain of adds with the right to write connects to the creator."""
    added: dict[str, list[str]] = {}
    for statement in adds:
        if not statement.claim.read_only:
            added.setdefault(statement.by, []).append(statement.claim.device)
    writers, fresh = {creator}, [creator]
    while fresh:
        for device in added.get(fresh.pop(), ()):
            if device not in writers:
                writers.add(device)
                fresh.append(device)
    return writers


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
