"""MEMORY.md, by which Claude Code finds its topic files: a line for each file that a mirror writes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from memcrdt.mirror import claude_code
from memcrdt.mirror.folder import Folder
from memcrdt.mirror.notes import Agreed, digest_of


class Index:
    """The index of a folder. In folders of other formats than Claude Code's, its methods do nothing.

    Args:
        folder: The folder.
        agreed: What was last agreed on, by memory. An agreement on the prose of the index moves along with its lines.
        is_used: Whether the folder has an index.
    """

    def __init__(self, folder: Folder, agreed: dict[str, Agreed], *, is_used: bool) -> None:
        self._folder = folder
        self._agreed = agreed
        self._is_used = is_used

    def written(self, path: str, data: bytes, *, is_new: bool, is_changed: bool) -> None:
        """Name a file that was written."""

        def change(index: bytes | None) -> bytes | None:
            has = claude_code.has_line(index, path)
            return claude_code.with_line(index, path, data) if (is_new and not has) or (is_changed and has) else index

        if path != claude_code.INDEX:
            self._change(change)

    def moved(self, path: str, to: str) -> None:
        """Name a file by its new path."""

        def change(index: bytes | None) -> bytes | None:
            if index is None or not claude_code.has_line(index, path):
                return index
            return claude_code.with_line(claude_code.without_line(index, path), to, self._folder.read(to))

        self._change(change)

    def deleted(self, path: str) -> None:
        """Name a file no more."""
        self._change(lambda index: claude_code.without_line(index, path) if index else index)

    def _change(self, change: Callable[[bytes | None], bytes | None]) -> None:
        if not self._is_used:
            return
        try:
            index: bytes | None = self._folder.read(claude_code.INDEX)
        except FileNotFoundError:
            index = None
        new = change(index)
        if new is not None and new != index:
            self._folder.write(claude_code.INDEX, new, index)
            self._move_agreement(index, new)

    def _move_agreement(self, old: bytes | None, new: bytes) -> None:
        """Move the agreement on the prose of the index along, if it was up to date."""
        for memory_id, agreed in self._agreed.items():
            if agreed.path == claude_code.INDEX and old is not None and agreed.file == digest_of(old):
                self._agreed[memory_id] = replace(agreed, file=digest_of(new))
