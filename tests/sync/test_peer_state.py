"""The state of a peer's copies: clocks, receipts, and scrubbing."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest

from memcrdt.sync.events import Ask, Committed, Started
from memcrdt.sync.gossip import Gossip
from memcrdt.sync.messages import Bye, Scrub, Scrubbed
from memcrdt.sync.outbox import Outbox
from memcrdt.sync.peer_state import TRAIL_ROWS, VECTOR_CLIENTS, VECTORS, PeerReceipts, PeerVectors
from memcrdt.sync.queries import query
from memcrdt.sync.replica import Replica

if TYPE_CHECKING:
    from conftest import Node, SessionHarness, World

KEY = ("S", 3)
ROW = ("B", "S", 0)


@pytest.fixture
def outbox() -> Outbox:
    return Outbox(1, "peer")


@pytest.fixture
def receipts(outbox: Outbox) -> PeerReceipts:
    return PeerReceipts(outbox)


def recorded(outbox: Outbox, receipts: PeerReceipts) -> int | None:
    """Return the row that is recorded in the store for KEY, if any."""
    outbox.start(receipts.record())
    for effect in outbox.take():
        assert isinstance(effect, Ask)
        assert effect.query.method == "note_receipts"
        outbox.answered(effect.id, {})
        _, _, held, _ = effect.query.args
        return held[3]
    return None


def test_vectors_grow_by_merging() -> None:
    """Known clocks stay known, and a greater clock counts."""
    vectors = PeerVectors()
    vectors.merge(KEY, {1: 5, 2: 1})
    vectors.merge(KEY, {1: 3, 2: 4})
    assert vectors.covers(KEY, {1: 5, 2: 4})
    assert not vectors.covers(KEY, {1: 6})
    assert not vectors.covers(("S", 4), {1: 1})


def test_an_update_that_only_deletes_is_never_covered() -> None:
    """State vectors do not show deletions."""
    vectors = PeerVectors()
    vectors.merge(KEY, {1: 5})
    assert not vectors.covers(KEY, {})


def test_a_shard_with_waiting_rows_gives_no_receipt(outbox: Outbox, receipts: PeerReceipts) -> None:
    """Row 0. Acknowledgements of later rows give none either, until the next comparison."""
    receipts.established(KEY, 4, asked=1)
    assert recorded(outbox, receipts) == 4
    receipts.sent(KEY, 6)
    receipts.agreed("S", {3: 0}, asked=1)
    receipts.acked(KEY, 6)
    receipts.had(KEY, 7)
    assert recorded(outbox, receipts) is None
    receipts.established(KEY, 6, asked=outbox.next_query)
    assert recorded(outbox, receipts) == 7


def test_vectors_are_bounded() -> None:
    """The least recently used shard is dropped first, and a vector of too many clients is not kept."""
    vectors = PeerVectors()
    for number in range(VECTORS):
        vectors.merge(("S", number), {1: 1})
    vectors.merge(("S", 0), {1: 2})
    vectors.merge(("S", VECTORS), {1: 1})
    assert vectors.covers(("S", 0), {1: 2})
    assert not vectors.covers(("S", 1), {1: 1})
    vectors.merge(("S", 0), dict.fromkeys(range(VECTOR_CLIENTS + 1), 1))
    assert not vectors.covers(("S", 0), {1: 1})


def test_without_a_base_an_acknowledged_row_gives_no_receipt(outbox: Outbox, receipts: PeerReceipts) -> None:
    """The peer may lack earlier rows."""
    receipts.sent(KEY, 5)
    receipts.acked(KEY, 5)
    assert recorded(outbox, receipts) is None


def test_a_receipt_is_cumulative(outbox: Outbox, receipts: PeerReceipts) -> None:
    """It advances only when all earlier rows are acknowledged as well."""
    receipts.established(KEY, 4, asked=1)
    assert recorded(outbox, receipts) == 4
    for row in (5, 6, 8):
        receipts.sent(KEY, row)
    receipts.acked(KEY, 8)
    receipts.acked(KEY, 6)
    assert recorded(outbox, receipts) is None
    receipts.acked(KEY, 5)
    assert recorded(outbox, receipts) == 8


def test_rows_that_were_acknowledged_before_the_base_count_with_it(outbox: Outbox, receipts: PeerReceipts) -> None:
    """A comparison that began earlier may end later."""
    receipts.sent(KEY, 5)
    receipts.acked(KEY, 5)
    receipts.established(KEY, 4, asked=1)
    assert recorded(outbox, receipts) == 5


def test_after_a_loss_only_a_later_query_gives_a_base(outbox: Outbox, receipts: PeerReceipts) -> None:
    """An earlier query does not cover the lost row: its answer gives a receipt, but no base."""
    receipts.lost(KEY)
    receipts.established(KEY, 4, asked=outbox.next_query - 1)
    assert recorded(outbox, receipts) == 4
    receipts.sent(KEY, 6)
    receipts.acked(KEY, 6)
    assert recorded(outbox, receipts) is None
    receipts.established(KEY, 5, asked=outbox.next_query)
    receipts.had(KEY, 7)
    assert recorded(outbox, receipts) == 7


def test_an_unacknowledged_row_holds_back_later_rows(outbox: Outbox, receipts: PeerReceipts) -> None:
    """The peer had a gap there, or refused it. A later base skips it."""
    receipts.established(KEY, 4, asked=1)
    receipts.sent(KEY, 5)
    receipts.had(KEY, 6)
    assert recorded(outbox, receipts) == 4
    receipts.established(KEY, 5, asked=2)
    assert recorded(outbox, receipts) == 6


def test_a_new_shard_in_an_equal_space_has_a_base(outbox: Outbox, receipts: PeerReceipts) -> None:
    """The peer cannot lack an earlier row. The same for a row sent during the comparison."""
    receipts.sent(KEY, 5)
    receipts.agreed("S", {1: 4}, asked=1)
    receipts.acked(KEY, 5)
    receipts.had(("S", 8), 6)
    outbox.start(receipts.record())
    [ask] = outbox.take()
    assert isinstance(ask, Ask)
    assert ask.query == query(Replica.note_receipts, "peer", "S", {1: 4, 3: 5, 8: 6}, {})


def test_a_receipt_never_moves_back(outbox: Outbox, receipts: PeerReceipts) -> None:
    """An old answer does not replace a newer one."""
    receipts.established(KEY, 9, asked=2)
    assert recorded(outbox, receipts) == 9
    receipts.established(KEY, 4, asked=1)
    assert recorded(outbox, receipts) is None


def test_a_peer_that_never_acknowledges_uses_bounded_memory(outbox: Outbox, receipts: PeerReceipts) -> None:
    """After too many rows of one shard, the rows are dropped until the next base."""
    receipts.established(KEY, 1, asked=1)
    for row in range(2, TRAIL_ROWS + 10):
        receipts.sent(KEY, row)
    for row in range(2, TRAIL_ROWS + 10):
        receipts.acked(KEY, row)
    assert recorded(outbox, receipts) == 1


def test_receipts_that_come_while_the_store_is_busy_are_recorded_together(
    outbox: Outbox, receipts: PeerReceipts
) -> None:
    """One query at a time, with all receipts since the last one."""
    for shard in range(3):
        receipts.established(("S", shard), 1, asked=1)
        outbox.start(receipts.record())
    first, *rest = outbox.take()
    assert isinstance(first, Ask)
    assert first.query == query(Replica.note_receipts, "peer", "S", {0: 1}, {})
    assert rest == []
    outbox.answered(first.id, {})
    outbox.start(receipts.record())
    [second] = outbox.take()
    assert isinstance(second, Ask)
    assert second.query == query(Replica.note_receipts, "peer", "S", {1: 1, 2: 1}, {})


# --- scrub acknowledgements ------------------------------------------------------------------------------------------


@pytest.fixture
def pair(world: World) -> tuple[Node, Node]:
    """Return A and B, which both have one text."""
    a, b = world.nodes_sharing("AB")
    a.replica.write("S", 0, "text")
    world.connect(a, b)
    world.run(5)
    return a, b


def delete(world: World, node: Node) -> None:
    node.replica.delete("S", 0, "text")
    world.give(node, Committed())
    world.run(1)


def test_a_forgetting_is_confirmed_when_it_is_scrubbed(world: World, pair: tuple[Node, Node]) -> None:
    """While a reader at the peer keeps the text in its file, the peer only confirms the deletion."""
    a, b = pair
    b.replica.reading = True
    delete(world, a)
    assert (a.replica.receipts[ROW], a.replica.scrubbed) == (2, {})
    b.replica.stop_reading()
    world.give(b, Committed())
    world.run(1)
    assert a.replica.scrubbed == {ROW: 2}


def test_a_forgetting_needs_one_question_and_one_answer(world: World, pair: tuple[Node, Node]) -> None:
    """Each side asks about rows that the other is known to have, and does not ask again while all are idle."""
    delete(world, pair[0])
    questions, answers = world.messages(Scrub), world.messages(Scrubbed)
    assert sorted((sent.source, sent.message.mark) for sent in questions) == [("A", 1), ("B", 1)]
    assert sorted((sent.source, sent.message.mark) for sent in answers) == [("A", 1), ("B", 1)]
    assert sum(sent.size for sent in questions + answers) == 20
    at = world.now
    world.run(300)
    assert [sent for sent in world.messages(Scrub) if sent.at > at] == []


def test_without_a_forgetting_nothing_is_asked(world: World, pair: tuple[Node, Node]) -> None:
    """There is nothing to scrub."""
    world.write(pair[0], 0, "more")
    world.run(60)
    assert world.messages(Scrub) == []


def test_a_question_lost_in_a_crash_is_asked_again(world: World, pair: tuple[Node, Node]) -> None:
    """The peer ends between commit and scrubbing. When it is back and scrubbed, the receipt is exact."""
    a, b = pair
    b.replica.reading = True
    delete(world, a)
    world.kill(b)
    again = type(b)("B", b.replica, Gossip("B", "incarnation of B", rng=Random(1)))
    world.nodes["B"] = again
    world.give(again, Started())
    world.connect(a, again)
    world.run(5)
    assert a.replica.scrubbed == {}
    again.replica.stop_reading()
    world.give(again, Committed())
    world.run(1)
    assert a.replica.scrubbed == {ROW: 2}


def test_without_an_event_the_next_comparison_checks_scrubbing(world: World, pair: tuple[Node, Node]) -> None:
    """If the driver does not report that the file may be scrubbed."""
    a, b = pair
    b.replica.reading = True
    delete(world, a)
    b.replica.stop_reading()
    world.run(60)
    assert a.replica.scrubbed == {ROW: 2}


def test_a_later_forgetting_is_asked_about_next(world: World, pair: tuple[Node, Node]) -> None:
    """One question at a time. The answer counts only for the rows of its question."""
    a, b = pair
    world.write(a, 1, "another")
    world.run(1)
    b.replica.reading = True
    delete(world, a)
    a.replica.delete("S", 1, "another")
    world.give(a, Committed())
    world.run(1)
    assert len(world.messages(Scrub, source="A")) == 1
    b.replica.stop_reading()
    world.give(b, Committed())
    world.run(1)
    assert a.replica.scrubbed == {ROW: 3, ("B", "S", 1): 4}
    assert [sent.message for sent in world.messages(Scrub, source="A")] == [Scrub("S", 1), Scrub("S", 2)]


@pytest.mark.parametrize("mark", [0, 2])
def test_an_answer_without_a_question_ends_the_session(harness: SessionHarness, mark: int) -> None:
    """It breaks the protocol."""
    [goodbye] = harness.greet().receive(Scrubbed("S", mark))
    assert goodbye == Bye("an answer about scrubbing came without a question")


def test_many_questions_cause_two_checks(harness: SessionHarness) -> None:
    """A peer that asks repeatedly makes the store check twice, and the last question is answered."""
    harness.greet().performing = False
    for mark in range(2_000):
        assert harness.receive(Scrub("S", mark)) == []
    assert len(harness.pending) == 1
    assert harness.perform_pending() == [Scrubbed("S", 1_999)]
