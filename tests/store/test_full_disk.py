"""Tests of a completely full disk: reading works, writing fails with a clear error, and forgetting frees space."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import pytest

import memcrdt
from memcrdt.errors import DiskFullError, StoreError
from memcrdt.net.identity import Identity
from memcrdt.store import reserve
from memcrdt.store.files import FILE
from tests.bare_device import BareDevice

COUNT = 300
Apart = Callable[[Callable[[Path], None], Path], None]


def _home(folder: Path, count: int = COUNT) -> Path:
    with memcrdt.open(folder / "home", embedder=None) as memory:
        memory.add_many([f"lantern {n} hangs in the harbour" for n in range(count)])
        memory.update(_newest(memory).id, text="lantern edited")
    return folder / "home"


def _newest(memory: memcrdt.Memory) -> memcrdt.MemoryRecord:
    (record,) = memory.list(limit=1)
    return record


def _fill(folder: Path) -> None:
    with (folder / "filler").open("ab", 0) as file, suppress(OSError):
        while True:
            file.write(bytes(4_096))
    assert shutil.disk_usage(folder).free == 0


def _assert_readable(memory: memcrdt.Memory) -> None:
    records = list(memory.list(limit=COUNT))
    assert len(records) == COUNT
    assert len(memory.search("lantern", limit=COUNT)) == COUNT
    assert memory.get(records[0].id).text == "lantern edited"
    assert len(memory.history(records[0].id)) == 2
    assert memory.status().spaces[0].memories == COUNT


def read_and_write(folder: Path) -> None:
    home = _home(folder)
    _fill(folder)
    (home / FILE).with_name(f"{FILE}-shm").unlink(missing_ok=True)
    for read_only in (True, False):
        with memcrdt.open(home, embedder=None, read_only=read_only) as memory:
            _assert_readable(memory)
            assert memory.doctor().problems == ()
    with memcrdt.open(home, embedder=None) as memory:
        memory_id = _newest(memory).id
        for write in (lambda: memory.add("no"), lambda: memory.update(memory_id, text="no")):
            with pytest.raises(DiskFullError, match="full, and nothing was changed; make room on it, or forget"):
                write()
        _assert_readable(memory)
        (folder / "filler").unlink()
        assert memory.add("there is room again") == _newest(memory).id


def test_a_store_on_a_full_disk_can_be_read_and_a_write_says_so(on_small_disk: Apart, tmp_path: Path) -> None:
    """The store is opened before or after the disk is full, and resumes automatically when there is room."""
    on_small_disk(read_and_write, tmp_path)


def open_after_a_crash(folder: Path) -> None:
    home = _home(folder)
    with memcrdt.open(home, embedder=None) as memory:
        memory.add("in the WAL only")
        kept = {path.name: path.read_bytes() for path in home.glob(f"{FILE}*") if not path.name.endswith("-shm")}
    for name, content in kept.items():
        (home / name).write_bytes(content)
    assert kept[f"{FILE}-wal"]
    _fill(folder)
    for read_only in (True, False):
        with memcrdt.open(home, embedder=None, read_only=read_only) as memory:
            assert _newest(memory).text == "in the WAL only"


def test_what_a_crash_left_in_the_wal_is_read_on_a_full_disk(on_small_disk: Apart, tmp_path: Path) -> None:
    """The index of the WAL is made in memory."""
    on_small_disk(open_after_a_crash, tmp_path)


def forget_and_compact(folder: Path) -> None:
    home = _home(folder)
    _fill(folder)
    with memcrdt.open(home, embedder=None) as memory:
        ids = [each.id for each in memory.list(limit=COUNT)]
        assert memory.forget(ids[1]).status == "done"
        assert not (home / reserve.FILE).exists()
        assert memory.compact().pruned == 0
        assert memory.add("what was forgotten made room") not in ids
    (folder / "filler").unlink()
    with memcrdt.open(home, embedder=None) as memory:
        assert memory.doctor().problems == ()
        assert len(list(memory.list(limit=2 * COUNT))) == COUNT
    assert (home / reserve.FILE).stat().st_size == reserve.BYTES
    assert b"lantern 298 " not in (home / FILE).read_bytes()


def test_forgetting_on_a_full_disk_takes_the_reserve_and_makes_room(on_small_disk: Apart, tmp_path: Path) -> None:
    """The memory is also scrubbed. When the disk has room again, the reserve is restored."""
    on_small_disk(forget_and_compact, tmp_path)


def forget_without_reserve(folder: Path) -> None:
    home = _home(folder)
    (home / reserve.FILE).unlink()
    _fill(folder)
    with memcrdt.open(home, embedder=None) as memory:
        memory_id = _newest(memory).id
        with pytest.raises(DiskFullError, match=r"no reserve is left.*delete other files"):
            memory.forget(memory_id)
        _assert_readable(memory)
    (folder / "filler").unlink()
    with memcrdt.open(home, embedder=None) as memory:
        assert memory.forget(memory_id).status == "done"
        assert memory.doctor().problems == ()


def test_forgetting_without_a_reserve_says_that_the_disk_is_full(on_small_disk: Apart, tmp_path: Path) -> None:
    """No memory is lost or half forgotten."""
    on_small_disk(forget_without_reserve, tmp_path)


def make_a_key(folder: Path) -> None:
    _fill(folder)
    with pytest.raises(DiskFullError, match=r"device\.key cannot be used: the disk is full; make room on it"):
        Identity.load_or_create(folder / "home")


def test_a_new_home_on_a_full_disk_says_that_the_disk_is_full(on_small_disk: Apart, tmp_path: Path) -> None:
    """The permissions of its folder are not blamed."""
    on_small_disk(make_a_key, tmp_path)


def open_after_a_boot(folder: Path) -> None:
    (folder / "home").mkdir()
    options = {"vfs": None, "marks": folder / "state"}
    before = BareDevice(folder / "home", "A", boot="B1", **options)
    before.add("before")
    before.close()
    _fill(folder)
    after = BareDevice(folder / "home", "A", boot="B2", **options)
    assert list(after.texts().values()) == ["before"]
    with pytest.raises(DiskFullError):
        after.add("no")
    (folder / "filler").unlink()
    after.add("after")
    assert after.store.facts.client_id != before.store.facts.client_id
    after.close()


def test_after_a_boot_a_store_on_a_full_disk_is_read_before_it_has_its_new_client_id(
    on_small_disk: Apart, tmp_path: Path
) -> None:
    """It takes the new client id before its first write."""
    on_small_disk(open_after_a_boot, tmp_path)


def make_a_home(folder: Path) -> None:
    _fill(folder)
    with pytest.raises(StoreError, match=r"No space|full"):
        memcrdt.open(folder / "home", embedder=None)
    (folder / "filler").unlink()
    memcrdt.open(folder / "home", embedder=None).close()


def test_a_home_that_finds_no_room_says_so(on_small_disk: Apart, tmp_path: Path) -> None:
    """A partly created home does not prevent a later attempt."""
    on_small_disk(make_a_home, tmp_path)


def read_in_threads(folder: Path) -> None:
    home = _home(folder)
    _fill(folder)
    with memcrdt.open(home, embedder=None) as memory:
        with ThreadPoolExecutor(8) as pool:
            found = list(pool.map(lambda _: len(list(memory.list(limit=COUNT))), range(200)))
        assert found == [COUNT] * 200
        (folder / "filler").unlink()
        memory.add("there is room again")
        with memcrdt.open(home, embedder=None) as other:  # the file is no longer locked exclusively
            assert _newest(other).text == "there is room again"


def test_threads_can_read_on_a_full_disk_at_once(on_small_disk: Apart, tmp_path: Path) -> None:
    """Afterwards no thread locks out other connections."""
    on_small_disk(read_in_threads, tmp_path)
