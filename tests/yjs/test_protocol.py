"""The messages of y-protocols, byte by byte."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memcrdt.errors import RemoteProtocolError
from memcrdt.yjs import protocol
from memcrdt.yjs.protocol import Awareness, Presence, QueryAwareness, Step1, Update

SOMEBODY = Presence(7, 3, '{"name": "Ada"}')


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        ("00 00 01 00", Step1({})),
        ("00 00 03 01 05 02", Step1({5: 2})),
        ("00 01 02 00 00", Update(b"\0\0", is_step_2=True)),
        ("00 02 02 00 00", Update(b"\0\0", is_step_2=False)),
        ("01 01 00", Awareness(())),
        ("01 08 01 07 03 04" + "6e756c6c", Awareness((Presence(7, 3, "null"),))),
        ("03", QueryAwareness()),
        ("02 00", None),
        ("05 01 02 03", None),
    ],
)
def test_frames_as_y_protocols_writes_them_are_read(frame: str, message: object) -> None:
    """Sync steps, updates, awareness and its query. Message kinds for applications are skipped."""
    assert protocol.read(bytes.fromhex(frame)) == message


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (protocol.step_1({5: 2}), Step1({5: 2})),
        (protocol.step_2(b"u" * 300), Update(b"u" * 300, is_step_2=True)),
        (protocol.update(b"u"), Update(b"u", is_step_2=False)),
        (protocol.awareness([SOMEBODY, SOMEBODY.left()]), Awareness((SOMEBODY, SOMEBODY.left()))),
    ],
)
def test_written_messages_are_read_back(frame: bytes, message: object) -> None:
    """Writing and reading agree."""
    assert protocol.read(frame) == message


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param("", id="empty"),
        pytest.param("00", id="no step"),
        pytest.param("00 03 00", id="an unknown step"),
        pytest.param("00 01 05 00", id="a claim beyond the end"),
        pytest.param("00 01 ff ff ff ff 0f 00", id="a claim of 4 GiB"),
        pytest.param("00 01 01 00 00", id="bytes behind the end"),
        pytest.param("00 00 06 ff ff ff ff 0f 00", id="a state vector of 2^32 clients"),
        pytest.param("01 03 ff ff 7f", id="two million presences"),
        pytest.param("01 02 01 07", id="half a presence"),
        pytest.param("01 05 01 07 03 01 7b", id="a presence that is no JSON"),
        pytest.param("01 07 01 07 03 03 4e614e", id="a presence that is NaN"),
        pytest.param("01 05 01 07 03 01 ff", id="a presence that is no UTF-8"),
        pytest.param("80 80 80 80 80 80 80 80 80 80", id="a number without an end"),
    ],
)
def test_malformed_frames_are_refused(frame: str) -> None:
    """Each with a RemoteProtocolError, before memory is allocated for the claimed size."""
    with pytest.raises(RemoteProtocolError):
        protocol.read(bytes.fromhex(frame))


def test_the_size_and_depth_of_a_presence_are_limited() -> None:
    """16 KiB are accepted, one byte more is not. JSON of depth 100,000 is refused without recursion."""
    protocol.read(protocol.awareness([Presence(1, 1, '"' + "x" * (protocol.PRESENCE_BYTES - 2) + '"')]))
    for state in ('"' + "x" * (protocol.PRESENCE_BYTES - 1) + '"', "[" * protocol.PRESENCE_BYTES):
        with pytest.raises(RemoteProtocolError):
            protocol.read(protocol.awareness([Presence(1, 1, state)]))


@given(st.one_of(st.binary(max_size=64), st.binary(max_size=64).map(lambda rest: b"\1" + bytes([len(rest)]) + rest)))
def test_any_bytes_are_read_or_refused(frame: bytes) -> None:
    """A frame causes no other exception."""
    try:
        protocol.read(frame)
    except RemoteProtocolError:
        pass
    else:
        assert frame
