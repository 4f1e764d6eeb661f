"""Ranking: a weighted sum of the features of each candidate.

The weights were fitted on one half of LoCoMo's conversations and checked on the other, both ways, with one set for
all embedders. docs/search.md has the figures with and without each part. A memory outside conversations counts as a
conversation of its own, so it competes on equal terms.
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
    "lexical": 2.0,  # the memory's share of the query's idf
    "window_words": 4.0,  # the share that the memory and WINDOW memories on each side have together
    "conversation_words": 2.5,  # the mean of the BEST highest shares in the memory's conversation
    "semantic": 3.2,  # the memory's cosine
    "window_meaning": 6.0,  # the mean cosine of the memory and its two neighbours
    "conversation_meaning": 3.2,  # the mean of the BEST highest cosines in the memory's conversation
    "date": 2.5,  # the memory was made at the time that the query names
    "question": -1.5,  # the memory is a turn that asks, so it does not answer
    "speaker": 1.1,  # the query names the speaker
    "time": 2.5,  # the query asks when, and the memory names a time
}
WINDOW: Final = 2
BEST: Final = 3

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


def score(query: str, time: TimeMention | None, words: WordMatches, pool: Pool) -> dict[str, NDArray[np.float64]]:
    """Return what each part adds to the sum of each memory, [n], by the name of the part."""
    import numpy as np

    lexical = words.shares(pool.memories)
    cosines = pool.cosines
    groups = _groups(pool.candidates)
    turn = np.array([candidate.conversation is not None for candidate in pool.candidates])
    parts = {
        "lexical": lexical,
        "semantic": cosines,
        "window_words": _window_words(words, pool),
        "window_meaning": _window_mean(cosines, pool),
        "conversation_words": _best_of_group(lexical, groups),
        "conversation_meaning": _best_of_group(cosines, groups),
        "date": np.array([time.match(candidate.at) if time else 0.0 for candidate in pool.candidates]),
        "question": turn & np.array([bool(candidate.asks) for candidate in pool.candidates]),
        "speaker": _names_speaker(query, pool.candidates),
        "time": _names_time(query, pool.candidates),
    }
    return {name: WEIGHTS[name] * value for name, value in parts.items()}


def _window_words(words: WordMatches, pool: Pool) -> NDArray[np.float64]:
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


def _groups(candidates: list[Candidate]) -> list[list[int]]:
    """Return the places of the memories of each conversation."""
    places: dict[tuple[int, str], list[int]] = {}
    for place, candidate in enumerate(candidates):
        if candidate.conversation is not None:
            places.setdefault(candidate.conversation, []).append(place)
    return list(places.values())


def _best_of_group(values: NDArray[np.float64], groups: list[list[int]]) -> NDArray[np.float64]:
    import numpy as np

    out = values.copy()
    for group in groups:
        out[group] = np.sort(values[group])[-BEST:].mean()
    return out


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


def _names_time(query: str, candidates: list[Candidate]) -> NDArray[np.float64]:
    import numpy as np

    if not _WHEN.match(query):
        return np.zeros(len(candidates))
    return np.array([_TIME.search(candidate.start) is not None for candidate in candidates], np.float64)
