"""Tests that nothing stays hidden from a device whose copy has forged blocks in place of what others wrote.

The devices are real stores, and exchange with the code that syncs in the network, in simulated time.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from memcrdt.crdt import shard
from memcrdt.crdt.scan import Scan, scan
from memcrdt.crdt.shard import Shard
from memcrdt.errors import NotFoundError, RemoteProtocolError
from memcrdt.model import limits
from memcrdt.model.clocks import varuint
from memcrdt.model.registers import DELETED
from memcrdt.node import store_replica
from memcrdt.store import claims, log, meta
from memcrdt.store.meta import is_asserting
from memcrdt.sync.messages import Diff, Restate
from tests.bare_device import BareDevice
from tests.bare_network import HOSTILE, SOON_S, Devices

MANY = 40  # clocks that a claim takes


Make = Callable[[str], Devices]


@pytest.fixture
def make(tmp_path: Path) -> object:
    made: list[Devices] = []

    def _make(names: str) -> Devices:
        made.append(Devices(tmp_path, names))
        return made[-1]

    yield _make
    for devices in made:
        devices.close()


def collected(client: int, clock: int, count: int = MANY) -> bytes:
    """Return an update with one block that claims clocks of a client id, and has no content."""
    return b"\x01\x01" + varuint(client) + varuint(clock) + b"\x00" + varuint(count) + b"\x00"


def deleted(client: int, clock: int, count: int) -> bytes:
    """Return an update that only deletes blocks."""
    return b"\x00\x01" + varuint(client) + b"\x01" + varuint(clock) + varuint(count)


def _claim_next(devices: Devices, victim: str, of: str, count: int = MANY) -> None:
    """Send a device the next clocks of another one, as blocks without content."""
    client = devices.all[of].store.facts.client_id
    clock = devices.all[of].replica.state_vector(devices.all[of].space(), 0).get(client, 0)
    devices.send(victim, collected(client, clock, count))


@pytest.mark.parametrize("names", ["AB", "BA"])
@pytest.mark.parametrize("is_connected", [True, False])
@pytest.mark.parametrize("texts", [1, 100])
def test_a_claim_sent_to_a_reader_alone_hides_nothing_from_it(
    make: Make, names: str, is_connected: bool, texts: int
) -> None:
    """Whoever begins the comparisons, and whether or not the owner passes the claimed clocks before they compare."""
    devices = make(names)
    writer, reader = names
    devices.restrict(reader)
    devices.add(writer, "before")
    devices.connect(writer, reader)
    if not is_connected:
        devices.sim.cut(1)
        devices.sim.run(1)
    _claim_next(devices, reader, of=writer)
    devices.all[writer].add_many(f"text {number}" for number in range(texts))
    devices.committed(writer)
    if not is_connected:
        devices.connect(writer, reader)
    assert (devices.views()[0], len(devices.all[reader].texts())) == (devices.views()[1], texts + 1)
    assert "lacked memories of the space 'personal'" in devices.alarms(writer)
    devices.sent.clear()
    devices.add(writer, "afterwards")
    assert devices.views()[0] == devices.views()[1]
    assert devices.count(Restate) == 0  # the writer has taken another client id


@pytest.mark.parametrize("names", ["AB", "BA"])
def test_a_deletion_sent_to_a_reader_alone_takes_nothing_from_it(make: Make, names: str) -> None:
    """A device that may only read writes nothing again by itself."""
    devices = make(names)
    writer, reader = names
    devices.restrict(reader)
    devices.add(writer, "first")
    devices.add(writer, "second")
    devices.connect(writer, reader)
    client = devices.all[writer].store.facts.client_id
    devices.send(
        reader, deleted(client, 0, devices.all[writer].replica.state_vector(devices.all[writer].space(), 0)[client])
    )
    assert devices.all[reader].texts() == {}
    devices.sim.run(SOON_S)
    assert devices.views()[0] == devices.views()[1]
    assert len(devices.all[reader].texts()) == 2


@pytest.mark.parametrize("names", ["ABC", "BCA", "CAB", "CBA"])
@pytest.mark.parametrize("is_reader", [True, False])
@pytest.mark.parametrize("count", [3, MANY, 1_000])
def test_what_a_device_wrote_that_is_gone_is_hidden_from_nobody(
    make: Make, names: str, is_reader: bool, count: int
) -> None:
    """Every device that has it writes it again for the one that the hostile member has reached first."""
    devices = make(names)
    gone, other, newcomer = names
    if is_reader:
        devices.restrict(newcomer)
    devices.connect(gone, other)
    memory = devices.add(gone, "before it was gone")
    devices.all[gone].update(memory, text="edited", add_tags=["kept"])
    devices.committed(gone)
    devices.sim.kill(devices.nodes[gone])
    client = devices.all[gone].store.facts.client_id
    devices.send(newcomer, collected(client, 0, count))
    devices.connect(other, newcomer)
    views = devices.views()
    assert views[1] == views[2]
    assert devices.all[newcomer].texts() == {memory: "edited"}
    assert devices.count(Restate) == 1 or not is_reader


def test_a_reader_gets_changes_through_another_device_although_their_clocks_are_claimed(make: Make) -> None:
    """Their author never meets the reader, and goes on under the same client id."""
    devices = make("ABC")
    devices.restrict("C")
    devices.connect("A", "B")
    devices.connect("B", "C")
    devices.add("A", "before")
    _claim_next(devices, "C", of="A")
    for number in range(9):
        devices.add("A", f"text {number}")
        assert devices.views()[0] == devices.views()[2]


def test_another_value_in_the_place_of_a_newer_one_is_replaced(make: Make) -> None:
    """The reader has the register, but its value is of the hostile member."""
    devices = make("AB")
    devices.restrict("B")
    memory = devices.add("A", "text")
    devices.all["A"].update(memory, importance=0.1)
    devices.committed("A")
    devices.connect("A", "B")
    client = devices.all["A"].store.facts.client_id
    clock = devices.all["A"].replica.state_vector(devices.all["A"].space(), 0)[client]
    forger = Shard.load(client, [devices.all["A"].replica.diff(devices.all["A"].space(), 0, {}).update])
    (update,) = forger.write({f"{memory}/a/importance": {"value": 0.5, "at": 1}}).updates
    devices.send("B", update)
    devices.all["A"].update(memory, importance=0.9)
    assert devices.all["A"].replica.state_vector(devices.all["A"].space(), 0)[client] == clock + 1
    devices.committed("A")
    assert devices.all["B"].rows("SELECT importance FROM memories") == [(0.9,)]
    assert devices.views()[0] == devices.views()[1]


def test_a_reader_that_is_ahead_asks_for_nothing(make: Make) -> None:
    """It has what another device wrote and forgot, which this one lacks. Nothing is hidden from it."""
    devices = make("ABC")
    devices.restrict("B")
    memories = [devices.add("A", f"text {number}") for number in range(3)]
    devices.all["A"].update(memories[0], importance=0.1, add_tags=["old"])
    devices.connect("A", "B")
    devices.connect("C", "B")
    devices.all["C"].take(devices.all["A"])
    devices.all["C"].update(memories[0], text="edited by C", importance=0.9, remove_tags=["old"])
    devices.all["C"].forget(memories[1])
    devices.committed("C")
    assert devices.views()[1] == devices.views()[2] != devices.views()[0]
    devices.sim.run(SOON_S)
    assert devices.count(Diff) > 0
    assert devices.count(Restate) == 0


def _keys(device: BareDevice) -> list[str]:
    with device.store.documents() as (db, documents):
        return list(documents.current(db, log.shard_row(db, 1)).live.values())


def test_a_device_cannot_make_others_write_without_end(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its requests are met so often, and then once a minute. An alarm names it, and other devices are served."""
    monkeypatch.setattr(claims, "REWRITES", 3)
    devices = make("AB")
    writer = devices.all["A"]

    def rows_after(peer: str) -> int:
        known = {*_keys(writer)} if writer.texts() else set()
        writer.add(f"text {len(known)}")
        before = writer.replica.head()
        writer.replica.restate(writer.space(), 0, sorted({*_keys(writer)} - known), peer)
        return writer.replica.head() - before

    assert [rows_after(HOSTILE) for _ in range(5)] == [1, 1, 1, 0, 0]
    assert "asked again and again" in devices.alarms("A")
    assert rows_after(devices.all["B"].id) == 1
    writer.clock += claims.REWRITE_EVERY_MS
    assert [rows_after(HOSTILE) for _ in range(2)] == [1, 0]


def test_requests_for_what_does_not_exist_change_nothing(make: Make) -> None:
    """Of another shard, of unknown registers, and of a space that this device may only read."""
    devices = make("AB")
    writer = devices.all["A"]
    writer.add("text")
    keys, head, client = _keys(writer), writer.replica.head(), writer.store.facts.client_id
    writer.replica.restate(writer.space(), 7, keys, HOSTILE)
    writer.replica.restate(writer.space(), 0, ["", "no key", f"{keys[0]}/a/unknown"], HOSTILE)
    devices.restrict("A")
    writer.replica.restate(writer.space(), 0, keys, HOSTILE)
    assert (writer.replica.head(), writer.store.facts.client_id, devices.alarms("A")) == (head, client, "")
    with pytest.raises(NotFoundError):
        writer.replica.restate("A" * 52, 0, keys, HOSTILE)


def test_a_copy_that_takes_too_long_is_refused(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """All its clocks are known here, so nothing of it was looked at when it was applied."""
    devices = make("AB")
    reader = devices.all["A"]
    devices.send("A", collected(7, 0, 500))
    hidden = claims.hidden

    def hidden_in_no_time(*args: Any) -> list[str]:
        with monkeypatch.context() as patch:
            patch.setattr(shard, "_TOTAL_S", 0.0)
            return hidden(*args)

    monkeypatch.setattr(claims, "hidden", hidden_in_no_time)
    copy = Shard(7)
    copy.write({"k": 1})
    for number in range(200):
        copy.write({"k": number})
    applied = reader.apply(copy.snapshot(), origin=HOSTILE)
    assert (applied.status, "takes over" in applied.reason) == ("refused", True)
    assert reader.rows("SELECT count(*) FROM quarantine") == [(1,)]


def test_a_register_that_was_written_again_is_not_a_second_time(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """If that did not help, it goes to another shard, once, even if that shard is full then."""
    monkeypatch.setattr(limits, "SHARD_BIRTHS", 1)
    devices = make("AB")
    writer = devices.all["A"]
    writer.add("text")
    heads = []
    for _ in range(4):
        writer.replica.restate(writer.space(), 0, _keys(writer), HOSTILE)
        heads.append(writer.replica.head())
    assert heads[0] < heads[1] == heads[2] == heads[3]
    assert [row[0] for row in writer.rows("SELECT number FROM shards ORDER BY 1")] == [0, 1]


@pytest.mark.parametrize("top", [limits.CLIENT_ID_MAX, meta._ASSERTING_MAX])
def test_blocks_under_the_highest_client_ids_hide_nothing(make: Make, top: int) -> None:
    """They win over everything in their shard, so what they hide goes to another one."""
    devices = make("AB")
    devices.restrict("B")
    memory = devices.add("A", "text")
    forger = Shard(top)
    (written,) = forger.write(dict.fromkeys(_keys(devices.all["A"]), 1)).updates
    (gone,) = forger.write(dict.fromkeys(_keys(devices.all["A"]), DELETED)).updates
    devices.send("B", written)
    devices.send("B", gone)
    devices.connect("A", "B")
    assert devices.all["B"].texts() == {memory: "text"}
    asked = devices.count(Restate)
    devices.sim.run(10 * SOON_S)
    assert (devices.all["B"].texts(), devices.count(Restate)) == ({memory: "text"}, asked)


@pytest.mark.parametrize("count", [1, 2, MANY])
@pytest.mark.parametrize("is_connected", [True, False])
@pytest.mark.parametrize("names", ["AB", "BA"])
def test_a_value_that_is_written_again_undoes_no_later_one(
    make: Make, names: str, is_connected: bool, count: int
) -> None:
    """The device with the claim sees only that the old value goes, and writes it again, which would win everywhere."""
    devices = make(names)
    author, other = (devices.all[name] for name in names)
    memory = devices.add(names[0], "text")
    author.update(memory, importance=0.1, metadata={"phone": "old"}, add_tags=["old"])
    devices.committed(names[0])
    devices.connect(*names)
    if not is_connected:
        devices.sim.cut(1)
        devices.sim.run(1)
    _claim_next(devices, names[1], of=names[0], count=count)
    author.update(memory, importance=0.9, metadata={"phone": "new"}, remove_tags=["old"])
    devices.committed(names[0])
    if not is_connected:
        devices.connect(*names)
    for device in (author, other):
        assert device.rows("SELECT importance, value FROM memories JOIN metadata USING(memory)") == [(0.9, '"new"')]
        assert device.rows("SELECT tag FROM tags") == []
    assert devices.views()[0] == devices.views()[1]


def test_a_false_request_undoes_no_change_of_a_device_that_is_away(make: Make) -> None:
    """Of a field, which the device has changed later. Its author writes it again."""
    devices = make("AB")
    memory = devices.add("A", "text")
    devices.all["A"].update(memory, importance=0.1)
    devices.committed("A")
    devices.connect("A", "B")
    devices.sim.cut(1)
    devices.sim.run(1)
    devices.all["A"].replica.restate(devices.all["A"].space(), 0, _keys(devices.all["A"]), HOSTILE)
    devices.all["B"].clock += 1_000
    devices.all["B"].update(memory, importance=0.9)
    devices.connect("A", "B")
    assert [device.rows("SELECT importance FROM memories") for device in devices.all.values()] == [[(0.9,)]] * 2


def test_edits_of_a_closed_shard_take_nothing_away(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """They delete there what they write into another shard, and nobody writes it again."""
    devices = make("ABC")
    devices.restrict("C")
    memory = devices.add("A", "text")
    devices.all["A"].update(memory, importance=0.1)
    devices.committed("A")
    for other in "BC":
        devices.connect("A", other)
    monkeypatch.setattr(limits, "SHARD_CLIENTS_MAX", 2)
    for number in range(5):
        devices.all["A"].update(memory, importance=0.5 + number / 10, add_tags=[f"tag {number}"])
        devices.committed("A")
    assert devices.views()[0] == devices.views()[1] == devices.views()[2]
    assert [*map(is_asserting, devices.all["B"].replica.state_vector(devices.all["B"].space(), 0))] == [False]
    assert (devices.count(Restate), devices.alarms("A"), devices.alarms("B")) == (0, "", "")


@pytest.mark.parametrize("is_connected", [True, False])
@pytest.mark.parametrize("names", ["AB", "BA"])
def test_an_edit_of_a_closed_shard_holds_although_the_clock_is_behind(
    make: Make, monkeypatch: pytest.MonkeyPatch, names: str, is_connected: bool
) -> None:
    """Between shards the later value wins, and what only went away would be written again."""
    devices = make(names)
    a, b = (devices.all[name] for name in "AB")
    memory = devices.add("A", "text")
    a.clock += 1_000_000
    a.update(memory, importance=0.1, add_tags=["old"], metadata={"phone": "old"})
    devices.committed("A")
    devices.connect(*names)
    if not is_connected:
        devices.sim.cut(1)
        devices.sim.run(1)
    monkeypatch.setattr(limits, "SHARD_CLIENTS_MAX", 1)
    b.update(memory, importance=0.9, remove_tags=["old"], metadata={"phone": "new"})
    devices.committed("B")
    if not is_connected:
        devices.connect(*names)
    for device in (a, b):
        assert device.rows("SELECT importance, value FROM memories JOIN metadata USING(memory)") == [(0.9, '"new"')]
        assert device.rows("SELECT tag FROM tags") == []
        assert len(device.replica.digests(device.space())) == 2
    assert devices.views()[0] == devices.views()[1]
    assert (devices.count(Restate), devices.alarms("A"), devices.alarms("B")) == (0, "", "")


def test_a_register_is_hidden_although_another_shard_has_a_later_value(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All show the same without it, but the documents would never be equal. Its author is gone."""
    devices = make("ABC")
    memory = devices.add("A", "text")
    devices.connect("A", "B")
    devices.sim.cut(1)
    devices.connect("A", "C")
    a, b, c = devices.all.values()
    forger = Shard.load(a.store.facts.client_id, [a.replica.diff(a.space(), 0, {}).update])
    devices.send("B", *forger.write({"junk": 1}).updates)
    a.update(memory, importance=0.1)
    devices.committed("A")
    devices.sim.kill(devices.nodes["A"])
    with monkeypatch.context() as patch:
        patch.setattr(limits, "SHARD_CLIENTS_MAX", 1)
        b.clock += 1_000
        b.update(memory, importance=0.9)
    devices.connect("B", "C")
    for device in (b, c):
        assert device.rows("SELECT importance FROM memories") == [(0.9,)]
    of_b, of_c = (device.replica.digests(device.space()) for device in (b, c))
    assert {number: each.digest for number, each in of_b.items()} == {n: each.digest for n, each in of_c.items()}
    assert (len(of_b), devices.count(Restate)) == (2, 1)


def test_a_reader_that_has_an_edit_of_a_closed_shard_asks_for_nothing(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The edit has deleted what it wrote elsewhere. Another device does not know of it yet."""
    devices = make("ABC")
    devices.restrict("B")
    memory = devices.add("A", "text")
    devices.all["A"].update(memory, importance=0.1, add_tags=["old"])
    devices.connect("A", "B")
    devices.connect("C", "B")
    devices.all["C"].take(devices.all["A"])
    monkeypatch.setattr(limits, "SHARD_CLIENTS_MAX", 1)
    devices.all["C"].clock += 1_000
    devices.all["C"].update(memory, importance=0.9, remove_tags=["old"])
    devices.committed("C")
    assert devices.views()[1] == devices.views()[2] != devices.views()[0]
    devices.sim.run(SOON_S)
    assert devices.count(Diff) > 0
    assert (devices.count(Restate), devices.alarms("A")) == (0, "")


@pytest.mark.parametrize("reader", ["", "C"])
def test_a_revision_that_was_pruned_meanwhile_does_not_come_back(make: Make, reader: str) -> None:
    """All that named it as their base were pruned, too, before this device saw them."""
    devices = make("ABC")
    if reader:
        devices.restrict(reader)
    memory = devices.add("A", "first")
    devices.all["A"].update(memory, text="second")
    devices.committed("A")
    for other in "BC":
        devices.connect("A", other)
    for number in list(devices.sim.links):
        devices.sim.cut(number)
    devices.sim.run(1)
    for number in range(2 * limits.REVISIONS):
        devices.all["A"].update(memory, text=f"edit {number}")
    for other in "BC":
        devices.connect("A", other)
    for device in devices.all.values():
        assert device.rows("SELECT text FROM revisions WHERE head = 1") == [(f"edit {2 * limits.REVISIONS - 1}",)]
    assert devices.count(Restate) == 0


def test_one_request_writes_a_limited_number_of_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """At least one register, however large."""
    monkeypatch.setattr(limits, "MIB", 1_000)
    assert list(claims.few({f"k{number}": "x" * 400 for number in range(9)})) == ["k0", "k1"]
    assert list(claims.few({"large": "x" * 5_000, "other": 1})) == ["large"]


def test_a_sender_is_not_to_blame_if_our_own_copy_takes_too_long(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is missing altogether is still found."""
    device = make("AB").all["A"]
    device.add("text")
    copy = device.replica.diff(device.space(), 0, {}).update
    ours = Shard.load(9, [copy])
    lost = _keys(device)[0]
    ours.write({lost: DELETED})
    apply, calls = Shard.apply, iter(range(2))

    def slow(self: Shard, update: bytes, info: Scan | None = None) -> object:
        if next(calls):
            raise RemoteProtocolError("it takes too long")
        return apply(self, update, info)

    monkeypatch.setattr(Shard, "apply", slow)
    assert claims.hidden(ours.snapshot(), copy, scan(copy), lambda _: {}) == [lost]
    assert next(calls, None) is None


def test_of_many_hidden_registers_all_have_their_turn(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Writing the first ones again may not help."""
    device = make("AB").all["A"]
    device.add("text")
    copy = device.replica.diff(device.space(), 0, {}).update
    monkeypatch.setattr(store_replica, "HIDDEN", 2)
    monkeypatch.setattr(claims, "hidden", lambda *_: ["a", "b", "c", "d", "x" * 500])
    asked = [device.apply(copy, origin=HOSTILE).hidden for _ in range(4)]
    assert asked[0] == ()
    assert {*asked[1], *asked[2], *asked[3]} == {"a", "b", "c", "d"}


def test_what_is_written_again_without_end_is_not_taken(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would have to be answered each time. Other changes of the device are taken."""
    monkeypatch.setattr(claims, "REWRITES", 0)
    device = make("AB").all["A"]
    again = device.stock_update({"junk": 1}, client_id=meta.asserting_client_id(secrets.token_bytes, ()))
    assert device.apply(again, origin=HOSTILE).status == "later"
    assert device.apply(device.stock_update({"junk": 1}), origin=HOSTILE).status == "applied"
