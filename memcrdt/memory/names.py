"""Memories and spaces by a shorter name: the first characters of an id or a name, as long as they fit only one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from memcrdt.errors import InputError, NotFoundError
from memcrdt.model import checks, limits
from memcrdt.model.ids import is_ulid
from memcrdt.store import reads, spaces
from memcrdt.store.sql import SqlConnection

LISTED: Final = 10  # candidates in an error
SHOWN_CHARS: Final = 40  # of the text of a candidate

_BEGINNING: Final = re.compile(rf"[0-7][0-9A-HJKMNP-TV-Z]{{{limits.PREFIX_CHARS - 1},24}}")


def find_id(db: SqlConnection, text: object) -> str:
    """Return the id of the one memory that `text` names. Memory.find_id() has the contract."""
    if not isinstance(text, str):
        return checks.check_id(text)
    beginning = text.strip().upper()
    if is_ulid(beginning):
        return beginning
    if not _BEGINNING.fullmatch(beginning):
        raise InputError(
            f"{text[:40]!r} is not the id of a memory, which has 26 characters, and not the beginning of one"
            f" ({limits.PREFIX_CHARS} characters or more); `list` and `search` show ids"
        )
    found = reads.ids_from(db, beginning, LISTED + 1) or reads.forgotten_ids_from(db, beginning, LISTED + 1)
    if len(found) == 1:
        return found[0]
    if not found:
        raise NotFoundError(f"no memory has an id that begins with {beginning}; `list` and `search` show the ids")
    raise InputError(f"{beginning} is the beginning of several ids: {_listed(db, found)}; give more of the id")


def _listed(db: SqlConnection, ids: Sequence[str]) -> str:
    texts = {record.id: " ".join(record.text[: 2 * SHOWN_CHARS].split()) for record in reads.by_ids(db, ids)}
    shown = [f"{each} ({texts[each][:SHOWN_CHARS]})" if each in texts else f"{each} (forgotten)" for each in ids]
    return ", ".join(shown[:LISTED]) + (" and more" if len(shown) > LISTED else "")


def find_space(db: SqlConnection, text: object) -> str:
    """Return the name of the one space that `text` names. Memory.find_space() has the contract."""
    name = checks.check_label(text, "the space")
    known = spaces.space_names(db)
    if name in known or len(name) < limits.PREFIX_CHARS:
        spaces.space_number(db, name)
        return name
    found = [each for each in known if each.startswith(name)]
    if len(found) > 1:
        raise InputError(
            f"{name!r} is the beginning of several spaces: {', '.join(found[:LISTED])}; give more of the name"
        )
    if not found:
        spaces.space_number(db, name)  # raises NotFoundError, which lists the spaces
    return found[0]
