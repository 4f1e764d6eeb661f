"""Messages as frames: msgpack arrays of the message's number and its fields.

`_LAYOUTS` is the table of the protocol: for each message its number and, in order, the encoding of its fields. Fields
are read strictly: any deviation is a RemoteProtocolError, and sizes are checked before anything is built. Newer
versions can extend the protocol in two ways: fields after the last known one are ignored, whatever they contain within
the limits, and a message with an unknown number is decoded as `Unknown`.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache, partial
from itertools import islice, pairwise
from operator import attrgetter
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar

import msgpack

from memcrdt.errors import LocalProtocolError, RemoteProtocolError
from memcrdt.model import limits
from memcrdt.model.clocks import StateVector, decode_state_vector, encode_state_vector
from memcrdt.model.statements import STATEMENT_BYTES, STATEMENTS
from memcrdt.sync.events import FRAME_BYTES
from memcrdt.sync.messages import (
    Ack,
    Bye,
    Declined,
    Diff,
    Fragment,
    Have,
    Hello,
    Leaf,
    MembershipDigest,
    MembershipUpdate,
    Message,
    More,
    Offer,
    Push,
    Range,
    Restate,
    Scrub,
    Scrubbed,
    Span,
    Unknown,
    Want,
)
from memcrdt.sync.replica import HIDDEN, HIDDEN_CHARS, MembershipRecord

FRAGMENT_BYTES: Final = 256 * limits.KIB
DIGEST_BYTES: Final = 16
SPANS: Final = 1_024  # in one Range
LEAVES: Final = 1_024  # in one Have
LEAF_SHARDS: Final = 64  # in one leaf
SPACES: Final = 1_024
FEATURES: Final = 32
ID_CHARS: Final = 128
ID_BYTES: Final = 32
IDS: Final = 1_024  # cached in each direction
NAME_CHARS: Final = limits.NAME_CHARS
REASON_CHARS: Final = 500
NONCE_BYTES: Final = 64
BATCH_MAX: Final = (1 << 53) - 1

_INCARNATION: Final = re.compile("[0-9a-f]{32}")

_T = TypeVar("_T")
_Build: TypeAlias = Callable[..., Any]
_Values: TypeAlias = Callable[[Any], Sequence[object]]


def encode(message: Message) -> bytes:
    """Return the frame for a message. Raises LocalProtocolError if it exceeds the maximum size of a frame."""
    layout = _LAYOUTS[type(message)]
    frame = msgpack.packb([layout.number, *layout.codec.pack(message)])
    if len(frame) > FRAME_BYTES:
        raise LocalProtocolError(f"a {type(message).__name__} has {len(frame)} bytes; the maximum is {FRAME_BYTES}")
    return frame


def decode(frame: bytes) -> Message | Unknown:
    """Return the message in a frame. Raises RemoteProtocolError, and nothing else, if the frame is not a message."""
    if len(frame) > FRAME_BYTES:
        raise RemoteProtocolError(f"a frame has {len(frame)} bytes; the maximum is {FRAME_BYTES}")
    array = _unpack(frame)
    if not isinstance(array, tuple) or not array:
        raise RemoteProtocolError("a frame is not a message: it contains no array")
    number = _number(array[0], limits.INTEGER_MAX)
    if number not in _BY_NUMBER:
        return Unknown(number)
    layout = _BY_NUMBER[number]
    if len(array) <= layout.size:
        text = f"a message of type {number} has {len(array) - 1} fields, but needs {layout.size}"
        raise RemoteProtocolError(text)
    message: Message = layout.codec.unpack(array[1 : layout.size + 1])
    return message


def _unpack(frame: bytes) -> object:
    try:
        # Tuples, because the empty tuple takes no memory: a frame of empty lists would take sixty times its size.
        return msgpack.unpackb(
            frame,
            use_list=False,
            max_array_len=SPANS,
            # No known field has maps. Unknown fields may have some, but they are ignored, so no dict is made.
            object_pairs_hook=_drop,
            strict_map_key=False,
            max_map_len=SPANS,
            max_ext_len=0,
            max_str_len=4 * REASON_CHARS,
            max_bin_len=FRAME_BYTES,
        )
    except (ValueError, msgpack.UnpackException) as exc:  # as documented by msgpack: extra, missing or too many bytes
        raise RemoteProtocolError("a frame is not valid msgpack, or exceeds the limits") from exc


def _drop(pairs: object) -> None:
    """Return None in place of a map."""


# --- values from the wire, checked -----------------------------------------------------------------------------------


def _typed(value: object, kind: type[_T]) -> _T:
    if type(value) is not kind:  # not isinstance(), because a bool is not a valid number
        raise RemoteProtocolError(f"a message has a {type(value).__name__} instead of a {kind.__name__}")
    return value


def _number(value: object, maximum: int) -> int:
    number = _typed(value, int)
    if not 0 <= number <= maximum:
        raise RemoteProtocolError(f"a message has the number {number}; the allowed range is 0 to {maximum}")
    return number


def _text(value: object, chars: int) -> str:
    text = _typed(value, str)
    if len(text) > chars:
        raise RemoteProtocolError(f"a message has a text of {len(text)} characters; the maximum is {chars}")
    return text


def _bytes(value: object, maximum: int) -> bytes:
    data = _typed(value, bytes)
    if len(data) > maximum:
        raise RemoteProtocolError(f"a message has a field of {len(data)} bytes; the maximum is {maximum}")
    return data


def _digest(value: object) -> bytes:
    digest = _bytes(value, DIGEST_BYTES)
    if len(digest) < DIGEST_BYTES:
        raise RemoteProtocolError(f"a message has a digest of {len(digest)} bytes instead of {DIGEST_BYTES}")
    return digest


def _items(value: object, maximum: int) -> tuple[object, ...]:
    items = _typed(value, tuple)
    if len(items) > maximum:
        raise RemoteProtocolError(f"a message has a list of {len(items)} items; the maximum is {maximum}")
    return items


def _vector(value: object) -> StateVector:
    return decode_state_vector(_bytes(value, limits.STATE_VECTOR_BYTES))


def _packed_vector(vector: StateVector) -> bytes:
    """Return the encoded vector, with as many clients as a receiver takes. With less known, it is sent more."""
    return encode_state_vector(dict(islice(vector.items(), limits.UPDATE_CLIENTS)))


def _offered_digest(value: object) -> bytes:
    return b"" if value == b"" else _digest(value)


def _id(value: object) -> str:
    return _unpacked_id(_bytes(value, ID_BYTES)) if isinstance(value, bytes) else _text(value, ID_CHARS)


def _incarnation(value: object) -> str:
    return _bytes(value, NONCE_BYTES).hex() if isinstance(value, bytes) else _text(value, ID_CHARS)


@lru_cache(IDS)
def _packed_id(text: str) -> str | bytes:
    """Return the 32 bytes of the id of a space or a device. Return the id unchanged if it is not their base32."""
    try:
        data = base64.b32decode(text + "====")
    except ValueError:
        return text
    return data if len(data) == ID_BYTES and _unpacked_id(data) == text else text


@lru_cache(IDS)
def _unpacked_id(data: bytes) -> str:
    return base64.b32encode(data).decode().rstrip("=")


def _packed_incarnation(text: str) -> str | bytes:
    return bytes.fromhex(text) if _INCARNATION.fullmatch(text) else text


# --- encodings of fields ---------------------------------------------------------------------------------------------


def _as_it_is(value: Any) -> object:
    return value


@dataclass(frozen=True, slots=True)
class _Codec:
    """The encoding of one field. `unpack` checks and converts its value from the wire, `pack` converts it back."""

    unpack: Callable[[object], Any]
    pack: Callable[[Any], Any] = _as_it_is


def _array(build: _Build, values: _Values, *codecs: _Codec) -> _Codec:
    """Return the codec of an array with exactly these fields.

    Args:
        build: Makes the value from its fields, and may check rules about several fields.
        values: Returns the fields of a value, in the order of the array.
        codecs: The encoding of each field.
    """
    unpacks = [codec.unpack for codec in codecs]
    packs = [(at, codec.pack) for at, codec in enumerate(codecs) if codec.pack is not _as_it_is]

    def unpack(value: object) -> Any:
        items = _items(value, len(unpacks))
        if len(items) < len(unpacks):
            raise RemoteProtocolError(f"a message has a list of {len(items)} items instead of {len(unpacks)}")
        return build(*[unpack(item) for unpack, item in zip(unpacks, items, strict=True)])

    def pack(value: Any) -> list[object]:
        items = list(values(value))
        for at, pack in packs:
            items[at] = pack(items[at])
        return items

    return _Codec(unpack, pack)


def _attributes(kind: type) -> _Values:
    names = [field.name for field in fields(kind)]
    return attrgetter(*names) if len(names) > 1 else lambda value: (getattr(value, names[0]),)


def _list(codec: _Codec, maximum: int) -> _Codec:
    unpack, pack = codec.unpack, codec.pack
    return _Codec(
        lambda value: tuple([unpack(item) for item in _items(value, maximum)]),
        lambda value: [pack(item) for item in value],
    )


def _integer(maximum: int) -> _Codec:
    return _Codec(partial(_number, maximum=maximum))


def _binary(maximum: int) -> _Codec:
    return _Codec(partial(_bytes, maximum=maximum))


def _string(chars: int) -> _Codec:
    return _Codec(partial(_text, chars=chars))


# --- rules about several fields --------------------------------------------------------------------------------------


def _hello(version: int, features: tuple[str, ...], incarnation: str, spaces: tuple[Offer, ...]) -> Hello:
    if len({space.id for space in spaces}) < len(spaces) or len({space.name for space in spaces}) < len(spaces):
        raise RemoteProtocolError("a greeting names a space twice")
    return Hello(version, features, incarnation, spaces)


def _span(lo: int, hi: int, fingerprint: bytes, count: int) -> Span:
    _check_bounds(lo, hi)
    return Span(lo, hi, fingerprint, _number(count, hi - lo))


def _leaf(lo: int, hi: int, shards: tuple[tuple[int, bytes], ...]) -> Leaf:
    _check_bounds(lo, hi)
    numbers = [number for number, _ in shards]
    if any(not lo <= number < hi for number in numbers) or len(set(numbers)) < len(numbers):
        raise RemoteProtocolError(f"a list of shards from {lo} to {hi} has a duplicate, or a shard outside this range")
    return Leaf(lo, hi, shards)


def _membership(space: str, *record: Any) -> MembershipUpdate:
    return MembershipUpdate(space, MembershipRecord(*record))


def _flattened(update: MembershipUpdate) -> Sequence[object]:
    return update.space, update.record.creator, update.record.nonce, update.record.statements


def _check_bounds(lo: int, hi: int) -> None:
    if lo >= hi:
        raise RemoteProtocolError(f"a message has the empty range from {lo} to {hi}")


def _ascending(codec: _Codec) -> _Codec:
    """Return the codec of a list of ranges that must not overlap, so that the space's size bounds a message's work."""

    def unpack(value: object) -> tuple[Span | Leaf, ...]:
        items: tuple[Span | Leaf, ...] = codec.unpack(value)
        if any(first.hi > second.lo for first, second in pairwise(items)):
            raise RemoteProtocolError("a message has ranges that overlap")
        return items

    return _Codec(unpack, codec.pack)


# --- the table of the protocol ---------------------------------------------------------------------------------------


class _Layout(NamedTuple):
    """A message's number, the number of its fields, and their encoding."""

    number: int
    size: int
    codec: _Codec


def _message(
    number: int, kind: type, *codecs: _Codec, build: _Build | None = None, values: _Values | None = None
) -> _Layout:
    return _Layout(number, len(codecs), _array(build or kind, values or _attributes(kind), *codecs))


_COUNT: Final = _integer(limits.INTEGER_MAX)
_FLAG: Final = _Codec(partial(_typed, kind=bool))
_ID: Final = _Codec(_id, _packed_id)
_WORD: Final = _string(ID_CHARS)
_LIFE: Final = _Codec(_incarnation, _packed_incarnation)
_SHARD: Final = _integer(limits.SHARDS - 1)
_BOUND: Final = _integer(limits.SHARDS)
_BATCH: Final = _integer(BATCH_MAX)
_INDEX: Final = _integer(limits.UPDATE_BYTES // FRAGMENT_BYTES - 1)
_UPDATE: Final = _binary(FRAGMENT_BYTES)
_VECTOR: Final = _Codec(_vector, _packed_vector)
_DIGEST: Final = _Codec(_digest)
_REASON: Final = _Codec(partial(_text, chars=REASON_CHARS), lambda text: text[:REASON_CHARS])
_RECORD: Final = (_ID, _binary(NONCE_BYTES), _list(_binary(STATEMENT_BYTES), STATEMENTS))
_OFFER: Final = _array(Offer, _attributes(Offer), _ID, _string(NAME_CHARS), _Codec(_offered_digest))
_SPAN: Final = _array(_span, _attributes(Span), _BOUND, _BOUND, _DIGEST, _COUNT)
_LISTED: Final = _array(lambda *pair: pair, tuple, _BOUND, _DIGEST)
_LEAF: Final = _array(_leaf, _attributes(Leaf), _BOUND, _BOUND, _list(_LISTED, LEAF_SHARDS))
_SPACES: Final = _list(_OFFER, SPACES)

_LAYOUTS: Final[dict[type, _Layout]] = {
    Hello: _message(1, Hello, _COUNT, _list(_WORD, FEATURES), _LIFE, _SPACES, build=_hello),
    Range: _message(2, Range, _ID, _ascending(_list(_SPAN, SPANS)), _FLAG),
    Have: _message(3, Have, _ID, _ascending(_list(_LEAF, LEAVES)), _FLAG),
    Want: _message(4, Want, _ID, _SHARD, _VECTOR),
    Diff: _message(5, Diff, _ID, _SHARD, _UPDATE, _VECTOR, _BATCH, _FLAG),
    Push: _message(6, Push, _ID, _SHARD, _UPDATE, _VECTOR, _VECTOR, _BATCH),
    Ack: _message(7, Ack, _BATCH, _FLAG),
    Bye: _message(8, Bye, _REASON),
    Fragment: _message(9, Fragment, _BATCH, _INDEX, _UPDATE),
    More: _message(10, More, _BATCH),
    MembershipUpdate: _message(11, MembershipUpdate, _ID, *_RECORD, build=_membership, values=_flattened),
    Scrub: _message(12, Scrub, _ID, _BATCH),
    Scrubbed: _message(13, Scrubbed, _ID, _BATCH),
    MembershipDigest: _message(14, MembershipDigest, _ID, _DIGEST),
    Declined: _message(15, Declined, _BATCH, _REASON),
    Restate: _message(16, Restate, _ID, _SHARD, _list(_string(HIDDEN_CHARS), HIDDEN)),
}
_BY_NUMBER: Final = {layout.number: layout for layout in _LAYOUTS.values()}
