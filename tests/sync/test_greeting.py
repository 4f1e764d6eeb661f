"""Greetings: two devices with equal stores exchange nothing else."""

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
    from conftest import Node, SessionHarness, World

SPACE = base64.b32encode(bytes(range(32))).decode().rstrip("=")  # of real length


def share(a: Node, b: Node) -> None:
    a.replica.share(SPACE, "personal", b.id)
    b.replica.share(SPACE, "personal", a.id)


def reconnect(world: World, a: Node, b: Node) -> float:
    """Let the devices agree, disconnect them, connect them again, and return the time."""
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
    """Two greetings and nothing else, at any size, with ids of real length."""
    a, b = world.node("A", "a" * 32), world.node("B", "b" * 32)
    share(a, b)
    for shard in range(shards):
        a.replica.write(SPACE, shard, "text")
    start = reconnect(world, a, b)
    assert [type(sent.message) for sent in world.sent if sent.at >= start] == [Hello, Hello]
    assert world.bytes(start) == 170


def test_equal_greetings_are_receipts_for_both(world: World) -> None:
    """Like a comparison: each knows that the other has everything."""
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
def test_a_commit_during_the_greetings_arrives_at_once(make_world: type[World], seed: int) -> None:
    """On either side, at any moment of the exchange. Receipts are exact."""
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


def test_after_a_commit_since_the_greeting_the_space_is_compared(harness: SessionHarness) -> None:
    """Equal greetings do not cover it, so neither side counts as having it."""
    harness.handle(Connected(1, "B", dialed=True))
    before = harness.digest()
    assert harness.write(0, "later") == []
    assert [type(message) for message in harness.receive(harness.hello(before))] == [Range]
    assert harness.replica.receipts == {}


def test_after_a_fold_since_the_greeting_the_space_is_compared(harness: SessionHarness) -> None:
    """The row is no longer in the log, which reports that a row was folded."""
    harness.handle(Connected(1, "B", dialed=True))
    before = harness.digest()
    harness.replica.write("S", 0, "later")
    harness.replica.fold()
    harness.handle(LogRead(harness.replica.log(0, 64)))
    assert [type(message) for message in harness.receive(harness.hello(before))] == [Range]


def test_if_documents_differ_no_statements_are_sent(world: World) -> None:
    """Different greetings do not tell whether documents or members differ."""
    a, b = world.nodes_sharing("AB")
    a.replica.write("S", 0, "text")
    world.connect(a, b)
    world.run(0.5)
    assert b.texts() == {"text"}
    kinds = [type(sent.message) for sent in world.sent]
    assert kinds[:6] == [Hello, Hello, MembershipDigest, MembershipDigest, Range, Have]


def test_greetings_show_different_members(harness: SessionHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    """Equal documents are not enough, the members have to be the same too."""
    harness.handle(Connected(1, "B", dialed=True))
    monkeypatch.setattr(harness.replica, "membership", lambda _: MembershipRecord("A", b"nonce", (b"a statement",)))
    other = harness.digest()
    monkeypatch.undo()
    assert harness.receive(harness.hello(other)) == [harness.membership_digest()]
    assert harness.session.shared == frozenset()


def test_a_membership_digest_is_always_answered(harness: SessionHarness) -> None:
    """Once, even if the greetings were equal for us: the peer's may have crossed ours."""
    harness.handle(Connected(1, "B", dialed=True))
    assert harness.receive(harness.hello(harness.digest())) == []
    assert harness.receive(harness.membership_digest()) == [harness.membership_digest()]
    assert harness.receive(harness.membership_digest()) == []


def test_a_slow_store_greets_without_digests(harness: SessionHarness) -> None:
    """The spaces are compared later, and late digests are not sent."""
    harness.performing = False
    harness.handle(Connected(1, "B", dialed=True))
    assert harness.perform_next() == []
    assert [ask.query for ask in harness.pending] == [query(Replica.digests, "S")]
    assert harness.timers == ["hello", "greet"]
    [hello] = harness.handle(Timer(1, "greet"))
    assert hello == Hello(PROTOCOL, (), "ours", (Offer("S", "shared", b""),))
    assert harness.receive(harness.hello(harness.digest())) == []
    assert harness.perform_pending() == [harness.membership_digest()]


def test_an_unfinished_greeting_is_dropped_when_the_spaces_change(harness: SessionHarness) -> None:
    """A device may have been revoked, so the store is asked again."""
    harness.performing = False
    harness.handle(Connected(1, "B", dialed=True))
    assert harness.perform_next() == []
    harness.replica.members["S"] = ("shared", set())
    harness.handle(SpacesChanged())
    assert harness.handle(Timer(1, "greet")) == []
    assert harness.perform_pending() == [Hello(PROTOCOL, (), "ours", ())]


def test_only_spaces_of_the_peer_are_digested(harness: SessionHarness) -> None:
    """A device gets not even the digest of a space that it takes no part in."""
    harness.performing = False
    harness.handle(Connected(1, "B", dialed=True))
    harness.perform_next()
    assert [ask.query for ask in harness.pending] == [query(Replica.digests, "S")]


def test_a_repeated_greeting_has_no_digests(harness: SessionHarness) -> None:
    """A new space is compared, and the other spaces are not digested again."""
    harness.greet()
    harness.replica.share("T", "new", "B")
    assert harness.handle(SpacesChanged()) == [
        Hello(PROTOCOL, (), "ours", (Offer("S", "shared", b""), Offer("T", "new", b"")))
    ]
