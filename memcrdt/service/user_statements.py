"""Statements of the user that matter in other sessions, found by their form and without a model.

English only. A sentence is taken if it states a preference, a decision, a correction or something to remember, and can
be understood alone. Much is missed. That is better than storing chatter: the agent itself stores what it understood.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, NamedTuple

from memcrdt.search.words import STOP_WORDS, word_set

MIN_WORDS: Final = 4
MIN_TELLING: Final = 3  # words that are no stop words
MAX_CHARS: Final = 300  # of a sentence; what is longer was pasted

_SENTENCE: Final = re.compile(r"[^.!?\n]+(?:[.!?](?=\S)[^.!?\n]+)*[.!?]?")
_POINTS_BACK: Final = re.compile(r"(?:it|that|this|these|those|they|he|she|and|but|so|then)\b", re.IGNORECASE)
_PASTED: Final = re.compile(r"^(?:[>$#|{}<]|\s{4}|\d{4}-\d\d|(?:at|File|Traceback|ERROR|WARN|INFO)\b)")
_KINDS: Final = tuple(
    (kind, re.compile(pattern, re.IGNORECASE))
    for kind, pattern in (
        (
            "decision",
            r"\b(?:we|i)(?:'ve| have| had)? (?:decided|agreed|chose|settled on)\b|^decision:"
            r"|\blet's (?:go with|stick with|stay with)\b"
            r"|\bwe(?:'ll| will|'re going to| are going to) (?:use|keep|drop|switch|stay|go with)\b",
        ),
        (
            "preference",
            r"\b(?:i|we)(?:'d| would)? (?:always|never|usually|prefer|rather|hate|dislike|don't like|do not like)\b"
            r"|^(?:please,? )?(?:always|never)\b|\bfrom now on\b"
            r"|\bin (?:the )?future,? (?:please|always|never|do|use)\b",
        ),
        (
            "correction",
            r"^(?:no|nope|wrong|not quite|actually)\b,? .*\b(?:is|are|was|must|should|not|use|uses|has|have)\b"
            r"|\bthat(?:'s| is) (?:wrong|not right|not correct|not true),? .+"
            r"|\bi (?:said|told you|meant)\b|\byou (?:should|must) (?:not|never|always)\b"
            r"|^(?:please )?(?:don't|do not) (?:use|add|change|touch|commit|push|run|delete|rename|mock)\b",
        ),
        ("fact", r"\b(?:remember|note|keep in mind)\b(?: that|:)|^(?:for the record|fyi)\b"),
    )
)


class UserStatement(NamedTuple):
    """A sentence of the user, and its kind: decision, preference, correction or fact."""

    kind: str
    text: str


def statements(text: str) -> Iterator[UserStatement]:
    """Yield the statements in what a user typed.

    Example:
        >>> list(statements("Never deploy on Fridays. Can you fix the test?"))
        [UserStatement(kind='preference', text='Never deploy on Fridays.')]
    """
    for line in text.splitlines():
        if _PASTED.match(line):
            continue
        for match in _SENTENCE.finditer(line.lstrip(" -*").strip()):
            sentence = match[0].strip()
            kind = next((kind for kind, form in _KINDS if form.search(sentence)), None)
            if kind is not None and _stands_alone(sentence):
                yield UserStatement(kind, sentence)


def _stands_alone(sentence: str) -> bool:
    """Return whether a sentence says enough without those before it."""
    if len(sentence) > MAX_CHARS or sentence.endswith("?") or _POINTS_BACK.match(sentence):
        return False
    return len(sentence.split()) >= MIN_WORDS and len(word_set(sentence) - STOP_WORDS) >= MIN_TELLING
