"""A reserve of disk space for a full disk: freeing space in the store needs some space first."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Final

from memcrdt.model.limits import MIB

FILE: Final = "store.reserve"
BYTES: Final = 1 * MIB
_LEAST_FREE: Final = 4 * BYTES  # with less, the reserve itself would fill the disk


class Reserve:
    """A file beside the store that only takes up space. Keeping it never fails: on a full disk there is no reserve."""

    def __init__(self, home: Path) -> None:
        self._path = home / FILE

    def keep(self) -> None:
        """Make the file if it is missing and the disk has room for it."""
        with suppress(OSError):
            if self._path.exists() or shutil.disk_usage(self._path.parent).free < _LEAST_FREE:
                return
            descriptor = os.open(self._path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | getattr(os, "O_BINARY", 0), 0o600)
            try:
                _fill(descriptor)
            finally:
                os.close(descriptor)

    def release(self) -> bool:
        """Delete the file. Return whether there was one."""
        try:
            self._path.unlink()
        except OSError:
            return False
        return True


def _fill(descriptor: int) -> None:
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(descriptor, 0, BYTES)
    else:
        os.write(descriptor, bytes(BYTES))


def is_kept(home: Path) -> bool:
    """Return whether the home has a reserve, so that something can be forgotten on a full disk."""
    return (home / FILE).exists()
