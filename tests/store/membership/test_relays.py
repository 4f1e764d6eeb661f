"""The relays of spaces in the store: decisions of the user, and signed lists."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from memcrdt.errors import InputError, NotFoundError, ReadOnlyError
from memcrdt.store.membership.relays import relays_by_device

if TYPE_CHECKING:
    from tests.store.conftest import Home


def _relays(home: Home) -> dict[str, str]:
    return {relay.address: relay.listed_by for relay in home.memory.space("personal").relays()}


def test_all_members_learn_a_relay(homes: list[Home]) -> None:
    """Also one that has never met the device that listed it. The device itself uses it before it has signed."""
    first, second, third = homes
    third.memory.space("personal").add_relay("Relay.example")
    assert _relays(third) == {"relay.example:27392": third.id}
    third.settle()
    second.hear(third)
    first.hear(second)
    assert _relays(first) == _relays(second) == _relays(third) == {"relay.example:27392": third.id}
    assert relays_by_device(first.memory.store) == dict.fromkeys((second.id, third.id), ("relay.example:27392",))


def test_any_member_can_remove_a_relay(homes: list[Home]) -> None:
    """Whichever has listed it. A second call for the same relay is an error."""
    first, second, _ = homes
    first.memory.space("personal").add_relay("relay.example")
    first.memory.space("personal").add_relay("192.0.2.1:443")
    first.settle()
    second.hear(first)
    second.memory.space("personal").remove_relay("relay.example")
    second.settle()
    first.hear(second)
    assert _relays(first) == _relays(second) == {"192.0.2.1:443": second.id}
    with pytest.raises(NotFoundError, match="does not list the relay"):
        first.memory.space("personal").remove_relay("relay.example")


def test_a_decision_is_signed_once(homes: list[Home]) -> None:
    """A second look finds nothing to sign, and a decision that was taken back is never signed."""
    first, *_ = homes
    space = first.memory.space("personal")
    before = first.peers.statements()
    space.add_relay("relay.example")
    space.remove_relay("relay.example")
    first.settle()
    assert first.peers.statements() == before
    space.add_relay("relay.example")
    first.settle()
    first.settle()
    assert len(first.peers.statements() - before) == 1


def test_the_relays_of_a_revoked_device_are_used_no_more(homes: list[Home]) -> None:
    """Neither those that it listed, nor its removal of others."""
    first, second, third = homes
    first.memory.space("personal").add_relay("good.example")
    first.settle()
    third.hear(first)
    third.memory.space("personal").remove_relay("good.example")
    third.memory.space("personal").add_relay("bad.example")
    third.settle()
    first.hear(third)
    assert _relays(first) == {"bad.example:27392": third.id}
    first.peers.revoke(third.id)
    first.settle()
    second.hear(first)
    assert _relays(first) == _relays(second) == {"good.example:27392": first.id}


def test_who_adds_a_relay_takes_over_none_of_others(homes: list[Home]) -> None:
    """So the relays of a hostile member go with its revocation, also if others have added some since."""
    first, second, third = homes
    third.memory.space("personal").add_relay("bad.example")
    third.settle()
    first.hear(third)
    first.memory.space("personal").add_relay("good.example")
    first.memory.space("personal").add_relay("better.example")
    first.settle()
    assert _relays(first)["bad.example:27392"] == third.id
    first.peers.revoke(third.id)
    first.settle()
    second.hear(first)
    assert _relays(first) == _relays(second) == dict.fromkeys(("better.example:27392", "good.example:27392"), first.id)


def test_more_relays_than_a_space_has_room_for_are_signed_once(homes: list[Home]) -> None:
    """Devices that did not know of each other can list more than four. The rest waits, and nothing is signed again."""
    first, second, _ = homes
    for home in (first, second):
        for number in range(3):
            home.memory.space("personal").add_relay(f"{home.id[:6]}{number}.example")
        home.settle()
    first.hear(second)
    second.hear(first)
    before = first.peers.statements()
    for home in (first, second):
        home.settle()
    assert _relays(first) == _relays(second)
    assert len(_relays(first)) == 4
    assert first.peers.statements() == second.peers.statements() == before


def test_a_space_lists_at_most_four_relays(homes: list[Home]) -> None:
    """The error names the command that makes room."""
    space = homes[0].memory.space("personal")
    for name in "abcd":
        space.add_relay(f"{name}.example")
    space.add_relay("a.example")
    with pytest.raises(InputError, match="remove one first"):
        space.add_relay("e.example")
    with pytest.raises(InputError, match="not the address of a relay"):
        space.add_relay("a b")
    with pytest.raises(InputError, match="never leaves"):
        homes[0].memory.space("local").add_relay("a.example")


def test_a_reader_uses_relays_and_lists_none(homes: list[Home], make_home: Callable[[str], Home]) -> None:
    """The error says where to do it."""
    reader = make_home("reader")
    homes[0].peers.accept(reader.id, read_only=True)
    reader.members.join(homes[0].members.entries(["personal"])[0], read_only=True)
    homes[0].memory.space("personal").add_relay("relay.example")
    homes[0].settle()
    reader.hear(homes[0])
    assert _relays(reader) == {"relay.example:27392": homes[0].id}
    for change in (reader.memory.space("personal").add_relay, reader.memory.space("personal").remove_relay):
        with pytest.raises(ReadOnlyError, match="cannot change its relays"):
            change("relay.example")


def test_a_device_that_leaves_keeps_the_relays_that_it_listed(homes: list[Home]) -> None:
    """Lists under the old id of the space are void, so it lists them again; those of others stay behind."""
    first, second, _ = homes
    for home, relay in ((first, "mine.example"), (second, "theirs.example")):
        home.memory.space("personal").add_relay(relay)
        home.settle()
    first.hear(second)
    assert len(_relays(first)) == 2
    first.memory.space("personal").leave()
    first.settle()
    assert _relays(first) == {"mine.example:27392": first.id}
