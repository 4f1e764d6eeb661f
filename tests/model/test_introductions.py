"""Which statements introduce a device, and which introductions are worth something."""

from __future__ import annotations

from memcrdt.model.device_ids import device_id
from memcrdt.model.introductions import chain, vouches
from memcrdt.model.statements import Claim, Statement

KEYS = {name: name.encode() * 32 for name in "CABDX"}
CREATOR, A, B, D, STRANGER = (device_id(key) for key in KEYS.values())


def says(key: str, kind: str, device: str, at: int = 1, **fields: object) -> Statement:
    """A statement by the device with that key; its signature does not matter here."""
    return Statement(Claim(kind=kind, space="S" * 52, device=device, at=at, **fields), KEYS[key], b"s" * 64)


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
