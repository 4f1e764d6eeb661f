"""Marks of a query's words in a text."""

from __future__ import annotations

from pathlib import Path

import apsw
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import memcrdt
from memcrdt.search.query.highlights import Highlighter, Spans
from memcrdt.search.query.syntax import read_query
from memcrdt.search.query.terms import query_terms
from memcrdt.store import migrations

_db = apsw.Connection(":memory:")
for script in migrations.scripts().values():
    _db.execute(script)
mixed = st.text(
    alphabet=st.one_of(st.sampled_from("aé 京大学.👍🏽ข้ว\u200d\ufe0f"), st.characters(exclude_categories=["Cs"]))
)


def spans(query: str, text: str) -> Spans:
    return Highlighter(_db, query_terms(_db, read_query(query))).spans(text)


def marked(query: str, text: str) -> list[str]:
    return [text[start:end] for start, end in spans(query, text)]


@pytest.mark.parametrize(
    ("query", "text", "words"),
    [
        ("when do we deploy on a tuesday?", "Deploys go out on Tuesdays, not on Mondays", ["Deploys", "Tuesdays"]),
        ("resume cafe", "The café's naïve résumés", ["café", "résumés"]),
        ("大学", "我在北京大学学习中文", ["大学"]),
        ("北京大学", "我在北京大学学习中文", ["北京大学"]),
        ("京", "我在北京大学学习中文", ["京"]),
        ("ข้าวผัด", "ฉันชอบกินข้าวผัดกระเพรา", ["ข้าวผัด"]),
        ("\u0958ी", "before, \u0915\u093cी after", ["\u0915\u093cी"]),
        ("\u0915\u093cी", "before, \u0958ी after", ["\u0958ी"]),
        ("resume", "re\u0301sume\u0301, \u00e9t\u00e9", ["re\u0301sume\u0301"]),
        ("👍", "shipped it 👍🏽 today", ["👍🏽"]),
        ("does it", "does it matter", ["does", "it"]),
        ("nothing of the kind", "deploys on Tuesdays", []),
        ("", "deploys", []),
    ],
)
def test_words_are_marked_as_full_text_compares_them(query: str, text: str, words: list[str]) -> None:
    """Words of any script are stemmed and folded, and emoji may vary. Stop words count only without other words."""
    assert marked(query, text) == words


@given(mixed, mixed)
def test_marks_are_within_the_text_and_in_order(query: str, text: str) -> None:
    """For any query and text, no mark is empty, overlaps the next one, or ends after the text."""
    ends = [0]
    for start, end in spans(query, text):
        assert ends[-1] <= start < end <= len(text)
        ends.append(end)


@given(st.lists(st.text(alphabet=st.characters(categories=["Mn", "Mc", "Me"]), min_size=1, max_size=3)))
def test_words_beside_combining_marks_are_marked(marks: list[str]) -> None:
    """A word of combining marks alone, as in a text that was cut, neither matches nor hides other words."""
    text = " ".join(["deploys", *marks, "on Tuesdays"])
    assert "Tuesdays" in marked("deploys on a tuesday", text)


@given(st.text(alphabet=st.characters(categories=["Lu", "Ll", "Nd", "Lo"]), min_size=1, max_size=12))
@example("\u0958")  # which no normal form keeps
def test_every_word_of_a_text_can_be_marked(word: str) -> None:
    """A query with a word of the text marks this word, in letters of any script."""
    assert marked(word, f"before, {word} 京 after") != []


def test_a_hit_marks_its_passage(tmp_path: Path) -> None:
    """The marks of a long memory are places in the passage, those of a short memory places in its text."""
    with memcrdt.open(tmp_path, embedder=None) as memory:
        memory.add("The harbour was quiet that morning. " * 120 + "The spare key hangs behind the blue clock.")
        memory.add("a spare tyre")
        long, short = memory.search("where is the spare key?")
    assert long.passage is not None
    assert [long.passage[start:end] for start, end in long.marks] == ["spare", "key"]
    assert [short.memory.text[start:end] for start, end in short.marks] == ["spare"]
