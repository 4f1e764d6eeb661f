"""Messages as frames: msgpack arrays of the message's number and its fields.

A field behind the last that we know is ignored, whatever it holds within the limits, a number that we don't know gives
`Unknown`: so a newer version can add both. Everything else that is not as it should be is a RemoteProtocolError.
"""

from __future__ import annotations

import base64
import re
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Final, TypeVar

import msgpack

from memcrdt.errors import LocalProtocolError, RemoteProtocolError
from memcrdt.model import limits
from memcrdt.model.clocks import StateVector, decode_state_vector, encode_state_vector
from memcrdt.model.statements import STATEMENT_BYTES, STATEMENTS
from memcrdt.sync.events import FRAME_BYTES
from memcrdt.sync.messages import (
    Ack,
    Bye,
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
    Scrub,
    Scrubbed,
    Span,
    Unknown,
    Want,
)
from memcrdt.sync.replica import MembershipRecord

if TYPE_CHECKING:
    from collections.abc import Callable

FRAGMENT_BYTES: Final = 256 * limits.KIB
DIGEST_BYTES: Final = 16
SPANS: Final = 1_024  # in one Range
LEAVES: Final = 1_024  # in one Have
LEAF_SHARDS: Final = 64  # in one leaf
SPACES: Final = 1_024
FEATURES: Final = 32
ID_CHARS: Final = 128
ID_BYTES: Final = 32
IDS: Final = 1_024  # kept both packed and unpacked
NAME_CHARS: Final = limits.NAME_CHARS
REASON_CHARS: Final = 500
NONCE_BYTES: Final = 64
BATCH_MAX: Final = (1 << 53) - 1

_INCARNATION: Final = re.compile("[0-9a-f]{32}")

_T = TypeVar("_T")
_R = TypeVar("_R", Span, Leaf)


def encode(message: Message) -> bytes:
    """The frame for `message`. Raises LocalProtocolError if it is larger than a frame may be."""
    number, fields = _FIELDS[type(message)]
    frame = msgpack.packb([number, *fields(message)])
    if len(frame) > FRAME_BYTES:
        raise LocalProtocolError(f"a {type(message).__name__} of {len(frame)} bytes; at most {FRAME_BYTES} are sent")
    return frame


def decode(frame: bytes) -> Message | Unknown:
    """The message in `frame`. Raises RemoteProtocolError, and nothing else, for whatever is none."""
    if len(frame) > FRAME_BYTES:
        raise RemoteProtocolError(f"a frame of {len(frame)} bytes; at most {FRAME_BYTES} are taken")
    array = _unpack(frame)
    if not isinstance(array, tuple) or not array:
        raise RemoteProtocolError("a frame is no message: it holds no array")
    number = _number(array[0], limits.INTEGER_MAX)
    if number not in _READERS:
        return Unknown(number)
    count, reader = _READERS[number]
    if len(array) <= count:
        raise RemoteProtocolError(f"a message of type {number} has {len(array) - 1} fields where it needs {count}")
    return reader(*array[1 : count + 1])


def _unpack(frame: bytes) -> object:
    try:
        # Tuples, as the empty one costs nothing: a frame of empty lists would take sixty times its size.
        return msgpack.unpackb(
            frame,
            use_list=False,
            max_array_len=SPANS,
            # No field that we know has maps. In others they may stand, and nothing is kept of them: no dict is made.
            object_pairs_hook=_nothing,
            strict_map_key=False,
            max_map_len=SPANS,
            max_ext_len=0,
            max_str_len=4 * REASON_CHARS,
            max_bin_len=FRAME_BYTES,
        )
    except (ValueError, msgpack.UnpackException) as exc:  # what msgpack documents: bytes left, too few, too many
        raise RemoteProtocolError("a frame is no msgpack within the limits") from exc


def _nothing(pairs: object) -> None:
    """What is made of a map."""


# --- fields of each message, to the wire -----------------------------------------------------------------------------


@lru_cache(IDS)
def _packed_id(text: str) -> str | bytes:
    """An id of a space or a device, as the 32 bytes that it is the base32 of."""
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


def _hello_fields(hello: Hello) -> tuple[object, ...]:
    spaces = [(_packed_id(space.id), space.name, space.digest) for space in hello.spaces]
    return hello.version, hello.features, _packed_incarnation(hello.incarnation), spaces


def _span_fields(span: Span) -> tuple[object, ...]:
    return span.lo, span.hi, span.fingerprint, span.count


def _leaf_fields(leaf: Leaf) -> tuple[object, ...]:
    return leaf.lo, leaf.hi, leaf.shards


def _push_fields(push: Push) -> tuple[object, ...]:
    needs, after = encode_state_vector(push.needs), encode_state_vector(push.after)
    return _packed_id(push.space), push.shard, push.update, needs, after, push.batch


_FIELDS: Final[dict[type, tuple[int, Callable[..., tuple[object, ...]]]]] = {
    Hello: (1, _hello_fields),
    Range: (2, lambda m: (_packed_id(m.space), [_span_fields(span) for span in m.spans], m.root)),
    Have: (3, lambda m: (_packed_id(m.space), [_leaf_fields(leaf) for leaf in m.leaves], m.root)),
    Want: (4, lambda m: (_packed_id(m.space), m.shard, encode_state_vector(m.vector))),
    Diff: (5, lambda m: (_packed_id(m.space), m.shard, m.update, encode_state_vector(m.after), m.batch, m.asked)),
    Push: (6, _push_fields),
    Ack: (7, lambda m: (m.batch, m.durable)),
    Bye: (8, lambda m: (m.reason[:REASON_CHARS],)),
    Fragment: (9, lambda m: (m.batch, m.index, m.data)),
    More: (10, lambda m: (m.batch,)),
    MembershipUpdate: (
        11,
        lambda m: (_packed_id(m.space), _packed_id(m.record.creator), m.record.nonce, m.record.statements),
    ),
    Scrub: (12, lambda m: (_packed_id(m.space), m.mark)),
    Scrubbed: (13, lambda m: (_packed_id(m.space), m.mark)),
    MembershipDigest: (14, lambda m: (_packed_id(m.space), m.digest)),
}


# --- fields of each message, from the wire ---------------------------------------------------------------------------


def _hello(version: object, features: object, incarnation: object, spaces: object) -> Hello:
    shared = tuple(_offer(*_array(space, 3)) for space in _items(spaces, SPACES))
    if len({space.id for space in shared}) < len(shared) or len({space.name for space in shared}) < len(shared):
        raise RemoteProtocolError("a greeting names a space twice")
    words = tuple(_text(word) for word in _items(features, FEATURES))
    life = _bytes(incarnation, NONCE_BYTES).hex() if isinstance(incarnation, bytes) else _text(incarnation)
    return Hello(_number(version, limits.INTEGER_MAX), words, life, shared)


def _offer(space: object, name: object, digest: object) -> Offer:
    return Offer(_id(space), _text(name, NAME_CHARS), b"" if digest == b"" else _digest(digest))


def _range(space: object, spans: object, root: object) -> Range:
    items = tuple(_span(*_array(span, 4)) for span in _items(spans, SPANS))
    return Range(_id(space), _ascending(items), _typed(root, bool))


def _span(lo: object, hi: object, fingerprint: object, count: object) -> Span:
    first, end = _bounds(lo, hi)
    return Span(first, end, _digest(fingerprint), _number(count, end - first))


def _have(space: object, leaves: object, root: object) -> Have:
    items = tuple(_leaf(*_array(leaf, 3)) for leaf in _items(leaves, LEAVES))
    return Have(_id(space), _ascending(items), _typed(root, bool))


def _leaf(lo: object, hi: object, shards: object) -> Leaf:
    first, end = _bounds(lo, hi)
    pairs = tuple((_number(n, limits.SHARDS), _digest(digest)) for n, digest in map(_pair, _items(shards, LEAF_SHARDS)))
    numbers = [number for number, _ in pairs]
    if any(not first <= number < end for number in numbers) or len(set(numbers)) < len(numbers):
        raise RemoteProtocolError(f"a list of shards {first} to {end} has one twice, or another")
    return Leaf(first, end, pairs)


def _want(space: object, shard: object, vector: object) -> Want:
    return Want(_id(space), _shard(shard), _vector(vector))


def _diff(*fields: object) -> Diff:
    space, shard, update, after, batch, asked = fields
    content, number = _bytes(update, FRAGMENT_BYTES), _number(batch, BATCH_MAX)
    return Diff(_id(space), _shard(shard), content, _vector(after), number, _typed(asked, bool))


def _push(*fields: object) -> Push:
    space, shard, update, needs, after, batch = fields
    content = _bytes(update, FRAGMENT_BYTES)
    return Push(_id(space), _shard(shard), content, _vector(needs), _vector(after), _number(batch, BATCH_MAX))


def _ack(batch: object, durable: object) -> Ack:
    return Ack(_number(batch, BATCH_MAX), _typed(durable, bool))


def _bye(reason: object) -> Bye:
    return Bye(_text(reason, REASON_CHARS))


def _fragment(batch: object, index: object, data: object) -> Fragment:
    number = _number(index, limits.UPDATE_BYTES // FRAGMENT_BYTES - 1)
    return Fragment(_number(batch, BATCH_MAX), number, _bytes(data, FRAGMENT_BYTES))


def _more(batch: object) -> More:
    return More(_number(batch, BATCH_MAX))


def _members(space: object, creator: object, nonce: object, statements: object) -> MembershipUpdate:
    items = tuple(_bytes(item, STATEMENT_BYTES) for item in _items(statements, STATEMENTS))
    return MembershipUpdate(_id(space), MembershipRecord(_id(creator), _bytes(nonce, NONCE_BYTES), items))


def _scrub(space: object, mark: object) -> Scrub:
    return Scrub(_id(space), _number(mark, BATCH_MAX))


def _scrubbed(space: object, mark: object) -> Scrubbed:
    return Scrubbed(_id(space), _number(mark, BATCH_MAX))


def _roll_digest(space: object, digest: object) -> MembershipDigest:
    return MembershipDigest(_id(space), _digest(digest))


_READERS: Final[dict[int, tuple[int, Callable[..., Message]]]] = {
    1: (4, _hello),
    2: (3, _range),
    3: (3, _have),
    4: (3, _want),
    5: (6, _diff),
    6: (6, _push),
    7: (2, _ack),
    8: (1, _bye),
    9: (3, _fragment),
    10: (1, _more),
    11: (4, _members),
    12: (2, _scrub),
    13: (2, _scrubbed),
    14: (2, _roll_digest),
}


# --- single values ---------------------------------------------------------------------------------------------------


def _typed(value: object, kind: type[_T]) -> _T:
    if type(value) is not kind:  # exactly: a bool is no number
        raise RemoteProtocolError(f"a message has a {type(value).__name__} where a {kind.__name__} belongs")
    return value


def _number(value: object, maximum: int) -> int:
    number = _typed(value, int)
    if not 0 <= number <= maximum:
        raise RemoteProtocolError(f"a message has the number {number} where at most {maximum} is allowed")
    return number


def _text(value: object, chars: int = ID_CHARS) -> str:
    text = _typed(value, str)
    if len(text) > chars:
        raise RemoteProtocolError(f"a message has a text of {len(text)} characters where {chars} are allowed")
    return text


def _id(value: object) -> str:
    if isinstance(value, bytes):
        return _unpacked_id(_bytes(value, ID_BYTES))
    return _text(value)


def _bytes(value: object, maximum: int) -> bytes:
    data = _typed(value, bytes)
    if len(data) > maximum:
        raise RemoteProtocolError(f"a message has a field of {len(data)} bytes where {maximum} are allowed")
    return data


def _digest(value: object) -> bytes:
    digest = _bytes(value, DIGEST_BYTES)
    if len(digest) < DIGEST_BYTES:
        raise RemoteProtocolError(f"a digest of {len(digest)} bytes where {DIGEST_BYTES} belong")
    return digest


def _items(value: object, maximum: int) -> tuple[object, ...]:
    items = _typed(value, tuple)
    if len(items) > maximum:
        raise RemoteProtocolError(f"a message has a list of {len(items)} where {maximum} are allowed")
    return items


def _array(value: object, length: int) -> tuple[object, ...]:
    items = _items(value, length)
    if len(items) < length:
        raise RemoteProtocolError(f"a message has a list of {len(items)} where {length} belong")
    return items


def _pair(value: object) -> tuple[object, object]:
    first, second = _array(value, 2)
    return first, second


def _shard(value: object) -> int:
    return _number(value, limits.SHARDS - 1)


def _bounds(lo: object, hi: object) -> tuple[int, int]:
    first, end = _number(lo, limits.SHARDS), _number(hi, limits.SHARDS)
    if first >= end:
        raise RemoteProtocolError(f"a message has the empty range from {first} to {end}")
    return first, end


def _ascending(items: tuple[_R, ...]) -> tuple[_R, ...]:
    """`items`, if no two ranges overlap: so the work that a message makes is bounded by the size of the space."""
    if any(first.hi > second.lo for first, second in pairwise(items)):
        raise RemoteProtocolError("a message has ranges that overlap")
    return items


def _vector(value: object) -> StateVector:
    return decode_state_vector(_bytes(value, limits.STATE_VECTOR_BYTES))
