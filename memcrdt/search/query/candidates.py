"""Candidates: the memories worth ranking, with their neighbours in conversations and the data that the ranking reads.

Full text and vectors each propose their best hundred. The best eighty of these, by words and meaning together, are the
seeds. A pool has the seeds and the memories just before and after them in their conversations.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce
from itertools import pairwise
from typing import TYPE_CHECKING, Final, NamedTuple

from memcrdt.search.arrays import json_list, parse_integers, union
from memcrdt.search.index.candidate_index import CandidateSnapshot
from memcrdt.search.index.index import SearchIndex
from memcrdt.search.query import vectors
from memcrdt.search.query.lexical import WordMatches
from memcrdt.search.query.scores import PassageScores
from memcrdt.search.query.vectors import QueryVector
from memcrdt.store.indexer import SEARCHED
from memcrdt.store.sql import SqlConnection, json_values

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BY_WORDS: Final = 100  # memories taken from full text
BY_MEANING: Final = 100  # memories taken from the vectors
SEEDS: Final = 80  # memories that are ranked with their neighbours
COSINE_WEIGHT: Final = 1.5  # of the cosine, beside the share of the query's idf, to choose the seeds
SECOND_SHARE: Final = 0.8  # of the second model in the cosine of a memory that has the vectors of both
NEIGHBOURS: Final = 3  # memories of a conversation on each side of a seed
START_CHARS: Final = 300  # characters at the start of a text that the ranking reads

_NEWEST = """
SELECT group_concat(memory) FROM
  (SELECT m.memory FROM memories m WHERE m.memory IN (SELECT CAST(value AS BIGINT) FROM json_each(?))
   ORDER BY m.created_at DESC, m.id LIMIT ?) n"""
_CANDIDATES = f"""
SELECT json_array(memory, id, substr(text, 1, {START_CHARS}), category = 'conversation' AND rtrim(text) LIKE '%?',
  length(text), created_at, author, CASE category WHEN 'conversation' THEN space END, scope,
  coalesce(importance, 0.0)) AS found
FROM memories WHERE memory IN (SELECT CAST(value AS BIGINT) FROM json_each(?))"""
_SIDE = f"""
  json((SELECT json_group_array(memory) FROM
     (SELECT n.memory FROM memories n WHERE n.scope = m.scope AND n.space = m.space AND {SEARCHED}
      AND (n.created_at, n.id) {{sign}} (m.created_at, m.id)
      ORDER BY n.created_at {{order}}, n.id {{order}} LIMIT ?) side))"""
_NEIGHBOURS = f"""
SELECT json_array(m.memory, {_SIDE.format(sign="<", order="DESC")}, {_SIDE.format(sign=">", order="ASC")}) AS found
FROM memories m WHERE m.memory IN (SELECT CAST(value AS BIGINT) FROM json_each(?)) AND m.category = 'conversation'"""


class Candidate(NamedTuple):
    """The data of a memory that the ranking reads.

    Attributes:
        start: The first characters of the text.
        asks: 1 if it is a turn of a conversation that ends with a question mark.
        chars: The length of the text.
        at: When the memory was made, in ms.
        space: The space of its conversation; None outside conversations.
        importance: From 0 to 1; 0 if it is not set.
    """

    id: str
    start: str
    asks: int
    chars: int
    at: int
    author: str | None
    space: int | None
    scope: str
    importance: float


@dataclass(frozen=True, slots=True)
class Pool:
    """The memories that are ranked, [n], with their cosines and candidates in the same order.

    `after` and `before` have the place of the next and the previous memory of the conversation; -1 for none.
    """

    memories: NDArray[np.int64]
    cosines: NDArray[np.float64]
    candidates: list[Candidate]
    after: NDArray[np.intp]
    before: NDArray[np.intp]


class Cosines:
    """The cosines of memories with the query, read as they are needed.

    A memory that has vectors of both models has the weighted mean of both cosines, on the scale of the first model: as
    far on the way from unrelated texts to equal ones. So a memory that waits for the second model can be compared with
    others by its first cosine alone.

    `vector` is None if the search uses words alone, `second` while there is no second model. `allowed` is by memory
    number.
    """

    def __init__(
        self,
        db: SqlConnection,
        index: SearchIndex,
        vector: QueryVector | None,
        second: QueryVector | None,
        allowed: NDArray[np.bool_] | None,
    ) -> None:
        self.vector = vector
        self.second = second if vector else None
        self._db = db
        self._index = index
        self._allowed = allowed
        self._known: list[PassageScores] = []
        self._rows: list[CandidateSnapshot] = []

    @property
    def _vectors(self) -> list[QueryVector]:
        return [vector for vector in (self.vector, self.second) if vector]

    def nearest(self, others: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the allowed memories nearest to the query by either model, and `others`; ascending.

        This comes before all other methods, and reads the cosines of `others` in the same statement.
        """
        found = [
            vectors.nearest(self._db, vector, self._index.candidates(vector.model.model), self._allowed, others)
            for vector in self._vectors
        ]
        self._known = [each.cosines for each in found]
        self._rows = [each.rows for each in found]
        return reduce(union, [known.memories for known in self._known])

    def of(self, memories: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the cosine of each memory. A memory that waits for its vectors gets the median of the others."""
        import numpy as np

        if self.vector is None:
            return np.zeros(len(memories))
        for n, vector in enumerate(self._vectors):
            if len(missing := self._known[n].lacking(memories)):
                self._known[n] = self._known[n].merged(vectors.cosines(self._db, vector, self._rows[n], missing))
        found = self._united([known.of(memories, missing=np.nan) for known in self._known])
        if len(known := found[~(unknown := np.isnan(found))]) < len(found):
            found[unknown] = np.median(known) if len(known) else 0.0
        return found

    def at(self, passage: int) -> float:
        """Return the cosine of one passage; 0 if it is not known."""
        import numpy as np

        found = self._united([np.array([known.at(passage, missing=np.nan)]) for known in self._known])
        return float(np.nan_to_num(found)[0]) if len(found) else 0.0

    def _united(self, cosines: list[NDArray[np.float64]]) -> NDArray[np.float64]:
        """Return one cosine for each memory, [n], from those of each model; NaN for a memory without a vector."""
        import numpy as np

        if self.vector is None or self.second is None:
            return cosines[0] if cosines else np.empty(0)
        first, scale = cosines[0], (1 - self.vector.unrelated) / (1 - self.second.unrelated)
        second = self.vector.unrelated + scale * (cosines[1] - self.second.unrelated)
        both = np.round((1 - SECOND_SHARE) * first + SECOND_SHARE * second, 6)
        return np.where(np.isnan(second), first, np.where(np.isnan(first), second, both))


def choose_seeds(db: SqlConnection, words: WordMatches, cosines: Cosines, least: int) -> NDArray[np.int64]:
    """Return the memories worth ranking, ascending: the best by words, the best by meaning, then the best by both.

    The best by names of code are among them.

    Args:
        db: A connection of the store.
        words: The matches in the full-text index.
        cosines: The cosines with the query.
        least: Minimum number of seeds, if there are enough memories.
    """
    scores = words.scores
    named = _top(db, words.names.memories, words.names.best, max(SEEDS, least))
    chosen = union(named, _top(db, scores.memories, scores.best, max(BY_WORDS, least)))
    if cosines.vector is None:
        return chosen
    near = cosines.nearest(chosen)
    chosen = union(chosen, _top(db, near, cosines.of(near), max(BY_MEANING, least)))
    best = _top(db, chosen, words.shares(chosen) + COSINE_WEIGHT * cosines.of(chosen), max(SEEDS, least))
    return union(best, named)


def make_pool(db: SqlConnection, seeds: NDArray[np.int64], cosines: Cosines) -> Pool:
    """Return the seeds with their neighbours in conversations."""
    import numpy as np

    read = _read(db, seeds)
    turns = np.array([memory for memory, candidate in read.items() if candidate.space is not None], np.int64)
    following = _next_in_conversation(db, turns) if len(turns) else {}
    read |= _read(db, np.array(sorted({*following, *following.values()} - read.keys()), np.int64))
    memories = np.array(sorted(read), np.int64)
    place = {memory: n for n, memory in enumerate(memories.tolist())}
    after = np.full(len(memories), -1, np.intp)
    before = np.full(len(memories), -1, np.intp)
    for one, other in following.items():
        if one in place and other in place:
            after[place[one]], before[place[other]] = place[other], place[one]
    return Pool(memories, cosines.of(memories), [read[memory] for memory in memories.tolist()], after, before)


def _top(db: SqlConnection, memories: NDArray[np.int64], scores: NDArray[np.float64], count: int) -> NDArray[np.int64]:
    """Return the `count` memories with the highest scores and all that tie with the last, ascending by number.

    If very many tie, they are left out if enough memories are above them. Otherwise the newest of them are taken. So
    every replica takes the same ones.
    """
    import numpy as np

    if len(memories) <= count:
        return memories
    least = np.partition(scores, -count)[-count]
    above, tied = memories[scores > least], memories[scores == least]
    if len(above) + len(tied) > 2 * count:
        enough = len(above) >= count // 2
        tied = tied[:0] if enough else parse_integers(db.execute(_NEWEST, (json_list(tied), count - len(above))).get)
    return np.sort(np.concatenate([above, tied]))


def _next_in_conversation(db: SqlConnection, memories: NDArray[np.int64]) -> dict[int, int]:
    """Return the next memory by memory, around each of `memories` that belongs to a conversation."""
    following: dict[int, int] = {}
    for memory, before, behind in json_values(db, _NEIGHBOURS, (NEIGHBOURS, NEIGHBOURS, json_list(memories))):
        chain = [*reversed(before), memory, *behind]
        following.update(pairwise(chain))
    return following


def _read(db: SqlConnection, memories: NDArray[np.int64]) -> dict[int, Candidate]:
    if not len(memories):
        return {}
    rows = json_values(db, _CANDIDATES, (json_list(memories),))
    return {row[0]: Candidate._make(row[1:]) for row in rows}
