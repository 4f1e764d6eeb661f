"""Tests of receipts: rows that other devices have confirmed as received and scrubbed, counted in memories."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from memcrdt.store.membership import receipts
from memcrdt.store.membership.members import Members
from memcrdt.store.membership.peers import Peers
from memcrdt.store.membership.receipts import Confirmations
from tests.bare_device import BareDevice

B, C = "B" * 52, "C" * 52


@pytest.fixture(name="here")
def _here(tmp_path: Path) -> Iterator[BareDevice]:
    """Return a device that shares `personal` with B."""
    device = BareDevice(tmp_path / "A", "A")
    Peers(device.store).accept(B)
    yield device
    device.close()


def hold_all(here: BareDevice, device: str = B) -> Mapping[int, int]:
    """Make a device confirm everything that is here. Return the shards that it has yet to scrub."""
    rows = {number: digest.seq for number, digest in here.replica.digests(here.space()).items()}
    return here.replica.note_receipts(device, here.space(), rows, {})


def scrub(here: BareDevice, rows: Mapping[int, int], device: str = B) -> Mapping[int, int]:
    return here.replica.note_receipts(device, here.space(), {}, rows)


def behind(here: BareDevice) -> int:
    with here.store.reading() as db:
        return receipts.behind(db, B)


def to_scrub(here: BareDevice) -> int:
    with here.store.reading() as db:
        return receipts.to_scrub(db, B)


def confirmations(here: BareDevice, *ids: str) -> Confirmations:
    with here.store.reading() as db:
        return receipts.confirmations(db, ids)


def test_a_commit_over_many_shards_is_confirmed_shard_by_shard(here: BareDevice) -> None:
    """Each shard has its own row in the log, but every memory has the last row of the commit."""
    here.add_many(f"text {number}" for number in range(300))
    assert behind(here) == 300
    here.replica.note_receipts(B, here.space(), {0: 1}, {})
    assert behind(here) == 300 - 256
    here.replica.note_receipts(B, here.space(), {1: 2}, {})
    assert behind(here) == 0


def test_a_later_change_of_a_shard_counts_alone(here: BareDevice) -> None:
    """This holds even if the rest of the shard came in a commit whose last row belongs to another shard."""
    first, *_ = here.add_many(f"text {number}" for number in range(300))
    hold_all(here)
    here.update(first, text="changed")
    assert behind(here) == 1


def test_a_forgetting_is_to_be_scrubbed_where_it_is_durable(here: BareDevice) -> None:
    """Covers the count, the confirmed devices and the rows to ask a device about. Each shard has its own row."""
    ids = here.add_many(f"text {number}" for number in range(300))
    hold_all(here)
    here.forget(ids[0], ids[280])
    assert (behind(here), to_scrub(here), confirmations(here, ids[0])) == (2, 2, ((), (B,)))
    rows = hold_all(here)
    assert (behind(here), to_scrub(here), rows) == (0, 2, {0: 4, 1: 4})
    assert scrub(here, {0: 4}) == {1: 4}
    assert (to_scrub(here), confirmations(here, ids[0])) == (1, ((B,), ()))
    assert confirmations(here, ids[0], ids[280]) == ((), (B,))
    assert scrub(here, {1: 4}) == {}
    assert (to_scrub(here), confirmations(here, *ids)) == (0, ((B,), ()))


def test_what_is_forgotten_later_leaves_what_was_confirmed(here: BareDevice) -> None:
    """This holds for a shard whose row was not the last row of the forgetting commit, and after later changes."""
    ids = here.add_many(f"text {number}" for number in range(300))
    here.forget(ids[0], ids[280])
    scrub(here, hold_all(here))
    here.update(ids[1], text="changed")
    hold_all(here)
    here.forget(ids[1])
    assert (to_scrub(here), confirmations(here, ids[0])) == (1, ((B,), ()))
    assert confirmations(here, ids[1]) == ((), (B,))


def test_nothing_is_asked_where_nothing_was_forgotten(here: BareDevice) -> None:
    """A device that has everything then has nothing to scrub."""
    here.add("text")
    assert (hold_all(here), to_scrub(here)) == ({}, 0)


def test_an_answer_about_receipts_that_are_void_counts_for_nothing(here: BareDevice) -> None:
    """The device was restored between question and answer, and has not confirmed these rows again."""
    forgotten = here.add("text")
    here.forget(forgotten)
    rows = hold_all(here)
    here.replica.note_incarnation(B, "another")
    here.replica.note_receipts(B, here.space(), {0: 1}, {})
    scrub(here, rows)
    assert to_scrub(here) == 1


def test_a_space_that_was_left_has_no_receipts(here: BareDevice) -> None:
    """The members of the space under its new id may have none of its data."""
    here.add("text")
    hold_all(here)
    Members(here.store).leave("personal")
    Peers(here.store).accept(B)
    assert behind(here) == 1


def test_every_device_of_the_space_has_to_confirm(here: BareDevice) -> None:
    """A revoked device is not waited for."""
    Peers(here.store).accept(C)
    forgotten = here.add("text")
    here.forget(forgotten)
    scrub(here, hold_all(here))
    assert confirmations(here, forgotten) == ((B,), (C,))
    Peers(here.store).revoke(C)
    assert confirmations(here, forgotten) == ((B,), ())


def test_a_file_is_scrubbed_when_no_reader_is_in_the_way(here: BareDevice) -> None:
    """Only then is a question about the file answered."""
    forgotten = here.add("text")
    with here.store.reading() as db:
        db.execute("BEGIN")
        db.execute("SELECT * FROM memories").fetchall()
        here.forget(forgotten)
        assert not here.replica.is_scrubbed(here.space())
        db.execute("ROLLBACK")
    assert any(here.store.scrub() for _ in range(100))  # another thread may be scrubbing
    assert here.replica.is_scrubbed(here.space())


def test_what_is_left_is_counted_for_each_device(here: BareDevice) -> None:
    """For some memories, or for all. A device that shares nothing is not asked."""
    Peers(here.store).accept("C" * 51 + "A", spaces=())
    ids = here.add_each({"text": f"text {number}"} for number in range(3))
    here.forget(*ids[:2])

    def left() -> tuple[dict[str, int], dict[str, int]]:
        with here.store.reading() as db:
            return receipts.left_of(db, ids[:1]), receipts.left_of_all(db)

    assert left() == ({B: 1}, {B: 2})
    scrub(here, hold_all(here))
    assert left() == ({B: 0}, {B: 0})
