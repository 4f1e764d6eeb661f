"""Full text: the passages that have a word, and the number of passages with each word.

The tables differ between databases: SQLite has FTS5, PostgreSQL a column of words with an index. Both have a table
`vocabulary` with the number of passages of each word, and a function `fulltext` that returns the passages of an
expression. So the queries of search are the same. An expression is written as FTS5 takes it, and `matching` translates.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, Protocol, TypeAlias, cast

from memcrdt.search.words import TOKENIZER
from memcrdt.store.indexer import sqlite_of
from memcrdt.store.sql import SqlConnection, is_sqlite, tokenizing

PassageWords: TypeAlias = "tuple[int, str]"  # the number of a passage, and its words in one text

DOCUMENT: Final = 4  # FTS5_TOKENIZE_DOCUMENT: words as they are stored
STEM_CHARS: Final = 500  # of a stem in PostgreSQL, whose index takes 2,046 bytes

_ADD = "INSERT INTO fulltext(rowid, words) VALUES(?, ?)"
_REMOVE = "INSERT INTO fulltext(fulltext, rowid, words) VALUES('delete', ?, ?)"
_CLEAR = "INSERT INTO fulltext(fulltext) VALUES('delete-all')"
# With secure-delete, FTS5 erases each word of each passage at once: 0.6 ms a passage. Without it, a passage takes
# 0.02 ms, and the words go with later merges of the whole index: 2 ms for each thousand memories. The setting is part
# of the file, so it also says that merges are due. A call that removes many in several commits changes over when it has
# spent as much as the merges take, so it never takes more than twice as long as the better way.
_ERASE = "INSERT INTO fulltext(fulltext, rank) VALUES('secure-delete', ?)"
_ERASES_AT_ONCE = "SELECT v FROM fulltext_config WHERE k = 'secure-delete'"
_ERASED_AT_ONCE = 128  # passages in one commit: 0.08 s
_MERGED_FOR_ONE = 300  # passages of the whole index that are merged in the time in which one is erased
_FEW = 32  # passages in one commit that never make merges due: edits and single forgets
_PASSAGES = "SELECT passages FROM indexed"
# Writes what has been removed before anything is added. Otherwise FTS5 keeps one entry for a passage that is removed
# and added again, which secure-delete misreads later, and so damages the index (SQLite 3.54, with detail = none).
_WRITE_REMOVED = "SAVEPOINT removed; RELEASE removed"
_MERGE = "INSERT INTO fulltext(fulltext, rank) VALUES('merge', ?)"  # a negative number of pages merges everything
_MERGED_PAGES = 100  # in the first transaction: about 0.02 s
_MERGE_CHANGES = 2  # with fewer, the merge had nothing to do (FTS5's documentation of `merge`)

_TOKEN: Final = re.compile(r'"([^"]*)"( \*)?|AND|OR|NOT')
_OPERATORS: Final = {"AND": "&", "OR": "|", "NOT": "& !"}


class FullText(Protocol):
    """Writes full text, in the transaction of the caller."""

    def add(self, db: SqlConnection, words: Sequence[PassageWords]) -> None:
        """Add passages."""
        ...

    def remove(self, db: SqlConnection, words: Sequence[PassageWords]) -> None:
        """Remove passages. Their words are those with which they were added."""
        ...

    def erase_removed(self, db: SqlConnection) -> bool:
        """Erase bytes that removed passages left, for a short time. Return whether there are more."""
        ...

    def clear(self, db: SqlConnection) -> None:
        """Remove all passages."""
        ...


class Fts5:
    """Full text in SQLite."""

    def __init__(self) -> None:
        self._pages_to_merge = _MERGED_PAGES
        self._erased = 0  # passages, by commits with more than a few since erase_removed()

    def add(self, db: SqlConnection, words: Sequence[PassageWords]) -> None:
        """Add passages."""
        db.executemany(_ADD, words)

    def remove(self, db: SqlConnection, words: Sequence[PassageWords]) -> None:
        """Remove passages. Their words are those with which they were added."""
        if len(words) > _FEW:
            self._erased += len(words)
            cheap = int(db.execute(_PASSAGES).get) // _MERGED_FOR_ONE
            if len(words) > _ERASED_AT_ONCE or self._erased > max(cheap, _FEW):
                db.execute(_ERASE, (0,))
        db.executemany(_REMOVE, words)
        if words and not db.execute(_ERASES_AT_ONCE).get:
            db.execute(_WRITE_REMOVED)

    def erase_removed(self, db: SqlConnection) -> bool:
        """Merge the words of removed passages out of the index, some pages at a time. Return whether there are more.

        One call both ends the merge and sees its end. Over two transactions, each commit in between would give the
        second one something to merge, and another committer could keep that up for ever.
        """
        self._erased = 0
        if db.execute(_ERASES_AT_ONCE).get:
            return False
        if _merge(db, self._pages_to_merge) and _merge(db, self._pages_to_merge):
            self._pages_to_merge *= 2  # a commit in between makes the merge begin again: it must still come to an end
            return True
        self._pages_to_merge = _MERGED_PAGES
        db.execute(_ERASE, (1,))
        return False

    def clear(self, db: SqlConnection) -> None:
        """Remove all passages."""
        db.execute(_CLEAR)


def _merge(db: SqlConnection, pages: int) -> bool:
    """Merge up to this many pages of full text. Return whether there was anything to merge."""
    sqlite = sqlite_of(db)
    before = sqlite.total_changes()
    sqlite.execute(_MERGE, (-pages,))
    return sqlite.total_changes() - before >= _MERGE_CHANGES


def stems(db: SqlConnection, text: str) -> list[str]:
    """Return the stems of the words of a text, as full text has them."""
    split = tokenizing(db).fts5_tokenizer("porter", list(TOKENIZER))
    found = split(text.encode(), DOCUMENT, None, include_offsets=False, include_colocated=False)
    return cast("list[str]", found)


def matching(db: SqlConnection, expression: str) -> str:
    """Return an expression of FTS5 as the function `fulltext` of the database takes it."""
    if is_sqlite(db):
        return expression

    def translated(token: re.Match[str]) -> str:
        if token[1] is None:
            return _OPERATORS[token[0]]
        words = [f"'{stem[:STEM_CHARS]}'{':*' if token[2] else ''}" for stem in stems(db, token[1])]
        return f"({' & '.join(words)})" if words else "''"

    return _TOKEN.sub(translated, expression)
