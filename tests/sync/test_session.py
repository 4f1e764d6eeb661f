"""One session: greeting, rules, and two of them joined by a link."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import msgpack
import pytest

from memcrdt.errors import LocalProtocolError
from memcrdt.model.statements import Adoption
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
    from conftest import Hand, World

    from memcrdt.sync.messages import Message

MORE = MembershipRecord("A", b"nonce", (b"a statement",))
ABOUT_A_SPACE = [
    Range("P", ()),
    Have("P", ()),
    Want("P", 0, {}),
    Diff("P", 0, b"x", {}, 1, asked=False),
    Push("P", 0, b"x", {}, {}, 1),
]


def test_the_greeting_names_only_the_spaces_that_the_peer_is_in(hand: Hand) -> None:
    """Not a byte of a space that is shared with somebody else."""
    [hello] = hand.handle(Connected(1, "B", dialed=True))
    assert hello == Hello(PROTOCOL, (), "ours", (Offer("S", "shared", hand.digest()),))


@pytest.mark.parametrize("message", [*ABOUT_A_SPACE, Ack(1, durable=True), More(1), Fragment(1, 0, b"x")])
def test_only_a_greeting_is_taken_before_the_greeting(hand: Hand, message: Message) -> None:
    """Anything else ends the session."""
    hand.handle(Connected(1, "B", dialed=True))
    assert hand.say(message) == [Bye("a message came before the greeting")]
    assert hand.session.closed
    assert hand.closed == "a message came before the greeting"


@pytest.mark.parametrize("message", ABOUT_A_SPACE)
def test_a_space_that_is_not_shared_is_as_good_as_none(hand: Hand, message: Message) -> None:
    """A space of ours that the peer is not in, and one that nobody has, get the same refusal, and no answer."""
    ours = hand.greet().say(message)
    nobodys = type(hand)().greet().say(msgpack.packb([*_with_space(message, "Q")]))
    assert ours == nobodys == [Bye("a message is about a space that is not shared")]


def _with_space(message: Message, space: str) -> list[object]:
    from memcrdt.sync.wire import encode

    number, _, *fields = msgpack.unpackb(encode(message))
    return [number, space, *fields]


def test_a_session_that_is_closed_ignores_everything(hand: Hand) -> None:
    """After the Close nothing more is sent or asked."""
    hand.greet().say(b"\xc1")
    assert [report.kind for report in hand.reports] == ["ready", "protocol"]
    assert hand.session.handle(SyncNow(), 1.0) == []
    assert hand.session.handle(Lost(1), 1.0) == []


def test_a_goodbye_closes_with_its_reason(hand: Hand) -> None:
    """The reason of the other side is passed on."""
    hand.greet().say(Bye("going to sleep"))
    assert hand.closed == "the other side closed: going to sleep"


def test_a_peer_that_does_not_greet_is_closed(hand: Hand) -> None:
    """After the time for greetings; one that has greeted stays."""
    hand.handle(Connected(1, "B", dialed=True))
    hand.handle(Timer(1, "hello"))
    assert hand.closed == f"no greeting came within {HELLO_TIMEOUT_S:.0f} s"
    other = type(hand)().greet()
    other.handle(Timer(1, "hello"))
    assert other.session.ready


def test_a_version_below_ours_is_refused_and_one_above_is_spoken_to(hand: Hand) -> None:
    """The numbers of protocols only grow."""
    hand.handle(Connected(1, "B", dialed=True))
    hand.say(Hello(PROTOCOL - 1, (), "theirs", ()))
    assert "version" in hand.closed
    newer = type(hand)()
    newer.handle(Connected(1, "B", dialed=True))
    newer.say(newer.hello(newer.digest(), version=PROTOCOL + 1))
    assert newer.session.shared == {"S"}


def test_nothing_of_a_space_is_said_before_its_members_are_settled(hand: Hand) -> None:
    """Whoever takes part is said first; what the peer asks before we know what it knows waits."""
    hand.handle(Connected(1, "B", dialed=True))
    assert hand.say(hand.hello()) == [MembershipDigest("S", MembershipRecord().digest())]
    assert hand.say(hand.known(MORE)) == [MembershipUpdate("S", MembershipRecord())]
    hand.replica.write("S", 0, "a secret")
    assert hand.say(Want("S", 0, {})) == []
    assert hand.session.shared == frozenset()
    sent = hand.say(MembershipUpdate("S", MORE))
    assert [message.update for message in sent if isinstance(message, Diff)] != []


def test_a_peer_that_turns_out_to_be_no_member_gets_nothing(hand: Hand) -> None:
    """The statements that it brought say so themselves."""
    hand.handle(Connected(1, "B", dialed=True))
    hand.say(hand.hello())
    hand.say(hand.known(MORE))
    hand.replica.write("S", 0, "a secret")
    hand.replica.members["S"] = ("shared", set())
    assert hand.say(Want("S", 0, {})) == []
    assert hand.say(MembershipUpdate("S", MORE)) == [Bye("the members of a shared space have changed")]


def test_statements_that_both_know_are_not_exchanged(hand: Hand) -> None:
    """Where greetings differ, digests of the records say so, and the space is settled and compared."""
    hand.handle(Connected(1, "B", dialed=True))
    assert hand.say(hand.hello()) == [hand.known()]
    [comparison] = hand.say(hand.known())
    assert (type(comparison), hand.session.shared) == (Range, {"S"})


def test_a_peer_that_claims_to_know_the_same_gains_nothing(hand: Hand) -> None:
    """Whether it takes part is what our store says: of a space that is not shared with it, it hears nothing."""
    hand.handle(Connected(1, "B", dialed=True))
    private = Offer("P", "private", b"d" * 16)
    assert hand.say(Hello(PROTOCOL, (), "theirs", (private,))) == []
    assert hand.say(MembershipDigest("P", hand.replica.membership("P").digest())) == []
    assert hand.session.shared == frozenset()
    assert hand.say(Want("P", 0, {})) == []


def test_statements_are_answered_where_greetings_have_crossed(hand: Hand) -> None:
    """The peer found that different which was equal for us: it has ours, once, and goes on."""
    hand.greet()
    assert hand.say(MembershipUpdate("S", MORE)) == [MembershipUpdate("S", MembershipRecord())]
    assert hand.say(MembershipUpdate("S", MORE)) == []


def test_statements_that_came_after_the_greeting_are_told(hand: Hand, monkeypatch: pytest.MonkeyPatch) -> None:
    """The digest in our greeting was that of less."""
    hand.handle(Connected(1, "B", dialed=True))
    before = hand.hello(hand.digest())
    monkeypatch.setattr(hand.replica, "membership", lambda _: MORE)
    assert hand.say(before) == [MembershipUpdate("S", MORE)]


def test_statements_that_came_after_their_digest_are_told(hand: Hand, monkeypatch: pytest.MonkeyPatch) -> None:
    """Once, and not before the peer has said what it knows."""
    hand.handle(Connected(1, "B", dialed=True))
    before = hand.known()
    hand.say(hand.hello())
    monkeypatch.setattr(hand.replica, "membership", lambda _: MORE)
    assert hand.handle(SpacesChanged()) == []
    assert hand.say(before) == [MembershipUpdate("S", MORE)]
    assert hand.handle(SpacesChanged()) == []


def test_statements_of_members_are_told_again_when_they_change(hand: Hand, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a revocation spreads over the connections that stand."""
    hand.greet()
    assert hand.handle(SpacesChanged()) == []
    monkeypatch.setattr(hand.replica, "membership", lambda _: MembershipRecord("A", b"n", (b"statement",)))
    assert hand.handle(SpacesChanged()) == [MembershipUpdate("S", MembershipRecord("A", b"n", (b"statement",)))]


def test_too_much_before_the_members_are_settled_ends_the_session(hand: Hand) -> None:
    """An honest peer waits."""
    hand.handle(Connected(1, "B", dialed=True))
    hand.say(hand.hello())
    for _ in range(EARLY + 1):
        hand.say(Have("S", ()))
    assert hand.closed == "too many documents came before the members' statements"


def test_an_unknown_message_is_skipped(hand: Hand) -> None:
    """A newer version may send it at any time."""
    assert hand.greet().say(msgpack.packb([99, {}])) == []
    assert hand.session.ready


def test_an_answer_that_was_not_asked_for_is_our_own_fault(hand: Hand) -> None:
    """The driver broke its contract: LocalProtocolError."""
    hand.greet()
    with pytest.raises(LocalProtocolError, match="query 999"):
        hand.session.handle(Answered(1, 999, None), 1.0)


def test_a_failing_store_ends_the_session(hand: Hand) -> None:
    """The next session starts afresh; the peer is told nothing of the reason."""
    hand.greet().replica.failing = "the disk is full"
    assert hand.say(Want("S", 0, {})) == [Bye("the store failed")]
    assert hand.reports[-1].text == "the disk is full"


def test_a_peer_cannot_pile_up_questions(hand: Hand) -> None:
    """Beyond a bound of open queries the session ends: an honest peer never comes near it."""
    hand.greet().performing = False
    for _ in range(2_000):
        hand.say(Have("S", ()))
    assert hand.closed == "B sends requests faster than they can be answered"


def test_a_space_that_is_no_longer_shared_ends_the_session(hand: Hand) -> None:
    """Nothing that stands in a queue can be sent any more. One that is added is greeted anew."""
    hand.greet().replica.share("T", "more", "B")
    [hello] = hand.handle(SpacesChanged())
    assert isinstance(hello, Hello)
    assert [(space.id, space.name) for space in hello.spaces] == [("S", "shared"), ("T", "more")]
    del hand.replica.members["S"]
    hand.handle(SpacesChanged())
    assert hand.closed == "the shared spaces have changed"


def test_nothing_is_pushed_to_whom_the_store_has_cast_out(hand: Hand) -> None:
    """Before the session hears of that."""
    hand.greet().replica.members["S"][1].remove("B")
    assert hand.write(0, "not for the peer") == []


def test_a_change_of_other_spaces_is_not_told(hand: Hand) -> None:
    """What the peer shares is as before, so nothing is said."""
    hand.greet().replica.share("Q", "other", "D")
    assert hand.handle(SpacesChanged()) == []


def test_two_devices_come_to_hold_the_same(world: World) -> None:
    """Different shards, and both sides of one shard."""
    a, b = world.nodes_sharing("AB")
    a.replica.write("S", 0, "a0")
    b.replica.write("S", 0, "b0")
    b.replica.write("S", 7, "b7")
    world.connect(a, b)
    world.run(1)
    assert a.texts() == b.texts() == {"a0", "b0", "b7"}
    assert a.replica.digests("S")[0].digest == b.replica.digests("S")[0].digest


def test_two_spaces_of_one_name_become_the_one_with_the_smaller_id(world: World) -> None:
    """Both devices made their own `personal` before they met; both go on under the same id, with everything."""
    a, b = world.node("A"), world.node("B")
    a.replica.share("id 2", "personal", "B")
    b.replica.share("id 1", "personal", "A")
    a.replica.write("id 2", 0, "from a")
    b.replica.write("id 1", 0, "from b")
    world.connect(a, b)
    world.run(2)
    assert a.replica.members.keys() == b.replica.members.keys() == {"id 1"}
    assert a.texts("id 1") == b.texts("id 1") == {"from a", "from b"}


def test_two_spaces_of_one_name_stay_apart_where_the_store_says_so(world: World) -> None:
    """It knows who may move it, and why nobody may. That is reported once; nothing of either is said, and both are
    still connected."""
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


def test_a_space_of_which_the_peer_was_revoked_is_told_in_its_own_words(hand: Hand) -> None:
    """It greets with the space, so it has not heard of it; of other spaces that are not shared nothing is said."""
    del hand.replica.members["S"]
    hand.replica.revoked["S"] = {"B"}
    hand.handle(Connected(1, "B", dialed=True))
    both = (Offer("S", "shared", b""), Offer("Q", "unknown", b""))
    assert hand.say(replace(hand.hello(), spaces=both)) == [
        MembershipUpdate("S", MembershipRecord(statements=(b"B is revoked",)))
    ]


def test_what_is_said_of_a_space_that_the_peer_no_longer_greets_with_is_learnt(hand: Hand) -> None:
    """We were revoked from it: from now on nobody is greeted with it by us."""
    hand.handle(Connected(1, "B", dialed=True))
    hand.say(Hello(PROTOCOL, (), "theirs", ()))
    assert hand.say(MembershipUpdate("S", MORE)) == []
    assert hand.replica.learnt == [("B", "S", MORE)]
    assert hand.session.take_changed()


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


def test_what_is_committed_at_any_time_arrives_at_once(world: World) -> None:
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
    """Neither its content nor its name, when it changes."""
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


def test_a_message_about_a_space_that_was_offered_before_is_dropped(hand: Hand) -> None:
    """Greetings may cross: what the peer says before it hears of the change is no breach, and is not handled."""
    hand.handle(Connected(1, "B", dialed=True))
    hand.replica.members["R"] = hand.replica.members.pop("S")
    hand.handle(SpacesChanged())
    hand.say(hand.hello())
    assert (hand.say(Want("S", 0, {})), hand.closed) == ([], "")
    hand.say(Want("Q", 0, {}))
    assert hand.closed == "a message is about a space that is not shared"


def test_another_incarnation_voids_the_receipts_at_the_greeting(hand: Hand) -> None:
    """Of a peer whose store was restored we know nothing until the copies are compared."""
    hand.replica.receipts = {("B", "S", 0): 7, ("C", "S", 0): 7}
    hand.replica.incarnations = {"B": "another"}
    hand.greet()
    assert hand.replica.receipts == {("C", "S", 0): 7}
