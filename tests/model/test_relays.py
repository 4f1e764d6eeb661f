"""The relays of a space that follow from a set of statements, whatever a member does."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from itertools import permutations

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from memcrdt.errors import InputError, RemoteProtocolError
from memcrdt.model.device_ids import device_id
from memcrdt.model.membership import heard, membership
from memcrdt.model.relay_addresses import RELAYS, is_relay_address, relay_address
from memcrdt.model.relays import listed_relays, relays_in_force
from memcrdt.model.roll import retained
from memcrdt.model.statements import KEPT, STATEMENT_BYTES, Claim, Kind, Statement, unpack

KEYS = {name: name.encode() * 32 for name in "CABSX"}
IDS = {name: device_id(key) for name, key in KEYS.items()}
CREATOR = IDS["C"]
SPACE = "S" * 52


def says(key: str, kind: Kind, device: str = "", **fields: object) -> Statement:
    """Return a statement by the device with that key. Its signature does not matter here."""
    claim = Claim(kind=kind, space=SPACE, device=IDS[device or key], at=1, **fields)
    return Statement(claim, KEYS[key], b"s" * 64)


def lists(key: str, *relays: str, replaces: Collection[Statement] = ()) -> Statement:
    """Return a list of relays by the device with that key."""
    addresses = tuple(relay_address(relay) for relay in relays)
    return says(key, "relays", relays=addresses, replaces=tuple(sorted(each.id for each in replaces)))


def known(*statements: Statement) -> set[str]:
    """Return the hosts of the relays in any order of the statements, which makes no difference."""
    found = {frozenset(_listed(order)) for order in permutations(statements)}
    (only,) = found
    return {relay.partition(":")[0] for relay in only}


def _listed(statements: Collection[Statement]) -> dict[str, str]:
    return listed_relays(relays_in_force(membership(CREATOR, statements), statements))


MEMBERS = (says("C", "add", "A"), says("A", "add", "B"))


def test_every_member_that_may_write_can_list_relays() -> None:
    """A reader, a stranger and a device that is no member any more cannot."""
    assert known(*MEMBERS, lists("B", "home.example", "office.example")) == {"home.example", "office.example"}
    reader = says("C", "add", "S", read_only=True)
    assert known(*MEMBERS, reader, lists("S", "reader.example")) == set()
    assert known(*MEMBERS, lists("X", "stranger.example")) == set()


def test_a_list_replaces_the_lists_that_its_signer_knew() -> None:
    """So a relay can be removed by any member, and dates play no part."""
    first = lists("A", "old.example")
    assert known(*MEMBERS, first, lists("B", "new.example", replaces=[first])) == {"new.example"}
    assert known(*MEMBERS, first, lists("B", replaces=[first])) == set()


def test_lists_made_at_the_same_time_are_both_in_force() -> None:
    """Until a further list replaces both."""
    one, other = lists("A", "one.example"), lists("B", "other.example")
    assert known(*MEMBERS, one, other) == {"one.example", "other.example"}
    assert known(*MEMBERS, one, other, lists("C", "one.example", replaces=[one, other])) == {"one.example"}


def test_the_lists_of_a_revoked_device_go_away() -> None:
    """And with them their effect: what they replaced is in force again."""
    good = lists("C", "good.example")
    bad = lists("B", "bad.example", replaces=[good])
    assert known(*MEMBERS, good, bad) == {"bad.example"}
    assert known(*MEMBERS, good, bad, says("A", "revoke", "B")) == {"good.example"}


ATTACKS = st.lists(
    st.tuples(st.lists(st.sampled_from("abcdefgh"), max_size=RELAYS, unique=True), st.sets(st.integers(0, 30))),
    max_size=12,
)


@settings(max_examples=200, deadline=None)
@given(ATTACKS, st.sampled_from("CAB"), st.sampled_from("CAB"), st.randoms(use_true_random=False))
def test_a_hostile_member_is_out_with_all_that_it_did(attacks: list, honest: str, hostile: str, random: object) -> None:
    """Whatever it lists and replaces, there are at most four relays, and revoking it brings back the honest ones."""
    said = [*MEMBERS, lists("C", "safe.example"), lists(honest, "too.example")]
    if hostile in ("C", honest):
        said = [*MEMBERS, lists("B" if hostile != "B" else "A", "safe.example")]
    before = dict(_listed(said))
    for relays, replaced in attacks:
        chosen = {said[number % len(said)] for number in replaced}
        said.append(lists(hostile, *(f"{name}.example" for name in relays), replaces=chosen))
    random.shuffle(said)
    assert len(_listed(said)) <= RELAYS
    assert _listed(said) == _listed(sorted(said, key=lambda each: each.id))
    adds = tuple(each.id for each in said if each.claim.kind == "add" and each.by == IDS[hostile])
    by = "B" if hostile == "A" else "A"
    said.append(says(by, "revoke", hostile, keep=adds))
    assert _listed(said) == before


def test_lists_of_relays_add_and_remove_no_member() -> None:
    """Neither alone, nor when a list names a statement about members among those that it replaces."""
    said = [*MEMBERS, says("C", "revoke", "S")]
    with_lists = [*said, lists("B", "a.example", replaces=said)]
    assert membership(CREATOR, with_lists) == membership(CREATOR, said)
    assert len(heard(CREATOR, with_lists)) == len(with_lists)


def test_a_flood_of_lists_displaces_no_other_statement() -> None:
    """Those that are replaced go first, and the rest takes only the room of the device that signed them."""
    replaced = [lists("B", f"flood{number}.example") for number in range(1_200)]
    flood = [*replaced, *(lists("B", f"more{number}.example") for number in range(1_200))]
    others = [*MEMBERS, says("C", "revoke", "B", keep=()), says("A", "add", "S"), lists("A", "good.example")]
    assert set(others) <= set(retained(CREATOR, [*others, *flood]))
    assert set(others[:2] + others[3:]) <= set(retained(CREATOR, [*others[:2], *others[3:], *flood]))


def test_a_statement_comes_back_as_it_was_sent() -> None:
    """The largest one fits, and the forms of adds and revocations are as before."""
    relays = [f"{'a' * 248}.{number}" for number in range(RELAYS)]
    largest = says("A", "relays", relays=tuple(map(relay_address, relays)), replaces=(b"i" * 16,) * KEPT)
    assert len(largest.packed()) <= STATEMENT_BYTES
    for each in (largest, lists("A"), *MEMBERS, says("C", "revoke", "A", keep=(b"k" * 16,))):
        assert unpack(each.packed()) == each
    assert len(msgpack.unpackb(MEMBERS[0].claim.packed())) == 7


@pytest.mark.parametrize(
    "wrong",
    [
        {"relays": ("a.example",)},
        {"relays": ("A.example:1",)},
        {"relays": ("a.example:70000",)},
        {"relays": ("a.example:01",)},
        {"relays": ("a b:1",)},
        {"relays": ("a" * 254 + ":1",)},
        {"relays": ("a.example:1", "a.example:1")},
        {"relays": tuple(f"{name}.example:1" for name in "abcde")},
        {"relays": (5,)},
        {"replaces": (b"short",)},
        {"replaces": (b"i" * 16,) * (KEPT + 1)},
        {"device": IDS["B"]},
    ],
)
def test_a_wrong_list_is_refused(wrong: dict[str, object]) -> None:
    """It is not stored and not sent on."""
    statement = replace(lists("A", "good.example"), claim=replace(lists("A", "good.example").claim, **wrong))
    with pytest.raises(RemoteProtocolError):
        unpack(statement.packed())


@given(st.text(max_size=40) | st.from_regex(r"\A[\[\]A-Za-z0-9.:-]{1,30}\Z"))
def test_a_typed_address_has_one_form(text: str) -> None:
    """The form is that of statements, and a second look changes nothing."""
    try:
        found = relay_address(text)
    except InputError:
        return
    assert is_relay_address(found)
    assert relay_address(found) == found
