"""The files of a mirrored folder: what they say, and which of them may be about to change."""

from __future__ import annotations

import time
from collections.abc import Mapping

from memcrdt.mirror.folder import ChangedError, Folder, Seen
from memcrdt.mirror.notes import Agreed, File, Format


class Looks:
    """The files of a folder, each read again only when it looks different.

    Args:
        form: The format of the files.
        folder: The folder.
        settle_s: How long a file has to stay the same, in seconds.
    """

    def __init__(self, form: Format, folder: Folder, settle_s: float) -> None:
        self._form = form
        self._folder = folder
        self._settle_s = settle_s
        self._files: dict[str, tuple[Seen, File]] = {}
        self._since: dict[str, tuple[Seen | None, float]] = {}  # of each file that changed: since when it looks so

    @property
    def paths(self) -> set[str]:
        """The paths of all files that were read."""
        return set(self._files)

    def look(self, agreed: Mapping[str, Agreed]) -> tuple[dict[str, File], set[str]]:
        """Return the files by path, and the paths of those that changed too recently to take them."""
        seen, refused = self._folder.look()
        files = {path: self._read(path, looks) for path, looks in seen.items()}
        files |= {path: File(path=path, digest="", problem=why) for path, why in refused.items()}
        return files, self._unsettled(agreed, seen, files)

    def modified_ms(self, path: str) -> int:
        """Return the time of the last change of a file, or 0 if it was not read."""
        return self._files[path][0].modified_ns // 1_000_000 if path in self._files else 0

    def fresh(self, file: File) -> tuple[File, bytes]:
        """Return a file as it is now, with its bytes. Raises ChangedError if it is not what it was."""
        try:
            data = self._folder.read(file.path)
        except FileNotFoundError:
            raise ChangedError(f"{file.path} is gone") from None
        fresh = self._form.read(file.path, data)
        if fresh.digest != file.digest:
            raise ChangedError(f"{file.path} was changed")
        return fresh, data

    def _read(self, path: str, seen: Seen) -> File:
        known = self._files.get(path)
        if known is not None and known[0] == seen:
            return known[1]
        try:
            file = self._form.read(path, self._folder.read(path))
        except OSError as exc:
            return File(path=path, digest="", problem=f"it cannot be read ({exc.strerror or exc})")
        self._files[path] = seen, file
        return file

    def _unsettled(self, agreed: Mapping[str, Agreed], seen: Mapping[str, Seen], files: Mapping[str, File]) -> set[str]:
        """Return the paths of files that changed, or are missing, for less time than files have to stay the same."""
        at = {each.path: each for each in agreed.values()}
        changed: dict[str, Seen | None] = {
            path: looks for path, looks in seen.items() if path not in at or at[path].file != files[path].digest
        }
        changed |= {path: None for path in at if path not in seen and not at[path].left}
        now, clock_s = time.monotonic(), time.time()
        since = {}
        for path, looks in changed.items():
            known = self._since.get(path)
            since[path] = known if known is not None and known[0] == looks else (looks, now)
        self._since = since
        return {path for path, (looks, first) in since.items() if not self._is_settled(looks, now - first, clock_s)}

    def _is_settled(self, looks: Seen | None, seen_for_s: float, clock_s: float) -> bool:
        return seen_for_s >= self._settle_s or (
            looks is not None and looks.modified_ns / 1e9 < clock_s - self._settle_s
        )
