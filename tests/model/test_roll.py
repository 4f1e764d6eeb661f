"""The statements that a device keeps of a space, and what a flood of them displaces."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from itertools import pairwise
from random import Random

import pytest

from memcrdt.model.device_ids import device_id
from memcrdt.model.membership import membership
from memcrdt.model.roll import UNIT_BYTES, retained
from memcrdt.model.statements import KEPT, ROLL_BYTES, STATEMENTS, Claim, Kind, Statement

SPACE = "S" * 52
ROOM = 100  # a small roll, so that the floods can be small
Flood = Callable[[], list[Statement]]


@pytest.fixture(autouse=True)
def _room(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("memcrdt.model.roll.STATEMENTS", ROOM)


def key(name: str) -> bytes:
    """Return the public key of the device called `name`."""
    return hashlib.sha256(name.encode()).digest()


def says(signer: str, kind: Kind, about: str, **fields: object) -> Statement:
    """Return a statement by one device about another. Its signature does not matter here."""
    claim = Claim(kind=kind, space=SPACE, device=device_id(key(about)), at=1, **fields)
    return Statement(claim, key(signer), b"s" * 64)


CREATOR = device_id(key("creator"))
HONEST = [
    says("creator", "add", "laptop"),
    says("laptop", "add", "phone"),
    says("phone", "add", "phone", name="phone"),
    says("creator", "add", "thief"),
    says("thief", "add", "tablet"),  # before it was one
    says("laptop", "revoke", "stolen long ago"),
]


def a_flood_of_adds() -> list[Statement]:
    return [says("thief", "add", f"phone {number}", name=f"phone {number}") for number in range(120)]


def a_flood_of_revocations() -> list[Statement]:
    keep = tuple(bytes([number]) * 16 for number in range(KEPT))
    return [says("thief", "revoke", f"nobody {number}", keep=keep) for number in range(60)]


def a_flood_by_many_keys() -> list[Statement]:
    """Each of 20 keys signs a few statements of its own."""
    adds = [says("thief", "add", f"key {number}") for number in range(20)]
    more = [says(f"key {n}", kind, f"of {n} {m}") for n in range(20) for kind in ("add", "revoke") for m in range(4)]
    return [*adds, *more]


def a_flood_in_a_long_chain() -> list[Statement]:
    """Every key adds the next one."""
    chain = ["thief", *(f"link {number}" for number in range(150))]
    return [says(signer, "add", added) for signer, added in pairwise(chain)]


FLOODS = [a_flood_of_adds, a_flood_of_revocations, a_flood_by_many_keys, a_flood_in_a_long_chain]


def arrive(batches: Sequence[Sequence[Statement]]) -> list[Statement]:
    """Return the roll after statements arrived in batches."""
    roll: dict[bytes, Statement] = {}
    for batch in batches:
        roll |= {each.id: each for each in batch}
        roll = {each.id: each for each in retained(CREATOR, roll.values())}
    return list(roll.values())


def test_everything_is_kept_while_there_is_room() -> None:
    """In any order. But statements of unknown devices would only take room."""
    assert arrive([HONEST]) == HONEST
    assert {each.id for each in arrive([[each] for each in HONEST])} == {each.id for each in HONEST}
    assert retained(CREATOR, [*HONEST, says("stranger", "add", "phone")]) == HONEST


@pytest.mark.parametrize("flood", FLOODS)
def test_a_roll_has_a_limit(flood: Flood) -> None:
    """It fits into a frame, in number and in bytes."""
    roll = retained(CREATOR, [*HONEST, *flood()])
    assert 0 < len(roll) <= ROOM
    assert sum(len(each.packed()) for each in roll) <= ROOM * UNIT_BYTES
    assert retained(CREATOR, roll) == roll


@pytest.mark.parametrize("flood", FLOODS)
def test_a_flood_displaces_no_statement_of_another_branch(flood: Flood) -> None:
    """In no order of arrival. So the other members, their rights and their revocations stay."""
    said = flood()
    random = Random(7)
    for _ in range(4):
        together = [*HONEST, *said]
        random.shuffle(together)
        batches = [together[at : at + 40] for at in range(0, len(together), 40)]
        for order in (batches, [said, HONEST], [HONEST, said]):
            again = arrive([*order, HONEST])  # their signers say the same again when they meet
            known = membership(CREATOR, again)
            assert {device_id(key(name)) for name in ("creator", "laptop", "phone", "thief")} <= known.members.keys()
            assert device_id(key("stolen long ago")) in known.revoked


@pytest.mark.parametrize("flood", FLOODS)
@pytest.mark.parametrize("revoker", ["creator", "laptop", "phone"])
def test_a_flood_prevents_no_revocation(flood: Flood, revoker: str) -> None:
    """Whoever revokes the flooding device, before or after the flood. What it signed has no effect then."""
    said = flood()
    revocation = says(revoker, "revoke", "thief", keep=(HONEST[4].id,))
    for order in ([HONEST, said, [revocation]], [HONEST, [revocation], said], [HONEST, [*said, revocation]]):
        known = membership(CREATOR, arrive(order))
        assert known.members.keys() == {device_id(key(name)) for name in ("creator", "laptop", "phone", "tablet")}


def test_two_devices_that_exchange_their_rolls_have_the_same() -> None:
    """Although each has dropped other statements before."""
    rolls = [arrive([HONEST, flood()]) for flood in FLOODS[:3]]
    for here in rolls:
        for there in rolls:
            assert {each.id for each in arrive([here, there])} == {each.id for each in arrive([there, here])}


def test_a_revocation_is_heard_although_its_signer_fell() -> None:
    """The adds that lead to the signer stay, even if nothing else of that branch does."""
    fallen = [says("creator", "revoke", "thief"), says("tablet", "revoke", "stolen before")]
    roll = arrive([HONEST, a_flood_of_adds(), fallen])
    known = membership(CREATOR, roll)
    assert device_id(key("tablet")) not in known.members
    assert device_id(key("stolen before")) in known.revoked
    assert len(roll) < 20


def test_a_creator_may_fill_the_roll_itself() -> None:
    """A flood of another branch takes at most half."""
    fleet = [says("creator", "add", f"machine {number}") for number in range(90)]
    roll = {each.id for each in arrive([HONEST, fleet, a_flood_of_adds()])}
    assert sum(each.id in roll for each in fleet) >= ROOM // 2 - len(HONEST)
    assert {each.id for each in HONEST} <= roll | {HONEST[4].id}


def test_a_long_statement_takes_the_room_of_several() -> None:
    """So the limit in units is a limit in bytes too."""
    assert UNIT_BYTES * STATEMENTS <= ROLL_BYTES
    assert len(says("creator", "add", "laptop", name="laptop").packed()) < UNIT_BYTES
