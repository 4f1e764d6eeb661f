"""What the members of a space say of each other, signed: who takes part, who may write, and who does no longer.

A statement is an `add` or a `revoke`. It counts if its signer is the creator of the space, whose device id is in the
space's id, or was itself added with the right to write; so every `add` is chained to the creator. A revocation by
any such device counts, whatever became of that one, and wins against every `add`. What the revoked device had
added stays only as far as a revocation of it by somebody who is not revoked keeps it. So all who have heard
the same statements, in whatever order, know the same members.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping, Set
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple, TypeAlias

import msgpack

from memcrdt.errors import RemoteProtocolError
from memcrdt.model import limits
from memcrdt.model.device_ids import DEVICE_ID_CHARS, KEY_BYTES, device_id, is_device_id

STATEMENTS: Final = 1_000  # of one space
FOR_REVOCATIONS: Final = 100  # of these, kept free for them: no member can keep itself from being revoked
BY_ONE: Final = 25  # revocations by one device that may take of that
REVOCATION_BYTES: Final = 5 * limits.KIB  # at most
ROLL_BYTES: Final = 960 * limits.KIB  # of all statements of one space: they are sent in one frame
STATEMENT_BYTES: Final = 8 * limits.KIB
KEPT: Final = 256  # by one revocation
NAME_CHARS: Final = limits.NAME_CHARS
ID_BYTES: Final = 16
SIGNATURE_BYTES: Final = 64
CONTEXT: Final = b"memcrdt.1 statement of a member\0"  # before what is signed

Kind: TypeAlias = Literal["add", "revoke"]
_KINDS: Final[tuple[Kind, ...]] = ("add", "revoke")


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What is said of `device` in the space of that id, at `at` (ms). `read_only` and `name` belong to an add,
    `keep` (ids of statements that stay although their signer is revoked) to a revocation."""

    kind: Kind
    space: str
    device: str
    at: int
    name: str = ""
    read_only: bool = False
    keep: tuple[bytes, ...] = ()

    def packed(self) -> bytes:
        """The bytes that are signed, behind CONTEXT."""
        fields = [_KINDS.index(self.kind), self.space, self.device, self.at, self.name, self.read_only, self.keep]
        data: bytes = msgpack.packb(fields)
        return data


@dataclass(frozen=True, slots=True)
class Statement:
    """A claim, the public key of whoever makes it, and the signature."""

    claim: Claim
    key: bytes
    signature: bytes

    @property
    def id(self) -> bytes:
        """16 bytes."""
        return hashlib.blake2b(self.key + self.claim.packed(), digest_size=ID_BYTES).digest()

    @property
    def by(self) -> str:
        """The device id of whoever makes it."""
        return device_id(self.key)

    def packed(self) -> bytes:
        """As it is stored and sent."""
        data: bytes = msgpack.packb([self.claim.packed(), self.key, self.signature])
        return data


@dataclass(frozen=True, slots=True)
class Member:
    """A device that takes part in a space, as it was added."""

    name: str
    read_only: bool


@dataclass(frozen=True, slots=True)
class Membership:
    """What the statements come to."""

    members: Mapping[str, Member]
    revoked: frozenset[str]

    def may_write(self, device: str) -> bool:
        """Whether what the device sends and says counts."""
        return device in self.members and not self.members[device].read_only


class Side(NamedTuple):
    """One of two spaces that become one: its id, who made it, and who was revoked from it."""

    id: str
    creator: str
    revoked: Set[str]


def stays(one: Side, other: Side) -> bool:
    """Whether both go on under the id of `one`: it is the smaller, unless its creator was revoked from the other. So
    whoever has carried members off loses them with its revocation."""
    if (one.creator in other.revoked) != (other.creator in one.revoked):
        return other.creator in one.revoked
    return one.id < other.id


class Adoption(NamedTuple):
    """What came of a space that another device has under another id: whether ours goes on under that now, and in words
    for the user what keeps the two apart for good (empty: nothing is known to)."""

    moved: bool
    hindrance: str = ""


def unpack(data: bytes) -> Statement:
    """The statement in `data`, whose signature is not checked here. Raises RemoteProtocolError."""
    if len(data) > STATEMENT_BYTES:
        raise RemoteProtocolError(f"a statement of {len(data)} bytes; at most {STATEMENT_BYTES} are taken")
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
        raise RemoteProtocolError("a statement is not what it should be") from exc
    foreign = claim.keep if claim.kind == "add" else (claim.name or claim.read_only)
    if claim.packed() != signed or len(claim.keep) > KEPT or foreign:
        raise RemoteProtocolError("a statement is not in its canonical form")
    return statement


def heard(creator: str, statements: Collection[Statement]) -> list[Statement]:
    """Those whose signer could ever write: the others say nothing, and would only take room."""
    ever = _writers(creator, [each for each in statements if each.claim.kind == "add"])
    return [statement for statement in statements if statement.by in ever]


def membership(creator: str, statements: Collection[Statement]) -> Membership:
    """Who takes part. `creator` is the device id in the space's id; the signatures have been checked."""
    statements = heard(creator, statements)
    adds = [statement for statement in statements if statement.claim.kind == "add"]
    revokes = [statement for statement in statements if statement.claim.kind == "revoke"]
    revoked = frozenset(statement.claim.device for statement in revokes)
    kept = {each for statement in revokes if statement.by not in revoked for each in statement.claim.keep}
    standing = [statement for statement in adds if statement.by not in revoked or statement.id in kept]
    # Whoever was added by a revoked device and kept, is chained to the creator through that device as it was.
    writers = _writers(creator, standing)
    members = {creator: Member("", read_only=False)}
    for statement in sorted(standing, key=lambda statement: (statement.claim.at, statement.id)):
        if statement.by in writers:
            members[statement.claim.device] = Member(statement.claim.name, statement.claim.read_only)
    return Membership({device: member for device, member in members.items() if device not in revoked}, revoked)


def _writers(creator: str, adds: Iterable[Statement]) -> set[str]:
    """Whom a chain of adds leads to from the creator, each link of it with the right to write."""
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
        raise ValueError("no array of that length")
    return value


def _bytes(value: Any, length: int) -> bytes:
    if not isinstance(value, bytes) or len(value) != length:
        raise ValueError("no bytes of that length")
    return value


def _text(value: Any, chars: int) -> str:
    if not isinstance(value, str) or len(value) > chars:
        raise ValueError("no text of that length")
    return value


def _device(value: Any) -> str:
    if not is_device_id(device := _text(value, DEVICE_ID_CHARS)):
        raise ValueError("no device id")
    return device


def _whole(value: Any) -> int:
    if type(value) is not int or not 0 <= value <= limits.INTEGER_MAX:
        raise ValueError("no number")
    return value
