"""Tests that no device destroys what another has acknowledged by claiming clocks of its client ids."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from memcrdt.model import registers
from memcrdt.model.clocks import varuint
from memcrdt.model.registers import DELETED
from memcrdt.store import alarms, claims, log
from memcrdt.store.membership import receipts
from memcrdt.store.membership.peers import Peers
from tests.bare_device import BareDevice, agree

Make = Callable[..., BareDevice]
ROOT = b"\x08memories"


def _collected(count: int) -> bytes:
    return b"\x00" + varuint(count)


def _deleted(count: int) -> bytes:
    return b"\x21\x01" + ROOT + b"\x01k" + varuint(count)


def _values(count: int) -> bytes:
    return b"\x28\x01" + ROOT + b"\x01k" + varuint(count) + b"\x7e" * count


BLOCKS = (_collected, _deleted, _values)


def claim(client: int, clock: int, block: bytes) -> bytes:
    """Return an update with one forged block of a client id."""
    return b"\x01\x01" + varuint(client) + varuint(clock) + block + b"\x00"


def _next(device: BareDevice) -> tuple[int, int]:
    """Return the client id of a device, and its next clock in the first shard."""
    client = device.store.facts.client_id
    return client, device.replica.state_vector(device.space(), 0).get(client, 0)


def _alarms(device: BareDevice) -> list[str]:
    with device.store.reading() as db:
        return [alarm.text for alarm in alarms.raised(db)]


def _assert_equal(devices: list[BareDevice]) -> None:
    assert len({device.digest() for device in devices}) == 1
    assert all(device.views() == devices[0].views() for device in devices)


def _of(device: BareDevice, memory: str) -> tuple[object, ...]:
    (row,) = device.rows("SELECT text, importance FROM memories WHERE id = ?", memory)
    return (
        *row,
        *sorted(tag for (tag,) in device.rows("SELECT tag FROM tags JOIN memories USING(memory) WHERE id = ?", memory)),
    )


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("count", [1, 3, 7, 1_000, (1 << 31) - 4_096])
@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_claimed_clocks_take_nothing_from_their_owner(
    device: Make, block: Callable[[int], bytes], count: int, order: tuple[int, int]
) -> None:
    """Births, tags, attributes, texts and forgets made meanwhile reach the device that took the claim for ours."""
    if block is _values and count > 1_000:
        pytest.skip("as many values would not fit")
    a, b = devices = [device("A"), device("B")]
    first, doomed = b.add("was here before", tags=["old"]), b.add("to be forgotten")
    agree(devices)
    assert a.apply(claim(*_next(b), block(count))).status == "applied"
    b.update(first, importance=0.9, add_tags=["new"])
    second = b.add("written meanwhile", tags=["one", "two"], metadata={"k": 1})
    b.update(first, text="edited meanwhile")
    b.forget(doomed)
    before = b.views()
    agree([devices[n] for n in order])
    assert b.views() == before
    _assert_equal(devices)
    assert a.texts() == {first: "edited meanwhile", second: "written meanwhile"}
    assert (_of(a, first), a.graves()) == (("edited meanwhile", 0.9, "new", "old"), {doomed})
    b.add("and goes on")
    agree(devices)
    _assert_equal(devices)


def test_a_claim_of_the_clocks_ahead_makes_the_owner_take_another_client_id(device: Make) -> None:
    """The update is applied all the same, and the alarm says what it may mean."""
    a, b = device("A"), device("B")
    b.add("first")
    agree([a, b])
    client, clock = _next(b)
    a.apply(claim(client, clock, _collected(9)))
    b.add("meanwhile")
    assert [applied.status for applied in b.take(a)] == ["applied"]
    b.add("later")
    assert b.store.facts.client_id != client
    assert "forges changes" in _alarms(b)[0]
    assert b.rows("SELECT count(*) FROM quarantine") == [(0,)]


def test_a_claim_makes_what_its_victim_confirmed_of_a_forget_void(device: Make) -> None:
    """It took the claim in place of the tombstone, and its clocks say that it has all. It has to confirm again."""
    a, b = device("A"), device("B")
    Peers(a.store).accept(b.id)
    memory = a.add("to be forgotten")
    agree([a, b])
    b.apply(claim(*_next(a), _deleted(9)))
    a.forget(memory)
    b.take(a)
    assert memory in b.texts()

    def confirmed() -> tuple[str, ...]:
        with a.store.reading() as db:
            return receipts.confirmations(db, [memory]).confirmed

    rows = {0: a.replica.digests(a.space())[0].seq}
    a.replica.note_receipts(b.id, a.space(), rows, rows)
    assert confirmed() == (b.id,)
    a.take(b)  # and finds the claim
    assert confirmed() == ()
    b.take(a)
    assert memory not in b.texts()
    rows = {0: a.replica.digests(a.space())[0].seq}
    a.replica.note_receipts(b.id, a.space(), rows, rows)
    assert confirmed() == (b.id,)


def test_a_claim_by_a_stock_client_is_answered_in_the_same_way(device: Make) -> None:
    """The alarm names its token."""
    a = device("A")
    a.add("first")
    client, clock = _next(a)
    claimed = claim(client, clock, _collected(9))
    assert a.replica.apply(a.space(), 0, claimed, f"{log.STOCK}editor").status == "applied"
    assert a.store.facts.client_id != client
    assert "the token 'editor'" in _alarms(a)[0]


@pytest.mark.parametrize("count", [2, 500])
def test_claims_of_a_former_client_id_take_nothing(device: Make, tmp_path: Path, count: int) -> None:
    """The machine was restarted twice in between, and so the store has had three client ids."""
    a = device("A")
    b = device("B", marks=tmp_path / "state", machine="M", boot="B1")
    b.add("first")
    agree([a, b])
    a.apply(claim(*_next(b), _collected(count)))
    kept = [b.add("under the first")]
    for boot in ("B2", "B3"):
        b.close()
        b = BareDevice(b.home, "B", marks=tmp_path / "state", machine="M", boot=boot)
        b.update(kept[0], importance=0.5, add_tags=[boot])
        kept.append(b.add(f"under that of {boot}"))
    before = b.views()
    agree([a, b])
    assert b.views() == before
    _assert_equal([a, b])
    assert set(kept) <= set(a.texts())
    b.close()


def test_a_claim_that_arrives_through_other_devices_takes_nothing(device: Make) -> None:
    """Neither does it from a device that had the true blocks before."""
    a, b, c, d = devices = [device(name) for name in "ABCD"]
    b.add("first")
    agree(devices)
    a.apply(claim(*_next(b), _collected(50)))
    kept = b.add("meanwhile", tags=["one"])
    b.update(kept, text="edited")
    c.take(b)
    c.update(kept, add_tags=["of C"])
    d.take(a)
    agree([d, c, b, a])
    _assert_equal(devices)
    assert all(each.texts()[kept] == "edited" and not each.graves() for each in devices)
    assert _of(a, kept)[2:] == ("of C", "one")


def test_a_deletion_without_a_tombstone_takes_nothing(device: Make) -> None:
    """A device that deletes registers of others without saying that it forgets them only makes them written again."""
    a, b = device("A"), device("B")
    memory = b.add("of B", tags=["one"])
    agree([a, b])
    deletion = a.stock_update(dict.fromkeys(_keys(a, memory), DELETED))
    assert b.apply(deletion).status == "applied"
    assert (b.texts(), b.graves()) == ({memory: "of B"}, set())
    agree([a, b])
    _assert_equal([a, b])


def _delete_everything(device: BareDevice) -> bytes:
    """Return an update that deletes all registers of the first shard, without a tombstone."""
    known = device.replica.state_vector(device.space(), 0)
    deletes = (varuint(client) + b"\x01\x00" + varuint(clock) for client, clock in known.items())
    return b"\x00" + varuint(len(known)) + b"".join(deletes)


def test_a_device_cannot_make_others_write_without_end(device: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it takes away is written again a few times, then once a minute. Others are not affected."""
    monkeypatch.setattr(claims, "REWRITES", 3)
    a = device("A")
    memory = a.add("kept")
    statuses = [a.apply(_delete_everything(a)).status for _ in range(6)]
    assert statuses == ["applied"] * 3 + ["later"] * 3
    assert (a.texts(), len(_alarms(a))) == ({memory: "kept"}, 1)
    assert "revoke it" in _alarms(a)[0]
    assert a.apply(_delete_everything(a), origin="Z" * 52).status == "applied"
    addition = a.stock_update({registers.tag_key(memory, b"", "new"): {"tag": "new", "at": 1}})
    assert a.apply(addition).status == "applied"
    a.clock += claims.REWRITE_EVERY_MS
    assert [a.apply(_delete_everything(a)).status for _ in range(2)] == ["applied", "later"]
    assert a.texts() == {memory: "kept"}


def test_claims_without_end_are_not_taken(device: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each would cost a client id of the store."""
    monkeypatch.setattr(claims, "REWRITES", 3)
    a = device("A")
    a.add("kept")
    found = [(a.apply(claim(*_next(a), _collected(1))).status, _next(a)[0]) for _ in range(6)]
    statuses, clients = zip(*found, strict=True)
    assert statuses[0] == "applied"
    assert set(statuses[2:]) == {"later"}
    assert len(set(clients[2:])) == 1


def test_a_stock_client_forgets_in_one_row_of_the_log(device: Make) -> None:
    """So no other device ever sees the deletion of the birth without the tombstone, and writes it again."""
    a, b = device("A"), device("B")
    memory = b.add("of B", tags=["one"])
    agree([a, b])
    head = a.replica.head()
    a.apply(a.stock_update({memory: DELETED}), origin=f"{log.STOCK}editor")
    ((update,),) = a.rows("SELECT bytes FROM updates WHERE seq > ?", head)
    assert b.apply(update).status == "applied"
    assert (b.texts(), b.graves()) == ({}, {memory})
    assert a.digest() == b.digest()


def test_two_stores_that_wrote_under_one_client_id_become_equal(device: Make) -> None:
    """Each writes its registers again under an id of its own when it meets blocks that are not its own."""
    a, b = devices = [device("A"), device("B")]
    base = a.add("both know this", tags=["base"])
    agree(devices)
    b.use_client(a.store.facts.client_id)
    for each, name in ((a, "A"), (b, "B")):
        each.add(f"of {name}", tags=[name])
        each.update(base, importance=0.5)
        each.add(f"another of {name}")
    agree(devices)
    _assert_equal(devices)
    assert set(a.texts().values()) == {"both know this", "of A", "another of A", "of B", "another of B"}


@pytest.mark.parametrize("seed", range(20))
def test_random_claims_take_nothing(device: Make, seed: int) -> None:
    """Three devices write and meet at random while a fourth claims clocks of theirs at one of them."""
    rng = Random(seed)
    devices = [device(name) for name in "ABC"]
    texts: dict[str, str] = {}
    for step in range(40):
        one, other = rng.sample(devices, 2)
        if (act := rng.random()) < 0.4:
            texts[one.add(f"{step}", tags=[f"t{step}"])] = f"{step}"
        elif act < 0.5 and (known := sorted(one.texts())):
            memory = rng.choice(known)
            one.update(memory, add_tags=[f"t{step}"])
        elif act < 0.75:
            one.take(other)
        else:
            client, clock = _next(other)
            clock = min(clock, one.replica.state_vector(one.space(), 0).get(client, 0))
            one.apply(claim(client, clock, rng.choice(BLOCKS)(rng.randrange(1, 12))))
    agree(devices)
    _assert_equal(devices)
    assert all(each.texts() == texts for each in devices)


def _keys(device: BareDevice, memory: str) -> list[str]:
    with device.store.documents() as (db, documents):
        shard = log.shard_numbers(db)[0]
        return list(documents.current(db, log.shard_row(db, shard)).live.registers(memory))
