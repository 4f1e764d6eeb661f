"""`memory.files`: exports, imports, backups, and the store file itself."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Unpack

from memcrdt.memory.reader import Reader
from memcrdt.memory.writer import Writer
from memcrdt.model import checks
from memcrdt.model.attributes import AddOptions
from memcrdt.model.filters import INCLUDES, Filters
from memcrdt.paths import check_path
from memcrdt.store import backup, compaction
from memcrdt.store.base import AnyStore
from memcrdt.store.store import in_file

if TYPE_CHECKING:
    from memcrdt.importing.rows import ImportRow
    from memcrdt.memory.transfer import ImportReport
    from memcrdt.store.recovery.doctor import DoctorReport


class Files:
    """The files of one memory: `memory.files`. Exports, imports, backups, and the store file itself."""

    def __init__(self, home: Path | None, store: AnyStore, reader: Reader, writer: Writer) -> None:
        self._home = home
        self._store = store
        self._reader = reader
        self._writer = writer

    def import_(
        self,
        /,
        path: str | os.PathLike[str] | BinaryIO,
        *,
        format: str | None = None,
        again: bool = False,
        dry_run: bool = False,
        progress: Callable[[int], None] | None = None,
        **defaults: Unpack[AddOptions],
    ) -> ImportReport:
        """Add the memories of a file that export() wrote. In JSON Lines each line is an object, or a JSON string.

        This device adds the memories. The device that a line names becomes `imported_from`.

        An existing memory does not change, unless the line has its key: then the line updates the memory. A forgotten
        memory stays forgotten, unless `again` is set. An expired memory is added and hidden.

        Args:
            path: The file or folder, or a binary stream of lines.
            format: `jsonl`, `server-memory`, `markdown` or `mem0`, as for export(). Without it, the suffix of the file
                name decides. Files that others wrote come by import_from(), which trusts them less.
            again: Whether to add forgotten memories again.
            dry_run: Whether to count without adding.
            progress: Called after every batch with the number of lines read.
            **defaults: Arguments of Memory.add() that override the file.

        Returns:
            The counts, and the refused lines with the reasons.

        Raises:
            InputError: The file cannot be read, or an argument is invalid.
            NotFoundError: The space in `defaults` does not exist here.
            StoreError: A batch cannot be written. Earlier batches stay.

        Example:
            >>> memory.files.import_("notes.jsonl", tags=["imported"]).added
            120
        """
        from memcrdt.importing import sources
        from memcrdt.memory import transfer

        file = transfer.check_source_file(self._home, path, format, sources.FORMATS)
        rows = sources.exported_rows(format or "jsonl", file)
        name = file if isinstance(file, Path) else "the stream"
        flags = {"again": again, "dry_run": dry_run, "is_foreign": format not in (None, "jsonl")}
        return self._bring(rows, name, flags, progress, defaults)

    def import_from(
        self,
        source: str,
        path: str | os.PathLike[str] | None = None,
        /,
        *,
        again: bool = False,
        dry_run: bool = False,
        progress: Callable[[int], None] | None = None,
        **defaults: Unpack[AddOptions],
    ) -> ImportReport:
        """Add the memories of another program. They have its name as `source`, the trust `imported`, and its dates.

        Each item has a key of its own. So a second import, here or on another device, adds nothing twice, and updates
        the memories of items that have changed. If the memory was edited, too, both texts are kept as a conflict. A
        forgotten memory stays forgotten, unless `again` is set or the import
        goes to another scope. A text that is too long for one memory becomes several. Texts with secrets are refused.

        Args:
            source: `markdown` (basic-memory, Obsidian, any folder of Markdown files), `claude-code` (its memory folders
                and CLAUDE.md), `codex` (its memory folder, or an AGENTS.md), `claude` and `chatgpt` (their exports),
                `mem0` (its memories as JSON or Markdown, its `history.db`, or the export of OpenMemory), `letta` (agent
                files), `mcp-memory-service` (its database or JSON export), `claude-mem` and `chroma` (their databases),
                `transcripts` (sessions of coding agents), `text`, `server-memory`, or `jsonl`.
            path: The file or folder. Without it, the usual place of the source, if it has one: `~/.claude`,
                `~/.codex/memories`, `~/.mem0/history.db` or `~/.claude-mem/claude-mem.db`.
            again: Whether to add forgotten memories again.
            dry_run: Whether to count without adding.
            progress: Called after every batch with the number of items read.
            **defaults: Arguments of Memory.add() that override the source.

        Returns:
            The counts, and the refused items with the reasons.

        Raises:
            InputError: The file or folder cannot be read, or an argument is invalid.
            NotFoundError: The space in `defaults` does not exist here.
            StoreError: A batch cannot be written. Earlier batches stay.

        Example:
            >>> memory.files.import_from("markdown", "notes", scope="project/acme").added
            120
        """
        from memcrdt.importing import sources
        from memcrdt.memory import transfer

        place = transfer.check_place(self._home, source, path)
        flags = {"again": again, "dry_run": dry_run, "is_foreign": source != "jsonl"}
        return self._bring(sources.rows(source, place), place, flags, progress, defaults)

    def _bring(
        self,
        rows: Iterator[ImportRow],
        name: object,
        flags: dict[str, bool],
        progress: Callable[[int], None] | None,
        defaults: Mapping[str, Any],
    ) -> ImportReport:
        from memcrdt.memory import transfer

        if progress is not None:
            checks.check_callback(progress, "progress")
        transfer.check_defaults(self._store, defaults)
        checked = {flag: checks.check_flag(value, flag) for flag, value in flags.items()}
        taken = transfer.Import(self._store, self._writer.bring, **checked)
        return taken.run(rows, name, defaults, progress)

    def export(
        self,
        /,
        path: str | os.PathLike[str] | BinaryIO,
        *,
        format: str | None = None,
        history: bool = False,
        **filters: Unpack[Filters],
    ) -> int:
        """Write memories to a file or folder. Expired and superseded ones are included.

        import_() gives back the same memories. What a form has no place for stands in a field `memcrdt`, which other
        programs pass over.

        Args:
            path: The file, or a binary stream; for `markdown` the folder, where notes of other memories stay. An
                existing file is replaced.
            format: `jsonl`; `markdown`, a folder with a note for each memory and its fields as front matter, for
                Obsidian and git; `mem0`, as mem0's `get_all()` writes it; or `server-memory`, the file of that MCP
                server. Without it, the suffix of the file name decides.
            history: Whether to write all texts of each memory, the time of its last change, and its device. Only
                `jsonl` has a place for them.
            **filters: Filters as for Memory.list(), but `include` is everything unless it is given. include=[] leaves
                expired and superseded memories out.

        Returns:
            The number of memories.

        Raises:
            InputError: An argument is invalid, or a file in the folder would be replaced that is no note.
            StoreError: The file cannot be written. A stream raises its own errors.

        Example:
            >>> memory.files.export("acme.jsonl", scope="project/acme")
            42
        """
        from memcrdt.memory import exporting

        file, form = exporting.check_form(self._home, path, format)
        wanted = self._reader.filters({**filters, "include": INCLUDES} if filters.get("include") is None else filters)
        history = checks.check_flag(history, "history")
        return exporting.Export(self._store, wanted, form, history=history).to(file)

    def backup(self, path: str | os.PathLike[str]) -> int:
        """Write a copy of the store to a new file. Reads and writes continue. The device key is not in the copy.

        Returns:
            The size of the copy in bytes.

        Raises:
            InputError: The file exists.
            StoreError: The file cannot be written.
        """
        return backup.back_up(in_file(self._store), check_path(path, "the file for the backup"))

    def restore(self, path: str | os.PathLike[str]) -> None:
        """Return the memories to the state of a backup. Other devices send back later changes that they know.

        A backup brings memories, not trust: devices, members, revocations and tokens stay as they are here. The file
        may come from anybody. Its rows are checked, and nothing else of it is kept.

        Raises:
            InputError: The file does not exist, or is a store in use.
            SchemaError, CorruptError: The file is not a backup, is damaged, or unpacks to more than a backup can have.
            LockedError: Another process restores a backup into this store, or changed its spaces meanwhile.
        """
        from memcrdt.store.recovery import restore

        restore.restore(in_file(self._store), check_path(path, "the backup"))

    def check_backup(self, path: str | os.PathLike[str]) -> None:
        """Check quickly that restore() knows a file as a backup, as before a question. Rows are not read.

        Raises:
            InputError: The file does not exist, or is a store in use.
            SchemaError, CorruptError: The file is not a backup, or its header is damaged.

        Example:
            >>> memory.files.check_backup("memories.backup")
        """
        from memcrdt.store.recovery import restore

        restore.check_backup(in_file(self._store), check_path(path, "the backup"))

    def doctor(self, *, repair: bool = False, give_up: bool = False) -> DoctorReport:
        """Check every row of the store, and repair it on request.

        Args:
            repair: Whether to repair the store. Without it, nothing is changed.
            give_up: Whether to continue without lost rows, instead of waiting for other devices to send them again.

        Returns:
            The problems found, the repairs made, and the problems left.
        """
        from memcrdt.store.recovery import doctor

        repair, give_up = checks.check_flag(repair, "repair"), checks.check_flag(give_up, "give_up")
        store = in_file(self._store)
        return doctor.repair(store, give_up=give_up) if repair else doctor.examine(store)

    def compact(self) -> compaction.Compacted:
        """Free the space of old versions and forgotten memories in the file. memcrdt also compacts automatically."""
        store = in_file(self._store)
        return store.using_reserve(lambda: compaction.compact(store))
