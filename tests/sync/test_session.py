"""One session: greetings, rules, and two sessions joined by a link."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import msgpack
import pytest

from memcrdt.errors import LocalProtocolError
from memcrdt.model.membership import Adoption
from memcrdt.sync.events import Answered, Committed, Connected, Lost, SpacesChanged, SyncNow, SyncReport, Timer
from memcrdt.sync.membership import EARLY
from memcrdt.sync.messages import (
    PROTOCOL,
    Ack,
    Bye,
    Diff,
    Fragment,
    Have,
    Hello,
    MembershipDigest,
    MembershipUpdate,
    More,
    Offer,
    Push,
    Range,
    Want,
)
from memcrdt.sync.replica import MembershipRecord
from memcrdt.sync.session import HELLO_TIMEOUT_S

if TYPE_CHECKING:
    from conftest import SessionHarness, World

    from memcrdt.sync.messages import Message

MORE = MembershipRecord("A", b"nonce", (b"a statement",))
ABOUT_A_SPACE = [
    Range("P", ()),
    Have("P", ()),
    Want("P", 0, {}),
    Diff("P", 0, b"x", {}, 1, asked=False),
    Push("P", 0, b"x", {}, {}, 1),
]


def test_the_greeting_names_only_the_spaces_that_the_peer_is_in(harness: SessionHarness) -> None:
    """No byte about a space that is shared with another device only."""
    [hello] = harness.handle(Connected(1, "B", dialed=True))
    assert hello == Hello(PROTOCOL, (), "ours", (Offer("S", "shared", harness.digest()),))


@pytest.mark.parametrize("message", [*ABOUT_A_SPACE, Ack(1, durable=True), More(1), Fragment(1, 0, b"x")])
def test_only_a_greeting_is_accepted_before_the_greetings(harness: SessionHarness, message: Message) -> None:
    """Any other message ends the session."""
    harness.handle(Connected(1, "B", dialed=True))
    assert harness.receive(message) == [Bye("a message came before the greeting")]
    assert harness.session.closed
    assert harness.closed == "a message came before the greeting"


@pytest.mark.parametrize("message", ABOUT_A_SPACE)
def test_a_space_that_is_not_shared_looks_like_a_missing_one(harness: SessionHarness, message: Message) -> None:
    """Messages about our other spaces and about unknown spaces get the same refusal."""
    ours = harness.greet().receive(message)
    nobodys = type(harness)().greet().receive(msgpack.packb([*_with_space(message, "Q")]))
    assert ours == nobodys == [Bye("a message is about a space that is not shared")]


def _with_space(message: Message, space: str) -> list[object]:
    from memcrdt.sync.wire import encode

    number, _, *fields = msgpack.unpackb(encode(message))
    return [number, space, *fields]


def test_a_closed_session_ignores_everything(harness: SessionHarness) -> None:
    """After the Close, nothing is sent or queried."""
    harness.greet().receive(b"\xc1")
    assert [report.kind for report in harness.reports] == ["ready", "protocol"]
    assert harness.session.handle(SyncNow(), 1.0) == []
    assert harness.session.handle(Lost(1), 1.0) == []


def test_a_bye_closes_with_its_reason(harness: SessionHarness) -> None:
    """The reason of the other side is reported."""
    harness.greet().receive(Bye("going to sleep"))
    assert harness.closed == "the other side closed: going to sleep"


def test_a_peer_that_does_not_greet_is_disconnected(harness: SessionHarness) -> None:
    """After the timeout for greetings. A peer that has greeted stays connected."""
    harness.handle(Connected(1, "B", dialed=True))
    harness.handle(Timer(1, "hello"))
    assert harness.closed == f"no greeting came within {HELLO_TIMEOUT_S:.0f} s"
    other = type(harness)().greet()
    other.handle(Timer(1, "hello"))
    assert other.session.ready


def test_older_versions_are_refused_and_newer_ones_accepted(harness: SessionHarness) -> None:
    """Protocol versions only grow."""
    harness.handle(Connected(1, "B", dialed=True))
    harness.receive(Hello(PROTOCOL - 1, (), "theirs", ()))
    assert "version" in harness.closed
    newer = type(harness)()
    newer.handle(Connected(1, "B", dialed=True))
    newer.receive(newer.hello(newer.digest(), version=PROTOCOL + 1))
    assert newer.session.shared == {"S"}


def test_nothing_about_a_space_is_sent_before_its_members_are_settled(harness: SessionHarness) -> None:
    """Membership comes first. The peer's early questions wait."""
    harness.handle(Connected(1, "B", dialed=True))
    assert harness.receive(harness.hello()) == [MembershipDigest("S", MembershipRecord().digest())]
    assert harness.receive(harness.membership_digest(MORE)) == [MembershipUpdate("S", MembershipRecord())]
    harness.replica.write("S", 0, "a secret")
    assert harness.receive(Want("S", 0, {})) == []
    assert harness.session.shared == frozenset()
    sent = harness.receive(MembershipUpdate("S", MORE))
    assert [message.update for message in sent if isinstance(message, Diff)] != []


def test_a_peer_that_is_not_a_member_gets_nothing(harness: SessionHarness) -> None:
    """The statements that it sent prove it."""
    harness.handle(Connected(1, "B", dialed=True))
    harness.receive(harness.hello())
    harness.receive(harness.membership_digest(MORE))
    harness.replica.write("S", 0, "a secret")
    harness.replica.members["S"] = ("shared", set())
    assert harness.receive(Want("S", 0, {})) == []
    assert harness.receive(MembershipUpdate("S", MORE)) == [Bye("the members of a shared space have changed")]


def test_statements_that_both_know_are_not_exchanged(harness: SessionHarness) -> None:
    """Where greetings differ, equal membership digests settle the space, and it is compared."""
    harness.handle(Connected(1, "B", dialed=True))
    assert harness.receive(harness.hello()) == [harness.membership_digest()]
    [comparison] = harness.receive(harness.membership_digest())
    assert (type(comparison), harness.session.shared) == (Range, {"S"})


def test_a_false_membership_digest_gains_nothing(harness: SessionHarness) -> None:
    """Our store decides who takes part. The peer receives nothing about a space that is not shared with it."""
    harness.handle(Connected(1, "B", dialed=True))
    private = Offer("P", "private", b"d" * 16)
    assert harness.receive(Hello(PROTOCOL, (), "theirs", (private,))) == []
    assert harness.receive(MembershipDigest("P", harness.replica.membership("P").digest())) == []
    assert harness.session.shared == frozenset()
    assert harness.receive(Want("P", 0, {})) == []


def test_statements_are_answered_where_greetings_have_crossed(harness: SessionHarness) -> None:
    """The greetings were equal for us but different for the peer. It gets our statements once, and continues."""
    harness.greet()
    assert harness.receive(MembershipUpdate("S", MORE)) == [MembershipUpdate("S", MembershipRecord())]
    assert harness.receive(MembershipUpdate("S", MORE)) == []


def test_statements_are_answered_although_an_equal_digest_came_before(harness: SessionHarness) -> None:
    """The peer compared them with an older digest of ours, and waits. Our store has not answered about its digest."""
    harness.handle(Connected(1, "B", dialed=True))
    harness.receive(harness.hello())
    harness.performing = False
    harness.receive(harness.membership_digest())
    harness.receive(MembershipUpdate("S", MembershipRecord()))
    assert MembershipUpdate("S", MembershipRecord()) in harness.perform_pending()


def test_statements_newer_than_the_greeting_are_sent(harness: SessionHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    """The digest in our greeting did not cover them."""
    harness.handle(Connected(1, "B", dialed=True))
    before = harness.hello(harness.digest())
    monkeypatch.setattr(harness.replica, "membership", lambda _: MORE)
    assert harness.receive(before) == [MembershipUpdate("S", MORE)]


def test_statements_newer_than_their_digest_are_sent(harness: SessionHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once, and not before the peer has answered."""
    harness.handle(Connected(1, "B", dialed=True))
    before = harness.membership_digest()
    harness.receive(harness.hello())
    monkeypatch.setattr(harness.replica, "membership", lambda _: MORE)
    assert harness.handle(SpacesChanged()) == []
    assert harness.receive(before) == [MembershipUpdate("S", MORE)]
    assert harness.handle(SpacesChanged()) == []


def test_changed_statements_are_sent_again(harness: SessionHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a revocation spreads over open connections."""
    harness.greet()
    assert harness.handle(SpacesChanged()) == []
    monkeypatch.setattr(harness.replica, "membership", lambda _: MembershipRecord("A", b"n", (b"statement",)))
    assert harness.handle(SpacesChanged()) == [MembershipUpdate("S", MembershipRecord("A", b"n", (b"statement",)))]


def test_too_many_messages_before_the_members_are_settled_end_the_session(harness: SessionHarness) -> None:
    """An honest peer waits."""
    harness.handle(Connected(1, "B", dialed=True))
    harness.receive(harness.hello())
    for _ in range(EARLY + 1):
        harness.receive(Have("S", ()))
    assert harness.closed == "too many documents came before the members' statements"


def test_an_unknown_message_is_skipped(harness: SessionHarness) -> None:
    """A newer version may send it at any time."""
    assert harness.greet().receive(msgpack.packb([99, {}])) == []
    assert harness.session.ready


def test_an_answer_without_a_query_is_an_error_of_the_driver(harness: SessionHarness) -> None:
    """The driver broke its contract: LocalProtocolError."""
    harness.greet()
    with pytest.raises(LocalProtocolError, match="query 999"):
        harness.session.handle(Answered(1, 999, None), 1.0)


def test_a_failing_store_ends_the_session(harness: SessionHarness) -> None:
    """The next session starts fresh. The peer is not told the reason."""
    harness.greet().replica.failing = "the disk is full"
    assert harness.receive(Want("S", 0, {})) == [Bye("the store failed")]
    assert harness.reports[-1].text == "the disk is full"


def test_a_space_that_went_meanwhile_ends_the_session_without_a_report(harness: SessionHarness) -> None:
    """It was left, or has become one with another. The next session greets without it."""
    reports = list(harness.greet().reports)
    harness.replica.members["S"][1].clear()
    assert harness.receive(Want("S", 0, {})) == [Bye("the shared spaces have changed")]
    assert harness.reports == reports


def test_the_number_of_open_queries_is_limited(harness: SessionHarness) -> None:
    """Beyond the limit the session ends. An honest peer never comes near it."""
    harness.greet().performing = False
    for _ in range(2_000):
        harness.receive(Have("S", ()))
    assert harness.closed == "B sends requests faster than they can be answered"


def test_a_space_that_is_no_longer_shared_ends_the_session(harness: SessionHarness) -> None:
    """Nothing in the queues can be sent any more. For an added space, a new greeting is enough."""
    harness.greet().replica.share("T", "more", "B")
    [hello] = harness.handle(SpacesChanged())
    assert isinstance(hello, Hello)
    assert [(space.id, space.name) for space in hello.spaces] == [("S", "shared"), ("T", "more")]
    del harness.replica.members["S"]
    harness.handle(SpacesChanged())
    assert harness.closed == "the shared spaces have changed"


def test_nothing_is_pushed_to_a_device_that_was_just_revoked(harness: SessionHarness) -> None:
    """Even before the session learns of it."""
    harness.greet().replica.members["S"][1].remove("B")
    assert harness.write(0, "not for the peer") == []


def test_a_change_of_other_spaces_is_not_sent(harness: SessionHarness) -> None:
    """The spaces shared with the peer are unchanged, so nothing is sent."""
    harness.greet().replica.share("Q", "other", "D")
    assert harness.handle(SpacesChanged()) == []


def test_two_devices_get_equal_copies(world: World) -> None:
    """With different shards, and with writes on both sides of one shard."""
    a, b = world.nodes_sharing("AB")
    a.replica.write("S", 0, "a0")
    b.replica.write("S", 0, "b0")
    b.replica.write("S", 7, "b7")
    world.connect(a, b)
    world.run(1)
    assert a.texts() == b.texts() == {"a0", "b0", "b7"}
    assert a.replica.digests("S")[0].digest == b.replica.digests("S")[0].digest


def test_two_spaces_of_one_name_merge_under_the_smaller_id(world: World) -> None:
    """Both devices made `personal` before they met. Both continue under one id, with all content."""
    a, b = world.node("A"), world.node("B")
    a.replica.share("id 2", "personal", "B")
    b.replica.share("id 1", "personal", "A")
    a.replica.write("id 2", 0, "from a")
    b.replica.write("id 1", 0, "from b")
    world.connect(a, b)
    world.run(2)
    assert a.replica.members.keys() == b.replica.members.keys() == {"id 1"}
    assert a.texts("id 1") == b.texts("id 1") == {"from a", "from b"}


def test_two_spaces_of_one_name_stay_separate_if_the_store_refuses(world: World) -> None:
    """The reason is reported once. Nothing of either space is sent, and both devices stay connected."""
    a, b = world.node("A"), world.node("B")
    a.replica.share("id 2", "personal", "B")
    b.replica.share("id 1", "personal", "A")
    b.replica.write("id 1", 0, "from b")
    a.replica.merge_space = lambda *_: Adoption(False, "they are to stay apart")  # type: ignore[method-assign]
    world.connect(a, b)
    world.run(60)
    b.replica.share("Q", "other", "A")
    world.give(b, SpacesChanged())
    world.run(120)
    assert [report for report in a.reports if report.kind == "apart"] == [
        SyncReport("B", "apart", "they are to stay apart")
    ]
    assert a.replica.members.keys() == {"id 2"}
    assert {type(sent.message) for sent in world.sent} == {Hello, MembershipUpdate}
    assert len(world.links) == 1


def test_a_revoked_peer_that_greets_with_the_space_gets_the_revocation(harness: SessionHarness) -> None:
    """It does not know yet. It receives nothing about other spaces."""
    del harness.replica.members["S"]
    harness.replica.revoked["S"] = {"B"}
    harness.handle(Connected(1, "B", dialed=True))
    both = (Offer("S", "shared", b""), Offer("Q", "unknown", b""))
    assert harness.receive(replace(harness.hello(), spaces=both)) == [
        MembershipUpdate("S", MembershipRecord(statements=(b"B is revoked",)))
    ]


def test_our_own_revocation_is_learned_from_the_peer(harness: SessionHarness) -> None:
    """We were revoked from the space, and no longer greet any device with it."""
    harness.handle(Connected(1, "B", dialed=True))
    harness.receive(Hello(PROTOCOL, (), "theirs", ()))
    assert harness.receive(MembershipUpdate("S", MORE)) == []
    assert harness.replica.learnt == [("B", "S", MORE)]
    assert harness.session.take_changed()


def test_a_space_joined_later_is_compared_without_a_new_connection(world: World) -> None:
    """A new greeting on both sides is enough."""
    a, b = world.nodes_sharing("AB")
    world.connect(a, b)
    world.run(1)
    a.replica.share("T", "later", "B")
    b.replica.share("T", "later", "A")
    a.replica.write("T", 0, "late")
    for node in (a, b):
        world.give(node, SpacesChanged())
    world.run(1)
    assert b.texts("T") == {"late"}
    assert len(world.links) == 1


def test_a_commit_arrives_at_once(world: World) -> None:
    """Without a comparison: pushed, applied, acknowledged."""
    a, b = world.nodes_sharing("AB")
    world.connect(a, b)
    world.run(1)
    start = world.now
    world.write(a, 0, "live")
    world.run(0)
    assert b.texts() == {"live"}
    assert [type(sent.message) for sent in world.sent if sent.at >= start] == [Push, Ack]


def test_nothing_is_sent_for_a_commit_in_a_space_that_is_not_shared(world: World) -> None:
    """Neither its content nor a changed name."""
    a, b = world.nodes_sharing("AB")
    a.replica.share("L", "local")
    world.connect(a, b)
    world.run(1)
    frames = len(world.sent)
    world.write(a, 0, "secret", space="L")
    a.replica.fold()
    world.give(a, Committed())
    world.run(0.5)
    assert len(world.sent) == frames


def test_a_message_about_a_space_that_was_offered_before_is_dropped(harness: SessionHarness) -> None:
    """Greetings may cross. A message that the peer sent before it knew of the change is not an error."""
    harness.handle(Connected(1, "B", dialed=True))
    harness.replica.members["R"] = harness.replica.members.pop("S")
    harness.handle(SpacesChanged())
    harness.receive(harness.hello())
    assert (harness.receive(Want("S", 0, {})), harness.closed) == ([], "")
    harness.receive(Want("Q", 0, {}))
    assert harness.closed == "a message is about a space that is not shared"


def test_another_incarnation_voids_the_receipts_at_the_greeting(harness: SessionHarness) -> None:
    """Nothing is known about a restored store until the copies are compared."""
    harness.replica.receipts = {("B", "S", 0): 7, ("C", "S", 0): 7}
    harness.replica.incarnations = {"B": "another"}
    harness.greet()
    assert harness.replica.receipts == {("C", "S", 0): 7}
