"""The sending half of a session."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from memcrdt.model.limits import UPDATE_BYTES
from memcrdt.sync.events import UNSENT_BYTES, Committed
from memcrdt.sync.messages import Ack, Bye, Diff, Fragment, Have, Leaf, More, Push, Range, Want
from memcrdt.sync.sender import CLIENTS, DIFFS, FRAGMENTS, PUSH_BYTES, PUSHES, WANTS
from memcrdt.sync.session import LogRead
from memcrdt.sync.wire import FRAGMENT_BYTES, encode
from memcrdt.testing.fake_replica import FakeReplica

if TYPE_CHECKING:
    from conftest import SessionHarness, World


def test_a_push_has_the_state_vectors_before_and_after(harness: SessionHarness) -> None:
    """Of the clients that changed."""
    harness.greet().write(0, "one", "two")
    [push] = harness.write(0, "three")
    assert isinstance(push, Push)
    assert (push.needs, push.after) == ({1: 2}, {1: 3})


def test_an_update_from_the_peer_itself_is_not_sent_back(world: World) -> None:
    """Our log has it with its origin."""
    a, b = world.nodes_sharing("AB")
    world.connect(a, b)
    world.run(1)
    world.write(a, 0, "text")
    world.run(1)
    assert len(world.messages(Push)) == 1
    assert not world.messages(Diff)


def test_a_row_that_came_from_the_peer_is_its_receipt_also_where_we_only_read(world: World) -> None:
    """At once, not at the next comparison. Nothing of the space is sent."""
    a, b = world.nodes_sharing("AB")
    b.replica.only_read.add("S")
    world.connect(a, b)
    world.run(1)
    world.write(a, 0, "text")
    world.run(1)
    assert b.replica.receipts == {("A", "S", 0): 1}
    assert not world.messages(Push, source="B")


def test_a_row_that_we_may_not_send_is_never_confirmed(world: World) -> None:
    """Nor does a later row from the peer confirm it."""
    a, b = world.nodes_sharing("AB")
    b.replica.only_read.add("S")
    world.connect(a, b)
    world.run(1)
    world.write(b, 0, "ours")
    world.write(a, 0, "text")
    world.run(5)
    assert b.texts() == {"ours", "text"}
    assert a.texts() == {"text"}
    assert b.replica.receipts == {}


def test_a_large_update_is_announced_and_fetched(harness: SessionHarness) -> None:
    """So that a push is always small. A peer that wants the update gets it as a diff."""
    [push] = harness.greet().write(0, "x" * PUSH_BYTES)
    assert isinstance(push, Push)
    assert (push.update, push.after) == (b"", {1: 1})


def test_a_push_beyond_the_window_becomes_a_comparison(harness: SessionHarness) -> None:
    """Once half of the window is free, the digest of its shard is sent instead."""
    harness.greet()
    pushes = [message for i in range(PUSHES + 20) for message in harness.write(0, f"text {i}")]
    assert [type(push) for push in pushes] == [Push] * PUSHES
    sent = [message for push in pushes for message in harness.receive(Ack(push.batch, durable=True))]
    [have] = sent
    assert have == Have("S", (Leaf(0, 1, ((0, harness.replica.digests("S")[0].digest),)),))


def test_receipts_wait_for_the_comparison_after_an_overflow(harness: SessionHarness) -> None:
    """Rows that were not pushed are not claimed, even if later ones are acknowledged. The diff transfers them."""
    harness.greet().receive(Range("S", (), root=True))
    pushes = [message for i in range(PUSHES + 20) for message in harness.write(0, f"text {i}")]
    for push in pushes:
        harness.receive(Ack(push.batch, durable=True))
    [later] = harness.write(0, "later")
    harness.receive(Ack(later.batch, durable=True))
    assert harness.replica.receipts == {}
    [diff] = harness.receive(Want("S", 0, {1: PUSHES}))
    harness.receive(Ack(diff.batch, durable=True))
    assert harness.replica.receipts == {("B", "S", 0): PUSHES + 21}


def test_acknowledged_pushes_leave_the_window(harness: SessionHarness) -> None:
    """A hundred pushes, one after the other, are three times the window."""
    harness.greet()
    for number in range(100):
        [push] = harness.write(0, f"{number}" + "x" * (PUSH_BYTES // 2))
        assert isinstance(push, Push)
        harness.receive(Ack(push.batch, durable=True))


def test_a_shard_whose_rows_are_folded_is_compared(harness: SessionHarness) -> None:
    """The log no longer has its rows."""
    harness.greet()
    harness.replica.write("S", 4, "text")
    harness.replica.fold()
    [have] = harness.handle(LogRead(harness.replica.log_for_all(0, 64)))
    assert isinstance(have, Have)
    assert [leaf.lo for leaf in have.leaves] == [4]


def test_a_row_after_folded_rows_is_no_receipt_for_them(harness: SessionHarness) -> None:
    """The peer wrote this row, but did not get the rows that were folded before."""
    harness.greet()
    harness.receive(Range("S", (), root=True))
    theirs = FakeReplica(client=2)
    theirs.share("S", "shared", "A")
    theirs.write("S", 4, "from there")
    harness.replica.write("S", 4, "text")
    harness.replica.fold()
    harness.replica.apply("S", 4, theirs.diff("S", 4, {}).update, "B")
    harness.handle(LogRead(harness.replica.log_for_all(0, 64)))
    assert harness.replica.receipts == {}


def test_an_update_that_only_deletes_is_always_pushed_whole(world: World) -> None:
    """State vectors do not show whether a peer has it."""
    a, b, c = world.nodes_sharing("ABC")
    a.replica.write("S", 0, "one", "two")
    world.connect(a, b)
    world.connect(b, c)
    world.run(5)
    start = world.now
    a.replica.delete("S", 0, "one")
    world.give(a, Committed())
    world.run(0)
    assert c.texts() == {"two"}
    assert [sent.message.after for sent in world.messages(Push, "B", "C") if sent.at >= start] == [{}]


def test_the_number_of_diffs_in_flight_is_limited(harness: SessionHarness) -> None:
    """Further diffs are not even computed until the peer has acknowledged some."""
    harness.greet()
    for shard in range(DIFFS + 10):
        harness.replica.write("S", shard, "text")
    sent = harness.receive(Have("S", (Leaf(0, 1_000, ()),)))
    assert [type(message) for message in sent] == [Diff] * DIFFS
    assert [type(message) for message in harness.receive(Ack(sent[0].batch, durable=True))] == [Diff]


def test_a_shard_that_is_wanted_is_not_offered_as_well(harness: SessionHarness) -> None:
    """The Want has the exact state vector."""
    harness.greet()
    for shard in range(DIFFS + 1):
        harness.replica.write("S", shard, "text")
    sent = harness.receive(Have("S", (Leaf(0, 1_000, ()),)))
    assert harness.receive(Want("S", DIFFS, {})) == []
    rest = [message for diff in sent for message in harness.receive(Ack(diff.batch, durable=True))]
    assert [(message.shard, message.asked) for message in rest] == [(DIFFS, True)]


def test_the_number_of_open_wants_is_limited(harness: SessionHarness) -> None:
    """Their state vectors use our memory."""
    harness.greet().performing = False
    for shard in range(WANTS + 1):
        harness.receive(Want("S", shard, {}))
    assert not harness.session.closed
    harness.receive(Want("S", WANTS + 1, {}))
    assert harness.closed == f"more than {WANTS} shards are requested at a time"


def test_a_state_vector_too_large_to_remember_is_answered_with_the_whole_shard(harness: SessionHarness) -> None:
    """The memory of the queue is bounded, not only its length. The first Want does not wait in it."""
    harness.greet().performing = False
    for shard in range(4):
        harness.replica.write("S", shard, "text")
        harness.receive(Want("S", shard, dict.fromkeys(range(1, CLIENTS // 2 + 1), 1)))
    diffs = harness.perform_pending()
    assert [b"text" in diff.update for diff in diffs] == [False, False, False, True]


def test_a_push_overtakes_a_large_diff_in_fragments(harness: SessionHarness) -> None:
    """Two fragments are in flight, and a commit is sent at once."""
    harness.greet().write(0, "x" * 4 * FRAGMENT_BYTES)
    sent = harness.receive(Want("S", 0, {}))
    assert [(type(message), message.index) for message in sent] == [(Fragment, 0), (Fragment, 1)]
    assert [type(message) for message in harness.write(1, "small")] == [Push]
    batch = sent[0].batch
    rest = [message for _ in range(FRAGMENTS + 1) for message in harness.receive(More(batch))]
    assert [type(message) for message in rest] == [Fragment, Fragment, Fragment, Diff]
    parts = [message.data for message in (*sent, *rest[:-1])]
    assert b"".join(parts) == harness.replica.diff("S", 0, {}).update
    assert [len(part) for part in parts[:-1]] == [FRAGMENT_BYTES] * 4
    assert (rest[-1].batch, rest[-1].update) == (batch, b"")


def test_a_shard_too_large_to_send_is_reported(harness: SessionHarness) -> None:
    """The peer gets an empty answer, which closes its Want, and other shards continue."""
    harness.greet().write(0, "x" * UPDATE_BYTES)
    [diff] = harness.receive(Want("S", 0, {}))
    assert (diff.update, diff.asked) == (b"", True)
    assert harness.reports[-1].kind == "failed"
    assert harness.session.ready


@pytest.mark.parametrize("message", [Ack(99, durable=True), More(99)])
def test_an_acknowledgement_of_nothing_ends_the_session(harness: SessionHarness, message: Ack | More) -> None:
    """The peer's count differs from ours."""
    [bye] = harness.greet().receive(message)
    assert isinstance(bye, Bye)
    assert "batch 99" in bye.reason


def test_the_windows_are_smaller_than_the_send_queue_of_a_link(harness: SessionHarness) -> None:
    """A peer that acknowledges nothing gets less than the limit at which the driver closes the link."""
    harness.greet()
    sent = []
    for shard in range(200):
        sent += harness.write(shard, "x" * (PUSH_BYTES // 2))
    sent += harness.receive(Have("S", (Leaf(0, 1_000, ()),)))
    assert 0 < sum(len(encode(message)) for message in sent) < UNSENT_BYTES


def test_a_shard_too_large_for_one_diff_comes_in_several(world: World) -> None:
    """Each part follows once the one before is durable. Only after the last part does the peer have the row."""
    a, b = world.nodes_sharing("AB")
    a.replica.piece = 3
    a.replica.write("S", 0, *(f"text {i}" for i in range(10)))
    world.connect(a, b)
    world.run(1)
    diffs = [sent.message for sent in world.messages(Diff, "A")]
    assert [diff.after for diff in diffs if isinstance(diff, Diff)] == [{1: 3}, {1: 6}, {1: 9}, {1: 10}]
    assert (len(b.texts()), a.replica.receipts) == (10, {("B", "S", 0): 1})


def test_one_part_gives_no_receipt(harness: SessionHarness) -> None:
    """Its acknowledgement only triggers the next part."""
    harness.replica.piece = 1
    harness.greet().write(0, "one", "two")
    [first] = harness.receive(Want("S", 0, {}))
    assert isinstance(first, Diff)
    [second] = harness.receive(Ack(first.batch, durable=True))
    assert isinstance(second, Diff)
    assert (second.asked, second.after, harness.replica.receipts) == (False, {1: 2}, {})
