"""The scan: the updates that it accepts and refuses, and the blocks that it says an update needs."""

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
from memcrdt.net.websocket import REASON_BYTES
from tests.campaigns.histories import History
from tests.campaigns.mutate import ATTACKS

ID = "01JD8Z6Q4M0000000000000001"
BIRTH = {"text": "Grüße", "scope": "global", "created_at": 1_700_000_000_000, "author": None, "salt": "AAAA"}
SKIP_OF_FIVE = b"\x0a\x05"
ONE_COLLECTED = b"\x00\x01"


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS.keys())
def test_every_known_attack_is_refused(attack: bytes) -> None:
    """Only updates that an honest client can make pass the scan."""
    with pytest.raises(RemoteProtocolError):
        scan(attack)


def test_plain_values_from_stock_yjs_are_accepted(yjs_accepted: bytes) -> None:
    """Plain values, deletes, undone writes and kept history pass as yjs 13 encodes them."""
    scan(yjs_accepted)


def test_other_content_from_stock_yjs_is_refused(yjs_refused: bytes) -> None:
    """Nested types, documents, bytes and other roots are refused, even if they are well-formed."""
    with pytest.raises(RemoteProtocolError):
        scan(yjs_refused)


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("a nested map", f"a Y.Map at key '{ID}'"),
        ("a nested text", f"a Y.Text at key '{ID}'"),
        ("a nested document", f"a Y.Doc at key '{ID}'"),
        ("bytes as a value", r"bytes \(a Uint8Array\) at key"),
        ("bytes within a value", r"bytes \(a Uint8Array\) at key"),
        ("a root array of that name", "a Y.Array or Y.Text called 'memories'"),
        ("another root map", "another root, 'other'"),
    ],
)
def test_a_refusal_says_in_words_of_yjs_what_is_not_allowed(
    yjs_refused_by_name: dict[str, bytes], name: str, words: str
) -> None:
    """And where it is, so that the author of a client finds it. The reason fits into the close frame of a WebSocket."""
    with pytest.raises(RemoteProtocolError, match=words) as refused:
        scan(yjs_refused_by_name[name])
    assert len(str(refused.value).encode()) <= REASON_BYTES


def test_a_truncated_update_is_refused_wherever_it_is_cut() -> None:
    """No prefix of an update is accepted."""
    update = Shard(5).write({ID: BIRTH, f"{ID}/t/a": None, f"{ID}/a/pinned": {"value": True, "at": 1.5}}).updates[0]
    for size in range(len(update)):
        with pytest.raises(RemoteProtocolError):
            scan(update[:size])


def test_an_update_above_the_size_limit_is_refused_unread() -> None:
    """The scan reads at most 16 MiB."""
    with pytest.raises(RemoteProtocolError, match=f"at most {limits.UPDATE_BYTES}"):
        scan(bytes(limits.UPDATE_BYTES + 1))


def test_a_register_that_is_too_large_is_refused() -> None:
    """A register has to fit easily into every update. A row of our own log may have one from an earlier version."""
    fits, excess = (Shard(5).write({ID: {"text": "x" * size}}).updates[0] for size in (200_000, limits.REGISTER_BYTES))
    assert 200_000 < scan(fits).largest < 201_000
    with pytest.raises(RemoteProtocolError, match="register of"):
        scan(excess)
    assert scan(excess, own=True).largest > limits.REGISTER_BYTES


def test_the_empty_update_brings_and_needs_nothing() -> None:
    """Two zeros are a valid update."""
    info = scan(b"\x00\x00")
    assert (info.first, info.after, info.needs, info.texts) == ({}, {}, {}, ())


def test_a_scan_returns_the_clocks_of_the_first_block_and_after_the_last() -> None:
    """`first` and `after` bound the blocks of each client in an update, and `needs` has the blocks before them."""
    shard = Shard(5)
    assert shard.write({ID: BIRTH, f"{ID}/t/a": None})
    info = scan(shard.write({f"{ID}/t/b": {"tag": "b", "at": 1}, f"{ID}/t/c": None}).updates[0])
    assert (info.first, info.after, info.needs) == ({5: 2}, {5: 4}, {5: 2})


def test_an_overwrite_needs_the_overwritten_block() -> None:
    """The origin of a block is needed, even if it belongs to another client."""
    author, other = Shard(5), Shard(6)
    other.apply(author.write({f"{ID}/t/a": None, f"{ID}/t/b": None}).updates[0])
    assert scan(other.write({f"{ID}/t/a": {"tag": "a", "at": 1}}).updates[0]).needs == {5: 1}


def test_a_delete_needs_the_deleted_block(yjs_sequence: list[bytes]) -> None:
    """An update with only a delete has no clock. A document that lacks the deleted block cannot apply it."""
    info = scan(yjs_sequence[4])
    assert (info.first, info.after, info.needs) == ({}, {}, {101: 4})


def test_a_skipped_range_is_needed() -> None:
    """An update with a hole fits only a document that has the blocks of the hole."""
    update = b"\x01\x03\x09\x00" + ONE_COLLECTED + SKIP_OF_FIVE + ONE_COLLECTED + b"\x00"
    info = scan(update)
    assert (info.first, info.after, info.needs) == ({9: 0}, {9: 7}, {9: 6})


def test_texts_are_those_of_births_and_revisions() -> None:
    """The strings under `text` at the top level of values are returned for embedding, with the kind beside them."""
    edit = Shard(5).write(
        {
            ID: {**BIRTH, "kind": "fact"},
            f"{ID}/r/01JD8Z6Q4M0000000000000002": {"text": "second", "base": []},
            f"{ID}/m/a": {"key": "k", "value": {"text": "no"}, "at": 1},
            f"{ID}/t/a": {"tag": "text", "at": 1},
            f"{ID}/a/x": {"text": 5, "kind": "fact"},
        }
    )
    assert sorted(scan(edit.updates[0]).texts) == [("Grüße", "fact"), ("second", None)]


def test_rows_of_our_own_log_may_be_larger_than_an_update_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limits on memory and blocks apply only to updates from outside. All other checks apply to both."""
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
