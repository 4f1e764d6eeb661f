"""Tests of the checks of rows from elsewhere."""

from __future__ import annotations

from typing import Any

import pytest

from memcrdt.store.recovery import rebuild, row_checks, table_copy


def test_every_column_that_is_copied_is_checked() -> None:
    """A new column needs a check: only then can no row of a crafted file make a reader fail."""
    with rebuild.empty_store() as db:
        for table in table_copy.copied_tables(db):
            columns = {str(row[1]) for row in db.execute(f"PRAGMA table_info({table})")}
            assert columns == row_checks.CHECKS[table].keys(), table


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("memories", "created_at", 1 << 62),
        ("memories", "created_at", -1),
        ("memories", "memory", 1 << 60),
        ("memories", "text", "x" * 70_000),
        ("memories", "text", b"bytes"),
        ("memories", "expires_at", "tomorrow"),
        ("memories", "superseded_by", "nothing"),
        ("memories", "pinned", 7),
        ("revisions", "base", "[" * 100_000),
        ("revisions", "base", "[1]"),
        ("revisions", "base", "{}"),
        ("metadata", "value", "NaN and more"),
        ("metadata", "value", "[" * 5_000),
        ("metadata", "number", "many"),
        ("updates", "seq", (1 << 63) - 1),
        ("updates", "seq", 0),
        ("shards", "number", 1 << 20),
        ("meta", "value", "[1, 2"),
        ("peers", "addresses", '{"a": 1}'),
    ],
)
def test_values_that_no_store_writes_are_refused(table: str, column: str, value: Any) -> None:
    """They are beyond a limit, of another type, or JSON that cannot be read."""
    assert not row_checks.is_valid(table, [column], [value])


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("memories", "pinned", 1),
        ("memories", "expires_at", None),
        ("memories", "importance", 0.5),
        ("memories", "scope", "project/acme"),
        ("metadata", "value", "null"),
        ("metadata", "value", '{"a":[1,2.5,"x"]}'),
        ("revisions", "base", "[]"),
        ("spaces", "creator", ""),
        ("meta", "value", '[[1, "an alarm"]]'),
        ("meta", "value", 7),
    ],
)
def test_values_that_a_store_writes_pass(table: str, column: str, value: Any) -> None:
    """This includes flags, which SQLite stores as numbers."""
    assert row_checks.is_valid(table, [column], [value])
