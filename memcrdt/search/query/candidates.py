"""Candidates: the memories worth ranking, with their neighbours in conversations and the data that the ranking reads.

Full text and vectors each propose their best hundred. The best eighty of these, by words and meaning together, are the
seeds. A pool has the seeds and the memories just before and after them in their conversations.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from memcrdt.search.arrays import json_list, parse_integers
from memcrdt.search.index.index import SearchIndex
from memcrdt.search.query import vectors
from memcrdt.search.query.lexical import WordMatches
from memcrdt.search.query.scores import PassageScores
from memcrdt.search.query.vectors import QueryVector
from memcrdt.store.indexer import SqlConnection

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BY_WORDS: Final = 100  # memories taken from full text
BY_MEANING: Final = 100  # memories taken from the vectors
SEEDS: Final = 80  # memories that are ranked with their neighbours
COSINE_WEIGHT: Final = 1.5  # of the cosine, beside the share of the query's idf, to choose the seeds
NEIGHBOURS: Final = 3  # memories of a conversation on each side of a seed
START_CHARS: Final = 300  # characters at the start of a text that the ranking reads

_NEWEST = """
SELECT group_concat(memory) FROM
  (SELECT m.memory FROM memories m WHERE m.memory IN (SELECT value FROM json_each(?))
   ORDER BY m.created_at DESC, m.id LIMIT ?)"""
_CANDIDATES = f"""
SELECT memory, id, substr(text, 1, {START_CHARS}), rtrim(substr(text, -4)) LIKE '%?', length(text) > {START_CHARS},
  created_at, author, CASE category WHEN 'conversation' THEN space END, scope, importance
FROM memories WHERE memory IN (SELECT value FROM json_each(?))"""
_SIDE = """
  (SELECT json_group_array(memory) FROM
     (SELECT n.memory FROM memories n WHERE n.scope = m.scope AND n.space = m.space
      AND (n.created_at, n.id) {sign} (m.created_at, m.id) ORDER BY n.created_at {order}, n.id {order} LIMIT ?))"""
_NEIGHBOURS = f"""
SELECT m.memory, {_SIDE.format(sign="<", order="DESC")}, {_SIDE.format(sign=">", order="ASC")}
FROM memories m WHERE m.memory IN (SELECT value FROM json_each(?)) AND m.category = 'conversation'"""


@dataclass(frozen=True, slots=True)
class Candidate:
    """The data of a memory that the ranking reads.

    Attributes:
        start: The first characters of the text.
        asks: 1 if the text ends with a question mark.
        long: 1 if there is more text than `start`.
        at: When the memory was made, in ms.
        conversation: Its space and scope; None outside conversations.
        importance: From 0 to 1; 0 if it is not set.
    """

    id: str
    start: str
    asks: int
    long: int
    at: int
    author: str | None
    conversation: tuple[int, str] | None
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

    `vector` is None if the search uses words alone. `allowed` is by memory number.
    """

    def __init__(
        self, db: SqlConnection, index: SearchIndex, vector: QueryVector | None, allowed: NDArray[np.bool_] | None
    ) -> None:
        self.vector = vector
        self._db = db
        self._index = index
        self._allowed = allowed
        self._known = PassageScores.of_rows([])

    def nearest(self) -> PassageScores:
        """Find the allowed passages nearest to the query."""
        assert self.vector is not None
        candidates = self._index.candidates(self.vector.model)
        self._known = vectors.nearest(self._db, self.vector, candidates, self._allowed)
        return self._known

    def of(self, memories: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the cosine of each memory. A memory that waits for its vector gets the median of the others."""
        import numpy as np

        if self.vector is None:
            return np.zeros(len(memories))
        if len(missing := self._known.lacking(memories)):
            self._known = self._known.merged(vectors.cosines(self._db, self.vector, missing))
        found = self._known.of(memories, missing=np.nan)
        return np.nan_to_num(found, nan=float(np.nanmedian(found)) if not np.isnan(found).all() else 0.0)

    def at(self, passage: int) -> float:
        """Return the cosine of one passage; 0 if it is not known."""
        return self._known.at(passage)


def choose_seeds(db: SqlConnection, words: WordMatches, cosines: Cosines, least: int) -> NDArray[np.int64]:
    """Return the memories worth ranking, ascending: the best by words, the best by meaning, then the best by both.

    Args:
        db: A connection of the store.
        words: The matches in the full-text index.
        cosines: The cosines with the query.
        least: Minimum number of seeds, if there are enough memories.
    """
    import numpy as np

    scores = words.scores
    chosen = _top(db, scores.memories, scores.best, max(BY_WORDS, least))
    if cosines.vector is None:
        return chosen
    near = cosines.nearest()
    chosen = np.union1d(chosen, _top(db, near.memories, near.best, max(BY_MEANING, least)))
    return _top(db, chosen, words.shares(chosen) + COSINE_WEIGHT * cosines.of(chosen), max(SEEDS, least))


def make_pool(db: SqlConnection, seeds: NDArray[np.int64], cosines: Cosines) -> Pool:
    """Return the seeds with their neighbours in conversations."""
    import numpy as np

    read = _read(db, seeds)
    turns = np.array([memory for memory, candidate in read.items() if candidate.conversation], np.int64)
    following = _next_in_conversation(db, turns) if len(turns) else {}
    read |= _read(db, np.setdiff1d(np.array([*following, *following.values()], np.int64), seeds))
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
    for memory, before, behind in db.execute(_NEIGHBOURS, (NEIGHBOURS, NEIGHBOURS, json_list(memories))):
        chain = [*reversed(json.loads(str(before))), memory, *json.loads(str(behind))]
        following.update(pairwise(chain))
    return following


def _read(db: SqlConnection, memories: NDArray[np.int64]) -> dict[int, Candidate]:
    if not len(memories):
        return {}
    return {int(row[0]): _candidate(row) for row in db.execute(_CANDIDATES, (json_list(memories),))}


def _candidate(row: tuple[Any, ...]) -> Candidate:
    _, memory_id, start, asks, long, at, author, space, scope, importance = row
    conversation = None if space is None else (space, scope)
    return Candidate(memory_id, start, asks, long, at, author, conversation, importance or 0.0)
