"""The table of queries in docs/concepts/search.md: each row is a test."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

import memcrdt
from memcrdt.testing.memories import temporary

DOCUMENT = Path(__file__).parents[3] / "docs/concepts/search.md"
HEAD = "| query | first | next | left out |"
ROW = re.compile(r"\| `(?P<query>.+?)` \| (?P<first>.+?) \|(?P<after>.*?)\|(?P<left_out>.*?)\|")
OTHERS = (
    "The ferry to the island leaves at nine and comes back in the evening.",
    "Tomatoes need more light than this balcony gets.",
    "He plays the cello in an orchestra on Thursdays.",
    "Add two spoons of flour and stir until it thickens.",
    "Interest on the loan is fixed for five years.",
)


class Row(NamedTuple):
    query: str
    first: str
    after: str
    left_out: str


def rows() -> Iterator[Row]:
    text = DOCUMENT.read_text("utf-8")
    for found in ROW.finditer(text[text.index(HEAD) :].partition("\n\n")[0]):
        yield Row(*(cell.strip() for cell in found.groups()))


ROWS = list(rows())


def test_the_table_is_read() -> None:
    """It has at least thirty queries."""
    assert len(ROWS) >= 30


@pytest.fixture(name="memory", params=[None, "static", "auto"], scope="module")
def _memory(request: pytest.FixtureRequest) -> Iterator[memcrdt.Memory]:
    """Open a store with a scope for each row, which has other memories, too. The wanted memory is added last."""
    with temporary(embedder=request.param) as memory:
        for row in ROWS:
            texts = [text for text in (row.first, row.after, row.left_out, *OTHERS) if text]
            memory.add_many({"text": text, "scope": _scope(row)} for text in reversed(texts))
        memory.wait_indexed(timeout=60)
        assert memory.models.load() == (request.param == "auto")
        yield memory


@pytest.mark.parametrize("row", ROWS, ids=[row.query for row in ROWS])
def test_a_query_finds_what_the_table_says(row: Row, memory: memcrdt.Memory) -> None:
    """By words alone, with the static model, and with both models of `auto`."""
    found = [hit.memory.text for hit in memory.search(row.query, scope=_scope(row))]
    assert found[:2] == ([row.first, row.after] if row.after else [row.first, *found[1:2]])
    assert row.left_out not in found


def _scope(row: Row) -> str:
    return f"project/{ROWS.index(row)}"
