"""`memory.mirrors`: folders of text files that are kept equal to the memories of a scope, each way."""

from __future__ import annotations

import builtins
import os
import re
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from memcrdt.errors import InputError, LockedError, MemcrdtError, NotFoundError, StoreError
from memcrdt.memory.feed import Feed
from memcrdt.memory.mirror_runs import MirrorRuns, words
from memcrdt.memory.reader import Reader
from memcrdt.memory.writer import Writer
from memcrdt.mirror.records import MIRRORS, MirrorInfo, MirrorLine
from memcrdt.model import checks
from memcrdt.model.scopes import GLOBAL, PERSONAL, check_scope
from memcrdt.model.serialization import Record
from memcrdt.paths import check_path
from memcrdt.store.base import AnyStore
from memcrdt.store.spaces import space_number

if TYPE_CHECKING:
    from memcrdt.mirror.mirror import Mirror, Pass

SOURCES: Final = ("claude-code", "markdown")
WAITS: Final = 10  # looks at files that are being written, within one run()


@dataclass(frozen=True, slots=True, kw_only=True)
class MirrorReport(Record):
    """The result of one pass of a mirror, or with `dry_run` its preview.

    Attributes:
        name: The name of the mirror.
        done: The files and memories that were changed, in words.
        left: What is left as it is, and why.
        equal: The number of files and memories that are equal.
        dry_run: Whether the pass was a preview.
    """

    name: str
    done: tuple[MirrorLine, ...]
    left: tuple[MirrorLine, ...]
    equal: int
    dry_run: bool


class Mirrors:
    """The mirrors of one memory: `memory.mirrors`.

    A mirror keeps a folder and the memories of a scope equal: an edit in either place reaches the other. If both were
    edited, the memory has two competing texts, and the file shows both. Deletions are carried over only on request.
    """

    def __init__(self, home: Path | None, store: AnyStore, reader: Reader, writer: Writer, feed: Feed) -> None:
        self._home = home
        self._store = store
        self.runs = MirrorRuns(home, store, reader, writer, feed)

    def add(
        self,
        source: str,
        folder: str | os.PathLike[str],
        *,
        scope: str = GLOBAL,
        space: str = PERSONAL,
        deletes: bool = False,
        serving: bool = True,
        create: bool = False,
        dry_run: bool = False,
    ) -> MirrorReport:
        """Mirror a folder, and make both sides equal once. A second call changes `deletes` and `serving`.

        Args:
            source: `claude-code` for a memory folder of Claude Code, or `markdown` for a folder of Markdown files, such
                as a vault of Obsidian.
            folder: The folder. The folder in which Claude Code keeps a memory is created if it does not exist.
            scope: The scope of the memories.
            space: Their space.
            deletes: Whether a deleted file forgets its memory, and a forgotten memory deletes its file.
            serving: Whether the process that serves the home keeps both sides equal from now on.
            create: Whether to create a folder of Markdown files that does not exist.
            dry_run: Whether to return what would be done, and change nothing.

        Raises:
            InputError: An argument is invalid, or the folder does not exist, belongs to another mirror, or is mirrored
                in another scope.
            NotFoundError: The space does not exist here.
            LockedError: Another process runs the mirror, and `serving` is false.
            StoreError: The folder or the store cannot be read or written.

        Example:
            >>> memory.mirrors.add("markdown", "notes", scope="project/acme").equal
            120
        """
        checked = self._check(source, folder, scope, space)
        wanted = replace(
            checked, deletes=checks.check_flag(deletes, "deletes"), serving=checks.check_flag(serving, "serving")
        )
        create = checks.check_flag(create, "create")
        if checks.check_flag(dry_run, "dry_run"):
            return self._run(wanted, dry_run=True, create=create)
        try:
            return self._run(wanted, dry_run=False, define=True, create=create)
        except LockedError:
            if not wanted.serving:
                raise
            self.runs.records.define(wanted)  # the process that runs it looks at this within seconds
            return MirrorReport(name=wanted.name, done=(), left=wanted.lines, equal=wanted.files, dry_run=False)

    def run(self, name: str, *, dry_run: bool = False) -> MirrorReport:
        """Make both sides of a mirror equal once.

        Args:
            name: The name of the mirror.
            dry_run: Whether to return what would be done, and change nothing.

        Raises:
            NotFoundError: There is no such mirror.
            LockedError: Another process runs the mirror.
            StoreError: The folder or the store cannot be read or written.
        """
        return self._run(self._find(name), dry_run=checks.check_flag(dry_run, "dry_run"))

    def list(self) -> builtins.list[MirrorInfo]:
        """Return the mirrors, sorted by name, each with the result of its last pass."""
        return [] if self._home is None else self.runs.records.all()

    def remove(self, name: str) -> None:
        """Stop mirroring a folder. Files and memories stay. Raises NotFoundError."""
        self.runs.records.remove(self._find(name).name)

    def _find(self, name: str) -> MirrorInfo:
        found = self.runs.records.find(name) if name in self.runs.records.names() else None
        if found is None:
            raise NotFoundError(f"there is no mirror {str(name)[:80]!r}; `memcrdt mirror list` shows the mirrors")
        return found

    def _check(self, source: str, folder: object, scope: str, space: str) -> MirrorInfo:
        if source not in SOURCES:
            raise InputError(f"the source {str(source)[:80]!r} cannot be mirrored; give one of {', '.join(SOURCES)}")
        place = Path(os.path.realpath(check_path(folder, "the folder to mirror").expanduser()))
        asked = MirrorInfo(
            name=_name(place, source),
            source=source,
            folder=str(place),
            scope=check_scope(scope),
            space=checks.check_label(space, "the space"),
            deletes=False,
            serving=True,
        )
        with self._store.reading() as db:
            space_number(db, asked.space)
        home = Path(os.path.realpath(self._home or ""))
        if home.is_relative_to(place) or place.is_relative_to(home):
            raise InputError(f"{place} is the folder of the store, or around it or in it; mirror another folder")
        known = self.list()
        for each in known:
            if Path(each.folder) == place and (each.source, each.scope, each.space) == (
                source,
                asked.scope,
                asked.space,
            ):
                return each
            if place.is_relative_to(each.folder) or Path(each.folder).is_relative_to(place):
                raise InputError(
                    f"{each.folder} is mirrored already, with {each.scope} in {each.space}; remove that mirror first:"
                    f" memcrdt mirror remove {each.name}"
                )
        if len(known) >= MIRRORS:
            raise InputError(f"there are {MIRRORS} mirrors, the maximum; remove one first")
        taken = {each.name for each in known}
        name = next(n for n in (asked.name, *(f"{asked.name}-{k}" for k in range(2, MIRRORS + 2))) if n not in taken)
        return replace(asked, name=name)

    # One pass

    def _run(self, info: MirrorInfo, *, dry_run: bool, define: bool = False, create: bool = False) -> MirrorReport:
        lock = self.runs.lock(info.name)
        if lock is None:
            raise LockedError(
                f"another process runs the mirror {info.name}, probably the one that serves this home;"
                " `memcrdt mirror status` shows how it goes"
            )
        with lock:
            try:
                mirror = self.runs.open(info, create=create, dry_run=dry_run)
                if define:  # only now: what cannot be opened is no mirror, and nothing has to remove it
                    self.runs.records.define(info)
                done = self._passes(mirror, dry_run=dry_run)
            except (MemcrdtError, OSError) as exc:
                if not dry_run:
                    self.runs.note(info, None, 0, error=words(exc))
                raise exc if isinstance(exc, MemcrdtError) else StoreError(words(exc)) from exc
            if not dry_run:
                self.runs.note(info, done, mirror.equal)
        return MirrorReport(
            name=info.name, done=tuple(done.actions), left=tuple(done.lines), equal=mirror.equal, dry_run=dry_run
        )

    def _passes(self, mirror: Mirror, *, dry_run: bool) -> Pass:
        """Make a pass, and others until no file is about to change."""
        done = mirror.run(dry_run=dry_run)
        for _ in range(0 if dry_run else WAITS):
            if not done.waits:
                break
            time.sleep(self.runs.settle_s / 2)
            mirror.memories_changed()
            before, done = done, mirror.run()
            done.actions = before.actions + done.actions
        return done


def _name(folder: Path, source: str) -> str:
    """Return a name for the mirror of a folder: its own name, or that of the project for a folder of Claude Code."""
    named = (
        folder.parent.name.rpartition("-")[2] if source == "claude-code" and folder.name == "memory" else folder.name
    )
    slug = re.sub(r"[^a-z0-9]+", "-", named.lower()).strip("-")[:40] or "folder"
    return f"claude-code-{slug}" if source == "claude-code" else slug
