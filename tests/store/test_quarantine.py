"""What was refused is kept for a look, in a bounded heap, and shown."""

from __future__ import annotations

from collections.abc import Callable

from memcrdt.store.overview import overview
from memcrdt.store.quarantine import BYTES, ROWS
from tests.bare_device import BareDevice

Make = Callable[..., BareDevice]


def test_the_newest_64_refused_updates_are_kept_and_counted(device: Make) -> None:
    """With where they were for, whose they were, and why; nothing of the document changes."""
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
    """A peer can't fill the disk by being wrong: 64 MiB at most."""
    a = device("A")
    assert a.apply(b"\xff" * (BYTES + 1)).status == "refused"
    assert a.rows("SELECT length(bytes) FROM quarantine") == [(BYTES,)]
