"""What keeps a Memory in order: files of memories, backups, checks, room. The part of Memory that is about the store
as a whole."""

from __future__ import annotations

import os
from abc import abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

from memcrdt.memory.retention import Upkeep
from memcrdt.model.checks import check_callback, check_flag
from memcrdt.model.filters import Filters, check_filters
from memcrdt.paths import check_file, check_path
from memcrdt.store import backup, compaction, overview
from memcrdt.store.meta import space_number
from memcrdt.store.store import Store
from memcrdt.store.transaction import Transaction

if TYPE_CHECKING:
    from memcrdt.memory.transfer import ImportReport
    from memcrdt.store.recovery.doctor import DoctorReport

T = TypeVar("T")


class Keeping:
    """Memory is one; its methods raise what Memory's do."""

    home: Path
    store: Store
    upkeep: Upkeep

    def import_(
        self,
        /,
        path: str | os.PathLike[str] | BinaryIO,
        *,
        format: str | None = None,
        again: bool = False,
        dry_run: bool = False,
        progress: Callable[[int], None] | None = None,
        **defaults: Any,
    ) -> ImportReport:
        """Adds the memories of a file, or a binary stream, which holds what `export` writes or a text a line as JSON.

        What is here already stays as it is, or is updated by an item with its key; what was forgotten stays so, unless
        `again`. What has expired is taken, and hidden. Lines that are refused are in the report. `defaults` are
        arguments of add(), and go before what the file says. `progress` is told, batch by batch, how many lines are
        done.
        """
        from memcrdt.memory import transfer

        file = check_file(path, "the file to import")
        transfer.check_format(format, file)
        transfer.check_apart(self.home, file)
        if progress is not None:
            check_callback(progress, "progress")
        transfer.check_defaults(self.store, defaults)
        again, dry_run = check_flag(again, "again"), check_flag(dry_run, "dry_run")
        return transfer.Import(self.store, self._import, again=again, dry_run=dry_run).run(file, defaults, progress)

    def export(self, /, path: str | os.PathLike[str] | BinaryIO, *, format: str | None = None, **filters: Any) -> int:
        """Writes what the filters leave into a file, a memory a line, without histories. Returns how many.

        A file that is there is replaced. A binary stream is written as it comes, and raises what it does.
        """
        from memcrdt.memory import transfer

        file = check_file(path, "the file to export to")
        transfer.check_format(format, file)
        transfer.check_apart(self.home, file)
        wanted = self._filters(filters)
        if isinstance(file, Path):
            return transfer.export(self.store, file, wanted)
        return transfer.write(self.store, file, wanted)

    def backup(self, path: str | os.PathLike[str]) -> int:
        """Writes a copy of the store to a new file, while work goes on. Returns its size in bytes.

        The device's key is not in it. Raises InputError when the file is there already, StoreError when it can't be
        written.
        """
        return backup.back_up(self.store, check_path(path, "the file for the backup"))

    def restore(self, path: str | os.PathLike[str]) -> None:
        """Makes the store what it was at the backup; other devices bring back what they have heard of since.

        Raises SchemaError or CorruptError when the file is no backup, InputError when it is not there, or a store that
        is in use, and LockedError while another process restores one here.
        """
        backup.restore(self.store, check_path(path, "the backup"))

    def doctor(self, *, repair: bool = False, give_up: bool = False) -> DoctorReport:
        """Looks at every row of the store; with `repair`, puts right what can be.

        What is lost waits for other devices to bring it again, unless `give_up` says that they won't.
        """
        from memcrdt.store.recovery import doctor

        repair, give_up = check_flag(repair, "repair"), check_flag(give_up, "give_up")
        return doctor.repair(self.store, give_up=give_up) if repair else doctor.examine(self.store)

    def stats(self) -> overview.Stats:
        """How much is remembered, and of what."""
        with self.store.reading() as db:
            return overview.stats(db, self.store.now_ms())

    def compact(self) -> compaction.Compacted:
        """Gives back the room that old versions and what was forgotten take in the file. It happens by itself too."""
        return self.store.freeing(lambda: compaction.compact(self.store))

    def forget_expired(self) -> int:
        """Forgets what comes from this device, and expired and was last changed over `forget_expired_days` ago. open()
        does so too, and whoever writes, once an hour. Returns how many."""
        return self.upkeep.forget_expired()

    def _filters(self, given: Mapping[str, Any]) -> Filters:
        """The Filters asked for. Raises InputError, and NotFoundError for a space that is not here."""
        filters = check_filters(given)
        if filters.space:
            with self.store.reading() as db:
                for name in filters.space:
                    space_number(db, name)
        return filters

    def _import(self, plan: Callable[[Transaction], None], texts: list[str]) -> None:
        self.upkeep.check_budget(texts)
        self._commit(plan, self.store.indexer.prepare(texts))

    @abstractmethod
    def _commit(self, plan: Callable[[Transaction], T], prepared: Any = None) -> T: ...
