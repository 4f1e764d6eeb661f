"""The search itself: candidates from full text and vectors, with what stands around them, ranked and explained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from memcrdt.model.filters import CheckedFilters
from memcrdt.search.arrays import are_allowed, integers, json_list
from memcrdt.search.embedders.calibration import calibrated
from memcrdt.search.index.index import SearchIndex
from memcrdt.search.index.passages import number, split
from memcrdt.search.query import boosts, context, lexical, ranking, selection, semantic, vectors
from memcrdt.search.query.dates import named_time
from memcrdt.search.query.lexical import Lexical
from memcrdt.search.query.ranking import Pool, Row
from memcrdt.search.query.scores import PassageScores
from memcrdt.search.query.semantic import Query
from memcrdt.store.indexer import Connection

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BY_WORDS = 100  # memories taken from full text, and from the vectors
BY_MEANING = 100
SEEDS = 80  # of these, the ones ranked with their neighbours
FIRST_WEIGHT = 1.5  # of the cosine, beside the share of the query's idf, to choose the seeds
VARIETY = 90  # memories behind the limit that `fold` and `diversity` may bring forward
START_CHARS = 300  # of a text that the ranking reads

_NEWEST = """
SELECT group_concat(memory) FROM
  (SELECT m.memory FROM memories m WHERE m.memory IN (SELECT value FROM json_each(?))
   ORDER BY m.created_at DESC, m.id LIMIT ?)"""
_ROWS = f"""
SELECT memory, id, substr(text, 1, {START_CHARS}), rtrim(substr(text, -4)) LIKE '%?', length(text) > {START_CHARS},
  created_at, author, CASE category WHEN 'conversation' THEN space END, scope, importance
FROM memories WHERE memory IN (SELECT value FROM json_each(?))"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """How much is wanted. `now` in ms; `min_score` and `diversity` from 0 to 1, and so `recency` and `importance`,
    which prefer the newer of what says about the same, and what is important. `like` is the number of a memory whose
    vectors stand for that of the query."""

    now: int
    limit: int = 10
    min_score: float | None = None
    explain: bool = False
    diversity: float = 0.0
    fold: bool = False
    recency: float = 0.0
    importance: float = 0.0
    like: int | None = None


@dataclass(frozen=True, slots=True)
class Scored:
    """A memory, by its local number; `passage` is what of a long one matched; `parts` only with `explain`."""

    memory: int
    score: float
    passage: str | None = None
    parts: Mapping[str, float] = field(default_factory=dict)


@dataclass(slots=True)
class _Asked:
    """One search, and what was found out about it so far: `cosines` grow."""

    db: Connection
    query: str
    options: Options
    allowed: NDArray[np.bool_] | None
    words: Lexical
    vector: Query | None
    cosines: PassageScores

    def embed(self, memories: NDArray[np.int64]) -> NDArray[np.float64]:
        """The cosines of these memories. One without a vector, not embedded yet, counts as the middle one."""
        import numpy as np

        if self.vector is None:
            return np.zeros(len(memories))
        if len(missing := self.cosines.lacking(memories)):
            self.cosines = self.cosines.merged(semantic.cosines(self.db, self.vector, missing))
        found = self.cosines.of(memories, missing=np.nan)
        return np.nan_to_num(found, nan=float(np.nanmedian(found)) if not np.isnan(found).all() else 0.0)


def search(db: Connection, index: SearchIndex, query: str, filters: CheckedFilters, options: Options) -> list[Scored]:
    """The best memories for `query` among those that `filters` let through, best first; equal ones by ID."""
    import numpy as np

    allowed = index.visibility.allowed(db, filters, options.now)
    words = lexical.find(db, query, allowed)
    vector = vectors.of_text(db, index, query) if options.like is None else vectors.of_memory(db, index, options.like)
    asked = _Asked(db, query, options, allowed, words, vector, PassageScores.of_rows([]))
    pool = _pool(asked, _seeds(asked, index))
    if not pool.rows:
        return []
    parts = ranking.score(query, named_time(query, options.now), words, pool)
    scores = _shown_scores(asked, pool)
    may = scores >= (options.min_score or 0.0)
    if allowed is not None:
        may &= are_allowed(pool.memories, allowed)
    _boost(asked, pool, np.flatnonzero(may), parts)
    total = _total(parts)
    ranked = _ranked(np.flatnonzero(may), total, pool)
    found = []
    for place in _selected(asked, pool, ranked, total):
        explained = {name: round(float(part[place]), 4) for name, part in parts.items()} if options.explain else {}
        memory = int(pool.memories[place])
        found.append(
            Scored(memory, float(scores[place]), _passage(asked, memory) if pool.rows[place].long else None, explained)
        )
    return found


def _total(parts: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
    """Rounded: the last bits depend on the machine, and replicas should agree."""
    import numpy as np

    total: NDArray[np.float64] = np.round(np.sum(list(parts.values()), axis=0), 5)
    return total


def _ranked(places: NDArray[np.intp], total: NDArray[np.float64], pool: Pool) -> list[int]:
    return sorted(places.tolist(), key=lambda place: (-total[place], pool.rows[place].id))


def _boost(asked: _Asked, pool: Pool, places: NDArray[np.intp], parts: dict[str, NDArray[np.float64]]) -> None:
    """Adds the boosts that are asked for, of those that may be shown, to the parts."""
    import numpy as np

    options = asked.options
    if options.importance:
        given = np.array([pool.rows[place].importance for place in places])
        part = parts["importance"] = np.zeros(len(pool.rows))
        part[places] = boosts.important(_total(parts)[places], given, options.importance)
    if options.recency:
        total = _total(parts)
        first = np.array(_ranked(places, total, pool)[: boosts.FIRST], np.intp)
        at = np.array([pool.rows[place].at for place in first], np.int64)
        part = parts["recency"] = np.zeros(len(pool.rows))
        part[first] = boosts.newer(total[first], at, _alike(asked, pool, first), options.recency)


def _alike(asked: _Asked, pool: Pool, places: NDArray[np.intp]) -> NDArray[np.float64]:
    """How much alike these are, [n, n], from 0 to 1: by their vectors, without any by their words."""
    import numpy as np

    if asked.vector is None:
        words = [selection.words_of(pool.rows[place].start) for place in places]
        return np.array([[selection.overlap(one, other) for other in words] for one in words])
    model, unrelated = asked.vector.model, asked.vector.unrelated
    none = np.zeros_like(asked.vector.vector)
    found = [vectors.direction(asked.db, memory, model) for memory in pool.memories[places].tolist()]
    rows = np.array([none if vector is None else vector for vector in found])
    cosines = (rows @ rows.T).astype(np.float64)
    alike: NDArray[np.float64] = np.round((cosines - unrelated) / (1 - unrelated), 5)
    return alike


def _shown_scores(asked: _Asked, pool: Pool) -> NDArray[np.float64]:
    shares = asked.words.shares(pool.memories)
    return calibrated(pool.cosines, shares, asked.vector.unrelated) if asked.vector else calibrated(None, shares)


def _selected(asked: _Asked, pool: Pool, ranked: list[int], total: NDArray[np.float64]) -> list[int]:
    """The places that are shown, of those in the order of rank."""
    options = asked.options
    if not (options.fold or options.diversity):
        return ranked[: options.limit]
    considered = ranked[: options.limit + VARIETY]
    if options.fold:
        texts = [_text(asked.db, int(pool.memories[place])) for place in considered]
        considered = [considered[place] for place in selection.folded(texts)]
    words = [selection.words_of(pool.rows[place].start) for place in considered]
    chosen = selection.diverse(
        [float(total[place]) for place in considered],
        lambda one, other: selection.overlap(words[one], words[other]),
        options.diversity,
        options.limit,
    )
    return [considered[place] for place in chosen]


def _seeds(asked: _Asked, index: SearchIndex) -> NDArray[np.int64]:
    """The memories worth ranking: best by words, by meaning, and then by both."""
    import numpy as np

    options = asked.options
    more = 2 * options.limit + (VARIETY if options.fold or options.diversity else 0)
    words = asked.words.scores
    chosen = _top(asked.db, words.memories, words.best, max(BY_WORDS, more))
    if asked.vector is None:
        return chosen
    near = semantic.nearest(asked.db, asked.vector, index.coarse(asked.vector.model), asked.allowed)
    asked.cosines = near
    chosen = np.union1d(chosen, _top(asked.db, near.memories, near.best, max(BY_MEANING, more)))
    return _top(
        asked.db,
        chosen,
        asked.words.shares(chosen) + FIRST_WEIGHT * asked.embed(chosen),
        max(SEEDS, more),
    )


def _top(db: Connection, memories: NDArray[np.int64], scores: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """The `count` memories with the highest scores, ascending by number, with those that tie with the last. Very
    many that tie are left out when enough are above them; else the newest are taken: the same ones on every replica."""
    import numpy as np

    if len(memories) <= count:
        return memories
    least = np.partition(scores, -count)[-count]
    above, tied = memories[scores > least], memories[scores == least]
    if len(above) + len(tied) > 2 * count:
        enough = len(above) >= count // 2
        tied = tied[:0] if enough else integers(db.execute(_NEWEST, (json_list(tied), count - len(above))).get)
    return np.sort(np.concatenate([above, tied]))


def _pool(asked: _Asked, seeds: NDArray[np.int64]) -> Pool:
    """The seeds and what stands around them in their conversations, with all that the ranking reads."""
    import numpy as np

    rows = _rows(asked.db, seeds)
    turns = np.array([memory for memory, row in rows.items() if row.conversation], np.int64)
    after = context.followers(asked.db, turns) if len(turns) else {}
    rows |= _rows(asked.db, np.setdiff1d(np.array([*after, *after.values()], np.int64), seeds))
    memories = np.array(sorted(rows), np.int64)
    place = {memory: n for n, memory in enumerate(memories.tolist())}
    following = np.full(len(memories), -1, np.intp)
    preceding = np.full(len(memories), -1, np.intp)
    for one, other in after.items():
        if one in place and other in place:
            following[place[one]], preceding[place[other]] = place[other], place[one]
    return Pool(memories, asked.embed(memories), [rows[m] for m in memories.tolist()], following, preceding)


def _rows(db: Connection, memories: NDArray[np.int64]) -> dict[int, Row]:
    if not len(memories):
        return {}
    return {int(row[0]): _row(row) for row in db.execute(_ROWS, (json_list(memories),))}


def _row(row: tuple[Any, ...]) -> Row:
    _, memory_id, start, asks, long, at, author, space, scope, importance = row
    return Row(memory_id, start, asks, long, at, author, None if space is None else (space, scope), importance or 0.0)


def _text(db: Connection, memory: int) -> str:
    return str(db.execute("SELECT text FROM memories WHERE memory = ?", (memory,)).get or "")


def _passage(asked: _Asked, memory: int) -> str | None:
    """Of a long memory the window that fits the query best, None for a short one."""
    windows = split(_text(asked.db, memory))
    if len(windows) == 1:
        return None
    numbers = [number(memory, n) for n in range(len(windows))]
    fits = [asked.words.share_at(passage) + FIRST_WEIGHT * asked.cosines.at(passage) for passage in numbers]
    return windows[fits.index(max(fits))]
