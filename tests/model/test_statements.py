"""Statements about members, and the membership that follows from them."""

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


def test_a_statement_survives_packing() -> None:
    """The id stays the same, too."""
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
def test_a_malformed_statement_is_refused(data: bytes) -> None:
    """The cases are invalid fields, fields that differ from their signed form, and too many bytes."""
    with pytest.raises(RemoteProtocolError):
        unpack(data)


def test_a_statement_has_only_the_fields_of_its_kind() -> None:
    """An add keeps nothing and a revocation has no name. Otherwise each could be made eight kilobytes long."""
    for odd in (says("C", "add", A, keep=(bytes(16),)), says("C", "revoke", A, name="x")):
        with pytest.raises(RemoteProtocolError, match="canonical form"):
            unpack(odd.packed())


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
