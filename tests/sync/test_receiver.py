"""What comes from a peer."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from memcrdt.sync.messages import Ack, Bye, Diff, Fragment, Have, Leaf, More, Push, Range, Want
from memcrdt.sync.outbox import STRIKES
from memcrdt.sync.receiver import MISSING_CLIENTS
from memcrdt.sync.sender import WANTS
from memcrdt.sync.wire import FRAGMENT_BYTES, encode

if TYPE_CHECKING:
    from conftest import Hand, World


def update(start: int, *texts: str, client: int = 2) -> bytes:
    """What client 2 wrote from clock `start` on, as the fake store reads it."""
    return json.dumps([[[client, start, list(texts)]], []]).encode()


def test_a_push_is_acknowledged_when_it_is_durable(hand: Hand) -> None:
    """Not before the store has answered."""
    hand.greet().performing = False
    push = Push("S", 0, update(0, "text"), {}, {2: 1}, 5)
    assert hand.say(push) == []
    other = type(hand)().greet()
    assert other.say(push) == [Ack(5, durable=True)]
    assert other.replica.texts("S") == {"text"}


def test_a_push_with_a_gap_before_it_is_asked_for_instead(hand: Hand) -> None:
    """Nothing is applied; the want has our state vector, and the answer brings both."""
    hand.greet().say(Push("S", 0, update(0, "one"), {}, {2: 1}, 1))
    gap = Push("S", 0, update(2, "three"), {2: 2}, {2: 3}, 2)
    assert hand.say(gap) == [Ack(2, durable=False), Want("S", 0, {2: 1})]
    assert hand.replica.texts("S") == {"one"}
    answer = Diff("S", 0, update(1, "two", "three"), {2: 3}, 3, asked=True)
    assert hand.say(answer) == [Ack(3, durable=True)]
    assert hand.replica.texts("S") == {"one", "two", "three"}


def test_a_second_gap_is_asked_for_again_when_the_answer_did_not_bring_it(hand: Hand) -> None:
    """The answer may have been computed before; but a claim that stays unfulfilled is not pursued for ever."""
    hand.greet().say(Push("S", 0, update(1, "two"), {2: 1}, {2: 2}, 1))
    assert hand.say(Push("S", 0, update(5, "six"), {2: 5}, {2: 6}, 2)) == [Ack(2, durable=False)]
    again = hand.say(Diff("S", 0, update(0, "one", "two"), {2: 2}, 3, asked=True))
    assert again == [Ack(3, durable=True), Want("S", 0, {2: 2})]
    assert hand.say(Diff("S", 0, update(0, "one"), {2: 2}, 4, asked=True))[0] == Ack(4, durable=True)
    assert hand.session.ready
    assert [report.kind for report in hand.reports] == ["ready"]


def test_an_announcement_is_asked_for_only_when_it_is_new(hand: Hand) -> None:
    """What we have from somebody else is acknowledged at once."""
    announcement = Push("S", 0, b"", {}, {2: 1}, 1)
    assert hand.greet().say(announcement) == [Ack(1, durable=False), Want("S", 0, {})]
    other = type(hand)().greet()
    other.replica.apply("S", 0, update(0, "text"), "C")
    assert other.say(announcement) == [Ack(1, durable=True)]


def test_the_answer_to_a_want_brings_the_peer_what_it_lacks(hand: Hand) -> None:
    """One round trip for both directions: the answer holds the peer's whole state vector."""
    hand.greet().write(0, "ours")
    [want] = hand.say(Have("S", (Leaf(0, 1, ((0, b"d" * 16),)),)))
    assert want == Want("S", 0, {1: 1})
    ack, diff = hand.say(Diff("S", 0, update(0, "theirs"), {2: 1}, 1, asked=True))
    assert ack == Ack(1, durable=True)
    assert isinstance(diff, Diff)
    assert not diff.asked
    assert diff.after == {1: 1, 2: 1}


def test_wants_wait_for_their_turn(hand: Hand) -> None:
    """At most so many are open; each answer lets the next one go, and none is asked twice."""
    hand.greet()
    leaf = Leaf(0, 64, tuple((shard, b"d" * 16) for shard in range(64)))
    wants = hand.say(Have("S", (leaf,)))
    assert wants == [Want("S", shard, {}) for shard in range(WANTS)]
    assert hand.say(Have("S", (leaf,))) == []
    answer = Diff("S", 0, update(0, "text"), {2: 1}, 1, asked=True)
    assert hand.say(answer) == [Ack(1, durable=True), Want("S", WANTS, {})]


def test_a_refused_update_is_a_strike_and_three_end_the_session(hand: Hand) -> None:
    """Reported each time; never acknowledged as durable, never applied."""
    hand.greet()
    for batch in range(1, STRIKES + 1):
        assert hand.say(Push("S", 0, b"nonsense", {}, {2: 1}, batch))[0] == Ack(batch, durable=False)
    assert [report.kind for report in hand.reports] == ["ready", *["refused"] * STRIKES]
    assert hand.closed == f"{STRIKES} of the updates were invalid"
    assert hand.replica.head() == 0


@pytest.mark.parametrize(
    "message",
    [
        Push("S", 0, update(0, "text"), {}, {2: 9}, 1),
        Diff("S", 0, update(0, "text"), {2: 9}, 1, asked=False),
        Diff("S", 0, update(3, "text"), {2: 4}, 1, asked=False),
    ],
    ids=["push", "diff", "diff with a gap"],
)
def test_an_update_that_brings_less_than_it_said_is_a_strike(hand: Hand, message: Push | Diff) -> None:
    """The shard is asked for again."""
    sent = hand.greet().say(message)
    assert [report.kind for report in hand.reports] == ["ready", "protocol"]
    assert isinstance(sent[-1], Want)


def test_fragments_are_put_together(hand: Hand) -> None:
    """Each is answered with a More, the whole is applied when its diff comes."""
    hand.greet()
    whole = update(0, "x" * 2 * FRAGMENT_BYTES)
    parts = [whole[i : i + FRAGMENT_BYTES] for i in range(0, len(whole), FRAGMENT_BYTES)]
    assert [hand.say(Fragment(7, i, part)) for i, part in enumerate(parts)] == [[More(7)]] * 3
    assert hand.say(Push("S", 1, update(0, "small"), {}, {2: 1}, 8)) == [Ack(8, durable=True)]
    assert hand.say(Diff("S", 0, b"", {2: 1}, 7, asked=False)) == [Ack(7, durable=True)]
    assert hand.replica.texts("S") == {"x" * 2 * FRAGMENT_BYTES, "small"}


@pytest.mark.parametrize(
    "fragments",
    [
        [Fragment(1, 1, b"x")],
        [Fragment(1, 0, b"x" * FRAGMENT_BYTES), Fragment(2, 0, b"x")],
        [Fragment(1, 0, b"x" * FRAGMENT_BYTES), Fragment(1, 2, b"x")],
        [Fragment(1, 0, b"short"), Fragment(1, 1, b"x")],
        [Fragment(1, 0, b"")],
    ],
    ids=["no first one", "two updates at a time", "one left out", "one short before the last", "empty"],
)
def test_fragments_out_of_order_end_the_session(hand: Hand, fragments: list[Fragment]) -> None:
    """One update of at most 64 full fragments at a time: that bounds the memory for a peer."""
    hand.greet()
    for fragment in fragments:
        [*_, last] = hand.say(fragment)
    assert isinstance(last, Bye)
    assert "out of order" in last.reason


@pytest.mark.parametrize(
    "message",
    [Diff("S", 0, update(0, "text"), {2: 1}, 1, asked=True), Range("S", (), root=True), Have("S", (), root=True)],
    ids=["diff", "range", "have"],
)
def test_an_answer_without_a_question_ends_the_session(hand: Hand, message: Diff | Range | Have) -> None:
    """Else it could pass for the answer to a question that is still to come."""
    hand.greet().say(Range("S", (), root=True))
    [bye] = hand.say(message)
    assert isinstance(bye, Bye)


@pytest.mark.parametrize(
    "message",
    [
        Diff("S", 0, b"x" * FRAGMENT_BYTES, {}, 1, asked=False),
        Diff("S", 0, b"x", dict.fromkeys(range(50_000), 1), 1, asked=False),
        Push("S", 0, b"", {}, dict.fromkeys(range(50_000), 1), 1),
    ],
    ids=["bytes", "state vectors", "announcements"],
)
def test_a_peer_that_ignores_the_window_is_closed(hand: Hand, message: Diff | Push) -> None:
    """What waits for the store is bounded in memory."""
    hand.greet().performing = False
    frame = encode(message)
    for _ in range(600):
        hand.say(frame)
    assert hand.closed == "more updates were sent than the window allows"


def test_a_large_state_vector_is_not_remembered_while_a_want_is_open(hand: Hand) -> None:
    """Thousands of announcements would fill the memory; the next comparison finds what they told of."""
    large = Push("S", 0, b"", {}, dict.fromkeys(range(MISSING_CLIENTS + 1), 9), 1)
    assert hand.greet().say(large) == [Ack(1, durable=False), Want("S", 0, {})]
    assert hand.say(large) == [Ack(1, durable=False)]
    assert hand.say(Diff("S", 0, update(0, "text"), {2: 1}, 2, asked=True)) == [Ack(2, durable=True)]


def test_the_peer_is_not_told_that_an_update_is_durable_when_the_store_failed(world: World) -> None:
    """Its receipt does not move; after the store works again, the next session brings the update."""
    a, b = world.nodes_sharing("AB")
    world.connect(a, b)
    world.run(1)
    b.replica.failing = "the disk is full"
    world.write(a, 0, "text")
    world.run(1)
    assert a.replica.receipts == {}
    assert a.gossip.status() == []
    b.replica.failing = ""
    world.connect(a, b)
    world.run(3)
    assert b.texts() == {"text"}
    assert a.replica.receipts == {("B", "S", 0): 1}
