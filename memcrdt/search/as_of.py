"""Search of former texts. The indexes have only the current texts.

Only the memories that changed since the time of the query need this. They are few, so each of their former texts is
compared with the query directly.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from memcrdt.errors import EmbedderError
from memcrdt.model.filters import CheckedFilters
from memcrdt.model.normalization import caseless
from memcrdt.model.records import Hit, MemoryRecord
from memcrdt.model.values import Vector, from_ms
from memcrdt.search.arrays import normalised
from memcrdt.store import listing, reads
from memcrdt.store.indexer import is_searched
from memcrdt.store.sql import SqlConnection

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from memcrdt.search import Embedder

CHANGED: Final = 1_000  # memories compared, the last changed first
_STEM_CHARS: Final = 5  # words that share their first characters count as one


def changed_since(db: SqlConnection, filters: CheckedFilters, now: int) -> list[MemoryRecord]:
    """Return the memories whose text has changed since `filters.as_of`, as they were at that time."""
    assert filters.as_of is not None
    revised = listing.revised_since(db, replace(filters, contains=None), now, CHANGED)
    today = [record for record in revised if is_searched(record)]
    moment = from_ms(filters.as_of)
    then = [reads.as_it_stood(db, record, moment) for record in today]
    part = caseless(filters.contains or "")
    return [
        before
        for before, after in zip(then, today, strict=True)
        if before.text != after.text and part in caseless(before.text)
    ]


def compare(
    query: str, records: Sequence[MemoryRecord], embedder: Embedder | None, given: Vector | None = None
) -> list[Hit]:
    """Return a hit for each record that has a word of the query or, with an embedder, a similar meaning; best first.

    `given` is the vector of the query, if the caller has it.
    """
    import numpy as np

    from memcrdt.search.embedders.calibration import Evidence, calibrated, unrelated_cosine

    if not records:
        return []
    from memcrdt.search.words import names_apart

    asked = _stems(query)
    shares = np.array([len(asked & _stems(record.text)) / (len(asked) or 1) for record in records])
    cosines, scores = None, calibrated(Evidence(shares))
    if embedder is not None and embedder.fast:
        with suppress(EmbedderError):  # the words decide; the status shows the error
            vectors = embedder.embed([names_apart(record.text) for record in records])
            cosines = (vectors @ _direction(query, embedder, given)).astype(np.float64)
            scores = calibrated(Evidence(shares, cosines, unrelated=unrelated_cosine(embedder)))
    hits = [
        Hit(memory=record, score=float(score))
        for record, score, share in zip(records, scores, shares, strict=True)
        if share or cosines is not None
    ]
    return sorted(hits, key=lambda hit: (-hit.score, hit.memory.id))


def merged(ranked: Sequence[Hit], others: Iterable[Hit]) -> list[Hit]:
    """Return `ranked` in its order, with each of the others before the first hit that has a lower score."""
    result = list(ranked)
    for hit in others:
        place = next((n for n, known in enumerate(result) if known.score < hit.score), len(result))
        result.insert(place, hit)
    return result


def _direction(query: str, embedder: Embedder, given: Vector | None) -> NDArray[np.float32]:
    """Return the query as a unit vector [dim]."""
    import numpy as np

    from memcrdt.search.words import names_apart

    return embedder.embed_query(names_apart(query)) if given is None else normalised(np.array([given], np.float32))[0]


def _stems(text: str) -> frozenset[str]:
    from memcrdt.search.words import STOP_WORDS, word_set

    words = word_set(text)
    return frozenset(word[:_STEM_CHARS] for word in words - STOP_WORDS or words)
