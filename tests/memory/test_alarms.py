"""Alarms of a memory: they end with their cause, are acknowledged, and come back with it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import memcrdt
from memcrdt.errors import LockedError
from memcrdt.memory.memory import Memory
from memcrdt.net.identity import KEY_FILE
from memcrdt.node.lock import ServeLock
from memcrdt.store import alarms, meta
from memcrdt.store.membership.peers import Peers

LAPTOP = "B" * 51 + "A"


@pytest.fixture(name="memory")
def _memory(tmp_path: Path) -> Iterator[Memory]:
    with memcrdt.open(tmp_path / "home", embedder=None) as memory:
        yield memory


def shown(memory: Memory) -> list[str]:
    """Return the beginnings of the alarms that are shown."""
    return [alarm.text[:12] for alarm in memory.status().alarms]


def test_an_acknowledged_alarm_is_hidden_until_it_happens_again(memory: Memory) -> None:
    """It stays known meanwhile. Another alarm is shown all the same."""
    peers = Peers(memory.store)
    peers.alarm("two stores take turns")
    assert [alarm.text for alarm in memory.acknowledge_alarms()] == ["two stores take turns"]
    assert memory.acknowledge_alarms() == ()
    peers.alarm("something else")
    status = memory.status()
    assert [alarm.text for alarm in status.alarms] == ["something else"]
    assert [alarm.text for alarm in status.acknowledged] == ["two stores take turns"]
    peers.alarm("two stores take turns")
    assert [alarm.text for alarm in memory.status().alarms] == ["something else", "two stores take turns"]


def test_an_alarm_about_a_state_that_goes_on_is_shown_again_a_day_after_it_was_acknowledged(
    memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For example a full shard: as long as it is full, something is not taken."""
    now = memory.store.now_ms()

    def found_again(hours: float) -> list[str]:
        monkeypatch.setattr(memory.store, "now_ms", lambda: now + round(hours * 3_600_000))
        with memory.store.writing() as db:
            alarms.raise_alarm_once(db, memory.store.now_ms(), "the shard is full")
        return shown(memory)

    assert found_again(0) == found_again(30) == ["the shard is"]
    memory.acknowledge_alarms()
    assert found_again(31) == found_again(53) == []
    assert found_again(55) == ["the shard is"]
    memory.acknowledge_alarms()
    assert found_again(56) == []


def test_acknowledgments_of_an_older_version_hold(memory: Memory) -> None:
    """It kept a list of ids, without times."""
    peers = Peers(memory.store)
    peers.alarm("two stores take turns")
    (alarm,) = memory.status().alarms
    with memory.store.writing() as db:
        meta.write(db, "acknowledged", json.dumps([alarm.id]))
    assert (shown(memory), memory.acknowledge_alarms()) == ([], ())


def test_a_revocation_is_acknowledged_once_and_another_one_is_shown(memory: Memory) -> None:
    """The change still says that it stays here, and the space that it is lost."""
    memory.accept(LAPTOP, name="laptop")
    peers = Peers(memory.store)
    peers.refused(LAPTOP, LAPTOP)
    assert shown(memory) == ["this device "]
    memory.acknowledge_alarms()
    memory.add("stays here")
    assert (shown(memory), len(memory.status().acknowledged)) == ([], 1)
    assert [warning.reason for warning in memory.sync.warnings()] == ["revoked"]
    assert memory.status().spaces[0].revoked_by == "laptop"
    peers.accept(LAPTOP)
    assert memory.status().acknowledged == ()
    assert memory.status().spaces[0].revoked_by is None
    peers.refused(LAPTOP, LAPTOP)
    assert shown(memory) == ["this device "]


def test_an_acknowledgment_ends_with_its_alarm(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    """So the same advice about the folder is shown if it applies once more."""
    place = memory.store.location
    monkeypatch.setattr(place, "advice", "this folder is synchronized")
    memory.acknowledge_alarms()
    assert shown(memory) == []
    monkeypatch.setattr(place, "advice", None)
    assert shown(memory) == []
    monkeypatch.setattr(place, "advice", "this folder is synchronized")
    assert shown(memory) == ["this folder "]


def test_a_new_key_is_an_alarm_until_a_device_is_paired(tmp_path: Path) -> None:
    """It ends the alarm about the revocation, which was about the former key."""
    home = tmp_path / "home"
    with memcrdt.open(home, embedder=None) as memory:
        memory.accept(LAPTOP, name="laptop")
        Peers(memory.store).refused(LAPTOP, LAPTOP)
        assert shown(memory) == ["this device "]
    (home / KEY_FILE.name).unlink()
    with memcrdt.open(home, embedder=None) as memory:
        assert ["new device key" in alarm.text for alarm in memory.status().alarms] == [True]
        memory.accept(LAPTOP)
        assert memory.status().alarms == ()


def test_a_key_is_not_replaced_while_a_process_syncs_with_the_former_one(tmp_path: Path) -> None:
    """Its connections prove the former key, and what it hears about that key is not about the new one."""
    home = tmp_path / "home"
    memcrdt.open(home, embedder=None).close()
    lock = ServeLock(home)
    (home / KEY_FILE.name).unlink()
    with pytest.raises(LockedError, match="end that process first"):
        memcrdt.open(home, embedder=None)
    lock.release()
    memcrdt.open(home, embedder=None).close()
