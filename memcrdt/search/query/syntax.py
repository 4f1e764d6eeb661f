"""The syntax of queries: "exact phrases", -excluded words and prefixes*. Everything else is plain text.

Most queries are sentences, and nothing in a sentence may change its meaning. So a query is read as plain text if it is
long or has several lines, as prompts and pasted logs do; a word is excluded only at the start or the end of the query,
beside words that are not, and not behind a word such as `with`; and a phrase only decides what is found if the query
has no other words. A flag such as --dry-run is never excluded.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final, NamedTuple

from memcrdt.search.words import STOP_WORDS

SYNTAX_CHARS: Final = 256  # of the longest query that is read for signs

_ITEM: Final = re.compile(
    '(?P<quoted>(?<![\\w"])-?(?:"[^"]+"|\u201c[^\u201c\u201d]+\u201d)(?!\\w))|[^\\s"\u201c]+|["\u201c]'
)
_PREFIX: Final = re.compile(r"(?<![\w*])([^\s*]*?)(\w{2,})\*(?![\w*])")
_QUOTES: Final = ('"', "\u201c")
_EXCLUDED: Final = re.compile('-(?:["\u201c]|[^\\W_]{2})')


class ParsedQuery(NamedTuple):
    """A query, read.

    Attributes:
        text: The words to find, without signs and excluded words.
        phrases: The phrases. Their words are in `text`, too.
        prefixes: The beginnings of words. They are in `text`, too.
        excluded: The words and names that no result may have.
        is_exact: Whether the query has phrases and no other words.
    """

    text: str
    phrases: tuple[str, ...] = ()
    prefixes: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    is_exact: bool = False


@lru_cache(maxsize=256)
def read_query(text: str) -> ParsedQuery:
    """Read the signs of a query. Any text is a valid query."""
    if len(text) > SYNTAX_CHARS or len(text.strip().splitlines()) > 1 or not any(sign in text for sign in '"\u201c*-'):
        return ParsedQuery(text)
    items = [found[0] for found in _ITEM.finditer(text)]
    excluded = [items.pop(place)[1:] for place in reversed(_outer(items)) if _EXCLUDED.match(items[place])]
    phrases = [_unquoted(item) for item in items if item.startswith(_QUOTES) and _has_word(item)]
    words = " ".join(item for item in items if not item.startswith(_QUOTES))
    return ParsedQuery(
        _PREFIX.sub(r"\1\2", " ".join(map(_unquoted, items))),
        tuple(phrases),
        tuple(found[2] for found in _PREFIX.finditer(words)),
        tuple(map(_unquoted, reversed(excluded))),
        bool(phrases) and not _has_word(words),
    )


def _outer(items: list[str]) -> list[int]:
    """Return the places before the first word and after the last one that are not excluded."""
    places = [place for place, item in enumerate(items) if _has_word(item) and not _EXCLUDED.match(item)]
    if not places:
        return []
    is_phrase = items[places[-1]].lower() in STOP_WORDS  # "build it with -Wall"
    return [*range(places[0]), *range(len(items) if is_phrase else places[-1] + 1, len(items))]


def _unquoted(item: str) -> str:
    inner = item.lstrip("-")
    return inner.strip('"\u201c\u201d') if inner.startswith(_QUOTES) else item


def _has_word(text: str) -> bool:
    return any(character.isalnum() for character in text)
