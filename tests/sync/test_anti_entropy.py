"""Anti-entropy between two stores."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from memcrdt.sync.anti_entropy import INTERVAL_S
from memcrdt.sync.events import Committed, SyncNow
from memcrdt.sync.messages import Bye, Diff, Range

if TYPE_CHECKING:
    from conftest import SessionHarness, World


def test_deletions_that_state_vectors_do_not_show_are_exchanged(world: World) -> None:
    """Equal vectors, different digests: both sides send their deletions."""
    a, b = world.nodes_sharing("AB")
    a.replica.write("S", 0, "one", "two", "three")
    world.connect(a, b)
    world.run(1)
    a.replica.delete("S", 0, "one")
    b.replica.delete("S", 0, "two")
    world.give(a, SyncNow())
    world.run(1)
    assert a.texts() == b.texts() == {"three"}


def test_an_idle_comparison_costs_less_than_200_bytes(world: World) -> None:
    """In both directions together, at any size, with ids of real length."""
    space = "s" * 52
    a, b = world.nodes_sharing("AB", space)
    for shard in range(500):
        a.replica.write(space, shard, "text")
    world.connect(a, b)
    world.run(2 * INTERVAL_S)
    start, reports = world.now, len(a.reports)
    world.run(1.25 * INTERVAL_S)
    rounds = len(a.reports) - reports
    assert rounds in (1, 2)
    assert world.bytes(start) < 200 * rounds
    assert {type(sent.message) for sent in world.sent if sent.at > start} == {Range}


def test_one_of_ten_thousand_shards_is_found_in_five_round_trips_and_4_kb(world: World) -> None:
    """Counted from the first frame of the session to the diff."""
    a, b = world.nodes_sharing("AB")
    for shard in range(10_000):
        a.replica.write("S", shard, "text")
    for shard, digest in a.replica.digests("S").items():
        b.replica.apply("S", shard, a.replica.diff("S", shard, {}).update, "A")
        assert digest.seq
    a.replica.write("S", 7_777, "new")
    world.connect(a, b)
    world.run(0.5)
    [payload] = [i for i, sent in enumerate(world.sent) if isinstance(sent.message, Diff)]
    before = world.sent[:payload]
    turns = sum(first.source != second.source for first, second in pairwise(world.sent[: payload + 1]))
    assert turns <= 2 * 5
    assert sum(sent.size for sent in before) <= 4_096
    assert b.texts() == {"text", "new"}


def test_a_difference_is_compared_again_soon(world: World) -> None:
    """So that both sides know within seconds that they agree, and receipts are exact."""
    a, b = world.nodes_sharing("AB")
    a.replica.write("S", 0, "text")
    world.connect(a, b)
    world.run(3)
    assert [report.kind for report in b.reports] == ["ready", "agreed"]
    assert a.replica.receipts == {("B", "S", 0): 1}
    assert b.replica.receipts == {("A", "S", 0): 1}


def test_a_shard_that_was_compared_alone_gives_a_receipt_soon(world: World) -> None:
    """Its rows were folded away before they could be sent, and the peer has them from elsewhere: it need not answer."""
    a, b = world.nodes_sharing("AB")
    world.connect(a, b)
    world.run(1)
    a.replica.write("S", 0, "text")
    b.replica.apply("S", 0, a.replica.diff("S", 0, {}).update, "C")
    a.replica.fold()
    world.give(a, Committed())
    world.run(3)
    assert a.replica.receipts == {("B", "S", 0): 1}


@pytest.mark.parametrize("ids", ["AB", "BA"])
def test_each_shard_of_a_long_first_sync_is_sent_once(ids: str, make_world: type[World]) -> None:
    """Whichever side begins comparisons: while diffs are confirmed, a comparison would find the rest again."""
    world = make_world(1, store=0.2)
    full, empty = world.nodes_sharing(ids)
    for shard in range(100):
        full.replica.write("S", shard, f"text {shard}")
    world.connect(full, empty)
    world.run(90)
    assert len(empty.texts()) == 100
    sent = [sent.message.shard for sent in world.messages(Diff, full.id) if isinstance(sent.message, Diff)]
    assert sorted(sent) == list(range(100))


def test_changes_without_an_event_are_found_by_comparison(world: World) -> None:
    """A commit that was not reported to the gossip arrives within the interval."""
    a, b = world.nodes_sharing("AB")
    world.connect(a, b)
    world.run(1)
    b.replica.write("S", 0, "silent")
    world.run(1.25 * INTERVAL_S + 1)
    assert a.texts() == {"silent"}


def test_an_answer_that_comes_before_the_question_ends_the_session(harness: SessionHarness) -> None:
    """The comparison has begun, but its fingerprint is not computed yet, so no honest peer can answer it."""
    harness.greet().receive(Range("S", (), root=True))  # answers the first comparison
    harness.performing = False
    harness.handle(SyncNow())
    assert harness.receive(Range("S", (), root=True)) == [Bye("an answer is about a comparison that is not open")]
    assert harness.perform_pending() == []
