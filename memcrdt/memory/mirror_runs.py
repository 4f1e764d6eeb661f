"""What a pass of a mirror needs: its lock, its two sides, and where it is noted how it went."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from memcrdt.errors import InputError, StoreError
from memcrdt.memory.feed import Feed, Subscription
from memcrdt.memory.reader import Reader
from memcrdt.memory.writer import Writer
from memcrdt.mirror.records import SETTLE_S, MirrorInfo, MirrorRecords
from memcrdt.model.filters import CheckedFilters
from memcrdt.model.values import from_ms
from memcrdt.paths import translated_os_errors
from memcrdt.store import locks
from memcrdt.store.base import AnyStore

if TYPE_CHECKING:
    from memcrdt.mirror.mirror import Mirror, Pass
    from memcrdt.mirror.notes import Format

LINES: Final = 200  # that a status lists


class MirrorRuns:
    """The passes of the mirrors of a home.

    Attributes:
        settle_s: How long a file has to stay the same before it is taken, in seconds.
    """

    def __init__(self, home: Path | None, store: AnyStore, reader: Reader, writer: Writer, feed: Feed) -> None:
        self._home = home
        self._store = store
        self._reader = reader
        self._writer = writer
        self._feed = feed
        self.settle_s = SETTLE_S

    @property
    def records(self) -> MirrorRecords:
        """The files of the mirrors. Raises InputError for a memory without a folder."""
        if self._home is None:
            raise InputError("a memory without a folder has no mirrors; open a memory in a folder")
        return MirrorRecords(self._home)

    def lock(self, name: str) -> IO[bytes] | None:
        """Return the lock of a mirror, or None while another process has it. Raises StoreError."""
        with translated_os_errors(f"the mirror {name} cannot be locked", "check the permissions of the home"):
            file = locks.open_to_lock(self.records.lock_file(name))
        if locks.take(file):
            return file
        file.close()
        return None

    def open(self, info: MirrorInfo, *, create: bool = False, dry_run: bool = False) -> Mirror:
        """Return a mirror, for whoever has its lock. Raises InputError, StoreError and OSError."""
        from memcrdt.memory.mirrored_scope import MirroredScope
        from memcrdt.mirror.claude_code import ClaudeCodeFormat
        from memcrdt.mirror.folder import Folder
        from memcrdt.mirror.markdown import MarkdownFormat
        from memcrdt.mirror.mirror import Mirror

        form: Format = ClaudeCodeFormat() if info.source == "claude-code" else MarkdownFormat()
        agreed = self.records.agreed(info.name)
        folder = Path(info.folder)
        if not folder.is_dir():
            if folder.exists():
                raise InputError(f"{folder} is a file; name a folder")
            if agreed:
                raise StoreError(
                    f"the folder {folder} is missing, and nothing was changed; bring it back, or remove the mirror:"
                    f" memcrdt mirror remove {info.name}"
                )
            is_of_client = info.source == "claude-code"  # its place is derived from the project
            if not (create or is_of_client):
                raise InputError(
                    f"the folder {folder} does not exist; check the path, or let it be made (create=True in Python,"
                    " --create on the command line)"
                )
            if dry_run:
                raise InputError(f"the folder {folder} does not exist; without --dry-run it is created")
            folder.mkdir(mode=0o700, parents=is_of_client)
        return Mirror(
            form,
            Folder(folder, form.suffixes),
            MirroredScope(self._store, self._reader, self._writer, info, form),
            agreed,
            lambda present: self.records.keep_agreed(info.name, present),
            deletes=info.deletes,
            settle_s=0 if dry_run else self.settle_s,  # nothing is taken, so a new file may be counted at once
        )

    def subscribe(self, filters: CheckedFilters) -> Subscription:
        """Return the changes of memories."""
        return self._feed.subscribe(filters)

    def note(self, info: MirrorInfo, done: Pass | None, equal: int, *, error: str | None = None) -> None:
        """Store how a pass went, unless the mirror was removed meanwhile. Raises StoreError."""
        if info.name in self.records.names():
            lines = () if done is None else tuple(done.lines[:LINES])
            at = from_ms(self._store.now_ms())
            self.records.note_pass(replace(info, files=equal, at=at, error=error, lines=lines))


def words(error: Exception) -> str:
    """Return an error as a sentence."""
    if isinstance(error, OSError):
        return f"{error.filename or 'the folder'} cannot be read or written ({error.strerror or error})"
    return str(error)
