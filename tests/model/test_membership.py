"""The members of a space that follow from a set of statements, and a plain second form of the rule."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import permutations

from hypothesis import given, settings
from hypothesis import strategies as st

from memcrdt.model.device_ids import device_id
from memcrdt.model.membership import Member, Side, chain, membership, remaining, side, vouches
from memcrdt.model.statements import Claim, Kind, Statement

KEYS = {name: name.encode() * 32 for name in "CABDSX"}
CREATOR, A, B, D, S, STRANGER = (device_id(key) for key in KEYS.values())
SPACE = "S" * 52
LATEST = (1 << 53) - 1


def says(key: str, kind: Kind, device: str, at: int = 1, **fields: object) -> Statement:
    """Return a statement by the device with that key. Its signature does not matter here."""
    return Statement(Claim(kind=kind, space=SPACE, device=device, at=at, **fields), KEYS[key], b"s" * 64)


def test_a_device_that_a_member_adds_is_a_member() -> None:
    """The chain to the creator may have any length, and the statements any order."""
    chained = [says("C", "add", A, name="laptop"), says("A", "add", B), says("B", "add", D, read_only=True)]
    for order in permutations(chained):
        known = membership(CREATOR, order)
        assert set(known.members) == {CREATOR, A, B, D}
        assert known.members[A] == Member("laptop", read_only=False)
        assert [known.may_write(device) for device in (CREATOR, A, B, D, STRANGER)] == [True, True, True, False, False]


def test_an_unknown_device_cannot_add_members() -> None:
    """Statements of unknown devices, and statements that depend on them, have no effect."""
    assert set(membership(CREATOR, [says("X", "add", A), says("A", "add", B)]).members) == {CREATOR}


def test_a_read_only_member_cannot_add_or_revoke() -> None:
    """Its statements have no effect."""
    known = membership(
        CREATOR, [says("C", "add", A, read_only=True), says("A", "add", B), says("A", "revoke", CREATOR)]
    )
    assert set(known.members) == {CREATOR, A}


def test_a_revocation_wins_whenever_it_was_made() -> None:
    """It wins even against a later add: a revoked device needs a new key."""
    said = [says("C", "add", A, 1), says("C", "revoke", A, 2), says("C", "add", A, 9)]
    for order in permutations(said):
        known = membership(CREATOR, order)
        assert (set(known.members), known.revoked) == ({CREATOR}, {A})


def test_a_revocation_can_keep_adds_of_the_revoked_device() -> None:
    """Only the kept adds count. A later add has no effect, with any date."""
    kept, later = says("A", "add", B), says("A", "add", STRANGER)
    said = [says("C", "add", A), kept, later, says("C", "revoke", A, keep=(kept.id,))]
    assert set(membership(CREATOR, said).members) == {CREATOR, B}
    assert set(membership(CREATOR, [*said[:3], says("C", "revoke", A)]).members) == {CREATOR}


def test_the_creator_can_be_revoked() -> None:
    """A stolen laptop can be removed even if it created the space. The other members stay."""
    added = says("C", "add", A)
    known = membership(CREATOR, [added, says("A", "add", B), says("A", "revoke", CREATOR, keep=(added.id,))])
    assert set(known.members) == {A, B}


def test_a_revocation_by_a_revoked_device_keeps_no_adds() -> None:
    """Two devices that revoke each other are both out, with the devices that they added and no third device keeps."""
    said = [says("C", "add", A), says("C", "add", B)]
    known = membership(CREATOR, [*said, says("A", "revoke", B), says("B", "revoke", A)])
    assert set(known.members) == {CREATOR}


def test_the_latest_add_sets_the_name() -> None:
    """It also sets the rights."""
    said = [says("C", "add", A, 1, name="old"), says("A", "add", A, 2, name="new")]
    assert membership(CREATOR, said).members[A] == Member("new", read_only=False)


def test_a_chain_is_the_shortest_from_the_creator() -> None:
    """It leaves out statements about other devices, and names that members gave themselves."""
    first, second, third = says("C", "add", A), says("A", "add", B), says("B", "add", D, read_only=True)
    others = [says("B", "add", STRANGER), says("A", "add", A, name="laptop"), says("A", "add", CREATOR)]
    assert chain(CREATOR, D, [third, *others, second, first]) == [first, second, third]
    shorter = says("A", "add", D)
    assert chain(CREATOR, D, [third, *others, second, first, shorter]) == [first, shorter]
    assert chain(CREATOR, CREATOR, [first]) == []


def test_a_device_without_rights_introduces_no_device() -> None:
    """Read-only members, revoked devices and unknown devices cannot introduce a device."""
    assert chain(CREATOR, B, [says("C", "add", A, read_only=True), says("A", "add", B)]) is None
    assert chain(CREATOR, B, [says("C", "add", A), says("A", "add", B), says("C", "revoke", A)]) is None
    assert chain(CREATOR, B, [says("X", "add", B)]) is None
    assert chain(CREATOR, B, [says("C", "add", B), says("C", "revoke", B)]) is None


def test_a_chain_introduces_only_its_devices() -> None:
    """Another device that presents the chain stays unknown."""
    presented = [says("C", "add", A), says("A", "add", B)]
    assert vouches(CREATOR, [], presented, B)
    assert vouches(CREATOR, presented[:1], presented[1:], B)
    assert not vouches(CREATOR, [], presented, STRANGER)
    assert not vouches(CREATOR, [], presented[1:], B)


def test_a_known_revocation_wins_against_an_introduction() -> None:
    """The revocation may be of the device, or of the device that added it."""
    presented = [says("C", "add", A), says("A", "add", B)]
    assert not vouches(CREATOR, [says("C", "revoke", B)], presented, B)
    assert not vouches(CREATOR, [says("C", "revoke", A)], presented, B)


def test_an_introduction_has_only_adds_by_members() -> None:
    """Revocations and statements by unknown devices are refused: they could fill the list of members."""
    presented = [says("C", "add", A)]
    assert not vouches(CREATOR, [], [*presented, says("A", "revoke", D)], A)
    assert not vouches(CREATOR, [], [*presented, says("X", "add", D)], A)


def test_a_device_does_not_keep_itself() -> None:
    """The creator has revoked A. The thief of A adds S, and S revokes A and keeps the add: that is a circle."""
    added = says("A", "add", S, LATEST)
    said = [says("C", "add", A), says("C", "add", B), says("C", "revoke", A), added]
    for order in permutations([*said, says("S", "revoke", A, keep=(added.id,))]):
        known = membership(CREATOR, order)
        assert (set(known.members), known.contested) == ({CREATOR, B}, frozenset())


def test_a_member_that_stands_otherwise_keeps_an_add() -> None:
    """The creator did not know of S when it revoked A, but B did."""
    added = says("A", "add", S)
    said = [says("C", "add", A), says("C", "add", B), added, says("C", "revoke", A)]
    assert set(membership(CREATOR, [*said, says("B", "revoke", A, keep=(added.id,))]).members) == {CREATOR, B, S}


def test_a_revocation_keeps_only_adds_of_the_device_that_it_revokes() -> None:
    """Otherwise a device could name the add of another one, by revoking a device that nobody else has revoked."""
    added = says("A", "add", S)
    said = [says("C", "add", A), says("C", "add", B), says("C", "add", D), added, says("C", "revoke", A)]
    assert set(membership(CREATOR, [*said, says("B", "revoke", D, keep=(added.id,))]).members) == {CREATOR, B}


def test_a_device_that_revokes_its_only_inviter_stays_until_another_member_decides() -> None:
    """The revoked device is contested until then."""
    added = says("A", "add", B)
    said = [says("C", "add", A), added, says("B", "revoke", A, keep=(added.id,))]
    known = membership(CREATOR, said)
    assert (set(known.members), known.contested) == ({CREATOR, B}, {A})
    known = membership(CREATOR, [*said, says("C", "revoke", A)])
    assert (set(known.members), known.contested) == ({CREATOR}, frozenset())


def test_devices_that_depend_on_a_revoked_one_stay_if_all_of_them_agree() -> None:
    """So a thief with the creator's key cannot bring another key in, even by revoking those who revoked it."""
    keep_a, keep_b, own = says("C", "add", A), says("C", "add", B), says("C", "add", S)
    honest = [keep_a, keep_b, says("A", "revoke", CREATOR, keep=(keep_a.id, keep_b.id))]
    assert set(membership(CREATOR, honest).members) == {A, B}
    thief = [own, says("S", "revoke", CREATOR, keep=(own.id, keep_b.id)), says("C", "revoke", A)]
    for order in permutations([*honest, *thief]):
        assert set(membership(CREATOR, order).members) == {B}


def test_rights_only_grow_whatever_the_date_says() -> None:
    """An add as a reader takes no right away, not even from the creator. A later add as a writer gives it."""
    said = [says("C", "add", A), says("C", "add", B), says("C", "add", D, read_only=True)]
    demoted = [says("A", "add", each, LATEST, read_only=True) for each in (CREATOR, B, D)]
    for order in (said + demoted, demoted + said):
        known = membership(CREATOR, order)
        assert [known.may_write(each) for each in (CREATOR, B, D)] == [True, True, False]
        assert membership(CREATOR, [*order, says("B", "add", D, 0)]).may_write(D)


def test_a_device_names_itself() -> None:
    """The name that another device gives it counts only until then."""
    said = [says("C", "add", A), says("A", "add", A, name="laptop"), says("C", "add", A, LATEST, name="renamed")]
    assert membership(CREATOR, said).members[A].name == "laptop"


def naive(creator: str, statements: Collection[Statement]) -> tuple[dict[str, bool], set[str]]:
    """Return the members, each with whether it may only read, and the revoked devices, by the letter of the rule.

    Everything is computed anew in each round, until a round adds nothing.
    """
    adds = [each for each in statements if each.claim.kind == "add"]
    ever = _writers(creator, adds)
    revocations = [each for each in statements if each.claim.kind == "revoke" and each.by in ever]
    revoked = {each.claim.device for each in revocations}
    excused: set[str] = set()  # revoked devices for which only devices that depend on them speak
    while True:
        standing: list[Statement] = []
        while True:
            writers = _writers(creator, standing)
            by_members = [each for each in revocations if each.by in writers - revoked]
            agreed = {
                device: set.intersection(*(set(r.claim.keep) for r in revocations if r.claim.device == device))
                for device in excused
            }
            now = [
                add
                for add in adds
                if add.by in writers
                and (
                    add.by not in revoked
                    or any(add.id in each.claim.keep for each in by_members if each.claim.device == add.by)
                    or add.id in agreed.get(add.by, ())
                )
            ]
            if len(now) == len(standing):
                break
            standing = now
        spoken_for = {each.claim.device for each in by_members}
        more = (writers & revoked) - spoken_for - excused
        if not more:
            break
        excused |= more
    members = {creator: False}
    for add in standing:
        device = add.claim.device
        members[device] = members.get(device, True) and add.claim.read_only
    return {device: reads for device, reads in members.items() if device not in revoked}, revoked


def _writers(creator: str, adds: Sequence[Statement]) -> set[str]:
    writers = {creator}
    for _ in adds:
        writers |= {add.claim.device for add in adds if add.by in writers and not add.claim.read_only}
    return writers


@st.composite
def _statements(draw: st.DrawFn) -> list[Statement]:
    """Draw a set of statements by six devices about each other, of which the creator is one."""
    names, devices = st.sampled_from("CABDSX"), st.sampled_from([CREATOR, A, B, D, S, STRANGER])
    dates = st.sampled_from([0, 1, LATEST])
    adds = [
        says(draw(names), "add", draw(devices), draw(dates), read_only=draw(st.sampled_from([False, False, True])))
        for _ in range(draw(st.integers(0, 10)))
    ]
    ids = st.lists(st.sampled_from([each.id for each in adds]), max_size=4) if adds else st.just([])
    revocations = [
        says(draw(names), "revoke", draw(devices), draw(dates), keep=tuple(draw(ids)))
        for _ in range(draw(st.integers(0, 5)))
    ]
    return draw(st.permutations(list({each.id: each for each in adds + revocations}.values())))


@settings(max_examples=100)
@given(_statements(), st.randoms(use_true_random=False))
def test_the_members_follow_from_the_set_of_statements(said: list[Statement], random) -> None:  # type: ignore[no-untyped-def]
    """In any order, with repetitions, they are what the naive form says."""
    known = membership(CREATOR, said)
    members, revoked = naive(CREATOR, said)
    assert {device: member.read_only for device, member in known.members.items()} == members
    shuffled = said * 2
    random.shuffle(shuffled)
    assert membership(CREATOR, shuffled) == known
    assert known.contested <= known.revoked
    assert not known.revoked & known.members.keys()
    assert known.revoked == revoked


@settings(max_examples=100)
@given(_statements(), _statements())
def test_no_device_without_rights_lets_one_in(said: list[Statement], more: list[Statement]) -> None:
    """Statements of devices that are revoked or not let in, with any date, add no member and no right.

    Except an add that a member's revocation keeps already: the member has seen it.
    """
    before = membership(CREATOR, said)
    seen = {each for revocation in said for each in revocation.claim.keep}
    powerless = [each for each in more if not before.may_write(each.by) and each.id not in seen]
    after = membership(CREATOR, [*said, *powerless])
    assert after.members.keys() <= before.members.keys()
    assert all(before.may_write(device) for device in after.members if after.may_write(device))
    assert after.revoked >= before.revoked


@settings(max_examples=40)
@given(_statements())
def test_a_chain_introduces_its_device_to_whoever_knows_no_more(said: list[Statement]) -> None:
    """Unless a device of the chain was revoked and the add kept: only those who know the revocation see that."""
    known = membership(CREATOR, said)
    for device in known.members:
        found = chain(CREATOR, device, said)
        if found is not None and known.may_write(CREATOR):
            assert vouches(CREATOR, [], found, device)


CREATORS = st.sampled_from([A, B, D])


@given(st.builds(Side, st.just("1"), CREATORS, st.booleans()), st.builds(Side, st.just("2"), CREATORS, st.booleans()))
def test_both_devices_find_the_same_space_remaining(ours: Side, theirs: Side) -> None:
    """So they never both move, and never wait for each other where one should."""
    assert remaining(ours, theirs, A, B) is remaining(theirs, ours, B, A)


def test_a_space_that_others_have_joined_remains() -> None:
    """Its creator can leave it for another one, and no other member can. Two such spaces stay apart."""
    one, two = Side("1", A, is_joined=False), Side("2", B, is_joined=True)
    assert remaining(one, two, A, D) is remaining(two, one, D, A) is two
    both = one._replace(is_joined=True)
    assert remaining(both, two, A, D) is None
    assert remaining(both, two, D, A) is two
    assert remaining(both, two, A, B) is None
    assert remaining(both, two, B, A) is remaining(two, both, A, B) is both


def test_a_device_that_has_joined_a_space_counts_before_it_signs() -> None:
    """So nobody can take it away between pairing and its first statement."""
    one, two = Side("1", D, is_joined=False), Side("2", B, is_joined=False)
    assert remaining(two, one, A, D) is two
    assert remaining(one, two, D, A) is two
    assert remaining(two, one, A, STRANGER) is None


def test_a_space_is_joined_when_another_writer_has_signed() -> None:
    """Statements of devices that could never write do not count."""
    added = says("C", "add", A)
    assert not side("S", CREATOR, [added, says("X", "add", B)]).is_joined
    assert side("S", CREATOR, [added, says("A", "add", A, name="laptop")]).is_joined
