"""The receiving half of a session."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from memcrdt.sync.messages import Ack, Bye, Declined, Diff, Fragment, Have, Leaf, More, Push, Range, Restate, Want
from memcrdt.sync.outbox import STRIKES
from memcrdt.sync.receiver import MISSING_CLIENTS
from memcrdt.sync.sender import WANTS
from memcrdt.sync.wire import FRAGMENT_BYTES, encode

if TYPE_CHECKING:
    from conftest import SessionHarness, World


def update(start: int, *texts: str, client: int = 2) -> bytes:
    """Return an update with the writes of client 2 from clock `start` on, in the format of the fake store."""
    return json.dumps([[[client, start, list(texts)]], []]).encode()


def test_a_push_is_acknowledged_when_it_is_durable(harness: SessionHarness) -> None:
    """Not before the store has answered."""
    harness.greet().performing = False
    push = Push("S", 0, update(0, "text"), {}, {2: 1}, 5)
    assert harness.receive(push) == []
    other = type(harness)().greet()
    assert other.receive(push) == [Ack(5, durable=True)]
    assert other.replica.texts("S") == {"text"}


def test_a_push_with_a_gap_before_it_is_requested_as_a_diff(harness: SessionHarness) -> None:
    """Nothing is applied. The Want has our state vector, and the answer closes the gap."""
    harness.greet().receive(Push("S", 0, update(0, "one"), {}, {2: 1}, 1))
    gap = Push("S", 0, update(2, "three"), {2: 2}, {2: 3}, 2)
    assert harness.receive(gap) == [Ack(2, durable=False), Want("S", 0, {2: 1})]
    assert harness.replica.texts("S") == {"one"}
    answer = Diff("S", 0, update(1, "two", "three"), {2: 3}, 3, asked=True)
    assert harness.receive(answer) == [Ack(3, durable=True)]
    assert harness.replica.texts("S") == {"one", "two", "three"}


def test_a_gap_that_the_answer_did_not_close_is_requested_again(harness: SessionHarness) -> None:
    """The answer may be older than the push. A claim that stays unfulfilled is not pursued forever."""
    harness.greet().receive(Push("S", 0, update(1, "two"), {2: 1}, {2: 2}, 1))
    assert harness.receive(Push("S", 0, update(5, "six"), {2: 5}, {2: 6}, 2)) == [Ack(2, durable=False)]
    again = harness.receive(Diff("S", 0, update(0, "one", "two"), {2: 2}, 3, asked=True))
    assert again == [Ack(3, durable=True), Want("S", 0, {2: 2})]
    assert harness.receive(Diff("S", 0, update(0, "one"), {2: 2}, 4, asked=True))[0] == Ack(4, durable=True)
    assert harness.session.ready
    assert [report.kind for report in harness.reports] == ["ready"]


def test_only_a_new_announced_update_is_requested(harness: SessionHarness) -> None:
    """An update that we have from another device is acknowledged at once."""
    announcement = Push("S", 0, b"", {}, {2: 1}, 1)
    assert harness.greet().receive(announcement) == [Ack(1, durable=False), Want("S", 0, {})]
    other = type(harness)().greet()
    other.replica.apply("S", 0, update(0, "text"), "C")
    assert other.receive(announcement) == [Ack(1, durable=True)]


def test_the_answer_to_a_want_lets_us_send_what_the_peer_lacks(harness: SessionHarness) -> None:
    """One round trip for both directions: the answer has the peer's whole state vector."""
    harness.greet().write(0, "ours")
    [want] = harness.receive(Have("S", (Leaf(0, 1, ((0, b"d" * 16),)),)))
    assert want == Want("S", 0, {1: 1})
    ack, diff = harness.receive(Diff("S", 0, update(0, "theirs"), {2: 1}, 1, asked=True))
    assert ack == Ack(1, durable=True)
    assert isinstance(diff, Diff)
    assert not diff.asked
    assert diff.after == {1: 1, 2: 1}


def test_wants_wait_for_their_turn(harness: SessionHarness) -> None:
    """The number of open Wants is limited. Each answer lets the next one start, and none is sent twice."""
    harness.greet()
    leaf = Leaf(0, 64, tuple((shard, b"d" * 16) for shard in range(64)))
    wants = harness.receive(Have("S", (leaf,)))
    assert wants == [Want("S", shard, {}) for shard in range(WANTS)]
    assert harness.receive(Have("S", (leaf,))) == []
    answer = Diff("S", 0, update(0, "text"), {2: 1}, 1, asked=True)
    assert harness.receive(answer) == [Ack(1, durable=True), Want("S", WANTS, {})]


def test_a_refused_update_is_a_strike_and_three_end_the_session(harness: SessionHarness) -> None:
    """Each one is reported, and none is acknowledged as durable or applied."""
    harness.greet()
    for batch in range(1, STRIKES + 1):
        assert harness.receive(Push("S", 0, b"nonsense", {}, {2: 1}, batch))[0] == Ack(batch, durable=False)
    assert [report.kind for report in harness.reports] == ["ready", *["refused"] * STRIKES]
    assert harness.closed == f"{STRIKES} of the updates were invalid"
    assert harness.replica.head() == 0


def test_an_update_without_room_here_is_no_strike_and_not_wanted_again(harness: SessionHarness) -> None:
    """The peer may only pass it on. It is told the reason, other shards sync, and the session stays."""
    harness.greet().replica.full = {0}
    for batch in range(1, 2 * STRIKES, 2):
        diff = Diff("S", 0, update(0, "much"), {2: 1}, batch, asked=False)
        assert harness.receive(diff) == [Declined(batch, "it is full"), Ack(batch, durable=False)]
        assert harness.receive(Push("S", 0, update(0, "much"), {}, {2: 1}, batch + 1)) == [
            Ack(batch + 1, durable=False)
        ]
    wants = harness.receive(Have("S", (Leaf(0, 2, ((0, b"d" * 16), (1, b"d" * 16))),)))
    assert wants == [Want("S", 1, {})]
    assert harness.receive(Diff("S", 1, update(0, "other"), {2: 1}, 9, asked=True)) == [Ack(9, durable=True)]
    assert harness.replica.texts("S") == {"other"}
    assert {report.kind for report in harness.reports} == {"ready", "refused"}


def test_registers_that_a_whole_copy_shows_as_hidden_are_asked_for(harness: SessionHarness) -> None:
    """Once for each copy. The other side writes them again; a copy with news shows nothing yet."""
    harness.greet().replica.hidden = ("one", "other")
    copy = Diff("S", 0, update(0, "text"), {2: 1}, 1, asked=False)
    assert harness.receive(copy) == [Ack(1, durable=True)]
    assert harness.receive(replace(copy, batch=2)) == [Ack(2, durable=True), Restate("S", 0, ("one", "other"))]
    assert harness.receive(Restate("S", 3, ("mine",))) == []
    assert harness.replica.restated == [("S", 3, ("mine",), "B")]


def test_a_shard_that_is_too_far_ahead_is_wanted_after_the_others(harness: SessionHarness) -> None:
    """A push of it is not wanted at once, and the next comparison finds it."""
    harness.greet().replica.ahead = 1
    assert harness.receive(Push("S", 1, update(0, "later"), {}, {2: 1}, 1)) == [Ack(1, durable=False)]
    leaf = Have("S", (Leaf(0, 2, ((0, b"d" * 16), (1, b"d" * 16))),))
    assert harness.receive(leaf) == [Want("S", 0, {}), Want("S", 1, {})]
    harness.receive(Diff("S", 0, update(0, "first"), {2: 1}, 2, asked=True))
    assert harness.receive(Diff("S", 1, update(0, "later"), {2: 1}, 3, asked=True)) == [Ack(3, durable=True)]
    assert harness.reports[1:] == []


@pytest.mark.parametrize(
    "message",
    [
        Push("S", 0, update(0, "text"), {}, {2: 9}, 1),
        Diff("S", 0, update(0, "text"), {2: 9}, 1, asked=False),
        Diff("S", 0, update(3, "text"), {2: 4}, 1, asked=False),
    ],
    ids=["push", "diff", "diff with a gap"],
)
def test_an_update_with_less_than_its_message_says_is_a_strike(harness: SessionHarness, message: Push | Diff) -> None:
    """The shard is requested again."""
    sent = harness.greet().receive(message)
    assert [report.kind for report in harness.reports] == ["ready", "protocol"]
    assert isinstance(sent[-1], Want)


def test_fragments_are_put_together(harness: SessionHarness) -> None:
    """Each is answered with a More, and the whole update is applied when its Diff arrives."""
    harness.greet()
    whole = update(0, "x" * 2 * FRAGMENT_BYTES)
    parts = [whole[i : i + FRAGMENT_BYTES] for i in range(0, len(whole), FRAGMENT_BYTES)]
    assert [harness.receive(Fragment(7, i, part)) for i, part in enumerate(parts)] == [[More(7)]] * 3
    assert harness.receive(Push("S", 1, update(0, "small"), {}, {2: 1}, 8)) == [Ack(8, durable=True)]
    assert harness.receive(Diff("S", 0, b"", {2: 1}, 7, asked=False)) == [Ack(7, durable=True)]
    assert harness.replica.texts("S") == {"x" * 2 * FRAGMENT_BYTES, "small"}


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
def test_fragments_out_of_order_end_the_session(harness: SessionHarness, fragments: list[Fragment]) -> None:
    """One update of up to 64 full fragments at a time, which bounds the memory for a peer."""
    harness.greet()
    for fragment in fragments:
        [*_, last] = harness.receive(fragment)
    assert isinstance(last, Bye)
    assert "out of order" in last.reason


@pytest.mark.parametrize(
    "message",
    [Diff("S", 0, update(0, "text"), {2: 1}, 1, asked=True), Range("S", (), root=True), Have("S", (), root=True)],
    ids=["diff", "range", "have"],
)
def test_an_answer_without_a_question_ends_the_session(harness: SessionHarness, message: Diff | Range | Have) -> None:
    """Otherwise it could be taken for the answer to a later question."""
    harness.greet().receive(Range("S", (), root=True))
    [bye] = harness.receive(message)
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
def test_a_peer_that_ignores_the_window_is_disconnected(harness: SessionHarness, message: Diff | Push) -> None:
    """The memory of messages that wait for the store is bounded."""
    harness.greet().performing = False
    frame = encode(message)
    for _ in range(600):
        harness.receive(frame)
    assert harness.closed == "more updates were sent than the window allows"


def test_a_large_state_vector_is_not_remembered_while_a_want_is_open(harness: SessionHarness) -> None:
    """Thousands of announcements would fill the memory. The next comparison finds their updates."""
    large = Push("S", 0, b"", {}, dict.fromkeys(range(MISSING_CLIENTS + 1), 9), 1)
    assert harness.greet().receive(large) == [Ack(1, durable=False), Want("S", 0, {})]
    assert harness.receive(large) == [Ack(1, durable=False)]
    assert harness.receive(Diff("S", 0, update(0, "text"), {2: 1}, 2, asked=True)) == [Ack(2, durable=True)]


def test_the_peer_is_not_told_that_an_update_is_durable_when_the_store_failed(world: World) -> None:
    """Its receipt does not advance. When the store works again, the next session transfers the update."""
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


def test_a_lasting_difference_is_asked_about_less_and_less(harness: SessionHarness) -> None:
    """Each answer to it may be a whole shard. A change on either side makes it a new one."""
    harness.greet()
    batch = iter(range(1, 1_000))

    def asked(digest: bytes, comparisons: int) -> list[int]:
        found = []
        for number in range(comparisons):
            if harness.receive(Have("S", (Leaf(0, 1, ((0, digest),)),))):
                found.append(number)
                harness.receive(Diff("S", 0, update(0, "theirs"), {2: 1}, next(batch), asked=True))
        return found

    harness.receive(Push("S", 0, update(0, "theirs"), {}, {2: 1}, next(batch)))
    assert asked(b"d" * 16, 40) == [0, 1, 2, 3, 16, 32]
    assert asked(b"e" * 16, 6) == [0, 1, 2, 3]
    harness.write(0, "ours")
    assert asked(b"e" * 16, 6) == [0, 1, 2, 3]
