"""Tests of invariant 4: no two stores or incarnations use one client id, however files are copied or restored."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import platformdirs
import pytest

from memcrdt.paths import STATE_VARIABLE
from memcrdt.store import alarms, high_water_mark, machine
from memcrdt.store.files import FILE
from memcrdt.store.high_water_mark import HighWaterMark, judge
from memcrdt.store.location import FolderLocation
from memcrdt.store.meta import Facts
from tests.bare_device import BareDevice, agree

Make = Callable[..., BareDevice]


@pytest.fixture(name="a")
def _a(device: Make, tmp_path: Path) -> BareDevice:
    """Return a device with its own folders for marks, on machine M, with one memory."""
    a = device("A", marks=tmp_path / "state", runtime=tmp_path / "runtime", machine="M", boot="B1")
    a.add("first")
    return a


def _alarms(device: BareDevice) -> list[str]:
    with device.store.reading() as db:
        return [alarm.text for alarm in alarms.raised(db)]


def _assert_new(before: Facts, device: BareDevice, reason: str) -> None:
    """Assert that the store has a new identity, and that an alarm tells its user why."""
    after = device.store.facts
    assert after.incarnation != before.incarnation
    assert after.client_id != before.client_id
    assert [reason in alarm for alarm in _alarms(device)][-1:] == [True]


def _copy(home: Path, to: Path) -> None:
    shutil.copytree(home, to, dirs_exist_ok=True)


def test_a_store_that_is_opened_again_is_the_same(a: BareDevice) -> None:
    """It never gets a new identity or an alarm."""
    facts = a.store.facts
    for _ in range(5):
        a.reopen()
        a.add("more")
    assert (a.store.facts, _alarms(a)) == (facts, [])


def test_a_restored_file_is_noticed(a: BareDevice, tmp_path: Path) -> None:
    """The mark beside the key is ahead of the file."""
    a.close()
    shutil.copy(a.home / FILE, tmp_path / "backup")
    a.open()
    a.add("lost by the restore")
    a.close()
    facts = a.store.facts
    shutil.copy(tmp_path / "backup", a.home / FILE)
    a.open()
    _assert_new(facts, a, "restored from an older copy")


def test_a_restored_home_is_noticed(a: BareDevice, tmp_path: Path) -> None:
    """The mark beside the key was restored too, but the mark in the state folder is ahead."""
    a.close()
    _copy(a.home, tmp_path / "backup")
    a.open()
    a.add("lost by the restore")
    a.close()
    facts = a.store.facts
    for file in a.home.iterdir():
        file.write_bytes((tmp_path / "backup" / file.name).read_bytes())  # into the same files
    a.open()
    _assert_new(facts, a, "restored from an older copy")


def test_an_older_copy_of_an_earlier_incarnation_is_noticed(a: BareDevice, tmp_path: Path) -> None:
    """This includes a copy with the last row that the incarnation ever had."""
    a.close()
    shutil.copy(a.home / FILE, tmp_path / "backup")
    (a.home / high_water_mark.FILE).unlink()
    shutil.rmtree(tmp_path / "state")
    shutil.rmtree(tmp_path / "runtime")
    a.open()  # it seems to be made elsewhere, so it becomes another incarnation
    a.add("lost by the restore")
    a.close()
    facts = a.store.facts
    (a.home / FILE).write_bytes((tmp_path / "backup").read_bytes())
    a.open()
    _assert_new(facts, a, "older copy")


def test_a_home_copied_to_another_machine_is_noticed(a: BareDevice, tmp_path: Path) -> None:
    """The mark beside the key names the machine."""
    a.close()
    _copy(a.home, tmp_path / "elsewhere")
    copy = BareDevice(tmp_path / "elsewhere", "A", marks=tmp_path / "other state", machine="N")
    _assert_new(a.store.facts, copy, "another machine")
    copy.close()
    a.open()
    assert _alarms(a) == []


def test_a_copy_on_the_same_machine_is_noticed_and_the_original_goes_on(a: BareDevice, tmp_path: Path) -> None:
    """The copy has another inode."""
    a.close()
    _copy(a.home, tmp_path / "copy")
    copy = BareDevice(tmp_path / "copy", "A", marks=tmp_path / "state", machine="M", boot="B1")
    _assert_new(a.store.facts, copy, "copied or moved")
    copy.close()
    a.open()
    assert _alarms(a) == []


def test_a_file_without_any_mark_is_not_trusted(a: BareDevice, tmp_path: Path) -> None:
    """The user put it here by hand, and another store may write under its client id."""
    a.close()
    (tmp_path / "new").mkdir()
    shutil.copy(a.home / FILE, tmp_path / "new" / FILE)
    copy = BareDevice(tmp_path / "new", "A", marks=tmp_path / "other state", machine="M")
    _assert_new(a.store.facts, copy, "made elsewhere")
    copy.close()


def test_a_store_under_another_device_key_is_another_one(a: BareDevice, tmp_path: Path) -> None:
    """Its facts then name the new device."""
    a.close()
    other = BareDevice(a.home, "B", marks=tmp_path / "state", machine="M")
    _assert_new(a.store.facts, other, "another device than before")
    assert other.store.device == "B" * 52
    other.close()


def test_a_mark_that_lags_is_no_suspicion(a: BareDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    """This happens after a crash between COMMIT and the mark."""
    facts = a.store.facts
    with monkeypatch.context() as patch:
        patch.setattr(high_water_mark.HighWaterMarks, "write", lambda *_: None)
        a.add("durable, and then the process is killed")
    a.reopen()
    assert (a.store.facts, _alarms(a)) == (facts, [])


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_state_folder_that_cannot_be_written_is_done_without(device: Make, tmp_path: Path) -> None:
    """The mark beside the key is enough."""
    (tmp_path / "locked").mkdir(mode=0o500)
    a = device("A", marks=tmp_path / "locked" / "state")
    a.reopen()
    assert _alarms(a) == []


def test_lost_writes_come_back_from_peers(a: BareDevice, device: Make, tmp_path: Path) -> None:
    """Writes of the restored store collide with nothing: the digests are equal afterwards."""
    a.close()
    shutil.copy(a.home / FILE, tmp_path / "backup")
    a.open()
    lost = a.add("lost by the restore")
    b = device("B")
    agree([a, b])
    a.close()
    shutil.copy(tmp_path / "backup", a.home / FILE)
    a.open()
    assert lost not in a.texts()
    new = a.add("written after the restore")
    agree([a, b])
    assert {lost, new} <= set(a.texts())
    assert (a.views(), a.digest()) == (b.views(), b.digest())


def test_a_new_boot_takes_a_new_client_id(a: BareDevice, tmp_path: Path) -> None:
    """The incarnation stays the same, without an alarm."""
    facts = a.store.facts
    a.close()
    again = BareDevice(a.home, "A", marks=tmp_path / "state", machine="M", boot="B2")
    assert again.store.facts.incarnation == facts.incarnation
    assert again.store.facts.client_id != facts.client_id
    assert _alarms(again) == []
    again.close()


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [("x", "x", True), ("x", "y", False), ("minute 100", "minute 101", True), ("minute 100", "minute 104", False)],
)
def test_minutes_of_boot_that_differ_a_little_are_one_boot(one: str, other: str, same: bool) -> None:
    """Without a boot id from the kernel, the time of the boot is computed from adjustable clocks."""
    assert machine.is_same_boot(one, other) is same


def test_thousands_of_commands_leave_one_client_id(a: BareDevice) -> None:
    """Invariant 4: each command opens the store, writes and closes it. The state vector does not grow."""
    memory = a.add("memory")
    for number in range(300):
        a.reopen()
        a.update(memory, importance=number / 1_000)
    assert len(a.replica.state_vector(a.space(), 0)) == 1


def test_a_block_under_our_own_id_from_a_peer_is_the_tripwire(device: Make) -> None:
    """It is applied under a new client id, with an alarm.

    Two stores under one client id would differ permanently and silently.
    """
    a, b = device("A"), device("B")
    agree([a, b])
    a.add("of A")
    b.use_client(a.store.facts.client_id)
    b.add("of B under A's id")
    b.add("another")
    before = a.store.facts.client_id
    assert [applied.status for applied in a.take(b)] == ["applied"]
    assert a.rows("SELECT count(*) FROM quarantine") == [(0,)]
    assert "another copy of this store is in use" in _alarms(a)[0]
    a.add("goes on")
    assert a.store.facts.client_id != before
    agree([a, b])
    assert set(a.texts().values()) == {"of A", "of B under A's id", "another", "goes on"}
    assert (a.views(), a.digest()) == (b.views(), b.digest())


def test_our_own_blocks_come_back_without_alarm(device: Make) -> None:
    """A peer's diff may contain our own writes."""
    a, b = device("A"), device("B")
    a.add("of A")
    agree([a, b])
    whole = b.replica.diff(b.space(), 0, {}).update
    assert a.apply(whole).status == "applied"
    assert _alarms(a) == []


def test_a_restore_that_no_mark_told_of_is_the_tripwire_at_the_next_exchange(
    a: BareDevice, device: Make, tmp_path: Path
) -> None:
    """This also works if the store has since written as much as was lost: a peer's old blocks differ there."""
    b = device("B")
    agree([a, b])
    a.close()
    _copy(a.home, tmp_path / "backup")
    _copy(tmp_path / "state", tmp_path / "backup of the state")
    a.open()
    lost = a.add("lost by the restore")
    agree([a, b])
    a.close()
    facts = a.store.facts
    shutil.rmtree(tmp_path / "runtime")
    for folder, kept in ((a.home, "backup"), (tmp_path / "state", "backup of the state")):
        for file in folder.iterdir():
            file.write_bytes((tmp_path / kept / file.name).read_bytes())
    a.open()
    assert (a.store.facts, _alarms(a)) == (facts, [])
    a.add("written after the restore")
    a.add("and more")
    b.take(a)
    (applied,) = a.take(b)
    assert applied.status == "applied"
    assert "another copy of this store is in use" in _alarms(a)[0]
    a.add("goes on")
    assert a.store.facts.client_id != facts.client_id
    agree([a, b])
    assert a.texts()[lost] == "lost by the restore"
    assert set(a.texts().values()) >= {"written after the restore", "and more", "goes on"}
    assert (a.views(), a.digest()) == (b.views(), b.digest())


@pytest.mark.parametrize("content", [b"", b"[]", b"{", b"\xff" * 512, b'["a", "b", "c", "d"]', b"\0" * 512])
def test_what_is_no_mark_is_as_if_it_were_lost(a: BareDevice, tmp_path: Path, content: bytes) -> None:
    """The other mark is enough."""
    a.close()
    (a.home / high_water_mark.FILE).write_bytes(content)
    a.open()
    assert _alarms(a) == []


def test_the_machine_stands_hashed_in_the_marks(a: BareDevice) -> None:
    """The name of a machine is private."""
    assert high_water_mark.hashed("M") in (a.home / high_water_mark.FILE).read_text()
    assert len(high_water_mark.hashed("M")) == 32


def test_the_judgment_needs_one_mark_to_agree_on_the_file() -> None:
    """One mark with the present file is enough. A home whose only mark has another file was moved."""
    now = HighWaterMark("i", 5, "m", 1)
    assert judge(now, [HighWaterMark("i", 5, "m", 1)], [HighWaterMark("i", 4, "m", 2)]) is None
    assert judge(now, [HighWaterMark("i", 5, "m", 2)], [None]) == "its file was copied or moved"


def test_an_earlier_incarnation_put_back_with_its_marks_is_noticed(a: BareDevice, tmp_path: Path) -> None:
    """The machine was started in between, so the earlier incarnation has no mark in the folder for temporary files."""
    a.close()
    _copy(a.home, tmp_path / "backup")
    _copy(tmp_path / "state", tmp_path / "backup of the state")
    (a.home / high_water_mark.FILE).unlink()
    shutil.rmtree(tmp_path / "state")
    shutil.rmtree(tmp_path / "runtime")
    a.options = replace(a.options, boot="B2")
    a.open()  # it seems to be made elsewhere, so it becomes another incarnation
    a.add("lost when the disk is rolled back")
    a.close()
    facts = a.store.facts
    shutil.rmtree(tmp_path / "state")
    _copy(tmp_path / "backup of the state", tmp_path / "state")
    for file in a.home.iterdir():
        file.write_bytes((tmp_path / "backup" / file.name).read_bytes())  # into the same files
    a.open()
    _assert_new(facts, a, "has since continued under another identity")


def test_homes_that_change_places_are_the_same(device: Make, tmp_path: Path) -> None:
    """A folder that is renamed keeps its marks."""
    places = [tmp_path / "one", tmp_path / "two"]
    facts = []
    for name, place in zip("AB", places, strict=True):
        made = BareDevice(place, name, marks=tmp_path / "state", runtime=tmp_path / "runtime", machine="M", boot="B1")
        made.add(f"of {name}")
        facts.append(made.store.facts)
        made.close()
    places[0].rename(tmp_path / "three")
    places[1].rename(places[0])
    (tmp_path / "three").rename(places[1])
    for name, place, before in zip("BA", places, reversed(facts), strict=True):
        moved = BareDevice(place, name, marks=tmp_path / "state", runtime=tmp_path / "runtime", machine="M", boot="B1")
        assert (moved.store.facts, _alarms(moved)) == (before, [])
        moved.close()


def test_a_home_and_a_state_folder_that_were_put_back_together_are_noticed(a: BareDevice, tmp_path: Path) -> None:
    """A disk that is rolled back takes both along, but not the mark in the folder for temporary files."""
    a.close()
    _copy(a.home, tmp_path / "backup")
    _copy(tmp_path / "state", tmp_path / "backup of the state")
    a.open()
    a.add("lost by the roll-back")
    a.close()
    facts = a.store.facts
    for folder, kept in ((a.home, "backup"), (tmp_path / "state", "backup of the state")):
        for file in folder.iterdir():
            file.write_bytes((tmp_path / kept / file.name).read_bytes())
    a.open()
    _assert_new(facts, a, "restored from an older copy")


def test_a_clone_on_another_volume_takes_a_new_client_id(a: BareDevice, monkeypatch: pytest.MonkeyPatch) -> None:
    """A clone of a disk has the same files, marks and incarnation. An unmounted and mounted disk raises no alarm."""
    facts = a.store.facts
    a.close()
    monkeypatch.setattr(FolderLocation, "volume", "a clone")
    a.open()
    assert a.store.facts.incarnation == facts.incarnation
    assert a.store.facts.client_id != facts.client_id
    assert _alarms(a) == []
    cloned = a.store.facts
    a.reopen()
    assert a.store.facts == cloned


@pytest.mark.parametrize("machine", ["", "of a container"])
def test_a_container_that_is_made_anew_keeps_the_store_of_its_volume(
    a: BareDevice, tmp_path: Path, machine: str
) -> None:
    """It has no id, or another one each time, and new folders for marks. The kernel knows that it is one machine."""
    facts = a.store.facts
    for run in range(3):
        a.close()
        named = machine and f"{machine} {run}"
        a = BareDevice(a.home, "A", marks=tmp_path / f"s{run}", runtime=tmp_path / f"r{run}", machine=named, boot="B1")
        a.add(f"run {run}")
    assert (a.store.facts, _alarms(a)) == (facts, [])
    a.close()


def test_a_machine_without_an_id_is_not_taken_for_another_after_a_reboot(a: BareDevice, tmp_path: Path) -> None:
    """Its host name may be another, too."""
    facts = a.store.facts
    a.close()
    a = BareDevice(a.home, "A", marks=tmp_path / "state", runtime=tmp_path / "runtime", machine="", boot="B2")
    assert (a.store.facts.incarnation, _alarms(a)) == (facts.incarnation, [])
    a.close()


def test_the_host_name_is_not_the_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without an id of the system, a machine has none, and an id that systemd has not set yet is none."""
    monkeypatch.setattr(machine, "_LINUX_MACHINE", (tmp_path / "missing", tmp_path / "unset"))
    (tmp_path / "unset").write_text("uninitialized\n")
    monkeypatch.setattr(machine.sys, "platform", "linux")
    machine.machine_id.cache_clear()
    try:
        assert machine.machine_id() == ""
    finally:
        machine.machine_id.cache_clear()


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="Windows has a folder for each user")
def test_a_temporary_folder_that_others_may_write_is_not_believed(a: BareDevice, tmp_path: Path) -> None:
    """Another user could make the store look restored each time it is opened."""
    facts = a.store.facts
    a.close()
    (tmp_path / "runtime").chmod(0o777)
    (tmp_path / "runtime" / f"{facts.incarnation}.mark").write_text(json.dumps([facts.incarnation, 99, "", 1]))
    a.open()
    assert (a.store.facts, _alarms(a)) == (facts, [])


def test_a_user_without_a_home_folder_has_no_second_mark(monkeypatch: pytest.MonkeyPatch) -> None:
    """Containers run as users that are in no list and have no $HOME."""

    def unknown(*_: object, **__: object) -> Path:
        raise RuntimeError("could not determine the home directory")

    monkeypatch.delenv(STATE_VARIABLE)
    monkeypatch.setattr(platformdirs, "user_state_path", unknown)
    assert high_water_mark.state_folder() is None
