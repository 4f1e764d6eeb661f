"""Tests of spaces with one name that devices made before they met: which id remains, and which members."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from memcrdt.errors import InputError, RemoteProtocolError
from memcrdt.model.membership import Adoption
from memcrdt.model.statements import CONTEXT, Claim, Statement
from memcrdt.store.spaces import Genesis

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.store.conftest import Home

Make = Callable[[str], "Home"]


def by_hand(*homes: Home) -> None:
    """Make all devices accept each other and sign statements about it."""
    for home in homes:
        for other in homes:
            if other is not home:
                home.peers.accept(other.id, name=other.memory.home.name)
    for home in homes:
        home.settle()


def follow(home: Home, other: Home) -> bool:
    """Let a device consider the other's id. Return whether it adopted it."""
    moved = _adopted(home, other).moved
    home.settle()
    return moved


def _adopted(home: Home, other: Home) -> Adoption:
    genesis, statements = other.members.roll(other.space)
    assert genesis is not None
    return home.members.adopt(other.id, "personal", genesis, statements)


def smaller_space(owner: Home, than: str, statements: Sequence[Claim]) -> tuple[Genesis, list[bytes]]:
    """Return a space of the owner with an id smaller than the given one, and its statements."""
    nonces = (number.to_bytes(16, "big") for number in range(1_000_000))
    genesis = next(Genesis(owner.id, nonce) for nonce in nonces if Genesis(owner.id, nonce).space_id < than)
    space = genesis.space_id
    claims = [
        Claim(kind=each.kind, space=space, device=each.device, at=1, read_only=each.read_only) for each in statements
    ]
    signed = [
        Statement(each, owner.identity.public_key, owner.identity.sign(CONTEXT + each.packed())) for each in claims
    ]
    return genesis, [each.packed() for each in signed]


def add(home: Home, *, read_only: bool = False) -> Claim:
    return Claim(kind="add", space="", device=home.id, at=1, read_only=read_only)


def test_the_smaller_id_is_taken_with_those_who_are_in_it(make_home: Make) -> None:
    """This needs acceptance on both sides. The device with the smaller id does not change."""
    lower, upper = sorted((make_home("one"), make_home("two")), key=lambda home: home.space)
    memory, space = upper.memory.add("from before"), lower.space
    assert not follow(upper, lower)  # the upper device has not accepted the lower one
    by_hand(lower, upper)
    assert not follow(lower, upper)
    assert follow(upper, lower)
    assert upper.space == lower.space == space
    assert upper.memory.get(memory).space == "personal"
    lower.hear(upper)
    assert lower.known == upper.known == {lower.id, upper.id}


@pytest.mark.parametrize("joins", ["lower", "upper"])
def test_a_device_that_is_alone_joins_a_group(make_home: Make, joins: str) -> None:
    """Its id does not matter. So a member cannot take the others away by making a space with a smaller id."""
    lower, upper = sorted((make_home("one"), make_home("two")), key=lambda home: home.space)
    alone, member = (lower, upper) if joins == "lower" else (upper, lower)
    united(member, make_home("three"))
    space = member.space
    by_hand(alone, member)
    assert not follow(member, alone)
    assert follow(alone, member)
    assert alone.space == member.space == space


def united(first: Home, second: Home) -> None:
    """Make the second device join the space of the first."""
    second.members.join(first.members.entries(["personal"])[0])
    by_hand(first, second)
    second.hear(first)
    second.settle()
    first.hear(second)


def test_two_groups_stay_apart_and_are_told(make_home: Make) -> None:
    """As in pairing, one of them has to leave its space. Its memories stay, and it can join the other group."""
    first, second = make_home("first"), make_home("second")
    for home in (first, second):
        united(home, make_home(f"with {home.memory.home.name}"))
    by_hand(first, second)
    for home, other in ((first, second), (second, first)):
        moved, hindrance = _adopted(home, other)
        assert not moved
        assert "share a space called 'personal' with others" in hindrance
        assert "memcrdt space leave personal" in hindrance
    second.members.leave("personal")
    by_hand(first, second)
    assert follow(second, first)


def test_members_follow_the_creator_of_their_space(make_home: Make) -> None:
    """It has joined another group while they joined it. The others do not follow them back."""
    first, second, third, fourth = map(make_home, ("first", "second", "third", "fourth"))
    third.members.join(second.members.entries(["personal"])[0])
    by_hand(second, third)
    united(first, fourth)
    space = second.space
    third.hear(second)
    third.settle()
    by_hand(first, second)
    assert follow(second, first)
    assert (third.space, second.space) == (space, first.space)
    assert _adopted(second, third) == Adoption(False)
    assert follow(third, second)
    assert third.space == first.space
    first.hear(third)
    assert first.known == {home.id for home in (first, second, third, fourth)}


def test_who_may_only_read_moves_nobody(make_home: Make) -> None:
    """It would become the creator of its space, and could write."""
    writer, reader = make_home("writer"), make_home("reader")
    writer.peers.accept(reader.id, read_only=True)
    writer.settle()
    space = writer.space
    assert not writer.members.adopt(reader.id, "personal", *smaller_space(reader, space, [add(writer)])).moved
    assert writer.space == space


def test_what_keeps_two_spaces_apart_for_good_is_said_on_both_sides(make_home: Make) -> None:
    """Each side gets advice for both devices, whichever id is smaller. Unknown devices get none."""
    writer, reader = make_home("writer"), make_home("reader")
    writer.peers.accept(reader.id, read_only=True)
    assert not _adopted(reader, writer).hindrance  # the writer is not a peer yet
    reader.peers.accept(writer.id)
    writer.settle()
    reader.settle()
    there, here = _adopted(writer, reader), _adopted(reader, writer)
    assert not there.moved
    assert not here.moved
    assert there.hindrance.startswith("it may only read the space 'personal', but has its own space of that name")
    assert here.hindrance.startswith("this device may only read the space 'personal' there, but has its own")
    assert "here: memcrdt pair --space personal --read-only" in there.hindrance
    assert "here: memcrdt space leave personal" in here.hindrance


def test_a_reader_that_is_about_to_follow_is_no_hindrance(make_home: Make) -> None:
    """It still has the writer's old id. It may only read there too, so it will follow."""
    first, reader, newcomer = make_home("first"), make_home("reader"), make_home("newcomer")
    reader.members.join(first.members.entries(["personal"])[0], read_only=True)
    first.peers.accept(reader.id, read_only=True)
    reader.peers.accept(first.id)
    first.settle()
    reader.hear(first)
    newcomer.peers.accept(first.id)
    first.peers.accept(newcomer.id)
    assert first.members.adopt(newcomer.id, "personal", *smaller_space(newcomer, first.space, [add(first)])).moved
    first.settle()
    assert _adopted(first, reader) == Adoption(False)
    assert _adopted(reader, first) == Adoption(True)
    assert reader.space == first.space


@pytest.mark.parametrize("terms", ["a member", "not a member", "only to read", "revoked"])
def test_no_member_takes_others_away(homes: list[Home], terms: str) -> None:
    """A compromised member makes its own space, with a smaller id, whatever rights it gives the others there."""
    first, second, _ = homes
    revocation = Claim(kind="revoke", space="", device=first.id, at=1)
    reading = [add(first, read_only=True)]
    claims = {"a member": [add(first)], "not a member": [], "only to read": reading}
    said = claims.get(terms, [add(first), revocation])
    space, before = first.space, first.known
    second.settle()
    first.hear(second)
    assert not first.members.adopt(second.id, "personal", *smaller_space(second, space, said)).moved
    assert (first.space, first.known) == (space, before)


@pytest.mark.parametrize("terms", ["not a member", "only to read", "revoked"])
def test_nobody_moves_to_where_it_would_have_no_say(make_home: Make, terms: str) -> None:
    """Not even a device that is alone, to a smaller id."""
    first, second = make_home("first"), make_home("second")
    by_hand(first, second)
    revocation = Claim(kind="revoke", space="", device=first.id, at=1)
    claims = {"not a member": [], "only to read": [add(first, read_only=True)], "revoked": [add(first), revocation]}
    space = first.space
    assert not first.members.adopt(second.id, "personal", *smaller_space(second, space, claims[terms])).moved
    assert first.space == space


def test_what_is_forged_moves_nobody(homes: list[Home]) -> None:
    """Forged statements are not kept either."""
    first, second, third = homes
    genesis, (statement,) = smaller_space(second, first.space, [add(first)])
    other = smaller_space(third, first.space, [add(first)])[0]
    with pytest.raises(RemoteProtocolError, match="wrong signature"):
        first.members.adopt(second.id, "personal", genesis, [statement[:-1] + bytes([statement[-1] ^ 1])])
    with pytest.raises(RemoteProtocolError, match="another space"):
        first.members.adopt(second.id, "personal", other, [statement])
    assert first.known == {home.id for home in homes}


def test_who_was_revoked_stays_so_under_the_new_id(make_home: Make) -> None:
    """A mover cannot readmit a revoked device: each device that knows of the revocation signs it again there."""
    first, second, third = make_home("first"), make_home("second"), make_home("third")
    by_hand(first, second, third)
    first.peers.revoke(third.id)
    first.settle()
    said = [add(first), add(third)]
    assert first.members.adopt(second.id, "personal", *smaller_space(second, first.space, said)).moved
    assert third.id not in {device for _, device in first.peers.shares()}
    first.settle()
    assert first.known == {first.id, second.id}
    with pytest.raises(InputError, match="new key"):
        first.peers.accept(third.id)


def test_who_was_revoked_from_this_space_only_stays_so_too(make_home: Make) -> None:
    """It still shares another space with us, so the table of peers does not show the revocation."""
    first, second, third = make_home("first"), make_home("second"), make_home("third")
    by_hand(first, second, third)
    first.memory.space("club").create()
    first.peers.accept(third.id, spaces=["club"])
    first.settle()
    first.memory.space("personal").revoke(third.id)
    first.settle()
    assert first.members.adopt(second.id, "personal", *smaller_space(second, first.space, [add(first)])).moved
    first.settle()
    with pytest.raises(InputError, match="new key"):
        first.memory.space("personal").invite(third.id)
    assert first.peers.is_accepted(third.id)


def test_the_space_local_is_never_moved(make_home: Make) -> None:
    """Another device's name for its space does not matter."""
    ours, other = make_home("ours"), make_home("other")
    by_hand(ours, other)
    genesis, statements = smaller_space(other, ours.memory.space("local").id(), [add(ours)])
    assert not ours.members.adopt(other.id, "local", genesis, statements).moved
