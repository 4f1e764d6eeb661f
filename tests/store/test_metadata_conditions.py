"""Tests of metadata conditions in SQL against an evaluation in plain Python."""

from __future__ import annotations

import operator
from typing import Any, Final

import apsw
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from memcrdt.model.filters import check_filters
from memcrdt.model.values import canonical, check_json
from memcrdt.store import migrations
from memcrdt.store.filtering import add_functions, narrowing
from memcrdt.store.sql import SqlConnection

_ORDER: Final = {"$gt": operator.gt, "$gte": operator.ge, "$lt": operator.lt, "$lte": operator.le}
_MISSING: Final = object()

_TEXTS = st.sampled_from(
    ["", "a", "A", "ab", "SQL", "sql", "MySQL", "ß", "SS", "Z", "é", "10", "\0", "a\0b", "😀", "\uffff"]
)
_NUMBERS = st.sampled_from([0, 1, -1, 2, 10, 0.5, 1.0, -0.0, 2**53 - 1, 1e300])
_SCALARS = st.one_of(st.none(), st.booleans(), _NUMBERS, _TEXTS)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "$gt"]), inner, max_size=2),
    max_leaves=4,
)
_COMPARABLE = _NUMBERS | _TEXTS
_CONTAINED = st.booleans() | _NUMBERS | _TEXTS.filter(bool)
_KEYS = st.sampled_from(["k", "l"])
_METADATA = st.dictionaries(_KEYS, _VALUES)


def _operators(comparable: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.fixed_dictionaries(
        {},
        optional={
            "$eq": _VALUES,
            "$ne": _VALUES,
            **dict.fromkeys(_ORDER, comparable),
            "$in": st.lists(_VALUES, max_size=3),
            "$nin": st.lists(_VALUES, max_size=3),
            "$exists": st.booleans(),
            "$contains": _CONTAINED,
        },
    ).filter(bool)


_SPECS = st.one_of(
    _operators(_NUMBERS), _operators(_TEXTS), _SCALARS, st.lists(_VALUES, max_size=3), st.tuples(_NUMBERS, _NUMBERS)
)

EVERYTHING = st.lists(_METADATA, max_size=6)
ASKED = st.dictionaries(_KEYS, _SPECS, max_size=2)


def _same(one: Any, other: Any) -> bool:
    """Return whether two JSON values are equal: a boolean is not a number, and 1.0 equals 1."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    return bool(one == other)


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return "boolean"
    return "number" if isinstance(value, (int, float)) else type(value).__name__


def _contains(stored: Any, operand: Any) -> bool:
    if isinstance(stored, list):
        return any(_same(item, operand) for item in stored)
    return isinstance(stored, str) and isinstance(operand, str) and operand.casefold() in stored.casefold()


def _holds(stored: Any, name: str, operand: Any) -> bool:
    """Evaluate an operator as docs/reference/filters.md describes it, for a value or for _MISSING."""
    there = stored is not _MISSING
    if name == "$exists":
        return there is operand
    if name in ("$ne", "$nin"):
        return not _holds(stored, "$eq" if name == "$ne" else "$in", operand)
    if name in ("$eq", "$in"):
        return there and any(_same(stored, item) for item in (operand if name == "$in" else [operand]))
    if name == "$contains":
        return there and _contains(stored, operand)
    return there and _kind(stored) == _kind(operand) and bool(_ORDER[name](stored, operand))


def _satisfies(stored: Any, spec: Any) -> bool:
    if isinstance(spec, tuple):
        spec = {"$gte": spec[0], "$lte": spec[1]}
    elif isinstance(spec, list):
        spec = {"$in": spec}
    elif not isinstance(spec, dict):
        spec = {"$eq": spec}
    return all(_holds(stored, name, operand) for name, operand in spec.items())


@pytest.fixture(scope="module")
def db() -> apsw.Connection:
    made = apsw.Connection(":memory:")
    add_functions(made)
    for script in migrations.scripts().values():
        made.execute(script)
    sql = "INSERT INTO spaces(space, id, name, creator, nonce, created_at) VALUES(1, 'personal', ?, 'd', x'00', 0)"
    made.execute(sql, ("personal",))
    return made


def write_each(db: SqlConnection, everything: list[dict[str, Any]]) -> None:
    """Write one memory for each metadata, in the form of views.py."""
    db.execute("DELETE FROM memories")
    db.execute("DELETE FROM metadata")
    for number, metadata in enumerate(everything):
        db.execute(
            "INSERT INTO memories(memory, space, id, text, revision, conflicted, scope, category, created_at,"
            " updated_at, pinned, device, ignored, fingerprint, born_seq, seq)"
            " VALUES(?, 1, ?, '', '', 0, 'global', 'global', 0, 0, 0, 'd', 0, 0, 0, 0)",
            (number, str(number)),
        )
        for key, value in metadata.items():
            as_number = float(value) if _kind(value) == "number" else None
            db.execute(
                "INSERT INTO metadata VALUES(?, ?, ?, ?)",
                (number, key, canonical(check_json(value, "a value")), as_number),
            )


@settings(max_examples=400, deadline=None)
@given(EVERYTHING, ASKED)
@example(everything=[{"k": True}, {"k": 1}, {}], asked={"k": {"$ne": 1}})
@example(everything=[{"k": "a\0b"}, {"k": "a"}], asked={"k": {"$gt": "a"}})
@example(everything=[{"k": ["SQL"]}, {"k": "SQL"}], asked={"k": {"$contains": "sql"}})
def test_sql_answers_as_plain_python_does(
    db: apsw.Connection, everything: list[dict[str, Any]], asked: dict[str, Any]
) -> None:
    """Any operators over any metadata select the same memories."""
    write_each(db, everything)
    check_selected(db, everything, asked)


def check_selected(db: SqlConnection, everything: list[dict[str, Any]], asked: dict[str, Any]) -> None:
    """Check that SQL selects the memories that the description of the filter means."""
    condition = narrowing(check_filters({"metadata": asked}))
    rows = db.execute(f"SELECT m.memory FROM memories m WHERE {condition.sql}", condition.bindings)
    wanted = {
        number
        for number, metadata in enumerate(everything)
        if all(_satisfies(metadata.get(key, _MISSING), spec) for key, spec in asked.items())
    }
    assert {row[0] for row in rows} == wanted


def test_a_thousand_values_are_one_binding(db: apsw.Connection) -> None:
    """The longest allowed list of an operator does not reach SQLite's limit of variables."""
    condition = narrowing(check_filters({"metadata": {"k": {"$nin": list(range(1_000))}}}))
    assert len(condition.bindings) == 2
    db.execute(f"SELECT m.id FROM memories m WHERE {condition.sql}", condition.bindings).fetchall()
