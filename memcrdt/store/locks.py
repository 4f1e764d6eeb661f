"""Operating system locks, which are released whenever the process ends, even if it is killed."""

from __future__ import annotations

import os
import stat
import sys
from contextlib import suppress
from pathlib import Path
from typing import IO


def open_to_lock(path: Path) -> IO[bytes]:
    """Open a file for `take`, and create it if it is missing. Raises OSError.

    Only its owner can open it: whoever may open a file, even for reading, may lock it, and keep others from it.
    """
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0)
    file = os.fdopen(os.open(path, flags, 0o600), "ab")
    if sys.platform != "win32" and stat.S_IMODE(os.fstat(file.fileno()).st_mode) & 0o077:
        with suppress(OSError):  # it is another user's
            os.fchmod(file.fileno(), 0o600)
    return file


if sys.platform == "win32":
    import msvcrt

    def take(file: IO[bytes]) -> bool:
        """Lock an open file until it is closed. Return whether that worked; never wait."""
        try:
            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
else:
    import fcntl

    def take(file: IO[bytes]) -> bool:
        """Lock an open file until it is closed. Return whether that worked; never wait."""
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
