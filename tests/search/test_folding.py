"""Folding of letters, for full text, queries and marks."""
# ruff: noqa: RUF001 - letters of other scripts look like Latin ones

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import memcrdt
from memcrdt.search.folding import fold


@given(st.text())
def test_folding_keeps_places_and_is_settled(text: str) -> None:
    """Each character becomes one, so marks stay in place; folding twice changes nothing more."""
    assert len(fold(text)) == len(text)
    assert fold(fold(text)) == fold(text)


@pytest.mark.parametrize(
    ("given", "folded"),
    [
        ("Łódź Søren Đorđe ħŧɨ", "Lodz Soren Dorde hti"),
        ("ёлка", "елка"),
        ("йод їжак", "йод їжак"),
        ("άλφας", "αλφασ"),
        ("أإآؤئ", "اااوي"),
        ("ＡＢＣ１２ ٣ ५", "ABC12 3 5"),
        ("हिन्दी", "हिन्दी"),
        ("が Straße", "が Straße"),
    ],
)
def test_letters_become_those_that_people_type(given: str, folded: str) -> None:
    """Letters of their own, vowel signs and voicing marks stay."""
    assert fold(given) == folded


@pytest.mark.parametrize(
    ("text", "query", "marked"),
    [
        ("Łódź warehouse", "lodz", "Łódź"),
        ("Die Straße nach Süden", "strasse", "Straße"),
        ("Die Strasse nach Süden", "straße", "Strasse"),
        ("an œuvre of Ærøskøbing", "Aeroskobing", "Ærøskøbing"),
        ("the of\ufb01ce", "office", "of\ufb01ce"),
        ("مِفْتَاحُ الخِزَانَةِ", "مفتاح", "مِفْتَاحُ"),
        ("שָׁלוֹם לכולם", "שלום", "שָׁלוֹם"),
        ("the ＡＰＩ key", "api", "ＡＰＩ"),
    ],
)
def test_folded_words_are_found_and_marked(tmp_path: Path, text: str, query: str, marked: str) -> None:
    """The index, the query and the marks fold alike."""
    with memcrdt.open(tmp_path, embedder=None) as memory:
        memory.add(text)
        (hit,) = memory.search(query)
        assert [text[start:end] for start, end in hit.marks] == [marked]


def test_full_text_of_other_rules_is_written_again_at_the_next_start(tmp_path: Path) -> None:
    """An earlier version has indexed the letters as they are. Forgetting then leaves no words behind."""
    with memcrdt.open(tmp_path, embedder=None) as memory:
        first = memory.add("Łódź warehouse")
        with memory.store.writing() as db:
            db.execute(
                "INSERT INTO fulltext(fulltext) VALUES('delete-all'); UPDATE indexed SET passages = 1, folding = 0"
            )
            db.execute("INSERT INTO fulltext(rowid, words) VALUES(256, 'Łódź warehouse')")
        assert not memory.search("lodz")
    with memcrdt.open(tmp_path, embedder=None) as memory:
        assert [hit.memory.id for hit in memory.search("lodz")] == [first]
        assert memory.doctor().problems == ()
        memory.forget(first)
        with memory.store.reading() as db:
            assert db.execute("SELECT count(*) FROM vocabulary").get == 0
