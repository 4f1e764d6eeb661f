"""High-water marks: the progress of a store, kept outside its file, so that an older copy of the file is noticed.

One mark is beside the device key. The other is in the platform's state folder, because restoring a whole home also
restores the first one. Both are written after each commit and may lag.
"""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from memcrdt.model.values import parse_json
from memcrdt.paths import STATE_VARIABLE

FILE: Final = "store.mark"
_BYTES: Final = 512  # one sector, written in place, so a mark is either entirely new or entirely old


@dataclass(frozen=True, slots=True)
class HighWaterMark:
    """The progress of a store.

    Attributes:
        incarnation: The incarnation of the store.
        head: The last row of its log.
        machine: A hash of the id of the machine.
        file: The inode of the file.
    """

    incarnation: str
    head: int
    machine: str
    file: int


def state_folder() -> Path:
    """Return the folder of the second copies: $MEMCRDT_STATE, or the state folder of the platform."""
    if given := os.environ.get(STATE_VARIABLE):
        return Path(given)
    from platformdirs import user_state_path

    return user_state_path("memcrdt-marks", appauthor=False)


def hashed(machine: str) -> str:
    """Return the hash of a machine's id that marks contain. The id itself stays private."""
    return hashlib.blake2b(machine.encode(), digest_size=16, person=b"memcrdt machine").hexdigest()


class HighWaterMarks:
    """The two marks of one store. Writing never fails: a mark that cannot be written lags."""

    def __init__(self, home: Path, state: Path) -> None:
        self._home = home / FILE
        self._state = state
        self._open: dict[Path, int] = {}

    def suspicion(self, now: HighWaterMark) -> str | None:
        """Return, in words for the user, why this is not the store that was in this home, or None if it is."""
        return judge(now, _read(self._home), _read(self._beyond(now.incarnation)))

    def has_predecessor(self) -> bool:
        """Return whether this home had a store before the present one was made."""
        return _read(self._home) is not None

    def write(self, mark: HighWaterMark) -> None:
        """Write both marks."""
        data = json.dumps([mark.incarnation, mark.head, mark.machine, mark.file]).encode().ljust(_BYTES)
        for path in (self._home, self._beyond(mark.incarnation)):
            with suppress(OSError):  # a folder that is not ours, or a full disk: the other mark may be enough
                self._put(path, data)

    def close(self) -> None:
        """Close the files."""
        for descriptor in self._open.values():
            os.close(descriptor)
        self._open.clear()

    def _put(self, path: Path, data: bytes) -> None:
        descriptor = self._open.get(path)
        if descriptor is None:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0)
            descriptor = self._open[path] = os.open(path, flags, 0o600)
        os.lseek(descriptor, 0, os.SEEK_SET)
        os.write(descriptor, data)

    def _beyond(self, incarnation: str) -> Path:
        return self._state / f"{incarnation}.mark"


def judge(now: HighWaterMark, beside: HighWaterMark | None, beyond: HighWaterMark | None) -> str | None:
    """Compare a store with its marks, `beside` the device key and `beyond` in the state folder. See `suspicion`."""
    if beside is not None and beside.incarnation != now.incarnation:
        return "it is an older copy: the store has since continued under another identity"
    known = [mark for mark in (beside, beyond) if mark is not None]
    if not known:
        return "it was made elsewhere: this machine has no mark of it"
    if any(mark.machine != now.machine for mark in known):
        return "it was copied from another machine"
    if any(mark.head > now.head for mark in known):
        return "it was restored from an older copy"
    if all(mark.file != now.file for mark in known):
        return "its file was copied or moved"
    return None


def _read(path: Path) -> HighWaterMark | None:
    try:
        incarnation, head, machine, file = parse_json(path.read_bytes()[:_BYTES])
        return HighWaterMark(str(incarnation), int(head), str(machine), int(file))
    except (OSError, ValueError, TypeError):  # missing or malformed: both count as lost
        return None
