"""The terms of a query: its words as full text has them, how rare they are, and what else the query asks for.

A compound counts once (search/compounds.py): a passage that has the whole of it gets all of its weight, and one with
its parts gets most of it. A compound that no passage has as a whole counts by its parts. A word of five letters or more
that no passage has stands for the words that differ from it in one letter, and the id of a commit for longer and
shorter forms of it.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final, NamedTuple, cast

from memcrdt.search.compounds import SEP, compounds
from memcrdt.search.index.full_text import DOCUMENT, matching
from memcrdt.search.index.passages import PER_MEMORY
from memcrdt.search.languages import FUNCTION_WORDS, is_english
from memcrdt.search.query.phrases import find_phrase
from memcrdt.search.query.spelling import is_other_form, neighbours
from memcrdt.search.query.syntax import ParsedQuery
from memcrdt.search.words import STOP_WORDS, TOKENIZER, is_unspaced, spaced, written_out
from memcrdt.store.sql import SqlConnection, tokenizing

TERMS: Final = 64  # words of a query that count: the rarest
ROWS: Final = 20_000  # rows read for candidates: about 2 ms; more common words only score these candidates
PARTS: Final = 0.5  # of the weight of a name, for all its parts without the whole
HYPHENATED_PARTS: Final = 0.9  # the same for words with hyphens, which many people write apart
NEAR: Final = 0.7  # of the weight of a word, for a word that is spelled nearly so
STEMS: Final = 200  # stems that a beginning of a word stands for
SPELLED: Final = 4  # words of a query that are looked up in other spellings: 1 ms each
EVERY: Final = 2**62  # no limit

# One statement for all words: each statement costs more than the look-up of a rare word.
_COUNTS = """
SELECT passages, (SELECT json_group_array(coalesce((SELECT doc FROM vocabulary WHERE term = j.value), 0))
                  FROM json_each(?) j) FROM indexed"""
_ROWS = "SELECT (SELECT group_concat(rowid) FROM fulltext(j.value)) FROM json_each(?) j"
_SOME_ROWS = "SELECT group_concat(rowid) FROM (SELECT rowid FROM fulltext(?) LIMIT ?) f"
_COUNT_PREFIX = "SELECT coalesce(sum(doc), 0) FROM vocabulary WHERE term >= ? AND term < ?"
_BEGINNING = """
SELECT json_group_array(term) FROM
  (SELECT term FROM vocabulary WHERE term >= ? AND term < ? ORDER BY term LIMIT ?) v"""
_KNOWN = "SELECT json_group_array(v.term) FROM json_each(?) j CROSS JOIN vocabulary v WHERE v.term = j.value"
_LAST = "\U0010ffff"
_HEX: Final = re.compile("(?=[0-9]*[a-f])(?=[a-f]*[0-9])[0-9a-f]{7,64}")
_SUFFIXES: Final = (
    "ment",
    "ing",
    "ed",
    "er",
    "ation",
    "ator",
    "ness",
    "able",
    "ive",
    "ful",
    "ly",
    "ity",
    "ies",
    "es",
    "e",
    "s",
)
_JOINED_CHARS: Final = 4  # letters of each part of a joined word
_STEM_CHARS: Final = 3
_SHORT_ID: Final = 7  # characters of the shortest id of a commit


class QueryTerm(NamedTuple):
    """One thing that passages may have.

    Attributes:
        match: Its FTS5 expression.
        passages: The number of passages that have it.
        idf: What it counts in the total of the query.
        weight: What a passage gets that has it.
        whole: The expression of the compound that it is a part of: a passage that has the whole gets nothing for it.
        is_identifier: Whether it is a whole compound. Words with hyphens are one only if they are all of the query.
        is_of_code: Whether it is an identifier that no sentence has by chance.
    """

    match: str
    passages: int
    idf: float
    weight: float
    whole: str | None = None
    is_identifier: bool = False
    is_of_code: bool = False


class QueryTerms(NamedTuple):
    """The terms of a query.

    Attributes:
        text: The words of the query.
        terms: The terms, rarest first.
        rows: The passages of each term that some passage has, by its expression: numbers separated by commas.
        total: The idf of all terms together, including those that no passage has.
        rarest: The idf of a word that one passage has.
        stems: The stems of all its words, for highlights.
        beginnings: The beginnings of words that it asks for.
        required: The memories that have all its phrases, if it has no other words and there are such memories.
        excluded: The passages that have an excluded word: numbers separated by commas.
    """

    text: str
    terms: list[QueryTerm]
    rows: Mapping[str, str]
    total: float
    rarest: float
    stems: frozenset[str]
    beginnings: tuple[str, ...]
    required: frozenset[int] | None
    excluded: tuple[str, ...]


class _Word(NamedTuple):
    """A word as it is written, and its stem, which is how full text has it."""

    text: str
    stem: str

    @property
    def match(self) -> str:
        return f'"{self.text}"'


class _Name(NamedTuple):
    """A compound of the query."""

    whole: _Word
    parts: list[_Word]
    is_hyphenated: bool
    is_identifier: bool
    is_of_code: bool


def query_terms(db: SqlConnection, query: ParsedQuery) -> QueryTerms:
    """Return the terms of a query. Stop words count only if the query has no other words."""
    return _Reader(db).read(query)


def _idf(count: int, passages: int) -> float:
    return math.log(1 + (max(passages - count, 0) + 0.5) / (count + 0.5))


class _Reader:
    """Reads one query with one connection."""

    def __init__(self, db: SqlConnection) -> None:
        self._db = db
        self._split = tokenizing(db).fts5_tokenizer(TOKENIZER[0], list(TOKENIZER[1:]))
        self._stem = tokenizing(db).fts5_tokenizer("porter", list(TOKENIZER))
        self._is_english = True
        self._stop_words = STOP_WORDS
        self._passages = 0
        self._counts: dict[str, int] = {}
        self._rows: dict[str, str] = {}
        self._stems: set[str] = set()

    def read(self, query: ParsedQuery) -> QueryTerms:
        text = written_out(query.text)
        self._is_english = is_english(query.text)
        self._stop_words = STOP_WORDS if self._is_english else FUNCTION_WORDS
        names, rest = self._names(text)
        beginnings = [word for each in query.prefixes for word in self._words(written_out(each))[-1:]]
        words = [word for word in self._words(spaced(rest)) if word not in beginnings]
        if names or beginnings or any(word.text not in self._stop_words for word in words):
            words = self._telling(words)
        words = words[: 4 * TERMS]
        self._count([*words, *(word for name in names for word in (name.whole, *name.parts))])
        known = [name for name in names if self._counts[name.whole.stem]]
        words += [part for name in names if name not in known for part in name.parts if part not in words]
        phrases = [(phrase, self._phrase(phrase)) for phrase in query.phrases]
        terms = [
            *(term for name in known for term in self._name_terms(name)),
            *self._word_terms(words),
            *(self._beginning_term(word) for word in beginnings),
            *(term for _, term in phrases if term is not None),
        ]
        terms = sorted(terms, key=lambda term: (term.passages, term.match))[:TERMS]
        self._look_up(terms)
        return QueryTerms(
            query.text,
            terms,
            self._rows,
            sum(term.idf for term in terms),
            _idf(1, self._passages),
            frozenset(self._stems),
            tuple(form for word in beginnings for form in word),
            self._with_all([term for _, term in phrases]) if query.is_exact else None,
            tuple(rows for each in query.excluded if (rows := self._excluded(each))),
        )

    def _words(self, text: str) -> list[_Word]:
        """Return the words of a text that is written out and spaced, one for each stem."""
        data = text.encode()
        words, stems = (
            cast("list[str]", made(data, DOCUMENT, None, include_offsets=False, include_colocated=False))
            for made in (self._split, self._stem)
        )
        by_stem = dict(zip(reversed(stems), reversed(words), strict=True))  # of several, the first
        return [_Word(word, stem) for stem, word in reversed(by_stem.items())]

    def _telling(self, words: list[_Word]) -> list[_Word]:
        """Return the words without stop words, unless there are no others."""
        return [word for word in words if word.text not in self._stop_words] or words

    def _names(self, text: str) -> tuple[list[_Name], str]:
        """Return the compounds of a text, and the text without them."""
        names, rest, end = [], "", 0
        for compound in compounds(text):
            rest += f"{text[end : compound.start]} "
            end = compound.start + len(compound.text)
            (whole,) = self._words(compound.whole)
            parts = self._telling(self._words(" ".join(compound.parts)))
            is_identifier = not compound.is_hyphenated or compound.text == text.strip()
            names.append(_Name(whole, parts, compound.is_hyphenated, is_identifier, compound.is_of_code))
        return names[:TERMS], rest + text[end:]

    def _count(self, words: Sequence[_Word]) -> None:
        """Look up how many passages have each word."""
        stems = list({word.stem: None for word in words})
        ((passages, counts),) = self._db.execute(_COUNTS, (json.dumps(stems),)).fetchall()
        self._passages = cast(int, passages)
        self._counts = dict(zip(stems, json.loads(str(counts)), strict=True))
        self._stems.update(stems)

    def _name_terms(self, name: _Name) -> Iterator[QueryTerm]:
        whole = name.whole.match
        term = self._term(whole, self._counts[name.whole.stem])
        yield term._replace(is_identifier=name.is_identifier, is_of_code=name.is_of_code)
        share = HYPHENATED_PARTS if name.is_hyphenated else PARTS
        idfs = [_idf(self._counts[part.stem], self._passages) for part in name.parts]
        for part, idf in zip(name.parts, idfs, strict=True):
            weight = share * term.idf * idf / (sum(idfs) or 1.0)
            yield QueryTerm(part.match, self._counts[part.stem], 0.0, weight, whole)

    def _word_terms(self, words: Sequence[_Word]) -> Iterator[QueryTerm]:
        spelled = 0
        for word in words:
            count = self._counts[word.stem]
            if len(word.text) == 1 and is_unspaced(word.text):
                yield self._term(f"{word.match} *", int(self._db.execute(_COUNT_PREFIX, _range(word.text)).get))
            elif (count and not _HEX.fullmatch(word.text)) or spelled == SPELLED:
                yield self._term(word.match, count)
            else:
                near = self._near(word)
                spelled += near is not None
                yield near or self._term(word.match, 0)

    def _near(self, word: _Word) -> QueryTerm | None:
        """Return the term of the words that are spelled nearly like one that no passage has; None if there are none."""
        if _HEX.fullmatch(word.text):
            shorter = self._known([self._words(word.text[:end])[0] for end in range(_SHORT_ID, len(word.text))])
            return self._given(f"({' OR '.join([f'{word.match} *', *shorter])})", 1.0)
        others = neighbours(word.text)
        if not others and self._is_english:
            return None
        start = word.text[:2]
        near = self._words(" ".join(others))
        sharing = set(json.loads(str(self._db.execute(_BEGINNING, (*_range(start), EVERY)).get)))
        shared = [each for each in near if each.stem in sharing]
        if not self._is_english:
            forms = [stem for stem in sharing if is_other_form(word.text, stem)]
            shared += [each for each in self._words(" ".join(forms)) if each.stem in sharing]
        self._stems.update(each.stem for each in shared)
        early = self._known([each for each in near if not each.stem.startswith(start)])
        matches = list(dict.fromkeys([*(each.match for each in shared), *early])) or self._joined(word.text)
        return self._given(f"({' OR '.join(matches)})", NEAR) if matches else None

    def _joined(self, word: str) -> list[str]:
        """Return the expressions of two words that a long word of another language is joined of, as in German."""
        if self._is_english or len(word) < 2 * _JOINED_CHARS:
            return []
        ends = range(_JOINED_CHARS, len(word) - _JOINED_CHARS + 1)
        pairs = [(word[:end], word[end:]) for end in ends]
        pairs += [(one[:-1], other) for one, other in pairs if one.endswith("s")]  # Arbeitszimmer
        both = {each.text: each for each in self._words(" ".join(part for pair in pairs for part in pair))}
        known = set(self._known(both.values()))
        matches = [[f'"{part}"' for part in pair] for pair in pairs]
        return [f"({' AND '.join(pair)})" for pair in matches if known.issuperset(pair)]

    def _known(self, words: Iterable[_Word]) -> list[str]:
        """Return the expressions of the words that some passage has."""
        by_stem = {word.stem: word.match for word in words}
        known = json.loads(str(self._db.execute(_KNOWN, (json.dumps(list(by_stem)),)).get))
        self._stems.update(known)
        return [by_stem[stem] for stem in known]

    def _beginning_term(self, word: _Word) -> QueryTerm:
        """Return the term of the words that begin with a word, which may end in the middle of a suffix.

        FTS5 compares stems, and stems the beginning, too: of deploy it makes deploi, and of deployment deploy.
        """
        start = word.text
        stems: set[str] = set()
        if word.stem != start:  # otherwise FTS5 finds them
            stems.update(json.loads(str(self._db.execute(_BEGINNING, (*_range(start), STEMS)).get)))
        longer = self._words(" ".join(stem + suffix for suffix in ("", *_SUFFIXES) for stem in stems))
        cut = [start[:end] + suffix for end in range(_STEM_CHARS, len(start)) for suffix in _SUFFIXES]
        shorter = self._known(self._words(" ".join(each for each in cut if each.startswith(start))))
        matches = [f"{word.match} *", *(each.match for each in longer if each.stem in stems), *shorter]
        self._stems.update(stems)
        match = f"({' OR '.join(matches)})"
        return self._given(match, 1.0) or self._term(match, 0)

    def _phrase(self, phrase: str) -> QueryTerm | None:
        """Return the term of a phrase; None if no passage has it."""
        words = self._words(spaced(written_out(phrase)))
        match = f"({' AND '.join(word.match for word in self._telling(words))})"
        found = find_phrase(self._db, phrase, match) if words else []
        self._stems.update(word.stem for word in words)
        self._rows[match] = ",".join(map(str, found))
        return self._term(match, len(found)) if found else None

    def _with_all(self, phrases: Sequence[QueryTerm | None]) -> frozenset[int] | None:
        """Return the memories that have all phrases; None if there are none."""
        found = [{row // PER_MEMORY for row in numbers(self._rows[each.match])} if each else set() for each in phrases]
        return frozenset(set.intersection(*found)) or None if found else None

    def _excluded(self, text: str) -> str | None:
        """Return the passages that have an excluded word, name or phrase. A flag such as -race is another word."""
        names, rest = self._names(written_out(text))
        words = [*(name.whole for name in names), *self._words(spaced(rest))]
        if not words:
            return None
        match = " AND ".join(word.match for word in words)
        if len(text.split()) > 1:
            return ",".join(map(str, find_phrase(self._db, text, match)))
        if len(words) == 1:
            match = f"{match} * " if text.endswith("*") else f'{match} NOT "{SEP}{words[0].text}"'
        return cast("str | None", self._db.execute(_SOME_ROWS, (matching(self._db, match), EVERY)).get)

    def _given(self, match: str, share: float) -> QueryTerm | None:
        """Return a term with its passages, which are looked up now; None if there are none."""
        rows = self._db.execute(_SOME_ROWS, (matching(self._db, match), ROWS)).get
        if rows is None:
            return None
        self._rows[match] = str(rows)
        term = self._term(match, str(rows).count(",") + 1)
        return term._replace(weight=share * term.idf)

    def _term(self, match: str, count: int) -> QueryTerm:
        idf = _idf(count, self._passages)
        return QueryTerm(match, count, idf, idf)

    def _look_up(self, terms: Sequence[QueryTerm]) -> None:
        """Look up the passages of each term. For common terms, ask only for passages that have a rarer one."""
        wanted = {term.match: term.passages for term in terms if term.passages}
        every, budget, rare = list(wanted), ROWS, ""
        asked = []
        for place, (match, passages) in enumerate(wanted.items()):
            if place and passages > budget and not rare:
                rare = " OR ".join(every[:place])
            budget -= passages
            if match not in self._rows:
                asked.append((match, f"{match} AND ({rare})" if rare else match))
        expressions = json.dumps([matching(self._db, expression) for _, expression in asked])
        found = self._db.execute(_ROWS, (expressions,)).fetchall()
        self._rows |= {match: str(rows) for (match, _), (rows,) in zip(asked, found, strict=True) if rows}


def numbers(rows: str) -> Iterable[int]:
    """Return the numbers of a list that commas separate."""
    return map(int, rows.split(",")) if rows else ()


def _range(start: str) -> tuple[str, str]:
    return start, start + _LAST
