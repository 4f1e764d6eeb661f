"""Search by words alone, for a caller that cannot wait for numpy or a model, such as a hook of a coding agent.

A memory has the same score as in a search without vectors: it follows from the share of the query's words in the best
passage. What is left out is the ranking beyond that share: conversations, names, and times.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping
from itertools import islice
from operator import attrgetter
from typing import Final, NamedTuple

from memcrdt.model.filters import CheckedFilters
from memcrdt.search.embedders.calibration import score_of_share
from memcrdt.search.index import passages
from memcrdt.search.query.rerank import without_duplicates
from memcrdt.search.query.syntax import read_query
from memcrdt.search.query.terms import numbers, query_terms
from memcrdt.store.filtering import Where, where
from memcrdt.store.sql import SqlConnection

_CHUNK: Final = 500  # memories that one query filters


class FoundByWords(NamedTuple):
    """A found memory by its local number, its score, and the part of a long text that matched best."""

    memory: int
    score: float
    passage: str | None


class _Known(NamedTuple):
    """A memory that passes the filters, and its best passage by number."""

    memory: int
    text: str
    passage: int


def find(
    db: SqlConnection, query: str, filters: CheckedFilters, now: int, *, limit: int, min_score: float
) -> list[FoundByWords]:
    """Return the memories that pass `filters` at `now` (ms) with the highest scores, best first, without repetitions.

    Args:
        db: A connection of the store.
        query: Any text.
        filters: The filters. With `as_of`, the present texts are searched.
        now: The time in ms.
        limit: Maximum number of memories.
        min_score: Leave out memories with a lower score, from 0 to 1.
    """
    scores = _scores(db, query, min_score)
    found = _passing(db, scores, where(filters, now))
    kept = islice(without_duplicates(found, attrgetter("text")), limit)
    return [FoundByWords(each.memory, scores[each.passage], _window(each)) for each in kept]


def _scores(db: SqlConnection, query: str, min_score: float) -> dict[int, float]:
    """Return the score of each passage that contains a word of the query, and has at least this score."""
    terms = query_terms(db, read_query(query))
    sums: defaultdict[str, float] = defaultdict(float)
    for term in terms.terms:
        found = terms.rows.get(term.match, "").split(",")
        if whole := set(terms.rows.get(term.whole or "", "").split(",")):
            found = [passage for passage in found if passage not in whole]
        for passage in found:
            sums[passage] += term.weight
    sums.pop("", None)
    total = terms.total or 1.0
    score_of = {each: score_of_share(each / total) for each in set(sums.values())}  # few sums differ
    scores = {int(passage): score for passage, each in sums.items() if (score := score_of[each]) >= min_score}
    excluded = {number // passages.PER_MEMORY for rows in terms.excluded for number in numbers(rows)}
    if not excluded and terms.required is None:
        return scores
    return {
        passage: score
        for passage, score in scores.items()
        if (memory := passage // passages.PER_MEMORY) not in excluded and memory in (terms.required or (memory,))
    }


def _passing(db: SqlConnection, scores: Mapping[int, float], condition: Where) -> Iterator[_Known]:
    """Yield the memories that pass a condition, best first. Equal ones come in the order of numbers."""
    best: dict[int, int] = {}
    for passage in sorted(scores, key=lambda passage: (-scores[passage], passage)):
        best.setdefault(passage // passages.PER_MEMORY, passage)
    every = list(best)
    among = "m.memory IN (SELECT CAST(value AS BIGINT) FROM json_each(?))"
    sql = f"SELECT m.memory, m.text FROM memories m WHERE {among} AND {condition.sql}"
    for start in range(0, len(every), _CHUNK):
        chunk = every[start : start + _CHUNK]
        texts = dict(db.execute(sql, (json.dumps(chunk), *condition.bindings)))
        yield from (_Known(memory, texts[memory], best[memory]) for memory in chunk if memory in texts)


def _window(found: _Known) -> str | None:
    windows = passages.split(found.text)
    return windows[found.passage - passages.number(found.memory, 0)] if len(windows) > 1 else None
