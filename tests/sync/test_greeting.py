"""What greetings say of spaces: nothing more passes between devices that hold the same."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import pytest

from memcrdt.sync.events import Connected, SpacesChanged, Timer
from memcrdt.sync.messages import PROTOCOL, Have, Hello, MembershipDigest, Offer, Range
from memcrdt.sync.queries import query
from memcrdt.sync.replica import MembershipRecord, Replica
from memcrdt.sync.session import LogRead

if TYPE_CHECKING:
    from conftest import Hand, Node, World

SPACE = base64.b32encode(bytes(range(32))).decode().rstrip("=")  # as long as a real one


def share(a: Node, b: Node) -> None:
    a.replica.share(SPACE, "personal", b.id)
    b.replica.share(SPACE, "personal", a.id)


def reconnect(world: World, a: Node, b: Node) -> float:
    """Lets them agree, parts them, and connects them again; returns when."""
    link = world.connect(a, b)
    world.run(10)
    world.cut(link)
    world.run(1)
    for node in (a, b):
        node.reports.clear()
        node.replica.receipts.clear()
    start = world.now
    world.connect(a, b)
    world.run(10)
    return start


@pytest.mark.parametrize("shards", [0, 1, 500])
def test_a_reconnect_of_equal_devices_costs_less_than_200_bytes(world: World, shards: int) -> None:
    """Two greetings and nothing else, at any size, with ids as long as real ones."""
    a, b = world.node("A", "a" * 32), world.node("B", "b" * 32)
    share(a, b)
    for shard in range(shards):
        a.replica.write(SPACE, shard, "text")
    start = reconnect(world, a, b)
    assert [type(sent.message) for sent in world.sent if sent.at >= start] == [Hello, Hello]
    assert world.bytes(start) == 170


def test_equal_greetings_are_receipts_for_both(world: World) -> None:
    """As a comparison would be: each knows that the other holds all that it holds."""
    a, b = world.node("A"), world.node("B")
    share(a, b)
    a.replica.write(SPACE, 0, "one")
    b.replica.write(SPACE, 7, "two")
    reconnect(world, a, b)
    for node, other in ((a, b), (b, a)):
        rows = {shard: digest.seq for shard, digest in node.replica.digests(SPACE).items()}
        assert node.replica.receipts == {(other.id, SPACE, shard): rows[shard] for shard in (0, 7)}
        assert [report.kind for report in node.reports] == ["ready", "agreed"]


@pytest.mark.parametrize("seed", range(40))
def test_what_is_committed_while_greetings_are_on_their_way_arrives_at_once(make_world: type[World], seed: int) -> None:
    """On either side, before or after its greeting was made or the other's has come; and receipts are exact."""
    world = make_world(seed, latency=0.2, store=0.1)
    a, b = world.nodes_sharing("AB")
    a.replica.write("S", 0, "old")
    world.connect(a, b)
    world.run(5)
    world.cut(1)
    world.run(1)
    world.connect(a, b)
    writer, other = world.rng.sample([a, b], 2)
    world.run(world.rng.uniform(0, 0.8))
    world.write(writer, world.rng.choice([0, 1]), "new")
    world.run(5)
    assert a.texts() == b.texts() == {"old", "new"}
    for shard, digest in writer.replica.digests("S").items():
        assert writer.replica.receipts[other.id, "S", shard] == digest.seq


def test_a_commit_behind_the_greeting_has_the_space_compared(hand: Hand) -> None:
    """Equal greetings say nothing of it: neither side counts as having it."""
    hand.handle(Connected(1, "B", dialed=True))
    before = hand.digest()
    assert hand.write(0, "later") == []
    assert [type(message) for message in hand.say(hand.hello(before))] == [Range]
    assert hand.replica.receipts == {}


def test_a_row_that_was_folded_behind_the_greeting_has_the_space_compared(hand: Hand) -> None:
    """It is not in the log any more; the log says that something was."""
    hand.handle(Connected(1, "B", dialed=True))
    before = hand.digest()
    hand.replica.write("S", 0, "later")
    hand.replica.fold()
    hand.handle(LogRead(hand.replica.log(0, 64)))
    assert [type(message) for message in hand.say(hand.hello(before))] == [Range]


def test_documents_that_differ_are_compared_and_statements_are_not_said(world: World) -> None:
    """Greetings that differ don't say why."""
    a, b = world.nodes_sharing("AB")
    a.replica.write("S", 0, "text")
    world.connect(a, b)
    world.run(0.5)
    assert b.texts() == {"text"}
    kinds = [type(sent.message) for sent in world.sent]
    assert kinds[:6] == [Hello, Hello, MembershipDigest, MembershipDigest, Range, Have]


def test_greetings_tell_rolls_apart(hand: Hand, monkeypatch: pytest.MonkeyPatch) -> None:
    """Equal documents are not enough: the members have to be the same, too."""
    hand.handle(Connected(1, "B", dialed=True))
    monkeypatch.setattr(hand.replica, "membership", lambda _: MembershipRecord("A", b"nonce", (b"a statement",)))
    other = hand.digest()
    monkeypatch.undo()
    assert hand.say(hand.hello(other)) == [hand.known()]
    assert hand.session.shared == frozenset()


def test_a_digest_of_the_roll_is_always_answered(hand: Hand) -> None:
    """Also where the greetings were equal for us: those of the peer's have crossed ours. Once."""
    hand.handle(Connected(1, "B", dialed=True))
    assert hand.say(hand.hello(hand.digest())) == []
    assert hand.say(hand.known()) == [hand.known()]
    assert hand.say(hand.known()) == []


def test_a_store_that_takes_its_time_greets_without_digests(hand: Hand) -> None:
    """The spaces are compared later; what it finds then is not said."""
    hand.performing = False
    hand.handle(Connected(1, "B", dialed=True))
    assert hand.perform_next() == []
    assert [ask.query for ask in hand.pending] == [query(Replica.digests, "S")]
    assert hand.timers == ["hello", "greet"]
    [hello] = hand.handle(Timer(1, "greet"))
    assert hello == Hello(PROTOCOL, (), "ours", (Offer("S", "shared", b""),))
    assert hand.say(hand.hello(hand.digest())) == []
    assert hand.perform_pending() == [hand.known()]


def test_a_greeting_that_is_being_made_is_not_said_when_the_spaces_change(hand: Hand) -> None:
    """Somebody may have been cast out meanwhile: the store is asked anew."""
    hand.performing = False
    hand.handle(Connected(1, "B", dialed=True))
    assert hand.perform_next() == []
    hand.replica.members["S"] = ("shared", set())
    hand.handle(SpacesChanged())
    assert hand.handle(Timer(1, "greet")) == []
    assert hand.perform_pending() == [Hello(PROTOCOL, (), "ours", ())]


def test_only_spaces_that_the_peer_is_in_are_looked_at(hand: Hand) -> None:
    """Not even a digest of a space goes to a device that has no part in it."""
    hand.performing = False
    hand.handle(Connected(1, "B", dialed=True))
    hand.perform_next()
    assert [ask.query for ask in hand.pending] == [query(Replica.digests, "S")]


def test_a_greeting_that_is_said_again_has_no_digests(hand: Hand) -> None:
    """A space that is new is compared, and those that were there are not looked at again."""
    hand.greet()
    hand.replica.share("T", "new", "B")
    assert hand.handle(SpacesChanged()) == [
        Hello(PROTOCOL, (), "ours", (Offer("S", "shared", b""), Offer("T", "new", b"")))
    ]
