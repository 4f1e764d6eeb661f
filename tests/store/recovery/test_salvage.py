"""Tests of damage that SQLite detects: whatever page is damaged, a repair keeps all content of the other pages."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, NamedTuple

import apsw
import pytest

import memcrdt
from memcrdt.errors import CorruptError, SchemaError
from memcrdt.store import scratch
from memcrdt.store.files import FILE
from memcrdt.store.recovery import doctor, rebuild

COUNT = 120
PAGE = 4_096
DAMAGED = 1_500  # bytes of a page


class Whole(NamedTuple):
    """An undamaged home and its content."""

    home: Path
    said: dict[str, Any]


def _tables() -> list[str]:
    with rebuild.empty_store() as db:
        names = db.execute("SELECT name FROM sqlite_schema WHERE rootpage > 0 ORDER BY name")
        return [str(name) for (name,) in names]


@pytest.fixture(scope="module", name="whole")
def _whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    home = tmp_path_factory.mktemp("whole") / "home"
    with memcrdt.open(home, embedder=None) as memory:
        for start in range(0, COUNT, 10):
            memory.add_many([_item(n) for n in range(start, start + 10)])
        ids = [each.id for each in memory.list(limit=COUNT)]
        memory.update(ids[1], text="edited lantern", pinned=True)
        memory.link(ids[2], "about", ids[3])
        memory.forget(ids[4])
        said = _said(memory)
    return Whole(home, said)


def _item(number: int) -> dict[str, Any]:
    text = f"lantern {number} hangs in the harbour of town {number * 7}, by the {'long ' * 60} quay"
    return {"text": text, "tags": [f"t{number % 9}"], "metadata": {"n": number}}


def _said(memory: memcrdt.Memory) -> dict[str, Any]:
    records = memory.list(limit=2 * COUNT)
    found = memory.search("lantern harbour", limit=100)
    return {
        "texts": {each.id: (each.text, each.tags, each.metadata, each.scope, each.pinned) for each in records},
        "order": [each.id for each in records],
        "links": {each.id: each.links for each in records if each.links},
        "found": len(found),
        "spaces": dict(memory.stats().by_space),
    }


def _spoil(path: Path, name: str, offset: int) -> None:
    """Overwrite part of the middle page of a table or an index."""
    with apsw.Connection(str(path)) as db:
        pages = [page for (page,) in db.execute("SELECT pageno FROM dbstat WHERE name = ? ORDER BY path", (name,))]
    db.close()
    with path.open("rb+") as file:
        file.seek((pages[len(pages) // 2] - 1) * PAGE + offset)
        file.write(b"\xa5\x5a\x33" * (DAMAGED // 3))


@pytest.mark.parametrize("name", _tables())
def test_one_damaged_page_of_any_table_or_index_loses_nothing(whole: Whole, tmp_path: Path, name: str) -> None:
    """The doctor reports the damage and repairs it, and all content is the same as before."""
    home = tmp_path / "home"
    shutil.copytree(whole.home, home)
    _spoil(home / FILE, name, 0)
    problems, done = _repaired(home)
    assert any(name in line for line in problems)
    assert any("kept the damaged file" in line for line in done)
    with memcrdt.open(home, embedder=None) as memory:
        assert memory.doctor().problems == ()
        assert _said(memory) == whole.said
        memory.add("it goes on")


def _schema_pages(home: Path) -> list[int]:
    with apsw.Connection(str(home / FILE)) as db:
        pages = [page for (page,) in db.execute("SELECT pageno FROM dbstat WHERE name = 'sqlite_schema'")]
    db.close()
    return pages


def _overwrite(path: Path, offset: int, data: bytes) -> None:
    with path.open("rb+") as file:
        file.seek(offset)
        file.write(data)


@pytest.mark.parametrize("part", range(6))
def test_a_damaged_list_of_tables_loses_nothing(whole: Whole, tmp_path: Path, part: int) -> None:
    """The roots of tables are known. The damage is on any page of the list, and at either end of the first page."""
    home = tmp_path / "home"
    shutil.copytree(whole.home, home)
    first, *others = _schema_pages(home)
    assert (first, len(others)) == (1, 4)
    places = [100, PAGE - DAMAGED, *((page - 1) * PAGE for page in others)]
    _overwrite(home / FILE, places[part], b"\xa5\x5a\x33" * (DAMAGED // 3))
    _assert_mended(home, whole)


@pytest.mark.parametrize(
    ("offset", "data", "problem"),
    [
        (0, bytes(16), "does not begin like a SQLite file"),
        (0, bytes(100), "does not begin like a SQLite file"),
        (0, bytes(PAGE), "does not begin like a SQLite file"),
        (16, bytes(2), "not a database"),
        (18, b"\x09\x09", "not a database"),
        (60, b"\xff" * 4, "a schema version that does not exist"),
    ],
)
def test_a_damaged_header_loses_nothing(whole: Whole, tmp_path: Path, offset: int, data: bytes, problem: str) -> None:
    """This also works if the whole first page is lost. The doctor describes the damage."""
    home = tmp_path / "home"
    shutil.copytree(whole.home, home)
    _overwrite(home / FILE, offset, data)
    assert any(problem in line for line in _assert_mended(home, whole))


def _assert_mended(home: Path, whole: Whole) -> list[str]:
    damaged = (home / FILE).read_bytes()
    problems, done = _repaired(home)
    assert "kept the damaged file" in done[0]
    (kept,) = home.glob(f"{FILE}.damaged-*")
    assert kept.read_bytes() == damaged
    with memcrdt.open(home, embedder=None) as memory:
        assert memory.doctor().problems == ()
        assert _said(memory) == whole.said
        memory.add("it goes on")
    return problems


def test_what_a_damaged_file_has_in_its_wal_is_saved(whole: Whole, tmp_path: Path) -> None:
    """A crash left a WAL without the first page, which was damaged later."""
    home, crashed = tmp_path / "home", tmp_path / "crashed"
    shutil.copytree(whole.home, home)
    with memcrdt.open(home, embedder=None) as memory:
        memory.add("in the WAL")
        shutil.copytree(home, crashed)
    assert (crashed / f"{FILE}-wal").stat().st_size > 0
    _overwrite(crashed / FILE, 0, bytes(PAGE))
    _repaired(crashed)
    with memcrdt.open(crashed, embedder=None) as memory:
        assert "in the WAL" in {each.text for each in memory.list(limit=2 * COUNT)}
        assert memory.doctor().problems == ()


def test_of_a_file_that_lost_its_end_the_rest_is_saved(whole: Whole, tmp_path: Path) -> None:
    """The doctor reports how much is missing. The log and the views complement each other."""
    home = tmp_path / "home"
    shutil.copytree(whole.home, home)
    size = (home / FILE).stat().st_size
    with (home / FILE).open("rb+") as file:
        file.truncate(size - PAGE - 77)
    problems, done = _repaired(home)
    assert problems[0] == f"the file is damaged: it ends after {size // PAGE - 2} of {size // PAGE} pages"
    assert any("could not read some rows of" in line for line in done)
    with memcrdt.open(home, embedder=None) as memory:
        assert memory.doctor().problems == ()
        assert _said(memory)["texts"].keys() == whole.said["texts"].keys()


@pytest.mark.parametrize("content", [b"these are notes, no database" * 300, bytes(PAGE * 70), b"SQLite format 3\0"])
def test_a_file_without_a_store_is_left_as_it_is(whole: Whole, tmp_path: Path, content: bytes) -> None:
    """The doctor says that the file has no memory."""
    home = tmp_path / "home"
    shutil.copytree(whole.home, home)
    (home / FILE).write_bytes(content)
    assert doctor.examine_file(home).problems != ()
    with pytest.raises(CorruptError, match="no memory can be found in"):
        doctor.repair_file(home)
    assert (home / FILE).read_bytes() == content
    assert list(home.glob("*damaged*")) + list(home.glob(scratch.FOLDER)) == []


def test_an_emptied_file_is_told_of(whole: Whole, tmp_path: Path) -> None:
    """A new store begins in the file, and an alarm tells the user that there was another store."""
    home = tmp_path / "home"
    shutil.copytree(whole.home, home)
    (home / FILE).write_bytes(b"")
    with memcrdt.open(home, embedder=None) as memory:
        assert "is gone: its file was missing or empty" in memory.status().alarms[0].text


def _repaired(home: Path) -> tuple[list[str], list[str]]:
    """Return the problems and repairs of a file, even if it cannot be opened."""
    problems, done = [], []
    try:
        memory = memcrdt.open(home, embedder=None)
    except (CorruptError, SchemaError):
        report = doctor.repair_file(home)
        problems += report.problems
        done += report.done
        memory = memcrdt.open(home, embedder=None)
    with memory:
        report = memory.doctor(repair=True)
    return [*problems, *report.problems], [*done, *report.done]
