"""Tests of introductions between the stores of members that do not know each other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import msgpack
import pytest

import memcrdt
from memcrdt.errors import RemoteProtocolError
from memcrdt.memory.memory import Memory
from memcrdt.net.identity import Identity
from memcrdt.store.membership.introductions import Introductions
from memcrdt.store.membership.members import Members
from memcrdt.store.membership.peers import Peers

LIMIT = 1024


class Home:
    """A memory with its device key."""

    def __init__(self, memory: Memory) -> None:
        self.memory = memory
        self.id = memory.store.device
        self.members = Members(memory.store)
        self.peers = Peers(memory.store)
        self.introductions = Introductions(memory.store)

    def settle(self) -> None:
        self.members.settle(Identity.load_or_create(self.memory.home), self.memory.home.name)

    def invite(self, other: Home) -> None:
        """Pair with another home, which learns all members."""
        self.peers.accept(other.id)
        other.members.join(self.members.entries(["personal"])[0])
        other.peers.accept(self.id)
        self.settle()
        space = self.memory.space("personal").id()
        other.members.learn(space, self.members.roll(space)[1])


@pytest.fixture(name="homes")
def _homes(tmp_path: Path) -> Iterator[tuple[Home, Home, Home]]:
    """Make laptop and desktop members. The desktop then invited the phone, which the laptop does not know."""
    with ExitStack() as stack:
        laptop, desktop, phone = (
            Home(stack.enter_context(memcrdt.open(tmp_path / name, embedder=None)))
            for name in ("laptop", "desktop", "phone")
        )
        laptop.invite(desktop)
        desktop.invite(phone)
        yield laptop, desktop, phone


def test_a_newcomer_is_accepted_by_what_it_presents(homes: tuple[Home, Home, Home]) -> None:
    """The introduction fits into one frame of a handshake."""
    laptop, _, phone = homes
    frame = phone.introductions.to(laptop.id, LIMIT)
    assert frame is not None
    assert laptop.introductions.take(phone.id, frame)
    assert laptop.peers.is_accepted(phone.id)
    assert {device for _, device in laptop.peers.shares()} == {home.id for home in homes[1:]}


def test_there_is_nothing_to_say_to_whoever_shares_no_space(homes: tuple[Home, Home, Home]) -> None:
    """There is no introduction without a common space, or if the chain does not fit into the frame."""
    laptop, _, phone = homes
    assert phone.introductions.to("X" * 52, LIMIT) is None
    assert phone.introductions.to(laptop.id, 200) is None


def test_an_introduction_is_worth_nothing_to_another_device(homes: tuple[Home, Home, Home]) -> None:
    """Another device or a member of another space does not accept it, and keeps nothing of it."""
    laptop, _, phone = homes
    frame = phone.introductions.to(laptop.id, LIMIT)
    before = laptop.peers.statements()
    assert not laptop.introductions.take("X" * 52, frame)
    _, statements = msgpack.unpackb(frame)
    assert not laptop.introductions.take(phone.id, msgpack.packb(["Z" * 52, statements]))
    assert laptop.peers.statements() == before


def test_a_forged_introduction_is_refused(homes: tuple[Home, Home, Home]) -> None:
    """The signature of the alleged inviting member is wrong."""
    laptop, _, phone = homes
    space, statements = msgpack.unpackb(phone.introductions.to(laptop.id, LIMIT))
    forged = statements[-1][:-1] + bytes([statements[-1][-1] ^ 1])
    with pytest.raises(RemoteProtocolError, match="wrong signature"):
        laptop.introductions.take(phone.id, msgpack.packb([space, [*statements[:-1], forged]]))
    assert not laptop.peers.is_accepted(phone.id)


@pytest.mark.parametrize("revoked", ["phone", "desktop"])
def test_a_revoked_device_is_not_introduced(homes: tuple[Home, Home, Home], revoked: str) -> None:
    """A device that a revoked device has invited since is not introduced either."""
    laptop, desktop, phone = homes
    frame = phone.introductions.to(laptop.id, LIMIT)
    laptop.peers.knocked(phone.id, b"k" * 32, None)
    laptop.peers.revoke({"phone": phone, "desktop": desktop}[revoked].id)
    laptop.settle()
    assert not laptop.introductions.take(phone.id, frame)


@pytest.mark.parametrize(
    "frame",
    [
        b"",
        b"\xc1",
        *(msgpack.packb(each) for each in (7, ["S" * 52], ["S", []], ["S" * 52, [1]], ["S" * 52, [b""] * 5])),
    ],
)
def test_what_is_no_introduction_is_refused(homes: tuple[Home, Home, Home], frame: bytes) -> None:
    """Malformed bytes are a breach of the protocol."""
    with pytest.raises(RemoteProtocolError):
        homes[0].introductions.take("X" * 52, frame)


def test_who_revoked_a_device_is_known(homes: tuple[Home, Home, Home]) -> None:
    """The author of the statement is the revoker.

    Without a statement it is us. A device that is not revoked has none.
    """
    laptop, desktop, phone = homes
    desktop.peers.revoke(phone.id)
    assert desktop.introductions.revoker_of(phone.id) == desktop.id
    desktop.settle()
    space = laptop.memory.space("personal").id()
    laptop.members.learn(space, desktop.members.roll(space)[1])
    laptop.peers.knocked(phone.id, b"k" * 32, None)
    laptop.peers.revoke(phone.id)
    assert laptop.introductions.revoker_of(phone.id) == desktop.id
    assert laptop.introductions.revoker_of(desktop.id) is None
    assert laptop.introductions.revoker_of("X" * 52) is None
