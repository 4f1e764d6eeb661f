"""Ranking: a weighted sum of the features of each candidate.

The weights were fitted on four of five conversations of LoCoMo and checked on the fifth, in turn, with one set for all
embedders. docs/benchmarks/ranking.md has the figures. A memory outside conversations counts as a conversation of its
own, so it competes on equal terms.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from memcrdt.search.query.candidates import Candidate, Pool
from memcrdt.search.query.dates import TimeMention
from memcrdt.search.query.lexical import WordMatches

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

WEIGHTS: Final = {
    "identifier": 20.0,  # the squared share of whole identifiers: one that is the query, or of code, is above all else
    "lexical": 1.6,  # the memory's share of the query's idf
    "window_words": 3.4,  # the share that the memory and WINDOW memories on each side have together
    "conversation_words": 0.9,  # the mean of the BEST highest shares in the memory's conversation
    "semantic": 2.0,  # the memory's cosine
    "window_meaning": 6.0,  # the mean cosine of the memory and its two neighbours
    "conversation_meaning": 6.3,  # the mean of the BEST highest cosines in the memory's conversation
    "date": 2.6,  # the memory was made at the time that the query names
    "question": -0.7,  # the memory is a turn that asks, so it does not answer
    "answer": 0.55,  # the turn before it asks
    "length": 0.5,  # the logarithm of the length of a turn
    "speaker": 0.7,  # the query names the speaker
    "time": 1.6,  # the query asks when, and the memory names a time
}
SIGNS: Final = ("date", "question", "answer", "length", "speaker", "time")  # of an answer, beside words and meaning
TURN_CHARS: Final = 100  # a usual turn of a conversation
LENGTHS: Final = (30, 300)  # characters between which longer turns count more
WINDOW: Final = 2
BEST: Final = 3

_SPEAKER = re.compile(r"\s*([^:\n]{1,40}):\s")
_WHEN = re.compile(
    r"\s*(?:when|since when|how long|(?:in |on |at )?(?:what|which) (?:year|month|date|day|time))\b", re.IGNORECASE
)
_WORD = re.compile(r"\w+")
_YEAR = re.compile(r"\b\d{4}\b")
# Looking words up takes a tenth of the time of a regular expression with them.
_TIMES: Final = frozenset(
    """
    yesterday today tonight tomorrow ago last next week weeks weekend month months year years day days recently since
    soon monday tuesday wednesday thursday friday saturday sunday mondays tuesdays wednesdays thursdays fridays
    saturdays sundays jan january feb february march april may june july august sept september oct october nov november
    dec december morning night summer winter spring fall autumn
    """.split()  # noqa: SIM905 - one word a line would hide the list
)


def score(query: str, time: TimeMention | None, words: WordMatches, pool: Pool) -> dict[str, NDArray[np.float64]]:
    """Return what each part adds to the sum of each memory, [n], by the name of the part."""
    import numpy as np

    lexical = words.shares(pool.memories)
    cosines = pool.cosines
    groups = _groups(pool.candidates)
    asks = np.array([candidate.asks for candidate in pool.candidates], np.float64)
    parts = {
        "identifier": words.identifier_shares(pool.memories) ** 2,
        "lexical": lexical,
        "semantic": cosines,
        "window_words": _window_words(words, pool),
        "window_meaning": _window_mean(cosines, pool),
        "conversation_words": _best_of_group(lexical, groups),
        "conversation_meaning": _best_of_group(cosines, groups),
        "date": _matches_time(time, pool.candidates),
        "question": asks,
        "answer": np.where(pool.before >= 0, asks[pool.before], 0.0),
        "length": _length(pool.candidates),
        "speaker": _names_speaker(query, pool.candidates),
        "time": _names_time(query, pool.candidates),
    }
    return {name: WEIGHTS[name] * value for name, value in parts.items()}


def _window_words(words: WordMatches, pool: Pool) -> NDArray[np.float64]:
    import numpy as np

    here = np.zeros((len(words.words), len(pool.memories) + 1), np.bool_)  # the last place stands for no neighbour
    for row, (_, holders) in zip(here, words.words, strict=True):
        if len(holders):
            places = holders.searchsorted(pool.memories)
            row[:-1] = holders.take(places, mode="clip") == pool.memories
    near = here[:, :-1].copy()
    for side in (pool.after, pool.before):
        place = side
        for _ in range(WINDOW if (side >= 0).any() else 0):
            near |= here[:, place]
            place = np.where(place >= 0, side[place], -1)
    total = np.zeros(len(pool.memories))
    for (idf, _), row in zip(words.words, near, strict=True):
        total += idf * row
    return total / (words.total or 1.0)


def _window_mean(cosines: NDArray[np.float64], pool: Pool) -> NDArray[np.float64]:
    import numpy as np

    total, count = cosines.copy(), np.ones(len(cosines))
    for side in (pool.after, pool.before):
        total += np.where(side >= 0, cosines[side], 0.0)
        count += side >= 0
    return total / count


def _groups(candidates: list[Candidate]) -> list[list[int]]:
    """Return the places of the memories of each conversation."""
    places: dict[tuple[int, str], list[int]] = {}
    for place, candidate in enumerate(candidates):
        if candidate.space is not None:
            places.setdefault((candidate.space, candidate.scope), []).append(place)
    return list(places.values())


def _best_of_group(values: NDArray[np.float64], groups: list[list[int]]) -> NDArray[np.float64]:
    import numpy as np

    out = values.copy()
    for group in groups:
        out[group] = np.sort(values[group])[-BEST:].mean()
    return out


def _length(candidates: list[Candidate]) -> NDArray[np.float64]:
    """Return the logarithm of the length of each turn: above 0 if it is longer than TURN_CHARS, and 0 elsewhere."""
    import numpy as np

    chars = np.array([TURN_CHARS if each.space is None else each.chars for each in candidates])
    return np.log(chars.clip(*LENGTHS) / TURN_CHARS)


def _names_speaker(query: str, candidates: list[Candidate]) -> NDArray[np.float64]:
    import numpy as np

    asked = query.casefold()
    known: dict[str, bool] = {}

    def named(candidate: Candidate) -> bool:
        found = None if candidate.author or ":" not in candidate.start else _SPEAKER.match(candidate.start)
        name = candidate.author or (found[1] if found else "")
        if name not in known:
            known[name] = bool(name) and re.search(rf"\b{re.escape(name.casefold())}\b", asked) is not None
        return known[name]

    return np.array([named(candidate) for candidate in candidates], np.float64)


def _matches_time(time: TimeMention | None, candidates: list[Candidate]) -> NDArray[np.float64]:
    import numpy as np

    if time is None:
        return np.zeros(len(candidates))
    return np.array([time.match(candidate.at) for candidate in candidates])


def _names_time(query: str, candidates: list[Candidate]) -> NDArray[np.float64]:
    import numpy as np

    if not _WHEN.match(query):
        return np.zeros(len(candidates))
    return np.array([_has_time(candidate.start) for candidate in candidates], np.float64)


def _has_time(text: str) -> bool:
    return not _TIMES.isdisjoint(_WORD.findall(text.lower())) or _YEAR.search(text) is not None
