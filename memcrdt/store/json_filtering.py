"""Conditions on JSON values in texts of metadata, in SQL: see model/json_values.py.

A condition holds for every value that satisfies the filter, and for some others. So what SQL cannot decide is true
here: JSON that is not valid, a text whose conflict decides what the value is, or texts that may be numbers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from memcrdt.model.json_values import JsonComparison, JsonComparisons

_Sql = tuple[str, tuple[str | float | None, ...]]

_NUMBERS = "('integer', 'real')"
_PERHAPS_NUMBERS = "('true', 'false', 'text')"


def json_condition(key: str, wanted: JsonComparisons) -> _Sql:
    """Return the condition on `memories m` that its metadata has a value that satisfies all comparisons."""
    tests = [_test(wanted, each) for each in wanted.all_of]
    holds = " AND ".join(sql for sql, _ in tests) or "TRUE"
    sql = (
        "EXISTS (SELECT 1 FROM (SELECT json_extract(value, '$') AS said FROM metadata"
        " WHERE memory = m.memory AND key = ? LIMIT 1) x"
        f" WHERE CASE WHEN json_valid(x.said) THEN {holds} ELSE TRUE END)"
    )
    return sql, (key, *(binding for _, bindings in tests for binding in bindings))


def _test(wanted: JsonComparisons, test: JsonComparison) -> _Sql:
    """Return the condition on `x.said`, which has the value, and `m.text`, which may have its longest string."""
    names = "".join(f'."{name}"' for name in test.path)
    in_value = _compared("x.said", wanted.value + names, test)
    in_whole = _compared("m.text", "$" + names, test)
    in_text = _compared_text(wanted, test)
    sql = (
        "CASE json_extract(x.said, ?)"
        " WHEN '[]' THEN CASE WHEN NOT json_valid(m.text) THEN TRUE"
        " WHEN m.conflicted = 1 OR json_type(m.text) <> 'object' THEN TRUE"
        f" ELSE {in_whole[0]} END"
        f" WHEN ? THEN m.conflicted = 1 OR {in_text[0]}"
        f" ELSE {in_value[0]} END"
    )
    place = json.dumps(test.path, separators=(",", ":"))
    return sql, (wanted.text, *in_whole[1], place, *in_text[1], *in_value[1])


def _compared(document: str, path: str, test: JsonComparison) -> _Sql:
    """Return the comparison of what is at a path in JSON, as a condition that is true or false and never null."""
    parts = list(_alternatives(document, path, test))
    sql = " OR ".join(f"({sql})" for sql, _ in parts)
    return f"coalesce({sql}, FALSE)", tuple(binding for _, bindings in parts for binding in bindings)


def _alternatives(document: str, path: str, test: JsonComparison) -> Iterator[_Sql]:
    kind, found, sign, operand = f"json_type({document}, ?)", f"json_extract({document}, ?)", test.sign, test.operand
    if sign == "<>":
        if isinstance(operand, str):  # as it was written: SQLite leaves out what follows a NUL
            yield f"({document} -> ?) IS DISTINCT FROM ?", (path, json.dumps(operand))
            return
        equal, bindings = _compared(document, path, JsonComparison(test.path, "=", operand))
        yield f"NOT {equal}", bindings
    elif operand is None:
        yield f"{kind} IS NULL OR {kind} = 'null'", (path, path)
    elif sign == "=":
        if isinstance(operand, str):
            yield f"{kind} = 'text' AND {found} = ?", (path, path, operand)
        else:
            yield _as_number(kind, found, "="), (path, path, operand)
        if operand in (0, 1):
            yield f"{kind} = ?", (path, "true" if operand else "false")
    elif (number := _number(operand)) is None:
        yield (
            f"{kind} = 'text' AND ({found} {sign} ? OR instr({document} -> ?, '\\u0000') > 0)",
            (path, path, operand, path),
        )
    else:
        yield _as_number(kind, found, sign), (path, path, number)
        yield f"{kind} IN {_PERHAPS_NUMBERS}", (path,)


def _compared_text(wanted: JsonComparisons, test: JsonComparison) -> _Sql:
    """Return the comparison of the string that the text of the memory begins with."""
    sign, operand = test.sign, test.operand
    if sign == "<>":
        return "TRUE", ()
    if not isinstance(operand, str):
        return ("FALSE" if sign == "=" else "TRUE"), ()
    if sign == "=":
        return "substr(m.text, 1, ?) = ?", (len(operand), operand)
    if _number(operand) is not None:
        return "TRUE", ()
    if sign in (">", ">="):
        return "m.text >= ?", (operand,)
    return "(m.text <= ? OR instr(m.text, ?) > 0)", (operand, wanted.between)


def _as_number(kind: str, found: str, sign: str) -> str:
    return f"CASE WHEN {kind} IN {_NUMBERS} THEN CAST({found} AS DOUBLE PRECISION) {sign} ? ELSE FALSE END"


def _number(operand: float | str) -> float | None:
    try:
        return float(operand)
    except ValueError:
        return None
