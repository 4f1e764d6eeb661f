"""Circles of supersession: A is superseded by B, and B by A, or over more memories.

A device that closes a circle opens it again: the new successor is no longer superseded (store/changes.py). Two devices
that are apart may still close one together, and so may a stock Yjs client. Then every member would be hidden. So one
member of the circle stays visible: the successor that was named last, by time, and of equal times the one named for the
greater id. This follows from the registers of the circle alone, so all devices show the same member.

A successor may be in another space. If its id is in several, that of the same space counts. A device that has only
some of the spaces sees only part of such a circle: there the members are hidden, as behind any successor that is not
there. Only circles of up to 100 memories count, so that a walk along a chain is short.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any, Final, TypeAlias

from memcrdt.store.sql import SqlConnection

Member: TypeAlias = tuple[str, int]  # the id of a memory, and the local number of its space

CIRCLE_MEMORIES: Final = 100


def shown_of(circle: Sequence[tuple[Member, int]]) -> Member:
    """Return the member that stays visible.

    Args:
        circle: Each member and the time at which it was superseded by the next one, in ms. The last member is
            superseded by the first.
    """
    last = max(range(len(circle)), key=lambda place: (circle[place][1], circle[place][0]))
    return circle[(last + 1) % len(circle)][0]


def circle_of(db: SqlConnection, space: int, memory_id: str) -> list[tuple[Member, int]]:
    """Return the circle that a memory is in, as shown_of() takes it, or []."""
    circle: list[tuple[Member, int]] = []
    current = memory_id
    while len(circle) < CIRCLE_MEMORIES:
        row = db.execute(_SUPERSEDED, (current, space)).fetchone()
        if row is None or row[1] is None:
            return []
        space, successor, at = row
        if circle and (current, space) == circle[0][0]:
            return circle
        circle.append(((current, space), at or 0))
        current = successor
    return []


def members(db: SqlConnection, ids: Sequence[str]) -> set[tuple[int, str]]:
    """Return the places of all members of the circles that memories with these ids are in, in any space."""
    found: set[tuple[int, str]] = set()
    superseded: list[tuple[Any, ...]] = db.execute(_SUPERSEDED_ONES, (json.dumps(ids),)).fetchall()
    for space, start in superseded:
        if (space, start) not in found:
            found.update((each, memory_id) for (memory_id, each), _ in circle_of(db, space, start))
    return found


def settle(db: SqlConnection, places: Iterable[tuple[int, str]]) -> list[tuple[int, str]]:
    """Note in the views which of these memories stay visible in a circle. Return those for which that changed."""
    changed = []
    for (space, memory_id), is_shown in sorted(_shown(db, places).items()):
        db.execute(_NOTE, (is_shown, memory_id, space, is_shown))
        if db.changes():
            changed.append((space, memory_id))
    return changed


def settle_all(db: SqlConnection) -> int:
    """Note all circles again. Return the number of memories for which that changed."""
    return len(settle(db, [(space, memory_id) for space, memory_id, _ in list(db.execute(_NOTED))]))


def wrong(db: SqlConnection) -> int:
    """Return the number of memories that settle_all() would change."""
    noted = {(space, memory_id): bool(circular) for space, memory_id, circular in list(db.execute(_NOTED))}
    right = _shown(db, noted)
    return sum(right[place] != is_shown for place, is_shown in noted.items())


def _shown(db: SqlConnection, places: Iterable[tuple[int, str]]) -> dict[tuple[int, str], bool]:
    """Return for each of these memories, and for the other members of their circles, whether its circle shows it."""
    shown: dict[tuple[int, str], bool] = {}
    for space, start in places:
        if (space, start) not in shown:
            shown[space, start] = False
            if circle := circle_of(db, space, start):
                visible = shown_of(circle)
                shown.update({(member[1], member[0]): member == visible for member, _ in circle})
    return shown


def circles(db: SqlConnection) -> list[list[tuple[str, int]]]:
    """Return the ids and times of all circles, each beginning with the member that is shown."""
    found = db.execute("SELECT space, id FROM memories WHERE circular = 1 ORDER BY memory")
    every = [circle_of(db, space, memory_id) for space, memory_id in found]
    return [[(memory_id, at) for (memory_id, _), at in circle] for circle in every if circle]


_SUPERSEDED: Final = """
SELECT space, superseded_by, superseded_at FROM memories JOIN spaces USING(space) WHERE memories.id = ?1
ORDER BY space <> ?2, spaces.id LIMIT 1"""
_SUPERSEDED_ONES: Final = """
SELECT space, id FROM memories WHERE id IN (SELECT value FROM json_each(?)) AND superseded_by IS NOT NULL"""
_NOTE: Final = "UPDATE memories SET circular = ? WHERE id = ? AND space = ? AND circular <> ?"
_NOTED: Final = "SELECT space, id, circular FROM memories WHERE superseded_by IS NOT NULL OR circular = 1"
