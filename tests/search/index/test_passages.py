"""Passages: how a long text is cut, and how its windows are numbered."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from memcrdt.model import limits
from memcrdt.search.index import passages


def test_a_short_text_is_one_passage() -> None:
    """A text of up to 900 characters has one window, which is the whole text."""
    assert passages.split("x" * 900) == ["x" * 900]


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(["word", "a", "longer-than-usual", "学习", "\n", "🙂"]), min_size=1, max_size=900))
def test_no_character_is_lost_between_windows(words: list[str]) -> None:
    """Each window is a part of the text. Together they cover the text from start to end without a gap."""
    text = " ".join(words)
    end = 0
    for window in passages.split(text):
        start = text.index(window, max(end - passages.WINDOW_CHARS, 0)) if end else 0
        assert text[start : start + len(window)] == window
        assert start <= end
        end = start + len(window)
    assert end == len(text)


def test_the_longest_texts_have_enough_numbers() -> None:
    """64 KiB of any script have fewer windows than one memory has numbers."""
    for character in ("a", "a ", "学", "ก", "é", "x" * 99 + " "):
        text = character * (limits.TEXT_BYTES // len(character.encode()))
        assert len(passages.split(text)) < passages.PER_MEMORY


def test_the_number_of_a_passage_identifies_its_memory() -> None:
    """The numbers of a memory's windows are within its range, and outside the ranges of its neighbours."""
    first, last = passages.number_range(7)
    assert first <= passages.number(7, 0) < passages.number(7, 255) <= last
    assert passages.number(8, 0) == last + 1
