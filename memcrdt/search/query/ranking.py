"""Ranking: what each thing known about a candidate is worth.

A linear sum. The weights were fitted on one half of LoCoMo's conversations and checked on the other, both ways, with
one set for all embedders; docs/search.md has the figures with and without each part. A memory outside conversations
counts as a conversation of its own, so that it competes on equal terms.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from memcrdt.search.query.dates import When
from memcrdt.search.query.lexical import Lexical

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

WEIGHTS: Final = {
    "lexical": 2.0,  # its share of the query's idf
    "window_words": 4.0,  # the share of what it and the WINDOW memories on each side hold
    "conversation_words": 2.5,  # the mean of its conversation's BEST best shares
    "semantic": 3.2,  # its cosine
    "window_meaning": 6.0,  # the mean cosine of it and its two neighbours
    "conversation_meaning": 3.2,  # the mean of its conversation's BEST best cosines
    "date": 2.5,  # created when the query says
    "question": -1.5,  # of a turn: it asks, and so doesn't tell
    "speaker": 1.1,  # the query names who said it
    "time": 2.5,  # the query asks when, and a time is named
}
WINDOW = 2
BEST = 3

_SPEAKER = re.compile(r"\s*([^:\n]{1,40}):\s")
_WHEN = re.compile(
    r"\s*(?:when|since when|how long|(?:in |on |at )?(?:what|which) (?:year|month|date|day|time))\b", re.IGNORECASE
)
_TIME = re.compile(
    r"\b(?:yesterday|today|tonight|tomorrow|ago|last|next|weeks?|weekend|months?|years?|days?|recently|since|soon"
    r"|(?:mon|tues|wednes|thurs|fri|satur|sun)days?|jan(?:uary)?|feb(?:ruary)?|march|april|may|june|july|august"
    r"|sept(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?|morning|night|summer|winter|spring|fall|autumn|\d{4})\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Row:
    """What the ranking reads of a memory: `start` is that of its text, `long` whether there is more, `asks` whether
    it ends with a question mark, `at` in ms, `conversation` its space and scope, None outside,
    `importance` 0 where nothing says it."""

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
    """The memories that are ranked, [n], their rows in the same order, and who follows whom by place (-1: no one)."""

    memories: NDArray[np.int64]
    cosines: NDArray[np.float64]
    rows: list[Row]
    after: NDArray[np.intp]
    before: NDArray[np.intp]


def score(query: str, when: When | None, words: Lexical, pool: Pool) -> dict[str, NDArray[np.float64]]:
    """Each part's contribution to each memory's sum, [n]."""
    import numpy as np

    lexical = words.shares(pool.memories)
    cosines = pool.cosines
    groups = _groups(pool.rows)
    turn = np.array([row.conversation is not None for row in pool.rows])
    parts = {
        "lexical": lexical,
        "semantic": cosines,
        "window_words": _window_words(words, pool),
        "window_meaning": _window_mean(cosines, pool),
        "conversation_words": _best_of_group(lexical, groups),
        "conversation_meaning": _best_of_group(cosines, groups),
        "date": np.array([when.match(row.at) if when else 0.0 for row in pool.rows]),
        "question": turn & np.array([bool(row.asks) for row in pool.rows]),
        "speaker": _speaker(query, pool.rows),
        "time": _time(query, pool.rows),
    }
    return {name: WEIGHTS[name] * value for name, value in parts.items()}


def _window_words(words: Lexical, pool: Pool) -> NDArray[np.float64]:
    import numpy as np

    total = np.zeros(len(pool.memories))
    for idf, holders in words.words:
        places = np.minimum(np.searchsorted(holders, pool.memories), max(len(holders) - 1, 0))
        here = holders[places] == pool.memories if len(holders) else np.zeros(len(pool.memories), np.bool_)
        near = here.copy()
        for side in (pool.after, pool.before):
            place = side
            for _ in range(WINDOW):
                near |= (place >= 0) & here[place]
                place = np.where(place >= 0, side[place], -1)
        total += idf * near
    return total / (words.total or 1.0)


def _window_mean(cosines: NDArray[np.float64], pool: Pool) -> NDArray[np.float64]:
    import numpy as np

    total, count = cosines.copy(), np.ones(len(cosines))
    for side in (pool.after, pool.before):
        total += np.where(side >= 0, cosines[side], 0.0)
        count += side >= 0
    return total / count


def _groups(rows: list[Row]) -> list[list[int]]:
    """The places of each conversation's memories."""
    places: dict[tuple[int, str], list[int]] = {}
    for place, row in enumerate(rows):
        if row.conversation is not None:
            places.setdefault(row.conversation, []).append(place)
    return list(places.values())


def _best_of_group(values: NDArray[np.float64], groups: list[list[int]]) -> NDArray[np.float64]:
    import numpy as np

    out = values.copy()
    for group in groups:
        out[group] = np.sort(values[group])[-BEST:].mean()
    return out


def _speaker(query: str, rows: list[Row]) -> NDArray[np.float64]:
    import numpy as np

    asked = query.casefold()
    known: dict[str, bool] = {}

    def named(row: Row) -> bool:
        found = None if row.author or ":" not in row.start else _SPEAKER.match(row.start)
        name = row.author or (found[1] if found else "")
        if name not in known:
            known[name] = bool(name) and re.search(rf"\b{re.escape(name.casefold())}\b", asked) is not None
        return known[name]

    return np.array([named(row) for row in rows], np.float64)


def _time(query: str, rows: list[Row]) -> NDArray[np.float64]:
    import numpy as np

    if not _WHEN.match(query):
        return np.zeros(len(rows))
    return np.array([_TIME.search(row.start) is not None for row in rows], np.float64)
