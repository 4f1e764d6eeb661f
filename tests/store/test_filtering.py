"""Tests of filters as SQL."""

from __future__ import annotations

from typing import Any

import apsw
import pytest

from memcrdt.model.filters import check_filters
from memcrdt.store import migrations
from memcrdt.store.filtering import add_functions, where
from memcrdt.store.sql import SqlConnection

NOW = 1_000_000
ROWS: list[dict[str, Any]] = [
    {"id": "1", "text": "Alpha 50% done", "scope": "global", "kind": "fact", "created_at": 100, "updated_at": 500},
    {
        "id": "2",
        "text": "beta",
        "conflicted": 1,
        "scope": "project/acme",
        "author": "ana",
        "created_at": 200,
        "updated_at": 200,
    },
    {"id": "3", "text": "gamma", "scope": "conversation/x", "source": "mail", "created_at": 300, "pinned": 1},
    {"id": "4", "text": "delta", "scope": "agent/bob", "device": "phone", "created_at": 400, "expires_at": 450},
    {"id": "5", "text": "epsilon", "scope": "project/acme", "space": 2, "created_at": 500, "superseded_by": "6"},
    {"id": "6", "text": "zeta, été, Größe", "scope": "project/other", "created_at": 600},
]
TAGS = {"1": ["red", "big"], "2": ["red"], "3": ["blue"]}
METADATA = {
    "1": {"n": ("5", 5.0), "by": ('"ops"', None)},
    "2": {"n": ("7.5", 7.5), "by": ('"dev"', None)},
    "3": {"n": ('"7"', None), "ok": ("true", None)},
}


@pytest.fixture
def db() -> apsw.Connection:
    made = apsw.Connection(":memory:")
    add_functions(made)
    for script in migrations.scripts().values():
        made.execute(script)
    for number, name in ((1, "personal"), (2, "team")):
        made.execute(
            "INSERT INTO spaces(space, id, name, creator, nonce, created_at) VALUES(?, ?, ?, 'd', x'00', 0)",
            (number, name, name),
        )
    for row in ROWS:
        insert(made, row)
    return made


def insert(db: SqlConnection, row: dict[str, Any]) -> None:
    """Insert one of ROWS with its tags and metadata. Its id is its local number, too."""
    memory = int(row["id"])
    values = {
        "memory": memory,
        "space": 1, "revision": "", "conflicted": 0, "updated_at": row["created_at"], "pinned": 0, "device": "laptop",
        "ignored": 0, "fingerprint": 0, "born_seq": 0, "seq": 0, "category": row["scope"].partition("/")[0], **row,
    }  # fmt: skip
    marks = ", ".join("?" * len(values))
    db.execute(f"INSERT INTO memories({', '.join(values)}) VALUES({marks})", tuple(values.values()))
    db.executemany("INSERT INTO tags VALUES(?, ?)", [(memory, tag) for tag in TAGS.get(row["id"], [])])
    found = METADATA.get(row["id"], {})
    db.executemany("INSERT INTO metadata VALUES(?, ?, ?, ?)", [(memory, key, *value) for key, value in found.items()])


# Filters, and the ids that they select from ROWS at NOW.
CASES: list[tuple[dict[str, Any], str]] = [
    ({}, "1236"),
    ({"space": "personal"}, "1236"),
    ({"space": "nowhere"}, ""),
    ({"space": ["team"], "include": "superseded"}, "5"),
    ({"space": ["personal", "team"], "scope": "project/acme", "include": "superseded"}, "25"),
    ({"scope": "project/acme"}, "2"),
    ({"scope": ["project/acme", "conversation/x"]}, "23"),
    ({"scope": "conversation/x", "ancestors": True}, "13"),
    ({"category": ["project", "global"]}, "126"),
    ({"kind": "fact"}, "1"),
    ({"tags": ["red", "blue"]}, "123"),
    ({"all_tags": ["red", "big"]}, "1"),
    ({"not_tags": ["red", "big"]}, "36"),
    ({"after": "1970-01-01T00:00:00.200Z"}, "36"),
    ({"before": "1970-01-01T00:00:00.200Z"}, "1"),
    ({"updated_after": "1970-01-01T00:00:00.400Z"}, "16"),
    ({"updated_before": "1970-01-01T00:00:00.500Z"}, "23"),
    ({"metadata": {"n": 5}}, "1"),
    ({"metadata": {"n": [5, 7.5]}}, "12"),
    ({"metadata": {"n": (5, 7)}}, "1"),
    ({"metadata": {"n": (6, None)}}, "2"),
    ({"metadata": {"by": ("dev", "e")}}, "2"),
    ({"metadata": {"ok": True}}, "3"),
    ({"metadata": {"n": 5, "by": "dev"}}, ""),
    ({"contains": "50% D"}, "1"),
    ({"contains": "_"}, ""),
    ({"contains": "ÉTÉ"}, "6"),
    ({"contains": "GRÖSSE"}, "6"),
    ({"pinned": True}, "3"),
    ({"pinned": False}, "126"),
    ({"conflicts": True}, "2"),
    ({"conflicts": False}, "136"),
    ({"author": "ana"}, "2"),
    ({"device": "laptop"}, "1236"),
    ({"source": "mail"}, "3"),
    ({"include": ["expired"]}, "12346"),
    ({"include": ["superseded"]}, "12356"),
    ({"as_of": "1970-01-01T00:00:00.420Z"}, "1234"),
    ({"as_of": "1970-01-01T00:00:00.520Z"}, "1235"),
    ({"as_of": "1970-01-01T00:00:00.620Z"}, "1236"),
]


def selected(db: SqlConnection, asked: dict[str, Any]) -> str:
    """Return the ids that a filter selects."""
    condition = where(check_filters(asked), NOW)
    rows = db.execute(f"SELECT m.id FROM memories m WHERE {condition.sql} ORDER BY m.id", condition.bindings)
    return "".join(str(row[0]) for row in rows)


@pytest.mark.parametrize(("asked", "wanted"), CASES)
def test_each_filter_lets_through_what_it_says(db: apsw.Connection, asked: dict[str, Any], wanted: str) -> None:
    """The ids that a filter selects from six memories, at a fixed time."""
    assert selected(db, asked) == wanted


def test_a_thousand_values_are_one_binding(db: apsw.Connection) -> None:
    """The longest allowed list does not reach SQLite's limit of variables."""
    condition = where(check_filters({"tags": [f"tag {n}" for n in range(1_000)]}), NOW)
    assert len(condition.bindings) == 2
    db.execute(f"SELECT m.id FROM memories m WHERE {condition.sql}", condition.bindings).fetchall()
