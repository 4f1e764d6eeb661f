"""The signs in queries, and sentences that have the same signs by chance."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memcrdt.memory.memory import Memory
from memcrdt.search.query.syntax import SYNTAX_CHARS, ParsedQuery, read_query


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("deploy -friday", ParsedQuery("deploy", excluded=("friday",))),
        ("-friday deploy rules", ParsedQuery("deploy rules", excluded=("friday",))),
        ('lease -"old office" -garage', ParsedQuery("lease", excluded=("old office", "garage"))),
        ('"connection reset"', ParsedQuery("connection reset", phrases=("connection reset",), is_exact=True)),
        ("\u201cnew office\u201d lease", ParsedQuery("new office lease", phrases=("new office",))),
        ('"new office" -lease', ParsedQuery("new office", ("new office",), excluded=("lease",), is_exact=True)),
        ("deploy* ERR_*", ParsedQuery("deploy ERR_", prefixes=("deploy", "ERR_"))),
    ],
)
def test_signs_are_read(text: str, query: ParsedQuery) -> None:
    """Phrases, excluded words and prefixes."""
    assert read_query(text) == query


@pytest.mark.parametrize(
    "text",
    [
        "what is a well-known port - and why?",
        "run go test -race and fix it",
        "build it with -Wall",
        "git commit -m",
        "-race",
        "--dry-run",
        "2*3 is **bold** and *soft*, a * b",
        "C* and x",
        'the 5" pipe',
        "a -- b",
        "",
        "-",
        "first line\n-second",
        'log: "a" -b ' + "x" * SYNTAX_CHARS,
    ],
)
def test_a_sentence_means_what_it_says(text: str) -> None:
    """Nothing is excluded, required or completed."""
    assert read_query(text)[1:] == ParsedQuery(text)[1:]


@given(st.text(alphabet=st.one_of(st.sampled_from('"\u201c\u201d-* ab_.京'), st.characters(exclude_categories=["Cs"]))))
def test_any_text_is_a_query(text: str) -> None:
    """And no word is in the query and excluded from it."""
    query = read_query(text)
    assert not query.excluded or any(character.isalnum() for character in query.text)


def test_a_question_with_a_phrase_also_finds_other_words(memory: Memory) -> None:
    """A phrase alone is exact, if any memory has it. Excluded words hold with filters, and for former texts."""
    first = memory.add("the new office has a roof", scope="project/a")
    second = memory.add("an office that is new to us", scope="project/b")
    assert len(memory.search('what is said about the "new office"')) == 2
    assert [hit.memory.id for hit in memory.search('"New Office"')] == [first]
    assert len(memory.search('"new office"', scope="project/b")) == 1
    assert len(memory.search('"no such office"')) == 2
    then = memory.get(second).created_at
    memory.update(first, text="the new office has a cellar")
    assert [hit.memory.id for hit in memory.search("office -cellar")] == [second]
    assert [hit.memory.id for hit in memory.search("office -roof", as_of=then)] == [second]


@pytest.mark.parametrize(
    ("query", "marked"),
    [
        ("deploym*", ["deployments"]),
        ("deploments", ["deployments"]),
        ('"stop at night"', ["stop", "at", "night"]),
        ("night-time deployments -morning", ["deployments", "night"]),
    ],
)
def test_what_was_found_is_marked(memory: Memory, query: str, marked: list[str]) -> None:
    """Also completed and corrected words."""
    memory.add("deployments stop at night")
    (hit,) = memory.search(query)
    assert [hit.memory.text[start:end] for start, end in hit.marks] == marked
