"""Where a memory went that was moved to another space.

A moved memory is added to the other space under an id that is derived from its old id and the id of that space. So
every device that has both spaces can tell where it went, although no register says so: members of one space learn
nothing about the other one. Two devices that move the same memory to the same space, even before they meet, make one
memory of it.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from memcrdt.model.ids import derive
from memcrdt.store.sql import SqlConnection

HOPS: Final = 16  # moves of one memory that are followed


class Destination(NamedTuple):
    """The id of a moved memory, the name of its space, and whether it was forgotten there."""

    memory_id: str
    space: str
    is_forgotten: bool


def moved_identity(memory_id: str, space_id: str) -> tuple[str, bytes]:
    """Return the id and the salt of a memory after its move to a space."""
    return derive("moved", memory_id, space_id)


def destination(db: SqlConnection, memory_id: str) -> Destination | None:
    """Return where a memory was moved, also over several moves. None if it was not, or to a space that is not here."""
    spaces = db.execute("SELECT space, id, name FROM spaces").fetchall()
    last, reached = None, memory_id
    for _ in range(HOPS):
        found = _moved_once(db, reached, spaces)
        if found is None:
            break
        last, reached = found, found.memory_id
        if not found.is_forgotten:
            break
    return last


def _moved_once(db: SqlConnection, memory_id: str, spaces: list[tuple[Any, ...]]) -> Destination | None:
    for space, space_id, name in spaces:
        candidate, _ = moved_identity(memory_id, space_id)
        for table in ("memories", "graves"):
            if db.execute(f"SELECT 1 FROM {table} WHERE space = ? AND id = ?", (space, candidate)).fetchone():
                return Destination(candidate, name, table == "graves")
    return None
