"""Tests of the user's decisions about devices in one space, before and after they are signed."""

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
    """The statement has its name here. A second invitation signs nothing."""
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
    """The error for unknown, pending and revoked devices gives the reason and advice."""
    home = make_home("home")
    space = home.memory.space("personal")
    with pytest.raises(NotFoundError, match="memcrdt pair"):
        space.invite(STRANGER)
    home.peers.knocked(STRANGER, b"k" * 32, None)
    with pytest.raises(InputError, match="has only tried to connect and is not accepted; run memcrdt accept"):
        space.invite(STRANGER)
    home.memory.revoke(STRANGER)
    with pytest.raises(InputError, match="was revoked and is not accepted"):
        space.invite(STRANGER)
    with pytest.raises(InputError, match="own id"):
        space.invite(home.id)
    with pytest.raises(InputError, match="never leaves"):
        home.memory.space("local").invite(STRANGER)


def test_a_revoked_device_does_not_come_back_before_it_is_signed(homes: list[Home]) -> None:
    """Statements of other members do not bring it back. After signing, it is no member by the statements either."""
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
    """There is no audience in an unshared space, or in a space from which this device was revoked."""
    first, _, third = homes
    here, there = first.memory.store, third.memory.store
    assert audience(here, here.space("personal")) == Audience(space="personal", others=True, revoked_by=None)
    assert audience(here, here.space("local")) == Audience(space="local", others=False, revoked_by=None)
    first.memory.space("personal").revoke(third.id)
    first.settle()
    third.hear(first)
    assert audience(there, there.space("personal")) == Audience(
        space="personal", others=False, revoked_by=first.memory.home.name
    )


def test_a_revocation_that_nobody_has_heard_of_can_be_taken_back(make_home: Callable[[str], Home]) -> None:
    """This is the same as for a device that is revoked entirely."""
    home = make_home("home")
    for name in ("acme", "other"):
        home.memory.space(name).create()
    home.memory.accept(STRANGER, spaces=["acme", "other"])
    home.memory.space("acme").revoke(STRANGER)
    assert home.memory.devices()[0].spaces == ("other",)
    home.memory.space("acme").invite(STRANGER)
    assert home.memory.devices()[0].spaces == ("acme", "other")


def test_a_device_that_shares_nothing_any_more_is_revoked(make_home: Callable[[str], Home]) -> None:
    """Revoking it from its last space revokes it entirely.

    A device that does not share a space cannot be revoked from it.
    """
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
    """After leaving, it is another space."""
    home = make_home("home")
    home.memory.accept(STRANGER)
    home.memory.space("personal").revoke(STRANGER)
    home.memory.space("personal").leave()
    assert _states(home) == {home.id: "member"}


def test_who_may_only_read_invites_and_revokes_nobody(make_home: Callable[[str], Home]) -> None:
    """But it may continue to share the space with its members."""
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
    """A reader stays a reader, and a writer cannot become a reader."""
    home = make_home("home")
    home.peers.accept(STRANGER, read_only=True)
    home.memory.accept(STRANGER, address="192.168.1.20")
    home.memory.space("personal").invite(STRANGER)
    assert [member.rights for member in home.memory.space("personal").members()] == ["read and write", "read"]
    home.memory.space("acme").create()
    home.memory.accept(STRANGER, spaces="acme")
    with pytest.raises(InputError, match="may already write the space 'acme'"):
        home.peers.accept(STRANGER, spaces=["acme"], read_only=True)
