"""What other code of a process does to the files of a store that the process has open. All of it drops POSIX locks."""

from __future__ import annotations

import hashlib
import random
import shutil
import sqlite3
import tempfile
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Final

from memcrdt.store.files import FILE


def query(home: Path) -> None:
    """Ask the database something through another SQLite library."""
    with suppress(sqlite3.OperationalError), closing(sqlite3.connect(home / FILE)) as db:  # locked
        db.execute("SELECT count(*) FROM memories").fetchone()


def copy(home: Path) -> None:
    """Copy the files."""
    with tempfile.TemporaryDirectory() as folder:
        for path in home.glob(f"{FILE}*"):
            with suppress(FileNotFoundError):
                shutil.copy(path, folder)


def checksum(home: Path) -> None:
    """Read the files."""
    for path in home.glob(f"{FILE}*"):
        with suppress(FileNotFoundError):
            hashlib.sha256(path.read_bytes()).digest()


PEEKS: Final[tuple[Callable[[Path], None], ...]] = (query, copy, checksum)
_PAUSES_S: Final = (0.0, 0.05)  # between two peeks


def keep_peeking(home: Path, rng: random.Random) -> None:
    """Peek from a thread of this process until the process ends."""
    pause = threading.Event()

    def peek() -> None:
        while not pause.wait(rng.uniform(*_PAUSES_S)):
            rng.choice(PEEKS)(home)

    threading.Thread(target=peek, daemon=True).start()
