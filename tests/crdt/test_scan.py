"""The scan: what it lets through, what it refuses, and what it says an update needs."""

from __future__ import annotations

import subprocess
import sys
from random import Random

import pytest

from memcrdt.crdt import scan as scan_module
from memcrdt.crdt.scan import scan
from memcrdt.crdt.shard import Shard
from memcrdt.errors import RemoteProtocolError
from memcrdt.model import limits
from memcrdt.model.clocks import covers
from tests.campaigns.histories import History
from tests.campaigns.mutate import ATTACKS

ID = "01JD8Z6Q4M0000000000000001"
BIRTH = {"text": "Grüße", "scope": "global", "created_at": 1_700_000_000_000, "author": None, "salt": "AAAA"}
SKIP_OF_FIVE = b"\x0a\x05"
ONE_COLLECTED = b"\x00\x01"


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS.keys())
def test_every_known_attack_is_refused(attack: bytes) -> None:
    """No update that an honest client cannot make passes the scan."""
    with pytest.raises(RemoteProtocolError):
        scan(attack)


def test_what_stock_yjs_encodes_is_accepted(yjs_accepted: bytes) -> None:
    """Plain values, deletes, undone writes and kept history, as yjs 13 encodes them, pass."""
    scan(yjs_accepted)


def test_what_stock_yjs_encodes_besides_plain_values_is_refused(yjs_refused: bytes) -> None:
    """Nested types, documents, bytes and other roots are refused, however well they are encoded."""
    with pytest.raises(RemoteProtocolError):
        scan(yjs_refused)


def test_a_truncated_update_is_refused_wherever_it_is_cut() -> None:
    """No prefix of an update passes for one."""
    update = Shard(5).write({ID: BIRTH, f"{ID}/t/a": None, f"{ID}/a/pinned": {"value": True, "at": 1.5}}).updates[0]
    for size in range(len(update)):
        with pytest.raises(RemoteProtocolError):
            scan(update[:size])


def test_an_update_above_the_size_limit_is_refused_unread() -> None:
    """At most 16 MiB are looked at."""
    with pytest.raises(RemoteProtocolError, match=f"at most {limits.UPDATE_BYTES}"):
        scan(bytes(limits.UPDATE_BYTES + 1))


def test_the_empty_update_brings_and_needs_nothing() -> None:
    """Two zeros are an update."""
    info = scan(b"\x00\x00")
    assert (info.first, info.after, info.needs, info.texts) == ({}, {}, {}, ())


def test_clocks_are_those_before_the_first_and_behind_the_last_block() -> None:
    """`first` and `after` say what an update brings of each client, and `needs` what comes before."""
    shard = Shard(5)
    assert shard.write({ID: BIRTH, f"{ID}/t/a": None})
    info = scan(shard.write({f"{ID}/t/b": {"tag": "b", "at": 1}, f"{ID}/t/c": None}).updates[0])
    assert (info.first, info.after, info.needs) == ({5: 2}, {5: 4}, {5: 2})


def test_an_overwrite_needs_what_it_overwrites() -> None:
    """The origin of a block counts as needed, though it is another client's."""
    author, other = Shard(5), Shard(6)
    other.apply(author.write({f"{ID}/t/a": None, f"{ID}/t/b": None}).updates[0])
    assert scan(other.write({f"{ID}/t/a": {"tag": "a", "at": 1}}).updates[0]).needs == {5: 1}


def test_a_delete_needs_what_it_deletes(yjs_sequence: list[bytes]) -> None:
    """An update of nothing but a delete brings no clock, and is a gap for who lacks the deleted block."""
    info = scan(yjs_sequence[4])
    assert (info.first, info.after, info.needs) == ({}, {}, {101: 4})


def test_a_skipped_range_is_needed() -> None:
    """An update with a hole in it fits only a document that has what is in the hole."""
    update = b"\x01\x03\x09\x00" + ONE_COLLECTED + SKIP_OF_FIVE + ONE_COLLECTED + b"\x00"
    info = scan(update)
    assert (info.first, info.after, info.needs) == ({9: 0}, {9: 7}, {9: 6})


def test_texts_are_those_of_births_and_revisions() -> None:
    """The strings under `text` of a value, and only at its top, are returned for embedding."""
    edit = Shard(5).write(
        {
            ID: BIRTH,
            f"{ID}/r/01JD8Z6Q4M0000000000000002": {"text": "second", "base": []},
            f"{ID}/m/a": {"key": "k", "value": {"text": "no"}, "at": 1},
            f"{ID}/t/a": {"tag": "text", "at": 1},
            f"{ID}/a/x": {"text": 5},
        }
    )
    assert sorted(scan(edit.updates[0]).texts) == ["Grüße", "second"]


def test_rows_of_our_own_log_may_be_larger_than_an_update_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limits on memory and blocks hold for what comes from outside only; the rest of the scan for all."""
    monkeypatch.setattr(scan_module, "MEMORY_BYTES", 1_000)
    monkeypatch.setattr(limits, "UPDATE_BLOCKS", 1)
    monkeypatch.setattr(limits, "UPDATE_BYTES", 100)
    update = Shard(5).write({ID: BIRTH, f"{ID}/t/a": None}).updates[0]
    with pytest.raises(RemoteProtocolError):
        scan(update)
    assert scan(update, own=True).after == {5: 2}
    with pytest.raises(RemoteProtocolError):
        scan(update[:-1], own=True)


@pytest.mark.parametrize("seed", range(20))
def test_everything_that_a_shard_encodes_is_accepted_and_needs_no_more_than_it_must(seed: int) -> None:
    """Edits, diffs and snapshots of any history pass, and a diff never claims a gap before it."""
    history = History(Random(seed)).run(30)
    for edit in history.edits:
        assert all(scan(update) for update in edit.updates)
    for shard in history.shards:
        assert scan(shard.snapshot()).needs == {}
        for other in history.shards:
            known = other.state_vector()
            info = scan(shard.diff(known))
            assert covers(known, info.needs)
            assert covers({**known, **info.after}, shard.state_vector())


def test_the_scan_is_importable_without_pycrdt() -> None:
    """Importing the scan does not import pycrdt, which takes a tenth of a second."""
    code = "import sys, memcrdt.crdt.scan; sys.exit('pycrdt' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
