"""What the user decides of the devices in one space, before and after it is signed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from memcrdt.errors import InputError, NotFoundError, ReadOnlyError
from memcrdt.store.membership.sharing import Audience, audience

if TYPE_CHECKING:
    from tests.store.conftest import Home

STRANGER = "X" * 51 + "A"


def _states(home: Home, space: str = "personal") -> dict[str, str]:
    return {member.device: member.state for member in home.memory.space(space).members(revoked=True)}


def test_an_invited_device_is_a_member_at_once_and_signed_later(make_home: Callable[[str], Home]) -> None:
    """With its name here; a second invitation says nothing new."""
    home = make_home("home")
    home.memory.space("acme").create()
    home.memory.accept(STRANGER, name="desktop", spaces=())
    assert home.memory.devices()[0].spaces == ()
    for _ in range(2):
        home.memory.space("acme").invite(STRANGER)
    here, there = home.memory.space("acme").members()
    assert (here.device, here.ours, here.rights, here.state) == (home.id, True, "read and write", "member")
    assert (there.device, there.ours, there.rights, there.name) == (STRANGER, False, "read and write", "desktop")
    home.settle()
    assert STRANGER in home.members.of("acme").members
    assert home.memory.devices()[0].spaces == ("acme",)


def test_who_is_not_accepted_cannot_be_invited(make_home: Callable[[str], Home]) -> None:
    """Not known, knocked, or revoked: each is said, and what to do."""
    home = make_home("home")
    space = home.memory.space("personal")
    with pytest.raises(NotFoundError, match="memcrdt pair"):
        space.invite(STRANGER)
    home.peers.knocked(STRANGER, b"k" * 32, None)
    with pytest.raises(InputError, match="has knocked and is not accepted; run memcrdt accept"):
        space.invite(STRANGER)
    home.memory.revoke(STRANGER)
    with pytest.raises(InputError, match="was revoked and is not accepted"):
        space.invite(STRANGER)
    with pytest.raises(InputError, match="own id"):
        space.invite(home.id)
    with pytest.raises(InputError, match="never leaves"):
        home.memory.space("local").invite(STRANGER)


def test_a_revoked_device_does_not_come_back_before_it_is_signed(homes: list[Home]) -> None:
    """What other members say meanwhile does not bring it back; the statement then ends the waiting."""
    first, second, third = homes
    first.memory.space("personal").revoke(third.id)
    first.memory.space("personal").revoke(third.id)
    second.settle()
    first.hear(second)
    assert _states(first) == {first.id: "member", second.id: "member", third.id: "revoked"}
    assert third.id not in {device for _, device in first.peers.shares()}
    assert third.id in first.known
    first.settle()
    assert third.id not in first.known
    assert _states(first)[third.id] == "revoked"
    second.hear(first)
    assert _states(second)[third.id] == "revoked"
    second.memory.space("personal").revoke(third.id)


def test_what_is_written_is_for_those_who_share_the_space(homes: list[Home]) -> None:
    """For nobody in one that is not shared, or from which we were revoked."""
    first, _, third = homes
    here, there = first.memory.store, third.memory.store
    assert audience(here, here.space("personal")) == Audience(space="personal", others=True, revoked=False)
    assert audience(here, here.space("local")) == Audience(space="local", others=False, revoked=False)
    first.memory.space("personal").revoke(third.id)
    first.settle()
    third.hear(first)
    assert audience(there, there.space("personal")) == Audience(space="personal", others=False, revoked=True)


def test_a_revocation_that_nobody_has_heard_of_can_be_taken_back(make_home: Callable[[str], Home]) -> None:
    """As with a device that is revoked as a whole."""
    home = make_home("home")
    for name in ("acme", "other"):
        home.memory.space(name).create()
    home.memory.accept(STRANGER, spaces=["acme", "other"])
    home.memory.space("acme").revoke(STRANGER)
    assert home.memory.devices()[0].spaces == ("other",)
    home.memory.space("acme").invite(STRANGER)
    assert home.memory.devices()[0].spaces == ("acme", "other")


def test_a_device_that_shares_nothing_any_more_is_revoked(make_home: Callable[[str], Home]) -> None:
    """From its last space: nothing is left to talk about. One that takes no part can't be revoked from a space."""
    home = make_home("home")
    home.memory.accept(STRANGER)
    home.memory.space("personal").revoke(STRANGER)
    assert home.memory.devices()[0].state == "revoked"
    home.memory.space("acme").create()
    with pytest.raises(NotFoundError, match="memcrdt space members acme"):
        home.memory.space("acme").revoke(STRANGER)
    with pytest.raises(InputError, match="memcrdt space leave acme"):
        home.memory.space("acme").revoke(home.id)


def test_a_space_that_was_left_forgets_whom_it_revoked(make_home: Callable[[str], Home]) -> None:
    """It is another space from then on."""
    home = make_home("home")
    home.memory.accept(STRANGER)
    home.memory.space("personal").revoke(STRANGER)
    home.memory.space("personal").leave()
    assert _states(home) == {home.id: "member"}


def test_who_may_only_read_invites_and_revokes_nobody(make_home: Callable[[str], Home]) -> None:
    """But may go on with those who take part already."""
    writer, reader = make_home("writer"), make_home("reader")
    writer.peers.accept(reader.id, read_only=True)
    reader.members.join(writer.members.entries(["personal"])[0])
    reader.memory.accept(writer.id)
    writer.settle()
    reader.hear(writer)
    assert [member.rights for member in reader.memory.space("personal").members()] == ["read", "read and write"]
    assert [member.rights for member in writer.memory.space("personal").members()] == ["read and write", "read"]
    with pytest.raises(ReadOnlyError, match="cannot invite"):
        reader.memory.accept(STRANGER)
    assert STRANGER not in {device.device for device in reader.memory.devices()}
    with pytest.raises(ReadOnlyError, match="cannot revoke"):
        reader.memory.space("personal").revoke(writer.id)
    reader.memory.accept(writer.id)


def test_rights_are_not_changed_by_accepting_again(make_home: Callable[[str], Home]) -> None:
    """A reader stays one, whatever else is said of it; a writer can't be made one."""
    home = make_home("home")
    home.peers.accept(STRANGER, read_only=True)
    home.memory.accept(STRANGER, address="192.168.1.20")
    home.memory.space("personal").invite(STRANGER)
    assert [member.rights for member in home.memory.space("personal").members()] == ["read and write", "read"]
    home.memory.space("acme").create()
    home.memory.accept(STRANGER, spaces="acme")
    with pytest.raises(InputError, match="may already write the space 'acme'"):
        home.peers.accept(STRANGER, spaces=["acme"], read_only=True)
