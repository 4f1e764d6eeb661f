"""Unicode forms: names are kept in NFC, and comparisons ignore case and form."""

from __future__ import annotations

import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from memcrdt.model.normalization import caseless, nfc, nfc_json

_WORDS = st.text(st.sampled_from("aéñΩÅ각か日 \u0301\u0323\u3099\u1161"), max_size=100)


@given(_WORDS)
def test_short_text_is_in_nfc(text: str) -> None:
    """The parts in which long words are normalised change nothing of the standard's result."""
    assert nfc(text) == unicodedata.normalize("NFC", text)


def test_a_long_word_is_composed_at_the_seams_of_its_parts() -> None:
    """A part ends after the marks of its last letter."""
    for word in ("é" * 1_000, "が" * 1_000, "각" * 1_000):
        assert nfc(unicodedata.normalize("NFD", word)) == word


def test_json_is_composed_with_its_keys() -> None:
    """Numbers and other values stay as they are."""
    assert nfc_json({"Cafe\u0301": ["e\u0301", 1, None, True]}) == {"Café": ["é", 1, None, True]}


def test_comparisons_ignore_case_and_form() -> None:
    """Also where folding a letter leaves it decomposed, and where it gets longer."""
    assert caseless("CAFE\u0301") == caseless("café")
    assert caseless("STRASSE") == caseless("straße")
    assert caseless("J\u030c") == caseless("ǰ")
