"""The forms of the metadata filter: which are accepted, and which are refused with a message."""

from __future__ import annotations

from typing import Any

import pytest

from memcrdt.errors import InputError
from memcrdt.model import limits
from memcrdt.model.metadata_conditions import check_metadata_conditions

OPERATORS = "$eq, $ne, $gt, $gte, $lt, $lte, $in, $nin, $exists, $contains"


@pytest.mark.parametrize(
    ("spec", "conditions"),
    [
        ({"$gte": 2020}, [("$gte", 2020)]),
        ({"$gt": "a", "$lte": "b"}, [("$gt", "a"), ("$lte", "b")]),
        ({"$ne": None}, [("$ne", None)]),
        ({"$in": (1, "x", 2.0)}, [("$in", [1, "x", 2])]),
        ({"$exists": False}, [("$exists", False)]),
        ({"$contains": "sql"}, [("$contains", "sql")]),
        ({"$eq": {"$gt": 1}}, [("$eq", {"$gt": 1})]),
        ([{"$gt": 1}], [("$in", [{"$gt": 1}])]),
        ({}, [("$eq", {})]),
        ({"a": {"$gt": 1}}, [("$eq", {"a": {"$gt": 1}})]),
    ],
    ids=str,
)
def test_a_mapping_with_dollar_keys_is_operators(spec: Any, conditions: list[Any]) -> None:
    """Every other mapping is a plain value, and so is every operand, even with dollar keys."""
    assert check_metadata_conditions({"k": spec}, "metadata") == {"k": tuple(conditions)}


@pytest.mark.parametrize("given", [{"$or": [{"a": 1}]}, {"$gt": 1}, {"a": 1, "$and": {"b": 2}}, {"$": "x"}], ids=str)
def test_an_operator_outside_a_key_is_refused(given: Any) -> None:
    """It would find nothing. The message has the operators and their place."""
    with pytest.raises(InputError) as raised:
        check_metadata_conditions(given, "metadata")
    assert OPERATORS in str(raised.value)
    assert "inside a key" in str(raised.value)


def test_a_stored_key_may_begin_with_a_dollar() -> None:
    """Operators below it show that it is a key."""
    assert check_metadata_conditions({"$or": {"$eq": 1}}, "metadata") == {"$or": (("$eq", 1),)}


def test_an_empty_list_matches_nothing() -> None:
    """As `$in` does. So forget() forgets nothing if a program computed no values."""
    assert check_metadata_conditions({"k": []}, "metadata") == {"k": (("$in", []),)}
    assert check_metadata_conditions({"k": {"$in": []}}, "metadata") == {"k": (("$in", []),)}


def test_an_empty_nin_excludes_nothing() -> None:
    """It makes no condition, so that forget() does not count it as a filter."""
    assert check_metadata_conditions({"k": {"$nin": []}}, "metadata") == {}


@pytest.mark.parametrize(
    "spec",
    [
        {"$regex": "x"},
        {"$Gt": 1},
        {"$": 1},
        {"$gt": 1, "plain": 2},
        {"$gt": 1, 5: 2},
        {"$gt": True},
        {"$gt": None},
        {"$gte": [1]},
        {"$lt": {"a": 1}},
        {"$lte": b"x"},
        {"$in": "abc"},
        {"$in": 5},
        {"$nin": {"a": 1}},
        {"$nin": None},
        {"$exists": 1},
        {"$exists": "yes"},
        {"$contains": None},
        {"$contains": ["a"]},
        {"$contains": {"a": 1}},
    ],
    ids=str,
)
def test_a_wrong_operator_or_operand_names_the_operators(spec: Any) -> None:
    """An unknown operator, or one with a value of the wrong type, is an error and never an empty answer."""
    with pytest.raises(InputError) as caught:
        check_metadata_conditions({"year": spec}, "metadata")
    assert "'year'" in str(caught.value)
    assert OPERATORS in str(caught.value)


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ({"$gt": 1, "$lt": "x"}, "numbers only or texts only"),
        ({"$contains": ""}, "1 to 8,192 characters"),
        ({"$contains": "x" * (limits.QUERY_CHARS + 1)}, "1 to 8,192 characters"),
        ({"$in": list(range(limits.FILTER_VALUES + 1))}, "over 1,000 values"),
        ({"$gt": float("nan")}, "is not JSON"),
        ({"$ne": 1 << 60}, r"beyond 2\^53"),
    ],
    ids=lambda given: str(given)[:40],
)
def test_an_operand_out_of_bounds_is_refused(spec: Any, words: str) -> None:
    """The message has the limit."""
    with pytest.raises(InputError, match=words):
        check_metadata_conditions({"k": spec}, "metadata")
