"""Messages as frames: from this version, from newer versions and from attackers."""

from __future__ import annotations

import tracemalloc
from random import Random

import msgpack
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from memcrdt.errors import LocalProtocolError, RemoteProtocolError
from memcrdt.model.limits import CLIENT_ID_MAX, SHARDS, UPDATE_CLOCK
from memcrdt.sync.events import FRAME_BYTES
from memcrdt.sync.messages import (
    Ack,
    Bye,
    Declined,
    Diff,
    Fragment,
    Have,
    Hello,
    HubHint,
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
from memcrdt.sync.replica import MembershipRecord
from memcrdt.sync.wire import decode, encode

ids = st.text(max_size=128).filter(lambda text: text.isprintable()) | st.text("ABQ27", min_size=50, max_size=54)
numbers = st.integers(0, SHARDS - 1)
batches = st.integers(0, 2**53 - 1)
digests = st.binary(min_size=16, max_size=16)
vectors = st.dictionaries(st.integers(0, CLIENT_ID_MAX), st.integers(0, UPDATE_CLOCK), max_size=20)
updates = st.binary(max_size=1000)


@st.composite
def spans(draw: st.DrawFn) -> tuple[Span, ...]:
    """Generate ranges that do not overlap."""
    bounds = sorted(draw(st.sets(st.integers(0, SHARDS), max_size=20)))
    pairs = zip(bounds[::2], bounds[1::2], strict=False)
    return tuple(Span(lo, hi, draw(digests), draw(st.integers(0, hi - lo))) for lo, hi in pairs)


@st.composite
def leaves(draw: st.DrawFn) -> tuple[Leaf, ...]:
    """Generate ranges that do not overlap, with shards in them."""
    return tuple(
        Leaf(span.lo, span.hi, tuple(draw(st.dictionaries(st.integers(span.lo, span.hi - 1), digests)).items()))
        for span in draw(spans())
    )


messages = st.one_of(
    st.builds(
        Hello,
        st.integers(0, 2**53 - 1),
        st.lists(ids, max_size=3).map(tuple),
        ids,
        st.dictionaries(ids, ids, max_size=5)
        .filter(lambda d: len(set(d.values())) == len(d))
        .map(lambda d: tuple(Offer(*item, b"d" * 16 * (len(item[0]) % 2)) for item in d.items())),
    ),
    st.builds(Range, ids, spans(), st.booleans()),
    st.builds(Have, ids, leaves(), st.booleans()),
    st.builds(Want, ids, numbers, vectors),
    st.builds(Diff, ids, numbers, updates, vectors, batches, st.booleans()),
    st.builds(Push, ids, numbers, updates, vectors, vectors, batches),
    st.builds(Ack, batches, st.booleans()),
    st.builds(Bye, st.text(max_size=500)),
    st.builds(Fragment, batches, st.integers(0, 63), updates),
    st.builds(More, batches),
    st.builds(Scrub, ids, batches),
    st.builds(Scrubbed, ids, batches),
    st.builds(MembershipDigest, ids, digests),
    st.builds(Declined, batches, st.text(max_size=500)),
    st.builds(Restate, ids, numbers, st.lists(st.text(max_size=128), max_size=5).map(tuple)),
)
EXAMPLES = [
    Hello(1, ("a",), "i", (Offer("space", "name", b"d" * 16),)),
    Range("space", (Span(0, 5, b"f" * 16, 3), Span(5, 9, b"g" * 16, 1)), root=True),
    Have("space", (Leaf(0, 9, ((1, b"d" * 16), (7, b"e" * 16))),), root=False),
    Want("space", 1, {4: 5, 1 << 40: 7}),
    Diff("space", 1, b"update", {1: 2}, 3, asked=True),
    Push("space", 1, b"update", {1: 1}, {2: 2}, 9),
    Ack(1, durable=True),
    Bye("reason"),
    Fragment(1, 2, b"part"),
    More(4),
    MembershipUpdate("S", MembershipRecord("creator", b"nonce", (b"a statement", b"another"))),
    Scrub("S", 1),
    Scrubbed("S", 1),
    MembershipDigest("S", b"d" * 16),
    Declined(1, "reason"),
    Restate("S", 1, ("key", "another")),
]


def survives(frame: bytes) -> bool:
    """Return whether the frame is accepted. Any error but the documented one fails the test."""
    try:
        decode(frame)
    except RemoteProtocolError:
        return False
    return True


@given(messages)
def test_a_message_survives_encoding_and_decoding(message: Message) -> None:
    """decode(encode(m)) == m for every message."""
    assert decode(encode(message)) == message


@pytest.mark.parametrize("message", EXAMPLES, ids=lambda m: type(m).__name__)
def test_a_field_of_a_newer_version_is_ignored(message: Message) -> None:
    """Fields after the last known one have no effect."""
    fields = msgpack.unpackb(encode(message))
    assert decode(msgpack.packb([*fields, "new", 7])) == message
    assert decode(msgpack.packb([*fields, {"a map": {"of": [{}, {7: b"maps"}]}}])) == message


@pytest.mark.parametrize("message", EXAMPLES, ids=lambda m: type(m).__name__)
def test_a_missing_field_is_refused(message: Message) -> None:
    """Every field is needed."""
    fields = msgpack.unpackb(encode(message))
    with pytest.raises(RemoteProtocolError, match="fields, but needs"):
        decode(msgpack.packb(fields[:-1]))


def test_an_unknown_message_differs_from_a_malformed_one() -> None:
    """A type of a newer version gives Unknown, to be skipped. A type that is not a number is an error."""
    assert decode(msgpack.packb([99, "anything", {"a": {"map": [{}]}}])) == Unknown(99)
    with pytest.raises(RemoteProtocolError):
        decode(msgpack.packb(["99"]))


@given(st.binary(max_size=200))
@example(b"")
@example(b"\x90")
@example(b"\x81\x01\x02")
@example(b"\xc1")
@example(b"\x91" * 2000)
def test_random_bytes_raise_nothing_else(frame: bytes) -> None:
    """Only RemoteProtocolError, whatever the bytes."""
    survives(frame)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
        lambda values: st.lists(values) | st.dictionaries(st.text() | st.integers() | st.booleans(), values),
        max_leaves=20,
    )
)
def test_random_fields_raise_nothing_else(value: object) -> None:
    """Valid msgpack of any structure is accepted or refused, for each type of message."""
    for number in range(1, 15):
        for fields in ([value] * 6, value if isinstance(value, list) else [value]):
            try:
                frame = msgpack.packb([number, *fields])
            except (OverflowError, ValueError):  # an integer beyond 64 bits, a text that is not UTF-8
                continue
            survives(frame)


@pytest.mark.parametrize("message", EXAMPLES, ids=lambda m: type(m).__name__)
def test_replacing_any_byte_raises_nothing_else(message: Message) -> None:
    """Each byte of a frame is replaced by each other value, and the frame is truncated at each byte."""
    frame = encode(message)
    for at in range(len(frame)):
        assert not survives(frame[:at])
        for value in range(256):
            survives(frame[:at] + bytes([value]) + frame[at + 1 :])


def test_twenty_thousand_mutated_frames_raise_nothing_else() -> None:
    """Flipped, removed, inserted and spliced bytes of real frames: some are still messages, the others are refused."""
    rng = Random(5)
    frames = [encode(message) for message in EXAMPLES]
    taken = 0
    for _ in range(20_000):
        frame = bytearray(rng.choice(frames))
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(len(frame) + 1)
            match rng.randrange(4):
                case 0:
                    frame[at : at + 1] = bytes([rng.randrange(256)])
                case 1:
                    del frame[at:]
                case 2:
                    frame[at:at] = bytes([rng.choice([0x80, 0x90, 0xC1, 0xC7, 0xC9, 0xD4, 0xD6, 0xDD, 0xDF])])
                case _:
                    frame[at:] = rng.choice(frames)[at:]
        taken += survives(bytes(frame))
    assert 0 < taken < 20_000


@pytest.mark.parametrize(
    "frame",
    [
        b"\x92\x02" + b"\x90" * FRAME_BYTES,
        b"\xdc\x04\x00" + (b"\xdc\x03\xff" + b"\x90" * 1023) * 1020,
        b"\xdc\x02\x04" + (b"\xdc\x03\xff" + b"\x91\x90" * 1023) * 510,
        b"\x92\x02" + b"\x80" * FRAME_BYTES,
        b"\xdc\x04\x00" + (b"\xdc\x03\xff" + b"\x80" * 1023) * 1020,
        (b"\xdc\x04\x00" + b"\x81\x80\x80" * 1023) * 340,
        (b"\xde\x04\x00" + b"\x01\x02" * 1023 + b"\x01") * 510,
        b"\x81\x01" * (FRAME_BYTES // 2),
        b"\xdf\xff\xff\xff\xff",
        b"\x91" * FRAME_BYTES,
        b"\xdd\xff\xff\xff\xff",
        b"\x92\x07\xc6\xff\xff\xff\xff",
    ],
    ids=[
        "empty arrays",
        "rows of empty arrays",
        "rows of nested arrays",
        "empty maps",
        "rows of empty maps",
        "maps by maps",
        "maps in maps",
        "deep maps",
        "claims entries",
        "deep",
        "claims items",
        "claims bytes",
    ],
)
def test_a_hostile_frame_uses_bounded_memory(frame: bytes) -> None:
    """Whatever a frame nests or claims, decoding it uses less than 40 times the largest frame."""
    tracemalloc.start()
    try:
        assert not survives(frame[:FRAME_BYTES])
        assert tracemalloc.get_traced_memory()[1] < 40 * FRAME_BYTES
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "fields",
    [
        [1, 1, [], "i", [["a", "n", b"d" * 16], ["a", "m", b"d" * 16]]],
        [1, 1, [], "i", [["a", "n", b"d" * 16], ["b", "n", b"d" * 16]]],
        [1, 1, [], "i", [["a", "n", b"d" * 15]]],
        [1, 1, [], "i", [["a", "n", ""]]],
        [1, 1, [], b"i" * 65, []],
        [2, b"s" * 33, [], False],
        [2, "s", {}, False],
        [1, 1, [], "i" * 129, []],
        [1, True, [], "i", []],
        [2, "s", [[0, 9, b"f" * 16, 1], [8, 10, b"f" * 16, 1]], False],
        [2, "s", [[5, 5, b"f" * 16, 0]], False],
        [2, "s", [[0, SHARDS + 1, b"f" * 16, 0]], False],
        [2, "s", [[0, 9, b"f" * 15, 1]], False],
        [2, "s", [[0, 9, b"f" * 16, 10]], False],
        [3, "s", [[0, 9, [[9, b"f" * 16]]]], False],
        [3, "s", [[0, 9, [[1, b"f" * 16], [1, b"g" * 16]]]], False],
        [4, "s", SHARDS, b"\x00"],
        [4, "s", -1, b"\x00"],
        [4, "s", 1, b"\x05"],
        [5, "s", 1, b"u" * (256 * 1024 + 1), b"\x00", 1, False],
        [9, 1, 64, b"d"],
    ],
)
def test_a_message_that_breaks_a_limit_or_a_rule_is_refused(fields: list[object]) -> None:
    """Duplicate names, overlapping or empty ranges, numbers out of range, digests and updates of a wrong size."""
    with pytest.raises(RemoteProtocolError):
        decode(msgpack.packb(fields))


def test_a_frame_over_the_limit_is_neither_sent_nor_accepted() -> None:
    """1 MiB on both sides: our own fault when sending, the peer's when receiving."""
    with pytest.raises(LocalProtocolError, match="Fragment has"):
        encode(Fragment(1, 0, b"x" * FRAME_BYTES))
    with pytest.raises(RemoteProtocolError, match="the maximum is"):
        decode(bytes(FRAME_BYTES + 1))


@pytest.mark.parametrize(
    ("features", "hint"),
    [
        ((), None),
        (("backups=30",), None),
        (("hub",), HubHint()),
        (("other", "backups=30", "hub"), HubHint(30)),
        (("hub", "backups=-1", "backups=999999", "backups=x", "backups=\u0663"), HubHint()),
    ],
)
def test_the_hint_of_a_hub_in_the_features_of_a_greeting(features: tuple[str, ...], hint: HubHint | None) -> None:
    """Unknown and malformed features are ignored."""
    assert HubHint.of(features) == hint
    assert hint is None or HubHint.of(hint.features) == hint
