"""Tests of reading memories from the views."""

from __future__ import annotations

from pathlib import Path

import apsw

from memcrdt.model.filters import CheckedFilters
from memcrdt.store import listing
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
