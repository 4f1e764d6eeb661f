"""The gossip of many nodes: forwarding, connections, and random histories."""

from __future__ import annotations

import json
from random import Random
from typing import TYPE_CHECKING, Any

import msgpack
import pytest

from memcrdt.errors import LocalProtocolError
from memcrdt.sync.events import (
    NODE,
    Answered,
    Ask,
    Close,
    Committed,
    Connected,
    Dial,
    FrameReceived,
    Known,
    Lost,
    Revoked,
    SpacesChanged,
    Started,
    SyncNow,
    SyncReport,
)
from memcrdt.sync.gossip import ACCEPTED, LOG_ROWS, Gossip
from memcrdt.sync.messages import PROTOCOL, Diff, HubHint, Push
from memcrdt.sync.queries import query
from memcrdt.sync.replica import LogPage, MembershipRecord, Replica
from memcrdt.sync.topology import HEALTHY_S, VIEW
from memcrdt.testing.simulator import NetworkConditions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from conftest import Node, World


def connect_all(world: World, *pairs: tuple[Node, Node]) -> None:
    """Connect the nodes, and give them time to greet and compare."""
    for a, b in pairs:
        world.connect(a, b)
    world.run(5)


def test_a_line_of_three_forwards_through_the_middle(world: World) -> None:
    """Each update crosses each link once, away from its author."""
    a, b, c = world.nodes_sharing("ABC")
    connect_all(world, (a, b), (b, c))
    world.write(a, 0, "from a")
    world.write(c, 1, "from c")
    world.run(0)
    assert a.texts() == b.texts() == c.texts() == {"from a", "from c"}
    routes = [(sent.source, sent.target) for sent in world.messages(Push)]
    assert sorted(routes) == [("A", "B"), ("B", "A"), ("B", "C"), ("C", "B")]
    assert [node.replica.applied_new for node in (a, b, c)] == [1, 2, 1]
    assert [node.replica.applied_old for node in (a, b, c)] == [0, 0, 0]


@pytest.mark.parametrize("count", [3, 6])
def test_where_all_are_connected_an_update_is_applied_once_by_each(world: World, count: int) -> None:
    """The author sends it to all; the others only announce it, at most once on each link."""
    nodes = world.nodes_sharing("ABCDEF"[:count])
    connect_all(world, *((a, b) for a in nodes for b in nodes if a.id < b.id))
    world.write(nodes[0], 0, "text")
    world.run(60)
    assert [node.replica.applied_new for node in nodes] == [0] + [1] * (count - 1)
    assert [node.replica.applied_old for node in nodes] == [0] * count
    routes = [(sent.source, sent.target) for sent in world.messages(Push)]
    assert len(set(routes)) == len(routes)
    assert {sent.source for sent in world.messages(Push) if sent.message.update} == {"A"}
    assert not world.messages(Diff)


def test_receipts_are_exact_through_a_middle_node(world: World) -> None:
    """Each node knows what its neighbors have, and nothing about other nodes."""
    a, b, c = world.nodes_sharing("ABC")
    connect_all(world, (a, b), (b, c))
    for number in range(5):
        world.write(a, 0, f"text {number}")
    world.run(1)
    assert a.replica.receipts == {("B", "S", 0): a.replica.head()}
    assert b.replica.receipts == {("A", "S", 0): b.replica.head(), ("C", "S", 0): b.replica.head()}
    assert c.replica.receipts == {("B", "S", 0): c.replica.head()}
    assert a.replica.head() == 5


def test_a_space_passes_only_between_its_members(world: World) -> None:
    """The middle node shares one space with each neighbor. Neither neighbor learns of the other space."""
    a, b, c = world.node("A"), world.node("B"), world.node("C")
    a.replica.share("AB", "one", "B")
    b.replica.share("AB", "one", "A")
    b.replica.share("BC", "two", "C")
    c.replica.share("BC", "two", "B")
    connect_all(world, (a, b), (b, c))
    world.write(a, 0, "for b", space="AB")
    world.write(c, 0, "for b too", space="BC")
    world.run(60)
    assert b.replica.texts("AB") == {"for b"}
    assert b.replica.texts("BC") == {"for b too"}
    named = {(frozenset((sent.source, sent.target)), sent.message.space) for sent in world.messages(Push)}
    assert named == {(frozenset("AB"), "AB"), (frozenset("BC"), "BC")}


def test_adopting_an_id_is_told_to_the_other_peers_at_once(world: World) -> None:
    """Two devices share `personal`, and one meets a third with a smaller id for it. All three take that id."""
    a, b, c = (world.node(letter) for letter in "ABC")
    for node, space in ((a, "id 1"), (b, "id 2"), (c, "id 2")):
        node.replica.share(space, "personal", *"ABC")
        node.replica.write(space, 0, f"from {node.id}")
    world.give(b, Known("C"))
    world.run(5)
    world.give(b, Known("A"))
    world.run(2)
    assert [node.replica.members.keys() for node in (a, b, c)] == [{"id 1"}] * 3
    assert [node.texts("id 1") for node in (a, b, c)] == [{"from A", "from B", "from C"}] * 3


def test_a_device_revoked_by_a_peer_gets_no_later_update(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The statement and a memory arrive one after the other. The memory is not passed on, however soon it arrives."""
    a, b, c = world.nodes_sharing("ABC")
    connect_all(world, (a, b), (b, c))
    name, peers = b.replica.members["S"]

    def learn(peer: str, space: str, record: MembershipRecord) -> bool:
        b.replica.members["S"] = (name, peers - {"C"})
        return True

    monkeypatch.setattr(a.replica, "membership", lambda space: MembershipRecord(statements=(b"C is revoked",)))
    monkeypatch.setattr(b.replica, "merge_membership", learn)
    world.give(a, SpacesChanged())
    world.write(a, 0, "not for c")
    world.run(1)
    assert b.texts() == {"not for c"}
    assert c.texts() == set()


def test_rows_are_read_in_pages_from_the_end_at_the_start(world: World) -> None:
    """Earlier commits are left to the comparison. Hundreds of rows at once are all sent."""
    a, b = world.nodes_sharing("AB")
    a.replica.write("S", 0, "early")
    world.run(0)
    connect_all(world, (a, b))
    for number in range(300):
        a.replica.write("S", number, f"text {number}")
    world.give(a, Committed())
    world.run(10)
    assert len(b.texts()) == 301


def test_a_store_that_fails_to_read_the_log_is_asked_again(world: World) -> None:
    """The failure is reported, and no row is left out."""
    a, b = world.nodes_sharing("AB")
    connect_all(world, (a, b))
    a.replica.write("S", 0, "text")
    a.replica.failing = "the store is locked"
    world.give(a, Committed())
    world.run(0)
    a.replica.failing = ""
    world.run(2)
    assert SyncReport("", "failed", "the store is locked") in a.reports
    assert b.texts() == {"text"}


@pytest.mark.parametrize("is_reading", [False, True])
def test_a_restored_log_is_followed_from_its_own_last_row(is_reading: bool) -> None:
    """It may have lost rows, and uses their numbers again. An answer about the log before is too late."""
    made = gossip()
    [asked] = effects(made, Ask, Started())
    assert effects(made, Ask, Answered(NODE, asked.id, 40)) == []
    [asked] = effects(made, Ask, Committed())
    late = Answered(NODE, asked.id, LogPage((), 40))
    if not is_reading:
        assert effects(made, Ask, late) == []
    made.restored("another")
    [asked] = effects(made, Ask, Committed())
    assert asked.query == query(Replica.head)
    if is_reading:
        assert effects(made, Ask, late) == []
    assert effects(made, Ask, Answered(NODE, asked.id, 7)) == []
    [asked] = effects(made, Ask, Committed())
    assert asked.query == query(Replica.log_for_all, 7, LOG_ROWS)


# --- connections ----------------------------------------------------------------------------------------------------


def gossip(me: str = "M") -> Gossip:
    return Gossip(me, "incarnation", rng=Random(1))


def effects(made: Gossip, kind: type, event: Any, now: float = 0.0) -> list[Any]:
    """Return the effects of the given kind that the event causes."""
    return [effect for effect in made.handle(event, now) if isinstance(effect, kind)]


def test_known_devices_are_dialed_and_dialed_again(world: World) -> None:
    """With backoff after a failure or a loss. Our own id is never dialed."""
    a, b = world.nodes_sharing("AB")
    world.block("AB", "AB")
    world.give(a, Known("A"))
    world.give(a, Known("B"))
    world.run(10)
    assert set(a.dials) == {"B"}
    assert 5 <= len(a.dials) <= 10
    world.mend()
    world.run(20)
    [link] = [link.number for link in world.links.values() if link.up]
    world.cut(link)
    world.run(1)
    assert [status.peer for status in b.gossip.status()] == ["A"]


@pytest.mark.parametrize("me", ["A", "Z"])
def test_of_two_connections_at_once_both_sides_keep_the_same(me: str) -> None:
    """The connection that the smaller id has dialed, whichever came first."""
    ours, theirs = Connected(1, "M", dialed=True), Connected(2, "M", dialed=False)
    for first, second in ((ours, theirs), (theirs, ours)):
        made = gossip(me)
        made.handle(first, 0.0)
        closed = [effect.link for effect in effects(made, Close, second, 1.0)]
        assert closed == [theirs.link if me < "M" else ours.link]


def test_a_newer_connection_replaces_a_dead_one() -> None:
    """From the same side at once, from the other side after a while."""
    for dialed, now in ((True, 1.0), (False, HEALTHY_S), (True, HEALTHY_S)):
        made = gossip("A")
        made.handle(Connected(1, "B", dialed=True), 0.0)
        assert [effect.link for effect in effects(made, Close, Connected(2, "B", dialed), now)] == [1]


@pytest.mark.parametrize("me", ["A", "Z"])
@pytest.mark.parametrize("direct_dialed", [True, False])
def test_a_direct_connection_goes_before_a_relayed_one(me: str, direct_dialed: bool) -> None:
    """Whichever came first, whoever dialed, and whichever id is smaller, so both sides keep the same one."""
    direct = Connected(1, "M", dialed=direct_dialed)
    relayed = Connected(2, "M", dialed=not direct_dialed, relayed=True)
    for first, second in ((direct, relayed), (relayed, direct)):
        made = gossip(me)
        made.handle(first, 0.0)
        assert [effect.link for effect in effects(made, Close, second, 1.0)] == [2]


def test_devices_that_dial_each_other_end_with_one_connection(world: World) -> None:
    """Both dial at the same moment, twenty times."""
    a, b = world.nodes_sharing("AB")
    for _ in range(20):
        for node, other in ((a, b), (b, a)):
            world.give(node, Known(other.id))
        world.run(15)
        assert len(a.gossip.status()) == len(b.gossip.status()) == 1
        for link in list(world.links):
            world.cut(link)


def test_connections_beyond_the_limit_are_refused() -> None:
    """The number of accepted connections is limited. A connection that we dial is kept."""
    made = gossip()
    for number in range(ACCEPTED):
        assert not effects(made, Close, Connected(number + 1, f"p{number}", dialed=False))
    assert effects(made, Close, Connected(50, "late", dialed=False))
    assert not effects(made, Close, Connected(51, "wanted", dialed=True))
    made.handle(Lost(50), 1.0)
    assert made.handle(FrameReceived(50, b"x"), 1.0) == []


def test_a_hub_that_is_remembered_is_dialed_at_once() -> None:
    """Also where no other device would be dialed."""
    made = gossip()
    for link in range(1, VIEW + 1):
        made.handle(Known(f"p{link}"), 0.0)
        made.handle(Connected(link, f"p{link}", dialed=True), 0.0)
    made.handle(Known("Q"), 0.0)  # the last one of those that are all dialed
    assert effects(made, Dial, Known("R")) == []
    assert effects(made, Dial, Known("H", hub=True)) == [Dial("H")]


def test_a_revoked_device_is_disconnected_at_once() -> None:
    """Its connection is closed with a Bye, and it is not dialed again."""
    made = gossip()
    made.handle(Known("B"), 0.0)
    made.handle(Connected(1, "B", dialed=True), 0.0)
    assert effects(made, Close, Revoked("B"), 1.0) == [Close(1, "the device was revoked")]
    assert made.handle(FrameReceived(1, b"x"), 1.0) == []
    made.handle(Lost(1), 1.0)
    assert effects(made, Dial, SyncNow(), 100.0) == []


def test_our_own_device_id_at_another_store_is_an_alarm() -> None:
    """A copied store with a copied key is refused."""
    made = gossip()
    sent = made.handle(Connected(1, "M", dialed=False), 0.0)
    assert [type(effect) for effect in sent] == [SyncReport, Close]
    assert sent[0].kind == "alarm"


def test_two_stores_that_take_turns_under_one_id_are_an_alarm(world: World) -> None:
    """A restored store changes its incarnation once. Only if both are in use does an old one come back."""
    a, b = world.nodes_sharing("AB")
    stores = [Gossip("B", incarnation, rng=Random(1)) for incarnation in ("first", "second")]
    for turn, alarmed in ((0, False), (1, False), (1, False), (0, True)):
        b.gossip = stores[turn]
        link = world.connect(a, b)
        world.run(1)
        world.cut(link)
        assert ("alarm" in a.kinds()) == alarmed


def test_a_link_number_is_used_once() -> None:
    """Otherwise the driver broke its contract."""
    made = gossip()
    made.handle(Connected(1, "B", dialed=True), 0.0)
    with pytest.raises(LocalProtocolError, match="link 1"):
        made.handle(Connected(1, "C", dialed=True), 0.0)


def test_an_answer_for_a_lost_connection_is_ignored(world: World) -> None:
    """The store may answer late."""
    a, b = world.nodes_sharing("AB")
    link = world.connect(a, b)
    world.cut(link)
    world.run(60)
    assert a.reports == b.reports == []


def everyone_knows_everyone(world: World, nodes: list[Node]) -> None:
    for node in nodes:
        for other in nodes:
            world.give(node, Known(other.id))


def test_forty_nodes_keep_few_connections_and_all_get_an_update(make_world: type[World]) -> None:
    """From 5 up to the limit of accepted connections. One commit reaches all within a second at 50 ms per hop."""
    world = make_world(seed=3, latency=0.05)
    nodes = world.nodes_sharing([f"n{number:02}" for number in range(40)])
    everyone_knows_everyone(world, nodes)
    world.run(20)
    degrees = [len(node.gossip.status()) for node in nodes]
    assert min(degrees) >= VIEW
    assert max(degrees) <= ACCEPTED + VIEW
    world.write(nodes[0], 0, "news")
    world.run(1)
    assert all(node.texts() == {"news"} for node in nodes)


def test_an_update_reaches_a_thousand_nodes_within_ten_seconds(make_world: type[World]) -> None:
    """Over links of 50 ms that lose 1 % of the frames. Each node knows fifty others."""
    world = make_world(seed=6, latency=0.05)
    world.conditions = NetworkConditions(latency_s=0.05, loss=0.01)
    world.watch = lambda *_: None  # decoding every frame would double the time
    nodes = world.nodes_sharing([f"n{number:03}" for number in range(1_000)])
    for node in nodes:
        for other in world.rng.sample(nodes, 50):
            world.give(node, Known(other.id))
    world.run(10)
    world.write(nodes[0], 0, "news")
    world.run(10)
    assert sum(node.texts() == {"news"} for node in nodes) >= 999


def test_two_disconnected_groups_find_each_other_again(make_world: type[World]) -> None:
    """Although each has enough connections, because one is replaced every minute."""
    world = make_world(seed=4, latency=0.05)
    nodes = world.nodes_sharing([f"n{number:02}" for number in range(24)])
    groups = [[node.id for node in group] for group in (nodes[:12], nodes[12:])]
    world.block(*groups)
    world.block(*reversed(groups))
    everyone_knows_everyone(world, nodes)
    world.run(30)
    assert all(len(node.gossip.status()) >= VIEW for node in nodes)
    world.write(nodes[0], 0, "news")
    world.run(1)
    assert [node.texts() for node in nodes] == [{"news"}] * 12 + [set()] * 12
    world.mend()
    world.run(100)
    assert all(node.texts() == {"news"} for node in nodes)


def test_the_exchange_does_not_let_connections_pile_up(make_world: type[World]) -> None:
    """After ten minutes each node still has at least 5, and the average is hardly higher."""
    world = make_world(seed=5, latency=0.05)
    nodes = world.nodes_sharing([f"n{number:02}" for number in range(24)])
    everyone_knows_everyone(world, nodes)
    world.run(600)
    degrees = [len(node.gossip.status()) for node in nodes]
    assert min(degrees) >= VIEW - 1
    assert sum(degrees) <= (VIEW + 1.5) * len(nodes)
    assert {report.kind for node in nodes for report in node.reports} == {"ready", "agreed"}


# --- random histories -----------------------------------------------------------------------------------------------


def watch_receipts(world: World) -> list[str]:
    """Collect every receipt that claims more than the peer has, or has scrubbed, at that moment."""
    wrong: list[str] = []

    def watch(node: Node) -> None:
        note = node.replica.note_receipts

        def note_receipts(
            peer: str, space: str, held: Mapping[int, int], scrubbed: Mapping[int, int]
        ) -> Mapping[int, int]:
            theirs = world.nodes[peer].replica
            for row in node.replica.log(0, 10**6).entries:
                blocks, deleted = json.loads(row.update)
                if row.seq <= held.get(row.shard, 0):
                    known = theirs.state_vector(space, row.shard)
                    if any(known.get(client, 0) < start + len(items) for client, start, items in blocks):
                        wrong.append(f"{node.id} claims row {row.seq} of {peer}")
                gone = {(space, row.shard, text) for text in deleted}
                if row.seq <= scrubbed.get(row.shard, 0) and gone & theirs.unscrubbed:
                    wrong.append(f"{node.id} claims that {peer} has scrubbed row {row.seq}")
            return note(peer, space, held, scrubbed)

        node.replica.note_receipts = note_receipts  # type: ignore[method-assign]

    for node in world.nodes.values():
        watch(node)
    return wrong


def end_or_begin_to_read(world: World, node: Node) -> None:
    """Begin or end a reader, which keeps deleted bytes in the file."""
    if node.replica.reading:
        node.replica.stop_reading()
        world.give(node, Committed())
    else:
        node.replica.reading = True


def act(world: World, rng: Random, nodes: list[Node], links: dict[tuple[str, str], int]) -> None:
    """Let one random thing happen to the devices."""
    node = rng.choice(nodes)
    match rng.choice(["write"] * 8 + ["delete"] * 2 + ["fold", "sync", "read"] + ["link"] * 3 + ["wait"] * 5):
        case "write":
            size = rng.choice([0] * 9 + [2_000, 80_000, 300_000])
            texts = [f"{world.now} {rng.random()}" + "x" * size for _ in range(rng.randint(1, 3))]
            world.write(node, rng.randrange(4), *texts)
        case "delete" if node.texts():
            node.replica.delete("S", rng.randrange(4), rng.choice(sorted(node.texts())))
            world.give(node, Committed())
        case "fold":
            node.replica.fold()
        case "sync":
            world.give(node, SyncNow())
        case "read":
            end_or_begin_to_read(world, node)
        case "link":
            pair = rng.choice(sorted(links))
            if links[pair]:
                world.cut(links[pair])
                links[pair] = 0
            else:
                links[pair] = world.connect(*(world.nodes[device] for device in pair))
        case "wait":
            world.run(rng.choice([0.01, 0.1, 1.0, 20.0]))


@pytest.mark.parametrize("seed", range(30))
def test_a_random_history_ends_with_equal_copies_and_exact_receipts(make_world: type[World], seed: int) -> None:
    """Frames and answers are delayed in any order, and links are cut at any point.

    No receipt ever claims too much. In the end all copies are equal, and each receipt is exact.
    """
    rng = Random(seed)
    world = make_world(seed, latency=rng.choice([0.0, 0.05, 0.5]), store=rng.choice([0.0, 0.01, 0.3]))
    nodes = world.nodes_sharing("ABCD"[: rng.randint(2, 4)])
    wrong = watch_receipts(world)
    line = rng.random() < 0.5
    pairs = [(a.id, b.id) for a in nodes for b in nodes if a.id < b.id and (not line or ord(b.id) == ord(a.id) + 1)]
    links = dict.fromkeys(pairs, 0)
    for _ in range(rng.randint(5, 60)):
        act(world, rng, nodes, links)
    for pair in pairs:
        if not links[pair] or not world.links[links[pair]].up:
            world.connect(*(world.nodes[device] for device in pair))
    for node in nodes:
        if node.replica.reading:
            end_or_begin_to_read(world, node)
    world.run(150)

    digests = [{shard: entry.digest for shard, entry in node.replica.digests("S").items()} for node in nodes]
    assert all(other == digests[0] for other in digests)
    assert wrong == []
    for node in nodes:
        rows = {shard: entry.seq for shard, entry in node.replica.digests("S").items()}
        peers = {device for pair in pairs if node.id in pair for device in pair} - {node.id}
        held = {(peer, "S", shard): seq for peer in peers for shard, seq in rows.items()}
        assert {key: seq for key, seq in node.replica.receipts.items() if key in held} == held
        assert not any(node.replica.note_receipts(peer, "S", {}, {}) for peer in peers)
        assert node.kinds() <= {"ready", "agreed"}


# --- versions -------------------------------------------------------------------------------------------------------


def test_two_versions_of_the_protocol_can_talk(world: World) -> None:
    """The newer one sends its version, an extra field in every message, and messages unknown to the older one."""
    a, b = world.nodes_sharing("AB")
    send = world._send

    def send_newer(node: Node, link: int, data: bytes) -> None:
        if node is a:
            number, *fields = msgpack.unpackb(data, use_list=True)
            fields[0] = PROTOCOL + 1 if number == 1 else fields[0]
            data = msgpack.packb([number, *fields, ["a newer", b"field"]])
            send(node, link, msgpack.packb([99, b"a message of a newer version"]))
        send(node, link, data)

    world._send = send_newer  # type: ignore[method-assign]
    a.replica.write("S", 0, "large " + "x" * 300_000)
    world.connect(a, b)
    world.run(1)
    world.write(a, 0, "of the newer")
    world.write(b, 1, "of the older")
    world.run(1)
    assert len(a.texts()) == 3
    assert a.texts() == b.texts()
    assert {report.kind for node in (a, b) for report in node.reports} == {"ready", "agreed"}


@pytest.mark.parametrize("seed", range(4))
def test_a_new_device_gets_any_number_of_shards_although_it_takes_only_the_next_ones(
    make_world: type[World], seed: int
) -> None:
    """From two devices at once, of which each has shards that the other lacks, while both write to the last ones."""
    world = make_world(seed, latency=0.1, store=0.05)
    a, b, c = world.nodes_sharing("ABC")
    for shard in range(400):
        for node in (a, b) if shard % 3 else (a if shard % 2 else b,):
            node.replica.write("S", shard, f"{node.id} {shard}")
    c.replica.ahead = 64
    world.connect(a, c)
    world.connect(b, c)
    for number in range(10):
        world.write(a, 399 + number, f"new {number}")
        world.run(0.1)
    world.run(120)
    assert c.texts() == a.texts() == b.texts()
    assert len(c.replica.digests("S")) == 409
    assert c.kinds() <= {"ready", "agreed"}


def test_what_a_device_does_not_take_is_told_on_both_sides_and_never_confirmed(world: World) -> None:
    """The other shards sync. The refused one is not sent again and again."""
    a, b = world.nodes_sharing("AB")
    world.write(a, 0, "too much")
    world.write(a, 1, "fine")
    b.replica.full = {0}
    connect_all(world, (a, b))
    world.run(300)
    world.write(a, 1, "fine, too")
    world.run(60)
    assert b.texts() == {"fine", "fine, too"}
    assert [report.text for report in a.reports if report.kind == "declined"] == [
        "it does not take shard 0 of space S: it is full"
    ]
    assert [report.text for report in b.reports if report.kind == "refused"] == ["shard 0 of space S: it is full"]
    assert ("B", "S", 0) not in a.replica.receipts
    assert a.replica.receipts["B", "S", 1] == a.replica.head()
    assert "agreed" not in a.kinds() | b.kinds()


def test_thirty_devices_keep_their_connection_to_a_hub(make_world: type[World]) -> None:
    """Each knows all others and keeps few connections, but finds out which device is a hub. The hub ends none."""
    world = make_world(seed=5, latency=0.01)
    nodes = world.nodes_sharing(["hub", *(f"n{number:02}" for number in range(30))])
    hub, *others = nodes
    hub.gossip = Gossip("hub", "incarnation", rng=Random(1), hub=HubHint(30))
    world.give(hub, Started())
    for node in others:
        world.give(node, Known("hub"))
    world.run(20)
    everyone_knows_everyone(world, nodes)
    world.run(200)
    assert {link.peer for link in hub.gossip.status()} == {node.id for node in others}
    assert all(
        [report.text for report in node.reports if report.kind == "role"] == ["hub backups=30"] for node in others
    )
    assert len([report for report in hub.reports if report.kind == "ready"]) == len(others)  # each connected once


def test_one_device_with_many_changes_does_not_hold_up_the_others(make_world: type[World]) -> None:
    """At a hub with a hundred links whose store is slow, single changes pass those of the device that brings 2,000."""
    world = make_world(seed=6, latency=0.02, store=0.005)
    hub, heavy, *others = world.nodes_sharing(["hub", "heavy", *(f"n{number:03}" for number in range(99))])
    hub.gossip = Gossip("hub", "incarnation", rng=Random(1), hub=HubHint(30))
    world.give(hub, Started())
    for shard in range(100):
        heavy.replica.write("S", 1_000 + shard, *(f"heavy {shard} {number}" for number in range(20)))
    for number, node in enumerate(others[:9]):
        node.replica.write("S", number, f"light {number}")
    for node in (heavy, *others):
        world.connect(node, hub)

    def run_until_there(node: Node) -> int:
        while (found := sorted(node.texts()))[-9:] != [f"light {number}" for number in range(9)] and world.now < 600:
            world.run(0.1)
        assert world.now < 600
        return len(found) - 9

    assert run_until_there(hub) < 2_000
    assert max(map(run_until_there, others)) < 2_000


def test_a_device_that_is_no_hub_any_more_says_so(world: World) -> None:
    """Its next greeting ends the hint."""
    a, b = world.nodes_sharing("AB")
    for is_hub in (True, False, False):
        b.gossip = Gossip("B", "incarnation", rng=Random(1), hub=HubHint() if is_hub else None)
        link = world.connect(a, b)
        world.run(1)
        world.cut(link)
    assert [report.text for report in a.reports if report.kind == "role"] == ["hub", ""]
