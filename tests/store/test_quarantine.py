"""Tests of the quarantine."""

from __future__ import annotations

from collections.abc import Callable

from memcrdt.store.overview import overview
from memcrdt.store.quarantine import BYTES, ROWS
from tests.bare_device import BareDevice

Make = Callable[..., BareDevice]


def test_the_newest_64_refused_updates_are_kept_and_counted(device: Make) -> None:
    """Each has its shard, its sender and the reason. The document does not change."""
    a = device("A")
    a.add("text")
    before = a.views(), a.digest()
    for number in range(ROWS + 6):
        assert a.apply(b"no update %d" % number).status == "refused"
    kept = a.rows("SELECT space, shard, origin, bytes FROM quarantine ORDER BY id")
    assert kept == [(a.store.space("personal"), 0, "Y" * 52, b"no update %d" % n) for n in range(6, ROWS + 6)]
    assert all(reason for (reason,) in a.rows("SELECT reason FROM quarantine"))
    assert overview(a.store).quarantined == ROWS
    assert (a.views(), a.digest()) == before


def test_of_a_large_one_the_beginning_is_kept(device: Make) -> None:
    """A peer cannot fill the disk with invalid updates. The maximum is 64 MiB."""
    a = device("A")
    assert a.apply(b"\xff" * (BYTES + 1)).status == "refused"
    assert a.rows("SELECT length(bytes) FROM quarantine") == [(BYTES,)]


def test_the_same_bytes_are_kept_once(device: Make) -> None:
    """A client that connects again and repeats a refused update displaces nothing."""
    a = device("A")
    for _ in range(3):
        assert a.apply(b"no update").status == "refused"
    assert a.apply(b"another").status == "refused"
    assert a.rows("SELECT bytes FROM quarantine ORDER BY id") == [(b"no update",), (b"another",)]
