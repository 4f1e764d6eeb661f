"""How people name memories, spaces and devices: by a name, the beginning of an id, or `@N` of the last listing."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from memcrdt.cli.output import THIS_DEVICE
from memcrdt.errors import InputError, NotFoundError
from memcrdt.model import limits
from memcrdt.model.ids import is_ulid
from memcrdt.model.values import parse_json

if TYPE_CHECKING:
    from memcrdt import Memory

FILE: Final = "listings.json"  # in the home: the ids of the last listing of each terminal
TERMINALS: Final = 8
MARK: Final = "@"


def memory_id(memory: Memory, text: str) -> str:
    """Return the id of a memory named by its id, the beginning of it, or `@N`. Raises InputError, NotFoundError."""
    return _listed(memory.home, text) if text.startswith(MARK) else memory.find_id(text)


def device_id(memory: Memory, text: str) -> str:
    """Return the id of a device, also of this one, named by a name or the beginning of its name or id."""
    from memcrdt.model.device_ids import shown

    plain = "".join(text.upper().replace("-", "").split())
    is_own = len(plain) >= limits.PREFIX_CHARS and shown(memory.device).replace("-", "").startswith(plain)
    return memory.device if is_own or text == THIS_DEVICE else memory.sync.find(text)


def with_names(memory: Memory, wanted: dict[str, Any]) -> dict[str, Any]:
    """Return options with the names of spaces, and the ids of devices and memories, in full."""
    finders: dict[str, Callable[[str], str]] = {
        "space": memory.find_space,
        "spaces": memory.find_space,
        "device": partial(device_id, memory),
        "superseded_by": partial(memory_id, memory),
    }
    full = dict(wanted)
    for name, find in finders.items():
        match wanted.get(name):
            case str() as given:
                full[name] = find(given)
            case list() | tuple() as several:
                full[name] = [find(each) for each in several]
    return full


def remember(home: Path | None, ids: Sequence[str]) -> bool:
    """Keep the ids of a listing for `@N`. Return whether that was possible: the home may be read-only."""
    if home is None:
        return False
    listings = _listings(home)
    listings.pop(_terminal(), None)
    kept = [*listings.items()][1 - TERMINALS :]
    file = home / FILE
    try:
        new = file.with_name(f"{FILE}.{os.getpid()}.new")
        new.write_text(json.dumps(dict([*kept, (_terminal(), list(ids[: limits.RESULTS]))])), encoding="utf-8")
        new.replace(file)
    except OSError:
        with suppress(OSError):
            new.unlink()
        return False
    return True


def _listed(home: Path | None, text: str) -> str:
    """Return the id in line `@N` of the last listing on this terminal. Raises InputError, NotFoundError."""
    number = text.removeprefix(MARK)
    if not number.isdecimal() or not number.isascii() or not 0 < len(number) <= 4:
        raise InputError(f"{text[:40]!r} is not a line of a listing; write {MARK} and its number, such as {MARK}1")
    ids = _listings(home).get(_terminal(), []) if home is not None else []
    if not ids:
        raise NotFoundError(f"{text}: nothing was listed on this terminal yet; run `memcrdt list` or `search` first")
    if not 1 <= int(number) <= len(ids):
        raise NotFoundError(f"{text}: the last listing on this terminal has the lines {MARK}1 to {MARK}{len(ids)}")
    return ids[int(number) - 1]


def _listings(home: Path) -> dict[str, list[str]]:
    """Return the ids of the last listings by terminal, oldest first. A file with anything else counts as empty."""
    try:
        with (home / FILE).open("rb") as file:
            said = parse_json(file.read(limits.MIB))
    except (OSError, ValueError):
        return {}
    if not isinstance(said, dict):
        return {}
    return {name: ids for name, ids in said.items() if isinstance(ids, list) and all(map(is_ulid, ids))}


def _terminal() -> str:
    """Return the terminal that this command runs on: its session, or on Windows the shell that started the command."""
    session = getattr(os, "getsid", None)
    return str(session(0) if session else os.getppid())
