"""What members say of each other, and what it comes to."""

from __future__ import annotations

from itertools import permutations

import msgpack
import pytest

from memcrdt.errors import RemoteProtocolError
from memcrdt.model.device_ids import device_id
from memcrdt.model.statements import (
    KEPT,
    STATEMENT_BYTES,
    Claim,
    Member,
    Statement,
    chain,
    membership,
    unpack,
    vouches,
)

KEYS = {name: name.encode() * 32 for name in "CABDX"}
CREATOR, A, B, D, STRANGER = (device_id(key) for key in KEYS.values())
SPACE = "S" * 52


def says(key: str, kind: str, device: str, at: int = 1, **fields: object) -> Statement:
    """A statement by the device with that key; its signature does not matter here."""
    return Statement(Claim(kind=kind, space=SPACE, device=device, at=at, **fields), KEYS[key], b"s" * 64)


def test_whoever_is_added_by_a_member_is_one() -> None:
    """However long the chain to the creator, in whatever order it is heard."""
    chained = [says("C", "add", A, name="laptop"), says("A", "add", B), says("B", "add", D, read_only=True)]
    for order in permutations(chained):
        known = membership(CREATOR, order)
        assert set(known.members) == {CREATOR, A, B, D}
        assert known.members[A] == Member("laptop", read_only=False)
        assert [known.may_write(device) for device in (CREATOR, A, B, D, STRANGER)] == [True, True, True, False, False]


def test_whoever_is_not_added_can_add_nobody() -> None:
    """A stranger's statements, and those that hang on them, count for nothing."""
    assert set(membership(CREATOR, [says("X", "add", A), says("A", "add", B)]).members) == {CREATOR}


def test_a_member_that_may_only_read_adds_and_revokes_nobody() -> None:
    """It has no say."""
    known = membership(
        CREATOR, [says("C", "add", A, read_only=True), says("A", "add", B), says("A", "revoke", CREATOR)]
    )
    assert set(known.members) == {CREATOR, A}


def test_a_revocation_wins_whenever_it_was_made() -> None:
    """Also against an add that is later: a revoked device needs a new key."""
    said = [says("C", "add", A, 1), says("C", "revoke", A, 2), says("C", "add", A, 9)]
    for order in permutations(said):
        known = membership(CREATOR, order)
        assert (set(known.members), known.revoked) == ({CREATOR}, {A})


def test_what_a_revoked_device_had_added_stays_if_the_revocation_says_so() -> None:
    """And only that: what it adds afterwards, with whatever date, is nobody."""
    kept, later = says("A", "add", B), says("A", "add", STRANGER)
    said = [says("C", "add", A), kept, later, says("C", "revoke", A, keep=(kept.id,))]
    assert set(membership(CREATOR, said).members) == {CREATOR, B}
    assert set(membership(CREATOR, [*said[:3], says("C", "revoke", A)]).members) == {CREATOR}


def test_the_creator_can_be_revoked() -> None:
    """A stolen laptop is out, also if it made the space; the others go on."""
    added = says("C", "add", A)
    known = membership(CREATOR, [added, says("A", "add", B), says("A", "revoke", CREATOR, keep=(added.id,))])
    assert set(known.members) == {A, B}


def test_a_revoked_device_keeps_nobody() -> None:
    """Two that revoke each other are both out, with what each had added and no third device keeps."""
    said = [says("C", "add", A), says("C", "add", B)]
    known = membership(CREATOR, [*said, says("A", "revoke", B), says("B", "revoke", A)])
    assert set(known.members) == {CREATOR}


def test_the_last_name_counts() -> None:
    """And the rights that come with it."""
    said = [says("C", "add", A, 1, name="old"), says("A", "add", A, 2, name="new")]
    assert membership(CREATOR, said).members[A] == Member("new", read_only=False)


def test_a_statement_survives_packing() -> None:
    """With the same id."""
    statement = says("C", "revoke", A, at=1_800_000_000_000, keep=(b"i" * 16,))
    assert unpack(statement.packed()) == statement
    assert unpack(statement.packed()).id == statement.id


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        msgpack.packb([]),
        msgpack.packb([b"", b"", b""]),
        msgpack.packb([msgpack.packb([0, SPACE, A, 1, "", False, []]), b"short", b"s" * 64]),
        msgpack.packb([msgpack.packb([7, SPACE, A, 1, "", False, []]), b"k" * 32, b"s" * 64]),
        msgpack.packb([msgpack.packb([0, SPACE, A, -1, "", False, []]), b"k" * 32, b"s" * 64]),
        msgpack.packb([msgpack.packb([0, SPACE, A, 1, "n" * 201, False, []]), b"k" * 32, b"s" * 64]),
        msgpack.packb([msgpack.packb([0, SPACE, A, 1, "", False, [b"short"]]), b"k" * 32, b"s" * 64]),
        msgpack.packb([msgpack.packb([0, SPACE, A, 1, "", 1, []]), b"k" * 32, b"s" * 64]),
        msgpack.packb([msgpack.packb([0, SPACE, A.lower(), 1, "", False, []]), b"k" * 32, b"s" * 64]),
        msgpack.packb([msgpack.packb([0, SPACE, A[:-1], 1, "", False, []]), b"k" * 32, b"s" * 64]),
        msgpack.packb([msgpack.packb([0, SPACE, A, 1, "", False, [b"i" * 16] * (KEPT + 1)]), b"k" * 32, b"s" * 64]),
        b"x" * (STATEMENT_BYTES + 1),
    ],
)
def test_what_is_no_statement_is_refused(data: bytes) -> None:
    """Bad fields, fields in another form than they are signed in, too large."""
    with pytest.raises(RemoteProtocolError):
        unpack(data)


def test_a_statement_says_only_what_belongs_to_its_kind() -> None:
    """An add keeps nothing, a revocation names nobody: else one could make each eight kilobytes long."""
    for odd in (says("C", "add", A, keep=(bytes(16),)), says("C", "revoke", A, name="x")):
        with pytest.raises(RemoteProtocolError, match="canonical form"):
            unpack(odd.packed())


def test_the_shortest_chain_introduces() -> None:
    """From the creator on; what the members say of others, and their own names, stay out of it."""
    first, second, third = says("C", "add", A), says("A", "add", B), says("B", "add", D, read_only=True)
    others = [says("B", "add", STRANGER), says("A", "add", A, name="laptop"), says("A", "add", CREATOR)]
    assert chain(CREATOR, D, [third, *others, second, first]) == [first, second, third]
    shorter = says("A", "add", D)
    assert chain(CREATOR, D, [third, *others, second, first, shorter]) == [first, shorter]
    assert chain(CREATOR, CREATOR, [first]) == []


def test_nobody_is_introduced_by_one_that_has_no_say() -> None:
    """Neither by a member that may only read, nor by a revoked one, nor by a stranger."""
    assert chain(CREATOR, B, [says("C", "add", A, read_only=True), says("A", "add", B)]) is None
    assert chain(CREATOR, B, [says("C", "add", A), says("A", "add", B), says("C", "revoke", A)]) is None
    assert chain(CREATOR, B, [says("X", "add", B)]) is None
    assert chain(CREATOR, B, [says("C", "add", B), says("C", "revoke", B)]) is None


def test_a_chain_vouches_for_its_last_device_alone() -> None:
    """Whoever else presents it stays a stranger."""
    presented = [says("C", "add", A), says("A", "add", B)]
    assert vouches(CREATOR, [], presented, B)
    assert vouches(CREATOR, presented[:1], presented[1:], B)
    assert not vouches(CREATOR, [], presented, STRANGER)
    assert not vouches(CREATOR, [], presented[1:], B)


def test_a_revocation_that_is_known_wins_against_an_introduction() -> None:
    """Of the device, or of the one that added it."""
    presented = [says("C", "add", A), says("A", "add", B)]
    assert not vouches(CREATOR, [says("C", "revoke", B)], presented, B)
    assert not vouches(CREATOR, [says("C", "revoke", A)], presented, B)


def test_an_introduction_brings_nothing_else() -> None:
    """No revocation, and nothing that a stranger has signed: it would fill the list of members."""
    presented = [says("C", "add", A)]
    assert not vouches(CREATOR, [], [*presented, says("A", "revoke", D)], A)
    assert not vouches(CREATOR, [], [*presented, says("X", "add", D)], A)
