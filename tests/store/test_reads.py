"""Tests of reading memories from the views."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import apsw
import pytest

from memcrdt.errors import CorruptError
from memcrdt.model.filters import CheckedFilters
from memcrdt.store import listing, reads
from memcrdt.testing.memories import Clock, open_memory


def test_a_page_is_one_row_of_sqlite(tmp_path: Path) -> None:
    """All fields keep their values. With a row per memory, a computing thread could delay the reader at each row."""
    rows: list[object] = []
    with open_memory(tmp_path, "A", Clock()) as memory:
        memory.add_many(f"text {number}" for number in range(8))
        odd = memory.add(
            "a\0b 'c' \"d\" \\ \x1f 😀\u2028", importance=1 / 3, metadata={"a\0": [1, 1.5, 2**53 - 1, None]}
        )
        with memory.store.reading() as db:
            db.trace_v2(apsw.SQLITE_TRACE_ROW, rows.append)
            page = listing.page(db, listing.Listing(10, None, "newest", CheckedFilters()), 0)
            db.trace_v2(0, None)
    assert (len(page.items), len(rows)) == (9, 1)
    assert page.items[0].id == odd
    assert page.items[0].text == "a\0b 'c' \"d\" \\ \x1f 😀\u2028"
    assert page.items[0].importance == 1 / 3
    assert repr(page.items[0].metadata) == "{'a\\x00': [1, 1.5, 9007199254740991, None]}"


def test_an_iteration_makes_records_one_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With many alive, Python's garbage collector would look through the whole program while event loops wait."""
    made: list[str] = []
    original = reads.record
    monkeypatch.setattr(reads, "record", lambda row: (made.append(row), original(row))[1])
    with open_memory(tmp_path, "A", Clock()) as memory:
        memory.add_many(f"text {number}" for number in range(30))
        found = listing.every(memory.store, "oldest", CheckedFilters())
        assert [next(found).text for _ in range(3)] == ["text 0", "text 1", "text 2"]
        assert len(made) == 4  # and the last one of the page, for the place of the next page
        assert [record.text for record in found] == [f"text {number}" for number in range(3, 30)]


def test_pages_of_long_texts_are_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite returns a page as one text, and Python copies it while other threads wait. Short texts make long pages."""
    sizes: list[int] = []
    original = reads.rows

    def rows(*arguments: Any) -> list[str]:
        found = original(*arguments)
        sizes.append(len(found) - 1)  # one more says whether there is another page
        return found

    monkeypatch.setattr(reads, "rows", rows)
    monkeypatch.setattr(listing, "PAGE_CHARS", 16_000)
    with open_memory(tmp_path, "A", Clock()) as memory:
        memory.add_many(f"{number:01000}" for number in range(100))
        memory.add_many((f"short {number}" for number in range(700)), scope="project/acme")
        long = listing.every(memory.store, "oldest", CheckedFilters(scope=("global",)))
        assert [int(record.text) for record in long] == list(range(100))
        assert max(sizes) == 16
        sizes.clear()
        short = listing.every(memory.store, "newest", CheckedFilters(scope=("project/acme",)))
        assert [record.text for record in short] == [f"short {number}" for number in reversed(range(700))]
        assert sizes[:4] == [16, 64, 256, 363]


def test_one_thread_at_a_time_turns_many_rows_into_records(tmp_path: Path) -> None:
    """A few rows wait for nobody."""
    with open_memory(tmp_path, "A", Clock()) as memory, ThreadPoolExecutor(1) as threads:
        ids = memory.add_many(f"text {number}" for number in range(50))
        with reads._turns(os.getpid()).records:
            reading = threads.submit(memory.list)
            assert memory.get(ids[0]).text == "text 0"
            with pytest.raises(TimeoutError):
                reading.result(timeout=0.05)
        assert len(reading.result(timeout=60)) == 50


def test_two_long_pages_are_read_at_once(tmp_path: Path) -> None:
    """A third one waits. Short pages, single memories and writers do not."""
    with open_memory(tmp_path, "A", Clock()) as memory, ThreadPoolExecutor(1) as threads:
        ids = memory.add_many(f"text {number}" for number in range(50))
        with reads.page_turn(1_000), reads.page_turn(1_000):
            reading = threads.submit(memory.list, limit=1_000)
            memory.update(ids[0], text="written meanwhile")
            assert len(memory.list(limit=10)) == 10
            assert memory.get(ids[0]).text == "written meanwhile"
            with pytest.raises(TimeoutError):
                reading.result(timeout=0.05)
        assert len(reading.result(timeout=60)) == 50


def test_a_thread_pauses_while_it_makes_many_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the pauses an event loop gets the interpreter."""
    pauses: list[float] = []
    monkeypatch.setattr(reads, "sleep", pauses.append)
    with open_memory(tmp_path, "A", Clock()) as memory:
        memory.add_many(f"text {number}" for number in range(300))
        assert len(memory.list(limit=100)) == 100
        assert pauses == []
        assert len(memory.list(limit=1_000)) == 300
        assert len(pauses) == 2


def test_a_read_that_fails_gives_its_turns_back(tmp_path: Path) -> None:
    """Else the next long pages would wait forever."""
    with open_memory(tmp_path, "A", Clock()) as memory:
        memory.add_many(f"text {number}" for number in range(50))
        with memory.store.writing() as db:
            db.execute("UPDATE memories SET updated_at = 9e18 WHERE text = 'text 7'")
        for _ in range(3):
            with pytest.raises(CorruptError, match="a time in the views is damaged"):
                memory.list(limit=1_000)
        turns = reads._turns(os.getpid())
        assert not turns.records.locked()
        with reads.page_turn(1_000):
            assert turns.pages.acquire(blocking=False)
            turns.pages.release()
