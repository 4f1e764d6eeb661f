"""What goes to a peer, and how much of it at a time."""

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
    from conftest import Hand, World


def test_a_push_says_what_it_needs_and_what_it_brings(hand: Hand) -> None:
    """The state vectors before and after, of the clients that changed."""
    hand.greet().write(0, "one", "two")
    [push] = hand.write(0, "three")
    assert isinstance(push, Push)
    assert (push.needs, push.after) == ({1: 2}, {1: 3})


def test_an_update_from_the_peer_itself_is_not_sent_back(world: World) -> None:
    """It is in our log, with its origin."""
    a, b = world.nodes_sharing("AB")
    world.connect(a, b)
    world.run(1)
    world.write(a, 0, "text")
    world.run(1)
    assert len(world.messages(Push)) == 1
    assert not world.messages(Diff)


def test_a_large_update_is_announced_and_fetched(hand: Hand) -> None:
    """So that a push is always small; the peer gets it as a diff, when it wants it."""
    [push] = hand.greet().write(0, "x" * PUSH_BYTES)
    assert isinstance(push, Push)
    assert (push.update, push.after) == (b"", {1: 1})


def test_a_push_that_finds_no_room_becomes_a_comparison(hand: Hand) -> None:
    """The queue is not kept: once half of the window is free, the shard's digest is sent instead."""
    hand.greet()
    pushes = [message for i in range(PUSHES + 20) for message in hand.write(0, f"text {i}")]
    assert [type(push) for push in pushes] == [Push] * PUSHES
    sent = [message for push in pushes for message in hand.say(Ack(push.batch, durable=True))]
    [have] = sent
    assert have == Have("S", (Leaf(0, 1, ((0, hand.replica.digests("S")[0].digest),)),))


def test_receipts_wait_for_the_comparison_after_an_overflow(hand: Hand) -> None:
    """The rows that were not pushed are not claimed, even when later ones are acknowledged; the diff brings them."""
    hand.greet().say(Range("S", (), root=True))
    pushes = [message for i in range(PUSHES + 20) for message in hand.write(0, f"text {i}")]
    for push in pushes:
        hand.say(Ack(push.batch, durable=True))
    [later] = hand.write(0, "later")
    hand.say(Ack(later.batch, durable=True))
    assert hand.replica.receipts == {}
    [diff] = hand.say(Want("S", 0, {1: PUSHES}))
    hand.say(Ack(diff.batch, durable=True))
    assert hand.replica.receipts == {("B", "S", 0): PUSHES + 21}


def test_what_is_acknowledged_makes_room(hand: Hand) -> None:
    """A hundred pushes, one after the other, are three times the window."""
    hand.greet()
    for number in range(100):
        [push] = hand.write(0, f"{number}" + "x" * (PUSH_BYTES // 2))
        assert isinstance(push, Push)
        hand.say(Ack(push.batch, durable=True))


def test_a_shard_whose_rows_are_folded_is_compared(hand: Hand) -> None:
    """The log no longer has them."""
    hand.greet()
    hand.replica.write("S", 4, "text")
    hand.replica.fold()
    [have] = hand.handle(LogRead(hand.replica.log_for_all(0, 64)))
    assert isinstance(have, Have)
    assert [leaf.lo for leaf in have.leaves] == [4]


def test_a_row_behind_folded_ones_is_no_receipt_for_them(hand: Hand) -> None:
    """The peer has written it, and has not got what was folded before."""
    hand.greet()
    hand.say(Range("S", (), root=True))
    theirs = FakeReplica(client=2)
    theirs.share("S", "shared", "A")
    theirs.write("S", 4, "from there")
    hand.replica.write("S", 4, "text")
    hand.replica.fold()
    hand.replica.apply("S", 4, theirs.diff("S", 4, {}).update, "B")
    hand.handle(LogRead(hand.replica.log_for_all(0, 64)))
    assert hand.replica.receipts == {}


def test_an_update_that_only_deletes_is_pushed_whole_to_everyone(world: World) -> None:
    """No state vector can tell whether a peer has it."""
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


def test_at_most_so_many_diffs_are_in_flight(hand: Hand) -> None:
    """The others wait, not computed yet, until the peer has acknowledged."""
    hand.greet()
    for shard in range(DIFFS + 10):
        hand.replica.write("S", shard, "text")
    sent = hand.say(Have("S", (Leaf(0, 1_000, ()),)))
    assert [type(message) for message in sent] == [Diff] * DIFFS
    assert [type(message) for message in hand.say(Ack(sent[0].batch, durable=True))] == [Diff]


def test_a_shard_that_is_wanted_is_not_offered_as_well(hand: Hand) -> None:
    """The want tells more exactly what is lacking."""
    hand.greet()
    for shard in range(DIFFS + 1):
        hand.replica.write("S", shard, "text")
    sent = hand.say(Have("S", (Leaf(0, 1_000, ()),)))
    assert hand.say(Want("S", DIFFS, {})) == []
    rest = [message for diff in sent for message in hand.say(Ack(diff.batch, durable=True))]
    assert [(message.shard, message.asked) for message in rest] == [(DIFFS, True)]


def test_a_peer_cannot_have_more_wants_open_than_agreed(hand: Hand) -> None:
    """Their state vectors are memory of ours."""
    hand.greet().performing = False
    for shard in range(WANTS + 1):
        hand.say(Want("S", shard, {}))
    assert not hand.session.closed
    hand.say(Want("S", WANTS + 1, {}))
    assert hand.closed == f"more than {WANTS} shards are requested at a time"


def test_a_state_vector_too_large_to_remember_is_answered_with_the_whole_shard(hand: Hand) -> None:
    """The queue of wants is bounded in memory, not only in number. The first want does not wait in it."""
    hand.greet().performing = False
    for shard in range(4):
        hand.replica.write("S", shard, "text")
        hand.say(Want("S", shard, dict.fromkeys(range(1, CLIENTS // 2 + 1), 1)))
    diffs = hand.perform_pending()
    assert [b"text" in diff.update for diff in diffs] == [False, False, False, True]


def test_a_large_diff_goes_in_fragments_and_a_push_passes_it(hand: Hand) -> None:
    """Two fragments in flight; a commit meanwhile goes out at once."""
    hand.greet().write(0, "x" * 4 * FRAGMENT_BYTES)
    sent = hand.say(Want("S", 0, {}))
    assert [(type(message), message.index) for message in sent] == [(Fragment, 0), (Fragment, 1)]
    assert [type(message) for message in hand.write(1, "small")] == [Push]
    batch = sent[0].batch
    rest = [message for _ in range(FRAGMENTS + 1) for message in hand.say(More(batch))]
    assert [type(message) for message in rest] == [Fragment, Fragment, Fragment, Diff]
    parts = [message.data for message in (*sent, *rest[:-1])]
    assert b"".join(parts) == hand.replica.diff("S", 0, {}).update
    assert [len(part) for part in parts[:-1]] == [FRAGMENT_BYTES] * 4
    assert (rest[-1].batch, rest[-1].update) == (batch, b"")


def test_a_shard_too_large_to_send_is_reported_and_the_rest_goes_on(hand: Hand) -> None:
    """The peer gets an empty answer, so that its want is closed."""
    hand.greet().write(0, "x" * UPDATE_BYTES)
    [diff] = hand.say(Want("S", 0, {}))
    assert (diff.update, diff.asked) == (b"", True)
    assert hand.reports[-1].kind == "failed"
    assert hand.session.ready


@pytest.mark.parametrize("message", [Ack(99, durable=True), More(99)])
def test_what_acknowledges_nothing_ends_the_session(hand: Hand, message: Ack | More) -> None:
    """The peer counts otherwise than we do."""
    [bye] = hand.greet().say(message)
    assert isinstance(bye, Bye)
    assert "batch 99" in bye.reason


def test_the_windows_keep_below_what_a_link_may_have_unsent(hand: Hand) -> None:
    """A peer that acknowledges nothing gets less than the bound at which the driver closes."""
    hand.greet()
    sent = []
    for shard in range(200):
        sent += hand.write(shard, "x" * (PUSH_BYTES // 2))
    sent += hand.say(Have("S", (Leaf(0, 1_000, ()),)))
    assert 0 < sum(len(encode(message)) for message in sent) < UNSENT_BYTES


def test_what_is_too_large_for_one_diff_comes_in_several(world: World) -> None:
    """Each part follows when the one before is durable, and only with the last one the peer holds the row."""
    a, b = world.nodes_sharing("AB")
    a.replica.piece = 3
    a.replica.write("S", 0, *(f"text {i}" for i in range(10)))
    world.connect(a, b)
    world.run(1)
    diffs = [sent.message for sent in world.messages(Diff, "A")]
    assert [diff.after for diff in diffs if isinstance(diff, Diff)] == [{1: 3}, {1: 6}, {1: 9}, {1: 10}]
    assert (len(b.texts()), a.replica.receipts) == (10, {("B", "S", 0): 1})


def test_a_part_alone_is_no_receipt(hand: Hand) -> None:
    """Its acknowledgement brings the next part and no more."""
    hand.replica.piece = 1
    hand.greet().write(0, "one", "two")
    [first] = hand.say(Want("S", 0, {}))
    assert isinstance(first, Diff)
    [second] = hand.say(Ack(first.batch, durable=True))
    assert isinstance(second, Diff)
    assert (second.asked, second.after, hand.replica.receipts) == (False, {1: 2}, {})
