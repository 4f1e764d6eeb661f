"""The frames of the relay, and the proof of a device."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memcrdt.errors import RemoteProtocolError
from memcrdt.net.identity import Identity
from memcrdt.net.relay import protocol
from memcrdt.net.relay.protocol import (
    FRAME_BYTES,
    Absent,
    Call,
    Called,
    Challenge,
    FrameReader,
    Joined,
    Message,
    Ping,
    Pong,
    Ready,
    Refused,
    Wait,
    Waiting,
    decode,
    encode,
    proven_device,
)

NONCE = bytes(range(32))
DEVICE = "A" * 52
MESSAGES = (
    Challenge(NONCE),
    Wait(bytes(32), "relay.example", DEVICE, bytes(64)),
    Wait(bytes(32), "relay.example", "482913", bytes(64)),
    Call(bytes(32), "relay.example", DEVICE, bytes(64)),
    *(Waiting(), Ping(), Pong(), Called(), Ready(), Joined(), Absent(), Refused("no")),
)


def test_every_message_comes_back_however_its_bytes_are_cut() -> None:
    """A stream has no frames, so a reader gets any pieces."""
    assert {type(message) for message in MESSAGES} == set(get_args(Message))
    stream = b"".join(map(encode, MESSAGES))
    for size in (1, 2, 3, 7, len(stream)):
        reader, found = FrameReader(), []
        for at in range(0, len(stream), size):
            reader.feed(stream[at : at + size])
            while (message := reader.next()) is not None:
                found.append(message)
        assert tuple(found) == MESSAGES
        assert reader.take_rest() == b""


@given(st.binary(max_size=FRAME_BYTES))
def test_any_bytes_are_a_message_or_a_documented_error(body: bytes) -> None:
    """Whoever can reach the port can send them."""
    try:
        message = decode(body)
    except RemoteProtocolError:
        return
    assert decode(encode(message)[2:]) == message


VALUES = st.one_of(st.none(), st.booleans(), st.integers(0, 9), st.text(max_size=60), st.binary(max_size=70))
KINDS = st.sampled_from([kind.__name__.lower() for kind in get_args(Message)])


@given(KINDS, st.lists(VALUES, max_size=5))
def test_wrong_fields_are_a_documented_error(kind: str, values: list[object]) -> None:
    """A frame of a known kind has the fields of that kind, of the right size."""
    try:
        message = decode(msgpack.packb([kind, *values]))
    except RemoteProtocolError:
        return
    assert [type(message).__name__.lower(), *(getattr(message, f) for f in message.__dataclass_fields__)] == [
        kind,
        *values,
    ]


def test_a_frame_that_claims_too_much_is_refused_before_it_arrives() -> None:
    """Nothing is kept for it."""
    reader = FrameReader()
    reader.feed((FRAME_BYTES + 1).to_bytes(2, "big"))
    with pytest.raises(RemoteProtocolError, match="513 bytes; the maximum is 512"):
        reader.next()


def test_a_proof_names_its_device(tmp_path: Path) -> None:
    """The id follows from the key, and the key has signed the nonce."""
    identity = Identity.load_or_create(tmp_path)
    assert proven_device(protocol.wait(identity, NONCE, "relay.example"), NONCE) == identity.device_id
    assert proven_device(protocol.call(identity, NONCE, "relay.example", DEVICE), NONCE) == identity.device_id


def test_a_proof_is_of_no_other_use(tmp_path: Path) -> None:
    """It is refused for another nonce, name, role, key or device."""
    identity, other = Identity.load_or_create(tmp_path / "a"), Identity.load_or_create(tmp_path / "b")
    waits = protocol.wait(identity, NONCE, "relay.example")
    calls = protocol.call(identity, NONCE, "relay.example", DEVICE)
    for message, nonce in (
        (waits, bytes(32)),
        (Wait(waits.public_key, "evil.example", waits.place, waits.signature), NONCE),
        (Wait(other.public_key, waits.name, waits.place, waits.signature), NONCE),
        (Wait(waits.public_key, waits.name, "482913", waits.signature), NONCE),
        (Wait(waits.public_key, waits.name, waits.place, calls.signature), NONCE),
        (Call(calls.public_key, calls.name, "B" * 52, calls.signature), NONCE),
    ):
        with pytest.raises(RemoteProtocolError, match="has not signed"):
            proven_device(message, nonce)
