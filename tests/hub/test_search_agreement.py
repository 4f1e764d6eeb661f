"""A hub finds what a laptop with the same memories finds, in the same order."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from memcrdt.hub.search import search_index
from memcrdt.memory.reader import Reader
from memcrdt.model.filters import check_filters
from memcrdt.model.records import Hit
from memcrdt.search import SearchIndex, SearchOptions, make_embedder
from memcrdt.search.searcher import Searcher
from tests.bare_device import BareDevice
from tests.hub.hub_device import HubDevice
from tests.postgres import Server
from tests.search.query.test_query_table import ROWS

pytestmark = pytest.mark.xdist_group("postgres")

FACTS = json.loads((Path(__file__).parents[2] / "benchmarks/facts.json").read_text("utf-8"))
TALK = [
    "Did you move the boat?",
    "Yes, Ana moved it on Monday.",
    "Where to?",
    "To the old pier in the harbour.",
    "Good.",
]
LONG = "The harbour was quiet that morning. " * 60 + "The spare key hangs behind the blue clock. "
QUERIES = [
    *(row.query for row in ROWS),
    *("where is the spare key?", "who moved the boat to the pier", "harbor", "harbour -boat", '"blue clock"', "prin*"),
    *("Druckerpasswort", "das Passwort", "北京", "", "a\0b", "42 AND (x OR y) NOT * \"'", "o'clock | & ! :*"),
]
Pair = tuple[BareDevice, BareDevice]


@pytest.fixture(name="pair", scope="module")
def _pair(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    """Return a laptop and a hub with the same memories. Some have changed, and some are forgotten."""
    folder = tmp_path_factory.mktemp("pair")
    laptop = BareDevice(folder / "L", "L", indexer=SearchIndex(make_embedder("static")))
    device = HubDevice(folder / "H", "H", server.make_schema(), indexer=search_index(make_embedder("static")))
    texts = [text for row in ROWS for text in (row.first, row.after, row.left_out) if text]
    texts = [*dict.fromkeys(texts), LONG, "a\0b", "我在北京大学学习中文"]
    items: list[dict[str, Any]] = [{"text": text} for text in texts]
    items += [{"text": fact, "tags": ["fact"]} for fact in _facts()[:80]]
    items += [{"text": text, "scope": "conversation/boat", "author": "Ana"} for text in TALK]
    ids = laptop.add_each(items)
    device.take(laptop)
    laptop.update(ids[0], text="The harbour pilot boards at noon")
    laptop.forget(ids[1], ids[-1])
    device.take(laptop)
    yield laptop, device
    laptop.close()
    device.close()


def _facts() -> list[str]:
    return [str(fact) for fact, _ in FACTS["facts"]]


def _found(device: BareDevice, query: str, **filters: Any) -> list[Hit]:
    searcher = Searcher(device.store, device.indexer)  # type: ignore[arg-type]
    options = SearchOptions(now=1_800_000_000_000, explain=True)
    return searcher.search(query, Reader(device.store).filters(filters), options)


@pytest.mark.parametrize("filters", [{}, {"tags": ["fact"]}, {"scope": "conversation/boat"}])
def test_the_same_memories_come_in_the_same_order(pair: Pair, filters: dict[str, Any]) -> None:
    """With the same scores, passages, marks and parts of the rank."""
    laptop, device = pair
    assert len(_found(device, "who moved the boat?", **filters)) >= 4
    for query in QUERIES if not filters else QUERIES[:8]:
        wanted, found = _found(laptop, query, **filters), _found(device, query, **filters)
        assert [(hit.memory, hit.passage, hit.marks) for hit in found] == [
            (hit.memory, hit.passage, hit.marks) for hit in wanted
        ], query
        assert [hit.score for hit in found] == pytest.approx([hit.score for hit in wanted], abs=2e-4), query
        for one, other in zip(found, wanted, strict=True):
            assert dict(one.parts) == pytest.approx(dict(other.parts), abs=2e-4), query


def test_words_have_the_same_frequencies(pair: Pair) -> None:
    """Also after changes, and without the words of forgotten memories."""
    laptop, device = pair
    words = [(str(term), int(doc)) for term, doc in laptop.rows("SELECT term, doc FROM vocabulary ORDER BY term")]
    assert device.rows("SELECT term, doc FROM vocabulary ORDER BY term") == words
    assert device.rows("SELECT passages FROM indexed") == laptop.rows("SELECT passages FROM indexed")


def test_a_search_by_words_alone_is_the_same(pair: Pair) -> None:
    filters = check_filters({})
    for query in QUERIES:
        wanted, found = (Reader(each.store).search_words(query, filters, limit=5, min_score=0.3) for each in pair)
        assert [(hit.memory, hit.score) for hit in found] == [(hit.memory, hit.score) for hit in wanted], query
