"""Who has scrubbed what was forgotten."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest

from memcrdt.sync.events import Committed, Started
from memcrdt.sync.gossip import Gossip
from memcrdt.sync.messages import Bye, Scrub, Scrubbed

if TYPE_CHECKING:
    from conftest import Hand, Node, World

ROW = ("B", "S", 0)


@pytest.fixture
def pair(world: World) -> tuple[Node, Node]:
    """A and B, which hold one text."""
    a, b = world.nodes_sharing("AB")
    a.replica.write("S", 0, "text")
    world.connect(a, b)
    world.run(5)
    return a, b


def delete(world: World, node: Node) -> None:
    node.replica.delete("S", 0, "text")
    world.give(node, Committed())
    world.run(1)


def test_what_is_durable_is_confirmed_when_it_is_scrubbed(world: World, pair: tuple[Node, Node]) -> None:
    """A reader at the peer keeps the text in its file: until it ends, the peer holds the deletion and says no more."""
    a, b = pair
    b.replica.reading = True
    delete(world, a)
    assert (a.replica.receipts[ROW], a.replica.scrubbed) == (2, {})
    b.replica.stop_reading()
    world.give(b, Committed())
    world.run(1)
    assert a.replica.scrubbed == {ROW: 2}


def test_one_question_and_one_answer_a_forgetting(world: World, pair: tuple[Node, Node]) -> None:
    """Each side asks about what it knows the other to hold, and nothing is asked again while all are idle."""
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


def test_what_a_crash_has_left_open_is_asked_again(world: World, pair: tuple[Node, Node]) -> None:
    """The peer ends between durable and scrubbed; when it is back and clean, the receipt is exact again."""
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


def test_without_the_bell_the_next_comparison_tells(world: World, pair: tuple[Node, Node]) -> None:
    """Should nobody say that the file may be scrubbed."""
    a, b = pair
    b.replica.reading = True
    delete(world, a)
    b.replica.stop_reading()
    world.run(60)
    assert a.replica.scrubbed == {ROW: 2}


def test_what_is_forgotten_meanwhile_is_asked_next(world: World, pair: tuple[Node, Node]) -> None:
    """One question at a time; the answer counts only for what the question was about."""
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
def test_an_answer_that_was_not_asked_for_ends_the_session(hand: Hand, mark: int) -> None:
    """Whoever says it without being asked doesn't keep to the rules."""
    [goodbye] = hand.greet().say(Scrubbed("S", mark))
    assert goodbye == Bye("a file is said to be scrubbed, which was not asked")


def test_many_questions_are_one(hand: Hand) -> None:
    """A peer that asks without end has the store look twice: the last question is answered."""
    hand.greet().performing = False
    for mark in range(2_000):
        assert hand.say(Scrub("S", mark)) == []
    assert len(hand.pending) == 1
    assert hand.perform_pending() == [Scrubbed("S", 1_999)]
