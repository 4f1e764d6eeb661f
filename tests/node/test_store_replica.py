"""A real store behind the interface of sync."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from memcrdt.crdt import shard
from memcrdt.crdt.scan import Scan, scan
from memcrdt.model import limits
from memcrdt.node import store_replica
from memcrdt.store import documents, log, shared_log
from memcrdt.store.membership.peers import Peers
from memcrdt.testing.replicas import ReplicaAcceptance, ReplicaScene
from tests.bare_device import BareDevice, agree, spoil_rows
from tests.store_scene import StoreScene


def test_a_diff_that_is_too_large_is_taken_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each part applies after the one before, and together they contain everything."""
    monkeypatch.setattr(limits, "UPDATE_BYTES", 20_000)
    monkeypatch.setattr(store_replica, "PIECE_BYTES", 8_000)
    here, there = BareDevice(tmp_path / "A", "A"), BareDevice(tmp_path / "B", "B")
    for _ in range(5):
        here.add_many(f"text {number} {'x' * 100}" for number in range(50))
    here.forget(*list(here.texts())[::3])
    parts, known = 0, there.replica.state_vector(there.space(), 0)
    while True:
        diff = here.replica.diff(here.space(), 0, known)
        applied = there.replica.apply(there.space(), 0, diff.update, here.id)
        known, parts = applied.state_vector, parts + 1
        assert (applied.status, known) == ("applied", diff.after)
        if not diff.partial:
            break
    assert (parts > 3, there.digest(), there.views()) == (True, here.digest(), here.views())
    here.close()
    there.close()


def test_other_threads_get_shorter_turns_beside_a_long_update(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A search asks for the interpreter again and again. Afterwards the turns are as before, also after a refusal."""
    before, turns = sys.getswitchinterval(), []

    def scan_noted(update: bytes) -> Scan:
        turns.append(sys.getswitchinterval())
        return scan(update)

    monkeypatch.setattr(store_replica, "scan", scan_noted)
    device = BareDevice(tmp_path / "A", "A")
    long = device.stock_update({"junk": "x" * store_replica.LONG_BYTES})
    refused = b"\xff" * (store_replica.LONG_BYTES + 1)
    updates = (long, device.stock_update({"more": "x"}), refused)
    assert [device.apply(update).status for update in updates] == ["applied", "applied", "refused"]
    assert turns == pytest.approx([store_replica.TURN_S, before, store_replica.TURN_S])
    assert sys.getswitchinterval() == pytest.approx(before)
    device.close()


def test_turns_stay_short_until_the_last_long_update_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two threads may take one each."""
    before, inside = sys.getswitchinterval(), threading.Barrier(2)
    left, turns = threading.Event(), []

    def scan_noted(update: bytes) -> Scan:
        inside.wait(60)
        if threading.current_thread() is not last:
            return scan(update)
        left.wait(60)
        turns.append(sys.getswitchinterval())
        return scan(update)

    monkeypatch.setattr(store_replica, "scan", scan_noted)
    devices = [BareDevice(tmp_path / name, name) for name in "AB"]
    long = devices[0].stock_update({"junk": "x" * store_replica.LONG_BYTES})
    first, last = (threading.Thread(target=device.apply, args=(long,)) for device in devices)
    first.start()
    last.start()
    first.join(60)
    left.set()
    last.join(60)
    assert [*turns, sys.getswitchinterval()] == pytest.approx([store_replica.TURN_S, before])
    for device in devices:
        device.close()


def test_a_shard_with_a_register_that_is_too_large_is_sent_without_the_excess(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store from before the limit may have such a register. It is written again with the fields that fit."""
    here, there = BareDevice(tmp_path / "A", "A"), BareDevice(tmp_path / "B", "B")
    memory = here.add("a text")
    [(birth_text,)] = here.rows("SELECT text FROM memories")
    with monkeypatch.context() as before:
        before.setattr(limits, "REGISTER_BYTES", limits.UPDATE_BYTES)
        long = "x" * (limits.UPDATE_BYTES - 1_000)
        assert here.apply(here.stock_update({"junk": long}, client_id=70)).status == "applied"
        trust = {"value": "high", "at": 1, "odd": "y" * limits.MIB}
        assert here.apply(here.stock_update({f"{memory}/a/trust": trust}, client_id=71)).status == "applied"
    assert there.apply(here.stock_update({"more junk": long[: limits.REGISTER_BYTES]})).status == "refused"
    agree([here, there])
    assert (there.digest(), there.views()) == (here.digest(), here.views())
    assert there.rows("SELECT text, trust FROM memories") == [(birth_text, "high")]
    here.close()
    there.close()


def test_the_receipts_of_a_restored_store_are_void(tmp_path: Path) -> None:
    """A new incarnation may lack updates that the old one had. An unchanged incarnation keeps its receipts."""
    here = BareDevice(tmp_path / "A", "A")
    here.add("text")
    here.replica.note_incarnation("B", "first")
    here.replica.note_receipts("B", here.space(), {0: 1}, {})
    here.replica.note_incarnation("B", "first")
    assert here.rows("SELECT device, seq FROM receipts") == [("B", 1)]
    here.replica.note_incarnation("B", "second")
    assert here.rows("SELECT * FROM receipts") == []
    here.close()


def test_the_update_of_a_stock_client_is_sent_as_local(tmp_path: Path) -> None:
    """No other device has it, so it is not announced only. Updates of devices may be known elsewhere."""
    here = BareDevice(tmp_path / "A", "A")
    Peers(here.store).accept("B" * 52)
    known = here.add("text")
    head = here.replica.head()
    for key, client, origin in (("tag", 7, f"{log.STOCK}a token"), ("other", 8, "B" * 52)):
        update = here.stock_update({f"{known}/t/{key}": {"tag": key, "at": 1}}, client_id=client)
        assert here.replica.apply(here.space(), 0, update, origin).status == "applied"
    assert [entry.origin for entry in here.replica.log(head, 10).entries] == ["local", "B" * 52]
    here.close()


def test_the_first_update_of_a_shard_is_not_scanned_again_to_be_offered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its clocks are those of the document. They are the same as by a scan, and later updates are scanned."""
    here, there = BareDevice(tmp_path / "A", "A"), BareDevice(tmp_path / "B", "B")
    for each in (here, there):
        Peers(each.store).accept("C" * 52)
    here.add("one")
    here.add("two")
    head, whole = there.replica.head(), here.replica.diff(here.space(), 0, {})
    assert there.replica.apply(there.space(), 0, whole.update, "C" * 52).status == "applied"
    with monkeypatch.context() as patch:
        patch.setattr(shared_log, "scan", lambda *_, **__: pytest.fail("scanned again"))
        first = there.replica.log(head, 10).entries
    there.reopen()
    assert there.replica.log(head, 10).entries == first
    assert [(entry.needs, entry.after) for entry in first] == [({}, whole.after)]
    here.add("three")
    later = here.replica.diff(here.space(), 0, whole.after)
    assert there.replica.apply(there.space(), 0, later.update, "C" * 52).status == "applied"
    assert [entry.needs for entry in there.replica.log(head + 1, 10).entries] == [dict(whole.after)]
    here.close()
    there.close()


def test_the_first_update_is_scanned_if_it_takes_several_rows_or_is_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One row has not the clocks of the document, and damaged bytes are offered to nobody."""
    here, there = BareDevice(tmp_path / "A", "A"), BareDevice(tmp_path / "B", "B")
    Peers(there.store).accept("C" * 52)
    here.add_many(f"text {number}" for number in range(20))
    head, whole = there.replica.head(), here.replica.diff(here.space(), 0, {})
    with monkeypatch.context() as patch:
        patch.setattr(shard, "PIECE_BYTES", len(whole.update) // 3)
        assert there.apply(whole.update, origin="C" * 52).status == "applied"
    entries = there.replica.log(head, 10).entries
    assert len(entries) > 1
    assert entries[0].after != whole.after == entries[-1].after
    assert there.apply(whole.update, 1, origin="C" * 52).status == "applied"
    with there.store.writing() as db:
        spoil_rows(db, "updates", f"seq = {there.replica.head()}")
    page = there.replica.log(head + len(entries), 10)
    assert (page.entries, page.resync) == ([], [(there.space(), 1)])
    here.close()
    there.close()


def test_the_clocks_of_few_first_updates_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the latest."""
    monkeypatch.setattr(documents, "FIRST_UPDATES", 2)
    here, there = BareDevice(tmp_path / "A", "A"), BareDevice(tmp_path / "B", "B")
    here.add("one")
    update = here.replica.diff(here.space(), 0, {}).update
    for number in range(3):
        assert there.apply(update, number).status == "applied"
    rows = there.rows("SELECT checksum FROM updates ORDER BY seq")
    assert [(checksum,) for checksum in there.store.first_updates] == rows[1:]
    here.close()
    there.close()


def test_the_audience_of_a_space_is_its_accepted_members(tmp_path: Path) -> None:
    """It is read each time, so a revoked device gets nothing that is read later. No device gets `local`."""
    here = BareDevice(tmp_path / "A", "A")
    peers = Peers(here.store)
    peers.accept("B" * 52)
    peers.accept("C" * 52)
    peers.knocked("D" * 52, b"k" * 32, None)
    assert here.replica.audience(here.space()) == {"B" * 52, "C" * 52}
    peers.revoke("C" * 52)
    assert here.replica.audience(here.space()) == {"B" * 52}
    with here.store.writing() as db:
        db.execute("INSERT INTO shares(space, device) SELECT space, ? FROM spaces WHERE name = 'local'", ("B" * 52,))
    assert here.replica.audience(here.space("local")) == frozenset()
    here.close()


class TestStoreReplica(ReplicaAcceptance):
    """The real store meets the contract of all replicas."""

    @pytest.fixture(name="scene")
    def _scene(self, tmp_path: Path) -> Iterator[ReplicaScene]:
        with ExitStack() as opened:

            def make(name: str) -> BareDevice:
                device = BareDevice(tmp_path / name, name)
                opened.callback(device.close)
                return device

            yield StoreScene(make, "A", "B" * 52)
