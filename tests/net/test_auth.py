"""The three frames of device authentication, without sockets."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memcrdt.errors import RemoteProtocolError, UntrustedPeerError
from memcrdt.net.auth import (
    HANDSHAKE_FRAME_BYTES,
    AccessRefusal,
    ClaimedIdentity,
    DialerHandshake,
    Endpoint,
    ListenerHandshake,
)
from memcrdt.net.identity import Identity

CERTIFICATE = b"c" * 32


@pytest.fixture(name="laptop", scope="module")
def _laptop(tmp_path_factory: pytest.TempPathFactory) -> Endpoint:
    return _side(tmp_path_factory.mktemp("laptop"), b"1" * 32)


@pytest.fixture(name="desktop", scope="module")
def _desktop(tmp_path_factory: pytest.TempPathFactory) -> Endpoint:
    return _side(tmp_path_factory.mktemp("desktop"), b"2" * 32)


def test_both_sides_learn_the_other_side_s_identity(laptop: Endpoint, desktop: Endpoint) -> None:
    """Device id, public key and both nonces are equal on both sides."""
    dialer, listener = DialerHandshake(laptop), ListenerHandshake(desktop)
    claim = dialer.read(listener.greeting())
    seen_by_listener = listener.verify(dialer.proof(claim))
    seen_by_dialer = dialer.verify(claim, listener.welcome(seen_by_listener))
    assert seen_by_listener.device == laptop.identity.device_id
    assert seen_by_dialer.device == claim.device == desktop.identity.device_id
    assert seen_by_dialer.listener_nonce == seen_by_listener.listener_nonce == desktop.nonce
    assert seen_by_dialer.dialer_nonce == seen_by_listener.dialer_nonce == laptop.nonce


def test_every_frame_fits_the_limit(laptop: Endpoint, desktop: Endpoint) -> None:
    """There is room for the fields of a later version."""
    frames = _frames(laptop, desktop)
    assert max(len(frame) for frame in frames) < HANDSHAKE_FRAME_BYTES / 4


@pytest.mark.parametrize("changed", ["channel_binding", "nonce"])
def test_a_proof_for_another_connection_is_refused(laptop: Endpoint, desktop: Endpoint, changed: str) -> None:
    """A relay shows another certificate, and a replay meets another nonce."""
    _, proof, _ = _frames(laptop, desktop)
    other = replace(desktop, **{changed: b"x" * 32})
    with pytest.raises(UntrustedPeerError, match="cannot prove it"):
        ListenerHandshake(other).verify(proof)


@pytest.mark.parametrize("changed", ["channel_binding", "nonce"])
def test_a_welcome_for_another_connection_is_refused(laptop: Endpoint, desktop: Endpoint, changed: str) -> None:
    """The dialer makes the same checks as the listener."""
    greeting, _, welcome = _frames(laptop, desktop)
    dialer = DialerHandshake(replace(laptop, **{changed: b"x" * 32}))
    with pytest.raises(UntrustedPeerError, match="cannot prove it"):
        dialer.verify(dialer.read(greeting), welcome)


def test_a_listener_cannot_answer_with_the_dialers_own_signature(laptop: Endpoint, desktop: Endpoint) -> None:
    """The signatures of the two roles differ, so none can be reflected."""
    greeting, proof, _ = _frames(laptop, desktop)
    dialer = DialerHandshake(laptop)
    reflected = msgpack.packb(["welcome", msgpack.unpackb(proof)[3]])
    with pytest.raises(UntrustedPeerError, match="cannot prove it"):
        dialer.verify(dialer.read(greeting), reflected)


def test_a_claim_to_another_devices_key_is_refused(laptop: Endpoint, desktop: Endpoint, tmp_path: Path) -> None:
    """An impostor knows the public key, but cannot sign for it."""
    impostor = _side(tmp_path, b"3" * 32)
    _, proof, _ = _frames(impostor, desktop)
    kind, _, *rest = msgpack.unpackb(proof)
    with pytest.raises(UntrustedPeerError, match="claims to be"):
        ListenerHandshake(desktop).verify(msgpack.packb([kind, laptop.identity.public_key, *rest]))


def test_our_own_key_on_the_other_side_is_refused(laptop: Endpoint) -> None:
    """The other side is this device itself or a copy of its folder, and the message says so."""
    with pytest.raises(UntrustedPeerError, match="own key"):
        DialerHandshake(laptop).read(ListenerHandshake(laptop).greeting())


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\xc1",
        b"\x91" * 1000,
        b"x" * (HANDSHAKE_FRAME_BYTES + 1),
        msgpack.packb(None),
        msgpack.packb({"greeting": 1}),
        msgpack.packb(["greeting"]),
        msgpack.packb(["welcome", b"k" * 32, b"n" * 32]),
        msgpack.packb(["greeting", b"k" * 31, b"n" * 32]),
        msgpack.packb(["greeting", "k" * 16, b"n" * 32]),
        msgpack.packb(["greeting", b"k" * 32, b"n" * 32]) + b"\0",
        b"\xdd\xff\xff\xff\xff",
    ],
)
def test_a_malformed_frame_is_refused(laptop: Endpoint, frame: bytes) -> None:
    """Garbage, wrong kind, wrong number of fields, wrong size or type, extra bytes, a claim of 2^32 items."""
    with pytest.raises(RemoteProtocolError):
        DialerHandshake(laptop).read(frame)


@given(data=st.data())
def test_any_bytes_raise_only_documented_errors(laptop: Endpoint, desktop: Endpoint, data: st.DataObject) -> None:
    """Random bytes, and valid frames with some bytes replaced."""
    greeting, proof, welcome = _frames(laptop, desktop)
    claim = DialerHandshake(laptop).read(greeting)
    for read, valid in (
        (DialerHandshake(laptop).read, greeting),
        (ListenerHandshake(desktop).verify, proof),
        (lambda frame: DialerHandshake(laptop).verify(claim, frame), welcome),
    ):
        frame = data.draw(st.binary(max_size=200) | _damaged(valid))
        try:
            result = read(frame)
        except (RemoteProtocolError, UntrustedPeerError):
            continue
        assert frame == valid or isinstance(result, ClaimedIdentity)


def _damaged(valid: bytes) -> st.SearchStrategy[bytes]:
    patches = st.lists(st.tuples(st.integers(0, len(valid) - 1), st.integers(0, 255)), min_size=1, max_size=3)
    return patches.map(lambda changes: _patched(valid, changes))


def _patched(valid: bytes, changes: list[tuple[int, int]]) -> bytes:
    damaged = bytearray(valid)
    for at, value in changes:
        damaged[at] = value
    return bytes(damaged)


def _frames(dialing: Endpoint, listening: Endpoint) -> tuple[bytes, bytes, bytes]:
    dialer, listener = DialerHandshake(dialing), ListenerHandshake(listening)
    greeting = listener.greeting()
    proof = dialer.proof(dialer.read(greeting))
    return greeting, proof, listener.welcome(listener.verify(proof))


def _side(home: Path, nonce: bytes) -> Endpoint:
    return Endpoint(Identity.load_or_create(home), CERTIFICATE, nonce, "192.168.1.20:27380")


@pytest.mark.parametrize("revoked_by", [None, "R" * 52])
def test_a_refusal_is_signed(laptop: Endpoint, desktop: Endpoint, revoked_by: str | None) -> None:
    """A refusal with another sender, or another revoking device, has an invalid signature."""
    dialer, listener = DialerHandshake(laptop), ListenerHandshake(desktop)
    claim = dialer.read(listener.greeting())
    refusal = listener.refusal(listener.verify(dialer.proof(claim)), revoked_by)
    assert dialer.verify(claim, refusal) == AccessRefusal(revoked_by)
    _, by, signature = msgpack.unpackb(refusal)
    for forged in ([b"X" * 52, signature], [by, bytes(64)]):
        with pytest.raises(UntrustedPeerError, match="cannot prove it"):
            dialer.verify(claim, msgpack.packb(["refusal", *forged]))
    with pytest.raises(RemoteProtocolError):
        dialer.verify(claim, msgpack.packb(["refusal", "text", signature]))


@pytest.mark.parametrize("named", ["r" * 52, "R" * 51, "1" * 52, "\xff" * 26])
def test_a_refusal_with_an_invalid_device_id_is_refused(laptop: Endpoint, desktop: Endpoint, named: str) -> None:
    """Such an id could not be shown to the user, even from a trusted device."""
    dialer, listener = DialerHandshake(laptop), ListenerHandshake(desktop)
    claim = dialer.read(listener.greeting())
    refusal = listener.refusal(listener.verify(dialer.proof(claim)), named)
    with pytest.raises(RemoteProtocolError, match="invalid device id"):
        dialer.verify(claim, refusal)
