"""The memories of the scope of a mirror, over the store."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any

from memcrdt.importing.rows import origin_of, within_limits
from memcrdt.memory.reader import Reader
from memcrdt.memory.writer import Writer
from memcrdt.mirror.mirror import Outcome
from memcrdt.mirror.notes import Absence, Format, Note, Remembered, Rival
from memcrdt.mirror.reconcile import NoteChange
from memcrdt.mirror.records import MirrorInfo
from memcrdt.model.edits import MemoryEdit
from memcrdt.model.filters import check_filters
from memcrdt.model.records import MemoryRecord
from memcrdt.model.requests import AddRequest, check_imported, check_update
from memcrdt.model.values import from_ms
from memcrdt.store import listing, reads
from memcrdt.store.base import AnyStore
from memcrdt.store.changes import Ulids
from memcrdt.store.filtering import both, where, with_ids
from memcrdt.store.indexer import NewText
from memcrdt.store.mirroring import AddingNote, ChangingNote


class MirroredScope:
    """The memories of a scope, as a mirror sees them. Implements mirror.Memories.

    Args:
        store: The store.
        reader: Reads it.
        writer: Writes it.
        info: The mirror.
        form: The format of its files.
    """

    def __init__(self, store: AnyStore, reader: Reader, writer: Writer, info: MirrorInfo, form: Format) -> None:
        self._store = store
        self._reader = reader
        self._writer = writer
        self._info = info
        self._form = form
        self._author = "claude-code" if info.source == "claude-code" else None

    def read(self, ids: Collection[str] | None = None) -> dict[str, Remembered]:
        filters = check_filters({"scope": self._info.scope, "space": self._info.space})
        if ids is None:
            return {each.id: self._remembered(each) for each in self._reader.every("oldest", filters)}
        wanted = both(with_ids(ids), where(filters, self._store.now_ms()))
        with self._store.reading() as db:
            found = reads.by_ids(db, [memory_id for _, memory_id in listing.places(db, wanted)])
        return {each.id: self._remembered(each) for each in found}

    def absent(self, ids: Collection[str]) -> dict[str, Absence]:
        with self._store.reading() as db:
            there = {record.id for record in reads.by_ids(db, list(ids))}
            forgotten = {each for each in ids if reads.is_forgotten(db, each)}
        return {each: "elsewhere" if each in there else "forgotten" if each in forgotten else "unknown" for each in ids}

    def add(self, path: str, note: Note, modified_ms: int, *, again: bool) -> tuple[Outcome, str]:
        request = self._request(path, note, modified_ms)
        plan = AddingNote(request, again=again, new_id=Ulids().take(self._store.now_ms(), self._store.options.random))
        return self._writer.bring(plan, [NewText(note.text)], {})

    def check_add(self, path: str, note: Note, modified_ms: int) -> None:
        self._request(path, note, modified_ms)

    def _request(self, path: str, note: Note, modified_ms: int) -> AddRequest:
        now = self._store.now_ms()
        given = {
            **origin_of(self._info.source),
            "text": note.text,
            "key": f"{self._info.source}:{path}",
            "kind": note.kind,
            "tags": note.tags,
            "metadata": {"path": path, **note.metadata},
            "author": self._author,
            "created_at": from_ms(min(modified_ms or now, now)),
            "scope": self._info.scope,
            "space": self._info.space,
        }
        return check_imported(within_limits(given), {}, now)

    def change(self, memory_id: str, change: NoteChange) -> str | None:
        place, edit = (self._info.space, memory_id), self._edit(change)
        plan = ChangingNote(place, replace(edit, text=None), text=change.text, base=change.base, author=self._author)
        return self._writer.bring(plan, [] if change.text is None else [NewText(change.text)], {})

    def check_change(self, change: NoteChange) -> None:
        self._edit(change)

    def _edit(self, change: NoteChange) -> MemoryEdit:
        given: dict[str, Any] = {
            "add_tags": change.add_tags,
            "remove_tags": change.remove_tags,
            "metadata": {**change.metadata, **({} if change.path is None else {"path": change.path})},
            "kind": change.kind,
            "author": self._author,
        }
        if change.text is not None:
            given["text"] = change.text
        return check_update(given, self._store.now_ms())

    def forget(self, memory_id: str, heads: tuple[str, ...]) -> None:
        self._writer.forget([memory_id], dry_run=False, expected=tuple(sorted(heads)))

    def _remembered(self, record: MemoryRecord) -> Remembered:
        heads: tuple[str, ...] = (record.revision,)
        rivals: tuple[Rival, ...] = ()
        if record.conflicted:
            found = [each for each in self._reader.history(record.id) if each.head]
            others = [each for each in found if each.revision != record.revision and each.text != record.text]
            heads = tuple(each.revision for each in found)
            rivals = tuple(
                Rival(each.text, f"{each.at:%Y-%m-%d %H:%M} UTC" + (f" by {each.by}" if each.by else ""))
                for each in others
            )
        path = record.metadata.get("path")
        return Remembered(
            id=record.id,
            note=self._form.held(record.kind, record.tags, record.metadata, record.text),
            path=path if isinstance(path, str) else None,
            heads=heads,
            rivals=rivals,
        )
