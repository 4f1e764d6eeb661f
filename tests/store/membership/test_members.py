"""Tests of the members of spaces in the store."""

from __future__ import annotations

from collections.abc import Callable
from importlib import resources
from typing import TYPE_CHECKING

import pytest

from memcrdt.errors import InputError, NotFoundError, ReadOnlyError, RemoteProtocolError
from memcrdt.model.statements import Statement, unpack
from memcrdt.node.store_replica import StoreReplica
from memcrdt.store.membership.members import SIGNED_AT_ONCE, Entry
from memcrdt.sync.events import FRAME_BYTES
from memcrdt.sync.messages import MembershipUpdate
from memcrdt.sync.replica import MembershipRecord
from memcrdt.sync.wire import encode

if TYPE_CHECKING:
    from tests.store.conftest import Home

STRANGER = "X" * 51 + "A"


def test_pairing_with_one_member_joins_the_space_for_all(homes: list[Home]) -> None:
    """The first member has never met the third, but accepts it."""
    first, second, third = homes
    assert first.known == second.known == third.known == {home.id for home in homes}
    assert first.peers.is_accepted(third.id)
    assert third.peers.is_accepted(first.id)
    assert first.peers.get(second.id).name is None or first.peers.get(second.id).name == "second"


def test_settling_says_everything_once(homes: list[Home]) -> None:
    """A second call has nothing to sign."""
    for home in homes:
        home.settle()
    counts = [home.peers.statements() for home in homes]
    for home in homes:
        home.settle()
    assert counts == [home.peers.statements() for home in homes]


def test_devices_name_themselves(homes: list[Home]) -> None:
    """The other members learn a device's name, whichever member paired it."""
    first, second, third = homes
    third.settle()
    second.hear(third)
    first.hear(second)
    assert first.members.of("personal").members[third.id].name == "third"


def test_a_revocation_spreads_and_stays(homes: list[Home]) -> None:
    """It reaches members that the revoking device has not met, and no member accepts the key again."""
    first, second, third = homes
    first.peers.revoke(third.id)
    first.settle()
    second.hear(first)
    assert first.known == second.known == {first.id, second.id}
    assert second.peers.get(third.id).state == "revoked"
    assert third.id not in {device for _, device in second.peers.shares()}
    with pytest.raises(InputError, match="new key"):
        second.peers.accept(third.id)
    second.hear(third)
    assert second.peers.get(third.id).state == "revoked"


def test_revoking_a_device_keeps_those_that_it_added(homes: list[Home]) -> None:
    """Devices that we knew by then stay members."""
    first, second, third = homes
    first.peers.revoke(second.id)
    first.settle()
    assert first.known == {first.id, third.id}


def test_a_device_that_hears_of_its_own_revocation_tells_its_user(homes: list[Home]) -> None:
    """It raises an alarm and stops sharing the space, but keeps its memories."""
    first, _, third = homes
    first.peers.revoke(third.id)
    first.settle()
    third.hear(first)
    assert third.peers.shares() == frozenset()
    assert "revoked from 'personal' by" in third.memory.status().alarms[-1].text


def test_forged_statements_are_refused_whole(homes: list[Home]) -> None:
    """One wrong signature, or one statement about another space, rejects the whole message."""
    first, second, _ = homes
    statements = first.members.roll(first.space)[1]
    forged = bytearray(statements[0])
    forged[-1] ^= 1
    before = second.peers.statements()
    with pytest.raises(RemoteProtocolError, match="wrong signature"):
        second.members.learn(second.space, [*statements, bytes(forged)])
    with pytest.raises(RemoteProtocolError, match="another space"):
        second.members.learn(second.memory.space("local").id(), statements)
    assert second.peers.statements() == before


def made_up_device(number: int) -> str:
    """Return an invented device id in the right form."""
    return f"{number:052}".translate(str.maketrans("0189", "ABIJ"))


def statements_of_space(home: Home) -> list[Statement]:
    """Return the statements that a home has about `personal`."""
    return [unpack(each) for each in home.members.roll(home.space)[1]]


@pytest.fixture(name="small_roll")
def _small_roll(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("memcrdt.model.roll.STATEMENTS", 60)


def test_a_flood_by_one_member_prevents_nothing(homes: list[Home], small_roll: None) -> None:
    """The others still let devices in, and revoke that member. Its statements give way to theirs."""
    first, second, third = homes
    flood = [third.says("add", made_up_device(number)) for number in range(100)]
    flood += [third.says("revoke", made_up_device(number)) for number in range(100, 200)]
    for home in (first, second):
        home.members.learn(first.space, flood)
    assert len(first.peers.statements()) > 50
    first.peers.accept(STRANGER)
    first.settle()
    second.hear(first)
    assert STRANGER in first.known & second.known
    first.peers.revoke(third.id)
    first.settle()
    second.hear(first)
    assert third.id not in first.known | second.known
    assert STRANGER in first.known & second.known


def test_a_statement_without_room_raises_an_alarm_once(homes: list[Home], monkeypatch: pytest.MonkeyPatch) -> None:
    """The user's decision counts on this device all the same. It is signed when the list has changed and has room."""
    first, _, third = homes
    full = "memcrdt.model.roll.STATEMENTS"
    monkeypatch.setattr(full, 1)
    first.peers.accept(STRANGER)
    first.memory.space("personal").revoke(third.id)
    first.settle()
    shared = {device for _, device in first.peers.shares()}
    assert STRANGER in shared
    assert third.id not in shared
    texts = [alarm.text for alarm in first.memory.status().alarms]
    assert len(texts) == 2
    assert "the other members do not learn that it was revoked, because the list of members is full" in texts[0]
    assert "with this device only, because the list of its members is full" in texts[1]
    monkeypatch.setattr(full, 1_000)
    first.members.learn(first.space, [third.says("add", made_up_device(1))])
    first.settle()
    assert STRANGER in first.known
    assert third.id not in first.known
    assert first.memory.status().alarms == ()


def test_statements_without_room_are_not_signed_again_and_again(
    homes: list[Home], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is tried once, and again when the list has changed."""
    first, _, third = homes
    signed: list[int] = []
    sign = first.members._sign
    monkeypatch.setattr(first.members, "_sign", lambda *given: (signed.append(len(given[1])), sign(*given))[1])
    monkeypatch.setattr("memcrdt.model.roll.STATEMENTS", 1)
    first.peers.accept(STRANGER)
    for _ in range(3):
        first.settle()
    assert signed == [1]
    first.memory.space("personal").revoke(third.id)
    for _ in range(3):
        first.settle()
    assert signed == [1, 1]
    first.members.learn(first.space, [third.says("add", made_up_device(1))])
    first.settle()
    assert sum(signed) > 3


def test_many_decisions_are_signed_in_short_transactions(
    make_home: Callable[[str], Home], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Other processes write in between."""
    home, signed = make_home("home"), []
    change = home.members._change
    monkeypatch.setattr(home.members, "_change", lambda space, made: (signed.append(len(made)), change(space, made)))
    for number in range(SIGNED_AT_ONCE + 10):
        home.peers.accept(made_up_device(number))
    home.settle()
    assert signed == [SIGNED_AT_ONCE, 11]  # with its own name
    assert len(home.known) == SIGNED_AT_ONCE + 11


def test_what_follows_from_a_statement_goes_with_it(homes: list[Home], make_home: Callable[[str], Home]) -> None:
    """A thief with the key of the third lets a device in where the revocation is not known yet.

    Once it is, that device is neither served nor heard, and no device signs for it.
    """
    first, second, third = homes
    other = make_home("other")
    first.peers.revoke(third.id)
    first.settle()
    added = third.says("add", other.id)
    keeps = other.says("revoke", third.id, space=first.space, keep=(unpack(added).id,))
    second.members.learn(first.space, [added, keeps])
    assert second.peers.is_accepted(other.id)
    for home, source in ((second, first), (first, second)):
        home.hear(source)
        home.settle()
    second.settle()
    for home in (first, second):
        assert home.known == {first.id, second.id}
        assert other.id not in {device for _, device in home.peers.shares()}
        assert other.id not in {peer.device for peer in home.peers.all()}
        signers = {each.by for each in statements_of_space(home) if each.claim.device == other.id}
        assert signers == {third.id}
        replica = StoreReplica(home.memory.store)
        assert other.id not in replica.audience(first.space)
        with pytest.raises(NotFoundError, match="no longer shared with the device"):
            replica.apply(first.space, 0, b"any update", other.id)
        assert other.id not in {member.device for member in home.memory.space("personal").members(revoked=True)}


def test_what_the_user_decided_stands_without_the_statements_of_others(homes: list[Home]) -> None:
    """The first accepted the third itself, so it signs for it once the second, who let it in, is revoked elsewhere."""
    first, second, third = homes
    first.peers.accept(third.id)
    first.settle()
    first.members.learn(first.space, [first.says("revoke", second.id)])
    assert third.id not in first.known
    assert third.id in {device for _, device in first.peers.shares()}
    first.settle()
    assert first.known == {first.id, third.id}


def test_a_device_that_the_user_accepted_stays_known(homes: list[Home]) -> None:
    """It no longer shares the space when it is no member by the statements any more, and can be let in again."""
    first, second, third = homes
    first.peers.accept(third.id, spaces=())
    first.members.learn(first.space, [first.says("revoke", second.id)])
    assert first.peers.is_accepted(third.id)
    assert third.id not in {device for _, device in first.peers.shares()}
    first.memory.space("personal").invite(third.id)
    first.settle()
    assert third.id in first.known


def test_a_device_that_the_user_let_write_is_signed_for_although_another_member_lets_it_read(
    make_home: Callable[[str], Home],
) -> None:
    """Otherwise a member could keep two devices apart by naming one of them as a reader first."""
    first, second, third = map(make_home, ("first", "second", "third"))
    first.peers.accept(second.id, name="second")
    first.settle()
    first.peers.accept(third.id, name="third")
    first.members.learn(first.space, [second.says("add", third.id, first.space, read_only=True)])
    assert first.members.of("personal").members[third.id].read_only
    first.settle()
    assert not first.members.of("personal").members[third.id].read_only


@pytest.mark.parametrize("everywhere", [False, True])
def test_the_user_confirms_a_revocation_by_devices_that_depend_on_the_revoked_one(
    homes: list[Home], everywhere: bool
) -> None:
    """The third revoked the second, which had let it in. Only the user's own decision makes the first revoke it too."""
    first, second, third = homes
    (added,) = (each for each in statements_of_space(third) if each.claim.device == third.id)
    first.members.learn(first.space, [third.says("revoke", second.id, keep=(added.id,))])
    first.settle()
    assert first.members.of("personal").contested == {second.id}
    for _ in range(2):
        if everywhere:
            first.memory.revoke(second.id)
        else:
            first.memory.space("personal").revoke(second.id)
        first.settle()
    assert first.members.of("personal").contested == frozenset()
    assert first.known == {first.id, third.id}  # it knew of the third, so it keeps it


def test_an_older_store_keeps_what_its_user_decided(homes: list[Home]) -> None:
    """Shares without a statement are decisions. Shares that no longer follow from statements end at the next start."""
    first, second, third = homes
    with first.memory.store.writing() as db:
        db.execute("DELETE FROM invited")
        db.execute("INSERT INTO shares(space, device) SELECT space, ? FROM spaces WHERE name = 'personal'", (STRANGER,))
        db.execute("INSERT INTO peers(device, state, added_at) VALUES(?, 'accepted', 1)", (STRANGER,))
        sql = resources.files("memcrdt.store.schema").joinpath("0011.sql").read_text("utf-8")
        db.execute(sql[sql.index("INSERT INTO invited") : sql.index(";", sql.index("INSERT INTO invited"))])
        assert list(db.execute("SELECT device FROM invited")) == [(STRANGER,)]
        db.execute("DELETE FROM invited")
    first.settle()
    assert {device for _, device in first.peers.shares()} == {second.id, third.id}


def test_a_roll_fits_into_a_frame(homes: list[Home]) -> None:
    """The number and the size of a member's statements do not matter."""
    first, _, third = homes
    keep = tuple(bytes([number]) * 16 for number in range(256))
    adds = [third.says("add", made_up_device(number), name=200 * "\U0001f600") for number in range(1_000)]
    revocations = [third.says("revoke", made_up_device(number), keep=keep) for number in range(1_000)]
    for made_up in (adds, revocations):
        first.members.learn(first.space, made_up)
    genesis, statements = first.members.roll(first.space)
    assert len(statements) > 150
    assert len(encode(MembershipUpdate(first.space, MembershipRecord(*genesis, tuple(statements))))) <= FRAME_BYTES


def test_what_strangers_say_is_not_kept(homes: list[Home], make_home: Callable[[str], Home]) -> None:
    """Statements of strangers and of read-only members are dropped: they have no effect and would take room."""
    first = homes[0]
    stranger = make_home("stranger")
    first.peers.accept(stranger.id, read_only=True)
    first.settle()
    before = first.peers.statements()
    said = [each.says("add", STRANGER, space=first.space) for each in (stranger, make_home("unknown"))]
    first.members.learn(first.space, said)
    assert first.peers.statements() == before


def test_a_member_that_may_only_read_cannot_write(make_home: Callable[[str], Home]) -> None:
    """Its own adds are refused with advice, and other members see that it is read-only."""
    writer, reader = make_home("writer"), make_home("reader")
    added = writer.memory.add("shared")
    writer.peers.accept(reader.id, read_only=True)
    reader.members.join(writer.members.entries(["personal"])[0])
    reader.peers.accept(writer.id)
    writer.settle()
    reader.hear(writer)
    reader.settle()
    assert reader.members.of("personal").members[reader.id].read_only
    with pytest.raises(ReadOnlyError, match="another space"):
        reader.memory.add("mine")
    assert reader.memory.add("mine", space="local")
    assert writer.memory.get(added).text == "shared"
    assert reader.peers.statements() == writer.peers.statements()  # its statements have no effect
    with pytest.raises(ReadOnlyError, match="cannot invite"):
        reader.members.entries(["personal"])


def test_joining_brings_what_is_here_along(make_home: Callable[[str], Home]) -> None:
    """The memories of the old `personal` now belong to the joined space."""
    inviter, joiner = make_home("inviter"), make_home("joiner")
    added = joiner.memory.add("from before")
    joiner.members.join(inviter.members.entries(["personal"])[0])
    assert joiner.space == inviter.space
    assert joiner.memory.get(added).space == "personal"


def test_what_a_reader_made_stays_in_a_space_of_its_own(make_home: Callable[[str], Home]) -> None:
    """Others would refuse them, and the reader could not change them. join() returns the unused name of the space."""
    writer, reader = make_home("writer"), make_home("reader")
    added, forgotten = reader.memory.add("from before"), reader.memory.add("not wanted")
    reader.memory.space("personal-2").create()
    own = reader.space
    assert reader.members.join(writer.members.entries(["personal"])[0], read_only=True) == "personal-3"
    assert (reader.space, reader.memory.space("personal-3").id()) == (writer.space, own)
    assert reader.memory.get(added).space == "personal-3"
    assert reader.memory.update(added, text="changed").text == "changed"
    assert reader.memory.forget(forgotten).count == 1
    assert reader.memory.add("more", space="personal-3")
    with pytest.raises(ReadOnlyError, match="another space"):
        reader.memory.add("more")


def test_a_reader_that_forgot_all_it_made_joins_with_nothing(make_home: Callable[[str], Home]) -> None:
    """Otherwise its tombstones would make the copies differ permanently."""
    writer, reader = make_home("writer"), make_home("reader")
    reader.memory.forget(reader.memory.add("not wanted"))
    reader.members.join(writer.members.entries(["personal"])[0], read_only=True)
    assert reader.memory.space("personal").digest() == writer.memory.space("personal").digest()


def test_what_others_made_goes_on_as_the_space_of_a_reader(make_home: Callable[[str], Home]) -> None:
    """A reader that comes back with a new key does not get a second copy of the memories of others.

    It may not change the memories that it finds in the joined space, but it can leave to keep them as its own space.
    """
    writer, reader = make_home("writer"), make_home("reader")
    added = reader.memory.add("under the old key")
    reader.memory.close()
    (reader.memory.home / "device.key").unlink()
    reader = make_home("reader")
    assert reader.members.join(writer.members.entries(["personal"])[0], read_only=True) is None
    assert reader.memory.get(added).space == "personal"
    for change in (lambda: reader.memory.update(added, text="changed"), lambda: reader.memory.forget(added)):
        with pytest.raises(ReadOnlyError, match="on a device that may write, or run memcrdt space leave personal"):
            change()
    reader.memory.space("personal").leave()
    assert reader.memory.forget(added).count == 1


def test_a_space_that_is_shared_with_others_is_not_given_up(
    homes: list[Home], make_home: Callable[[str], Home]
) -> None:
    """Two groups do not merge by accident. The error gives advice."""
    other = make_home("other")
    with pytest.raises(InputError, match="memcrdt space leave personal"):
        homes[0].members.join(other.members.entries(["personal"])[0])


def test_a_space_of_another_name_is_made(make_home: Callable[[str], Home]) -> None:
    """The space keeps its id. A second call does nothing."""
    inviter, joiner = make_home("inviter"), make_home("joiner")
    inviter.memory.space("acme").create()
    (entry,) = inviter.members.entries(["acme"])
    for _ in range(2):
        joiner.members.join(entry)
    assert joiner.memory.space("acme").id() == inviter.memory.space("acme").id()


def test_a_new_key_can_share_what_the_old_one_had_made(homes: list[Home], make_home: Callable[[str], Home]) -> None:
    """After the loss of a key, its unshared spaces get the new key as creator. Shared spaces keep their creator."""
    first, lonely = homes[0], make_home("lonely")
    kept, space = lonely.memory.add("kept"), first.space
    for home in (first, lonely):
        home.memory.close()
        (home.memory.home / "device.key").unlink()
    again, shared = make_home("lonely"), make_home("first")
    again.peers.accept(STRANGER)
    again.settle()
    assert again.known == {again.id, STRANGER}
    assert again.memory.get(kept).space == "personal"
    assert shared.space == space


def test_leaving_ends_the_sharing_and_keeps_the_memories(homes: list[Home]) -> None:
    """The space gets a new id that no other device knows."""
    first, second, _ = homes
    added = second.memory.add("stays")
    second.memory.space("personal").leave()
    assert second.peers.shares() == frozenset()
    assert second.space != first.space
    assert second.memory.get(added).text == "stays"
    with pytest.raises(InputError, match="never leaves"):
        second.memory.space("local").leave()


def test_entries_of_what_cannot_be_shared_are_refused(make_home: Callable[[str], Home]) -> None:
    """`local` is never shared."""
    with pytest.raises(InputError, match="never leaves"):
        make_home("one").members.entries(["local"])


def test_an_entry_says_whether_others_take_part(homes: list[Home], make_home: Callable[[str], Home]) -> None:
    """This decides which device joins the other's space."""
    alone = make_home("alone")
    assert isinstance(alone.members.entries(["personal"])[0], Entry)
    assert [home.members.entries(["personal"])[0].shared for home in (homes[0], alone)] == [True, False]
