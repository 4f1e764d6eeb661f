"""A real store behind the interface of sync."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from memcrdt.model import limits
from memcrdt.node import store_replica
from memcrdt.store import compaction, log
from memcrdt.store.membership.peers import Peers
from memcrdt.testing.replicas import ReplicaAcceptance, ReplicaScene
from tests.bare_device import BareDevice, agree


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


class _Scene:
    """A real store that is shared with one other device."""

    def __init__(self, folder: Path, name: str, peer: str, opened: ExitStack) -> None:
        self._folder, self._opened = folder, opened
        self._device = BareDevice(folder / name, name)
        opened.callback(self._device.close)
        self.replica, self.device, self.peer = self._device.replica, self._device.id, peer
        self.space = self._device.space()
        Peers(self._device.store).accept(peer)

    def write(self, text: str) -> None:
        self._device.add(text)

    def delete(self, text: str) -> None:
        self._device.forget(*(memory_id for memory_id, found in self._device.texts().items() if found == text))

    def fold(self) -> None:
        compaction.compact(self._device.store)

    def texts(self) -> set[str]:
        return set(self._device.texts().values())

    def other(self) -> _Scene:
        return _Scene(self._folder, self.peer[0], self.device, self._opened)


class TestStoreReplica(ReplicaAcceptance):
    """The real store meets the contract of all replicas."""

    @pytest.fixture(name="scene")
    def _scene(self, tmp_path: Path) -> Iterator[ReplicaScene]:
        with ExitStack() as opened:
            yield _Scene(tmp_path, "A", "B" * 52, opened)
