"""Tests of reading around damage within a table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import apsw
import pytest

from memcrdt.store.recovery import partial_reader
from memcrdt.store.recovery.partial_reader import DamagedTable


def test_rows_of_wrong_numbers_do_not_lead_astray(monkeypatch: pytest.MonkeyPatch) -> None:
    """A damaged tree yields rows before the requested range. The search must still end."""
    monkeypatch.setattr(partial_reader, "_PROBES", 5_000)

    class Damaged:
        def execute(self, sql: str, ends: tuple[int, int]) -> Iterator[tuple[int]]:
            yield (ends[1] + 9,) if "DESC" in sql else (ends[0] - 9,)
            raise apsw.CorruptError("malformed")

    damaged: Any = Damaged()
    table = DamagedTable(damaged, "memories", ["memory"], ["memory"], most=1_000_000)
    assert len(list(table.rows(by_number=True))) <= 4 * 5_000
    assert not table.is_whole


def test_a_tree_that_leads_back_to_itself_ends() -> None:
    """No table has more rows than fit into its file."""

    class Looping:
        def execute(self, sql: str, ends: tuple[int, int]) -> Iterator[tuple[int]]:
            while True:
                yield (1,)

    looping: Any = Looping()
    table = DamagedTable(looping, "memories", ["memory"], ["memory"], most=1_000)
    assert len(list(table.rows(by_number=True))) == 1_000
    assert not table.is_whole
