"""State vectors and their encoding."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memcrdt.errors import RemoteProtocolError
from memcrdt.model import limits
from memcrdt.model.clocks import covers, decode_state_vector, encode_state_vector, read_varuint

vectors = st.dictionaries(st.integers(0, limits.CLIENT_ID_MAX), st.integers(0, limits.UPDATE_CLOCK), max_size=20)


@given(vectors)
def test_a_vector_survives_its_encoding(vector: dict[int, int]) -> None:
    """Encoding and decoding keeps every client and clock."""
    assert decode_state_vector(encode_state_vector(vector)) == vector


@given(vectors, vectors)
def test_a_vector_covers_another_that_is_nowhere_greater(ours: dict[int, int], theirs: dict[int, int]) -> None:
    """`covers` compares every client. A missing client has the clock 0."""
    assert covers(ours, theirs) == all(ours.get(client, 0) >= clock for client, clock in theirs.items())
    joined = {client: max(ours.get(client, 0), theirs.get(client, 0)) for client in ours.keys() | theirs.keys()}
    assert covers(joined, ours)
    assert covers(joined, theirs)


@given(st.binary(max_size=200))
def test_any_bytes_decode_or_are_refused(data: bytes) -> None:
    """Arbitrary bytes raise RemoteProtocolError and no other error."""
    try:
        vector = decode_state_vector(data)
    except RemoteProtocolError:
        return
    assert decode_state_vector(encode_state_vector(vector)) == vector


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "end within"),
        (b"\x80\x80\x80\x80\x01", "at most"),  # five bytes that claim 2^28 entries
        (b"\x01\x05", "end within"),
        (b"\x02\x05\x01\x05\x02", "twice"),
        (b"\x00\x00", "after the end"),
        (b"\x01" + b"\xff" * 9 + b"\x01", "no end"),
        (bytes(limits.STATE_VECTOR_BYTES + 1), "at most"),
    ],
)
def test_a_malformed_vector_is_refused(data: bytes, why: str) -> None:
    """A vector is refused before memory is allocated for the entries that it claims."""
    with pytest.raises(RemoteProtocolError, match=why):
        decode_state_vector(data)


def test_a_number_over_the_maximum_is_refused() -> None:
    """The maximum itself is accepted."""
    assert read_varuint(b"\x64", 0, 100) == (100, 1)
    with pytest.raises(RemoteProtocolError, match="101 where at most 100"):
        read_varuint(b"\x65", 0, 100)
