"""Damage that SQLite itself sees: whatever page it is on, a repair leaves all that is said anywhere else."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, NamedTuple

import apsw
import pytest

import memcrdt
from memcrdt.errors import CorruptError
from memcrdt.store import doctor, rebuild
from memcrdt.store.store import FILE

COUNT = 120
PAGE = 4_096
DAMAGED = 1_500  # bytes of it


class Whole(NamedTuple):
    """A home that is well, and what it says."""

    home: Path
    said: dict[str, Any]


def _tables() -> list[str]:
    with rebuild.shadow() as db:
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
    """Overwrites a part of the middle page of a table or an index."""
    with apsw.Connection(str(path)) as db:
        pages = [page for (page,) in db.execute("SELECT pageno FROM dbstat WHERE name = ? ORDER BY path", (name,))]
    db.close()
    with path.open("rb+") as file:
        file.seek((pages[len(pages) // 2] - 1) * PAGE + offset)
        file.write(b"\xa5\x5a\x33" * (DAMAGED // 3))


@pytest.mark.parametrize("name", _tables())
def test_one_damaged_page_of_any_table_or_index_loses_nothing(whole: Whole, tmp_path: Path, name: str) -> None:
    """Doctor reports it and mends it, and afterwards all is said as before."""
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


def _repaired(home: Path) -> tuple[list[str], list[str]]:
    """What was found and done, in a file that could not even be opened, too."""
    problems, done = [], []
    try:
        memory = memcrdt.open(home, embedder=None)
    except CorruptError:
        report = doctor.repair_file(home)
        problems += report.problems
        done += report.done
        memory = memcrdt.open(home, embedder=None)
    with memory:
        report = memory.doctor(repair=True)
    return [*problems, *report.problems], [*done, *report.done]
