"""Pairing codes and how they are parsed."""

from __future__ import annotations

import pytest

from memcrdt.errors import InputError
from memcrdt.pairing.codes import NUMBERS, Code, _words, new_code, parse_code


def test_a_code_is_a_number_and_two_words() -> None:
    """The shown code can be parsed."""
    code = new_code()
    assert 1 <= code.number <= NUMBERS
    assert parse_code(str(code)) == code


def test_a_code_for_relays_has_a_number_of_six_digits() -> None:
    """So a stranger at the relay cannot try all numbers. There is nothing between the two kinds."""
    code = new_code(for_relays=True)
    assert code.is_for_relays
    assert 100_000 <= code.number <= 999_999
    assert parse_code(str(code)) == code
    for number in (0, 100, 99_999, 1_000_000):
        with pytest.raises(InputError, match="a number and two words"):
            parse_code(f"{number}-crossover-granite")


def test_the_words_are_256_and_256_and_all_different() -> None:
    """So the words have 16 bits, and swapped words are detected."""
    first, second = _words()
    assert len({*first, *second}) == 512
    assert len(first) == len(second) == 256
    assert all(word.isascii() and word.islower() for word in (*first, *second))


@pytest.mark.parametrize(
    "text",
    [
        "7-crossover-granite",
        "7 Crossover Granite",
        "7\u2013crossover\u2014granite",
        "7\u2011crossover\u2212granite",
        " 7-CROSSOVER-granite ",
    ],
)
def test_case_and_dashes_do_not_matter(text: str) -> None:
    """The user types the code."""
    assert parse_code(text) == Code(7, "crossover", "granite")


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("", "a number and two words"),
        ("crossover-granite", "a number and two words"),
        ("0-crossover-granite", "a number and two words"),
        ("77777777777-crossover-granite", "a number and two words"),
        ("7-crosover-granite", "did you mean 'crossover'"),
        ("7-crossover-granitt", "did you mean 'granite'"),
        ("7-qqqq-granite", "read it again"),
    ],
)
def test_a_typing_error_is_found_before_the_code_is_sent(text: str, hint: str) -> None:
    """Only possible codes are sent."""
    with pytest.raises(InputError, match=hint):
        parse_code(text)


def test_the_example_of_the_message_is_a_code() -> None:
    """Users who type the example of the documentation get an error about the device, not about a word."""
    with pytest.raises(InputError) as caught:
        parse_code("")
    assert parse_code(str(caught.value).split()[-1])
