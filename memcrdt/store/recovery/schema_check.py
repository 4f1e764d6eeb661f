"""Compare the schema of a file with the schema that our migrations make, and its counters with their limits.

A trigger or an index that no migration made can hide, keep or refuse what the user writes.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from functools import cache
from typing import Final

import apsw

from memcrdt.store import migrations
from memcrdt.store.recovery.row_checks import NUMBER_MAX

# sqlite_ tables are SQLite's own: counters, statistics, and the indexes of keys.
_SCHEMA: Final = "SELECT type, name, coalesce(sql, '') FROM sqlite_schema WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\'"
_COUNTERS: Final = "SELECT name FROM sqlite_sequence WHERE typeof(seq) <> 'integer' OR seq NOT BETWEEN 0 AND ?"
_COMMENT: Final = re.compile(r"--[^\n]*")
_SPACE: Final = re.compile(r"\s+")


def problems(db: apsw.Connection) -> Iterator[str]:
    """Yield the differences, in words for the user. A file of an older schema has none: it is migrated first."""
    if int(db.pragma("user_version")) == migrations.NEWEST:
        found, wanted = _schema_of(db), _schema()
        for kind, name in sorted(found.keys() - wanted.keys()):
            yield f"it has the {kind} {name!r}, which memcrdt did not make"
        for kind, name in sorted(wanted.keys() - found.keys()):
            yield f"it lacks the {kind} {name!r}"
        for kind, name in sorted(each for each in found.keys() & wanted.keys() if found[each] != wanted[each]):
            yield f"its {kind} {name!r} is not as memcrdt made it"
    for (name,) in db.execute(_COUNTERS, (NUMBER_MAX,)):
        yield f"the counter of the rows of {name!r} is beyond its limit"


@cache
def _schema() -> dict[tuple[str, str], str]:
    with closing(apsw.Connection(":memory:")) as db:
        for sql in migrations.scripts().values():
            db.execute(sql)
        return _schema_of(db)


def _schema_of(db: apsw.Connection) -> dict[tuple[str, str], str]:
    """Return the definitions by type and name. Comments and white space differ between versions and do not count."""
    return {
        (str(kind), str(name)): _SPACE.sub(" ", _COMMENT.sub("", str(sql))).strip()
        for kind, name, sql in db.execute(_SCHEMA)
    }
