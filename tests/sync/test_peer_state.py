"""What is known of a peer's copies."""

from __future__ import annotations

import pytest

from memcrdt.sync.events import Ask
from memcrdt.sync.outbox import Outbox
from memcrdt.sync.peer_state import TRAIL_ROWS, VECTOR_CLIENTS, VECTORS, PeerReceipts, PeerVectors
from memcrdt.sync.queries import RecordReceipts

KEY = ("S", 3)


@pytest.fixture
def port() -> Outbox:
    return Outbox(1, "peer")


@pytest.fixture
def receipts(port: Outbox) -> PeerReceipts:
    return PeerReceipts(port, lambda space, rows: None)


def recorded(port: Outbox, receipts: PeerReceipts) -> int | None:
    """The row that the store is told for KEY, if any."""
    receipts.pump()
    for effect in port.take():
        assert isinstance(effect, Ask)
        assert isinstance(effect.query, RecordReceipts)
        port.answered(effect.id, {})
        return effect.query.held[3]
    return None


def test_vectors_grow_by_merging() -> None:
    """What was known stays known, a greater clock counts."""
    vectors = PeerVectors()
    vectors.merge(KEY, {1: 5, 2: 1})
    vectors.merge(KEY, {1: 3, 2: 4})
    assert vectors.covers(KEY, {1: 5, 2: 4})
    assert not vectors.covers(KEY, {1: 6})
    assert not vectors.covers(("S", 4), {1: 1})


def test_an_update_that_only_deletes_is_never_covered() -> None:
    """State vectors don't tell of deletions."""
    vectors = PeerVectors()
    vectors.merge(KEY, {1: 5})
    assert not vectors.covers(KEY, {})


def test_a_shard_of_which_rows_wait_gives_no_receipt(port: Outbox, receipts: PeerReceipts) -> None:
    """Row 0: nor do acknowledgements of later rows, until a comparison says again what the peer holds."""
    receipts.established(KEY, 4, asked=1)
    assert recorded(port, receipts) == 4
    receipts.sent(KEY, 6)
    receipts.agreed("S", {3: 0}, asked=1)
    receipts.acked(KEY, 6)
    receipts.had(KEY, 7)
    assert recorded(port, receipts) is None
    receipts.established(KEY, 6, asked=port.next_ask)
    assert recorded(port, receipts) == 7


def test_vectors_are_bounded() -> None:
    """The shard that was longest at rest goes first, and a vector of too many clients is not kept."""
    vectors = PeerVectors()
    for number in range(VECTORS):
        vectors.merge(("S", number), {1: 1})
    vectors.merge(("S", 0), {1: 2})
    vectors.merge(("S", VECTORS), {1: 1})
    assert vectors.covers(("S", 0), {1: 2})
    assert not vectors.covers(("S", 1), {1: 1})
    vectors.merge(("S", 0), dict.fromkeys(range(VECTOR_CLIENTS + 1), 1))
    assert not vectors.covers(("S", 0), {1: 1})


def test_without_a_base_an_acknowledged_row_is_no_receipt(port: Outbox, receipts: PeerReceipts) -> None:
    """The peer may lack what came before."""
    receipts.sent(KEY, 5)
    receipts.acked(KEY, 5)
    assert recorded(port, receipts) is None


def test_a_receipt_is_cumulative(port: Outbox, receipts: PeerReceipts) -> None:
    """It moves only when everything earlier is acknowledged as well."""
    receipts.established(KEY, 4, asked=1)
    assert recorded(port, receipts) == 4
    for row in (5, 6, 8):
        receipts.sent(KEY, row)
    receipts.acked(KEY, 8)
    receipts.acked(KEY, 6)
    assert recorded(port, receipts) is None
    receipts.acked(KEY, 5)
    assert recorded(port, receipts) == 8


def test_rows_that_were_acknowledged_before_the_base_count_with_it(port: Outbox, receipts: PeerReceipts) -> None:
    """A comparison that began earlier may end later."""
    receipts.sent(KEY, 5)
    receipts.acked(KEY, 5)
    receipts.established(KEY, 4, asked=1)
    assert recorded(port, receipts) == 5


def test_after_a_loss_only_a_later_question_gives_a_base(port: Outbox, receipts: PeerReceipts) -> None:
    """What was asked before the loss does not tell of the lost row: it is a receipt, but no base."""
    receipts.lost(KEY)
    receipts.established(KEY, 4, asked=port.next_ask - 1)
    assert recorded(port, receipts) == 4
    receipts.sent(KEY, 6)
    receipts.acked(KEY, 6)
    assert recorded(port, receipts) is None
    receipts.established(KEY, 5, asked=port.next_ask)
    receipts.had(KEY, 7)
    assert recorded(port, receipts) == 7


def test_a_row_that_was_never_acknowledged_holds_back_those_behind_it(port: Outbox, receipts: PeerReceipts) -> None:
    """The peer had a gap there, or refused it. A base behind it goes past it."""
    receipts.established(KEY, 4, asked=1)
    receipts.sent(KEY, 5)
    receipts.had(KEY, 6)
    assert recorded(port, receipts) == 4
    receipts.established(KEY, 5, asked=2)
    assert recorded(port, receipts) == 6


def test_a_shard_that_is_new_in_a_space_that_was_equal_has_a_base(port: Outbox, receipts: PeerReceipts) -> None:
    """There is no earlier row that the peer could lack. So also for a row sent while the comparison went on."""
    receipts.sent(KEY, 5)
    receipts.agreed("S", {1: 4}, asked=1)
    receipts.acked(KEY, 5)
    receipts.had(("S", 8), 6)
    receipts.pump()
    [ask] = port.take()
    assert isinstance(ask, Ask)
    assert ask.query == RecordReceipts("peer", "S", {1: 4, 3: 5, 8: 6}, {})


def test_a_receipt_never_moves_back(port: Outbox, receipts: PeerReceipts) -> None:
    """An old answer is not recorded over a newer one."""
    receipts.established(KEY, 9, asked=2)
    assert recorded(port, receipts) == 9
    receipts.established(KEY, 4, asked=1)
    assert recorded(port, receipts) is None


def test_a_peer_that_never_acknowledges_costs_bounded_memory(port: Outbox, receipts: PeerReceipts) -> None:
    """After too many rows of one shard the trail is given up, until the next base."""
    receipts.established(KEY, 1, asked=1)
    for row in range(2, TRAIL_ROWS + 10):
        receipts.sent(KEY, row)
    for row in range(2, TRAIL_ROWS + 10):
        receipts.acked(KEY, row)
    assert recorded(port, receipts) == 1


def test_receipts_that_come_while_the_store_is_busy_are_recorded_together(port: Outbox, receipts: PeerReceipts) -> None:
    """One query at a time, with everything that came meanwhile."""
    for shard in range(3):
        receipts.established(("S", shard), 1, asked=1)
        receipts.pump()
    first, *rest = port.take()
    assert isinstance(first, Ask)
    assert first.query == RecordReceipts("peer", "S", {0: 1}, {})
    assert rest == []
    port.answered(first.id, {})
    receipts.pump()
    [second] = port.take()
    assert isinstance(second, Ask)
    assert second.query == RecordReceipts("peer", "S", {1: 1, 2: 1}, {})
