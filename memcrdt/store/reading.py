"""Reading a store: what every reader needs of it, and the file of a store that is opened to be read and closed again.

A hook of a coding agent waits for a few rows. Opening the whole store takes several times longer than reading them:
most of that time goes to documents and to the identity, which a reader does not need.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Protocol, Self

import apsw

from memcrdt.errors import NotFoundError, StoreError
from memcrdt.store import files, migrations
from memcrdt.store.connections import Readers, translated
from memcrdt.store.sql import SqlConnection


class Readable(Protocol):
    """A store that can be read: an open store, or a StoreFile.

    Attributes:
        device: The id of this device.
    """

    device: str

    def reading(self) -> AbstractContextManager[SqlConnection]:
        """Lend a connection for reading. No read transaction may outlive the block."""
        ...

    def now_ms(self) -> int:
        """Return the time in ms since 1970."""
        ...


class StoreFile:
    """The file of the store in a home, for reading only. A context manager.

    Args:
        home: The folder of the home.

    Raises:
        NotFoundError: There is no store in the folder.
        CorruptError, SchemaError, StoreError: The file cannot be read.
    """

    def __init__(self, home: Path) -> None:
        self.path = home / files.FILE
        if not self.path.exists():
            raise NotFoundError(f"there is no store in {home}; run `memcrdt init`, or name another home")
        files.check_not_inherited(self.path)
        self._readers = Readers(self.path, read_only=True, vfs=None)
        try:
            self.device = self._device()
        except BaseException:  # also on Ctrl-C: the file must not stay open
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._readers.close()

    @contextmanager
    def reading(self) -> Iterator[apsw.Connection]:
        """Lend a connection for reading."""
        with translated(self.path, "reading"), self._readers.connection() as db:
            yield db

    def now_ms(self) -> int:
        """Return the time in ms since 1970."""
        return time.time_ns() // 1_000_000

    def _device(self) -> str:
        with self.reading() as db:
            if migrations.check(db, self.path) == 0:
                raise StoreError(f"{self.path} is empty; open it once for writing, or restore a backup")
            return str(db.execute("SELECT value FROM meta WHERE key = 'device'").get)
