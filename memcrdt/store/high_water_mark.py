"""High-water marks: the progress of a store, kept outside its file, so that an older copy of the file is noticed.

One mark is beside the device key. Another is in the platform's state folder, because restoring a whole home also
restores the first one. The others are in the folder for temporary files, because a disk that is rolled back or cloned
takes the first two along: one is of the store, and one of the home, whose store may have become another incarnation
since. All are written after each commit and may lag or be missing.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from memcrdt.model.values import parse_json
from memcrdt.paths import STATE_VARIABLE, make_private

FILE: Final = "store.mark"
_BYTES: Final = 512  # one sector, written in place, so a mark is either entirely new or entirely old


@dataclass(frozen=True, slots=True)
class HighWaterMark:
    """The progress of a store.

    Attributes:
        incarnation: The incarnation of the store.
        head: The last row of its log.
        machine: A hash of the id of the machine, or "" if it has none.
        file: The inode of the file.
    """

    incarnation: str
    head: int
    machine: str
    file: int


def state_folder() -> Path | None:
    """Return the folder of the second copies: $MEMCRDT_STATE, or the state folder of the platform.

    Returns:
        The folder, or None for a user that has no home folder, as in some containers.
    """
    if given := os.environ.get(STATE_VARIABLE):
        return Path(given)
    from platformdirs import user_state_path

    try:
        return user_state_path("memcrdt-marks", appauthor=False)
    except RuntimeError:  # neither HOME nor an entry for the user
        return None


def runtime_folder() -> Path | None:
    """Return the folder of the third copies, which is on no disk of the user's, or None if the system has none."""
    if given := os.environ.get("XDG_RUNTIME_DIR"):
        return Path(given, "memcrdt-marks")
    try:
        return Path(tempfile.gettempdir(), f"memcrdt-marks-{os.getuid() if hasattr(os, 'getuid') else 0}")
    except FileNotFoundError:
        return None


def hashed(machine: str) -> str:
    """Return the hash of a machine's id that marks contain, or "" for no id. The id itself stays private."""
    return machine and hashlib.blake2b(machine.encode(), digest_size=16, person=b"memcrdt machine").hexdigest()


class HighWaterMarks:
    """The marks of one store. Writing never fails: a mark that cannot be written lags.

    Args:
        home: The home of the store.
        state: The folder for the second mark; None keeps none.
        runtime: The folder for the third mark; None keeps none. It counts only if no other user can write there.
    """

    def __init__(self, home: Path, state: Path | None, runtime: Path | None = None) -> None:
        self._home = home
        self._state = state
        self._runtime = runtime
        self._open: dict[Path, int] = {}

    def suspicion(self, now: HighWaterMark) -> str | None:
        """Return, in words for the user, why this is not the store that was in this home, or None if it is."""
        return judge(now, list(map(_read, self._of_home)), list(map(_read, self._of_store(now.incarnation))))

    def has_predecessor(self) -> bool:
        """Return whether this home had a store before the present one was made."""
        return _read(self._home / FILE) is not None

    def write(self, mark: HighWaterMark) -> None:
        """Write all marks."""
        data = json.dumps([mark.incarnation, mark.head, mark.machine, mark.file]).encode().ljust(_BYTES)
        for path in (*self._of_home, *self._of_store(mark.incarnation)):
            with suppress(OSError):  # a folder that is not ours, or a full disk: the other marks may be enough
                self._put(path, data)

    def close(self) -> None:
        """Close the files."""
        for descriptor in self._open.values():
            os.close(descriptor)
        self._open.clear()

    def _put(self, path: Path, data: bytes) -> None:
        descriptor = self._open.get(path)
        if descriptor is None:
            make_private(path.parent)
            flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0)
            descriptor = self._open[path] = os.open(path, flags, 0o600)
        os.lseek(descriptor, 0, os.SEEK_SET)
        os.write(descriptor, data)

    @cached_property
    def _private(self) -> Path | None:
        """The folder for temporary files; None if there is none, or others can write there."""
        if self._runtime is None:
            return None
        with suppress(OSError):
            make_private(self._runtime)
        return self._runtime if _is_private(self._runtime) else None

    @cached_property
    def _of_home(self) -> list[Path]:
        """The paths of the marks of this home, whichever store is in it."""
        paths = [self._home / FILE]
        if self._private is not None:
            with suppress(OSError):
                found = self._home.stat()
                paths.append(self._private / f"home-{found.st_dev:x}-{found.st_ino:x}.mark")
        return paths

    def _of_store(self, incarnation: str) -> list[Path]:
        """Return the paths of the marks of a store outside its home."""
        return [folder / f"{incarnation}.mark" for folder in (self._state, self._private) if folder is not None]


def judge(
    now: HighWaterMark, of_home: Sequence[HighWaterMark | None], of_store: Sequence[HighWaterMark | None]
) -> str | None:
    """Compare a store with the marks of its home, and with its own ones outside the home. See `suspicion`."""
    if any(mark is not None and mark.incarnation != now.incarnation for mark in of_home):
        return "it is an older copy: the store has since continued under another identity"
    known = [mark for mark in (*of_home, *of_store) if mark is not None]
    if not known:
        return "it was made elsewhere: this machine has no mark of it"
    if now.machine and any(mark.machine not in ("", now.machine) for mark in known):
        return "it was copied from another machine"
    if any(mark.head > now.head for mark in known):
        return "it was restored from an older copy"
    if all(mark.file != now.file for mark in known):
        return "its file was copied or moved"
    return None


def _is_private(folder: Path) -> bool:
    """Return whether no other user can put marks into a folder that lies in one for everybody."""
    try:
        found = folder.lstat()
    except OSError:
        return False
    geteuid = getattr(os, "geteuid", None)
    if geteuid is None:  # Windows has a folder for temporary files for each user
        return True
    return stat.S_ISDIR(found.st_mode) and found.st_uid == geteuid() and not found.st_mode & 0o022


def _read(path: Path) -> HighWaterMark | None:
    try:
        incarnation, head, machine, file = parse_json(path.read_bytes()[:_BYTES])
        return HighWaterMark(str(incarnation), int(head), str(machine), int(file))
    except (OSError, ValueError, TypeError):  # missing or malformed: both count as lost
        return None
