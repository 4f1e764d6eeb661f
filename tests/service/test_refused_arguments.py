"""The words in which an argument of another type is refused."""

from __future__ import annotations

from typing import Any

import pydantic
import pytest

from memcrdt.service.refused_arguments import ID, NOT_BLANK, reason_of


@pytest.mark.parametrize(
    ("kind", "value", "words"),
    [
        (str, 3, "give a text"),
        (int, "many", "give a whole number"),
        (int, 1.5, "give a whole number"),
        (float, "x", "give a number"),
        (bool, "maybe", "give true or false"),
        (list[str], "x", "give a list"),
        (dict[str, str], "x", "give a JSON object"),
        (pydantic.constr(max_length=65_536), "x" * 65_537, "give at most 65,536 characters"),
        (pydantic.constr(pattern=ID), "nope", "give the id of a memory, which has 26 characters"),
        (pydantic.constr(pattern=NOT_BLANK), " ", "give a text that is not blank"),
        (pydantic.conint(ge=1), 0, "give at least 1"),
        (pydantic.confloat(gt=0), 0, "give more than 0"),
        (pydantic.conlist(str, max_length=1), ["a", "b"], "give at most 1 of them"),
    ],
)
def test_it_says_what_to_give(kind: Any, value: object, words: str) -> None:
    """Whoever reads it knows what to give, and nothing of the library that checks arguments."""
    assert _reason(kind, value) == words


def test_what_has_no_words_keeps_those_of_the_library() -> None:
    """A reason in other words is better than none."""
    assert _reason(bytes, 3) == "Input should be a valid bytes"


def _reason(kind: Any, value: object) -> str:
    with pytest.raises(pydantic.ValidationError) as refused:
        pydantic.TypeAdapter(kind).validate_python(value)
    return reason_of(refused.value.errors()[0])
