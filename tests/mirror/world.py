"""Machines with a folder, a memory and a mirror between them, which can crash at every step."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from memcrdt.memory.mirrored_scope import MirroredScope
from memcrdt.mirror.claude_code import ClaudeCodeFormat
from memcrdt.mirror.folder import Folder
from memcrdt.mirror.markdown import MarkdownFormat
from memcrdt.mirror.mirror import Mirror, Pass
from memcrdt.mirror.notes import Format
from memcrdt.mirror.records import MirrorInfo, MirrorRecords
from memcrdt.testing.memories import Clock, open_memory

SCOPE = "project/acme"


class Crash(BaseException):
    """The process ends here."""


class Machine:
    """A folder and a memory. The memory survives a crash as its last commit, the folder as its last operation."""

    def __init__(self, at: Path, device: str, clock: Clock, source: str = "markdown", *, deletes: bool = False) -> None:
        self.folder = at / f"folder-{device}"
        self.folder.mkdir(parents=True)
        self.memory = open_memory(None, device, clock)
        self.form: Format = ClaudeCodeFormat() if source == "claude-code" else MarkdownFormat()
        self.info = MirrorInfo(
            name="test",
            source=source,
            folder=str(self.folder),
            scope=SCOPE,
            space="personal",
            deletes=deletes,
            serving=False,
        )
        self.home = at / f"home-{device}"
        self.records = MirrorRecords(self.home)
        self.restart()

    def restart(self) -> None:
        """Begin again with what is on the disk."""
        memory = self.memory
        scope = MirroredScope(memory.store, memory._reader, memory._writer, self.info, self.form)
        self.mirror = Mirror(
            self.form,
            Folder(self.folder, self.form.suffixes),
            scope,
            self.records.agreed("test"),
            lambda agreed: self.records.keep_agreed("test", agreed),
            deletes=self.info.deletes,
            settle_s=0,
        )

    def run(self) -> Pass:
        """Make a pass, with all changes of memories in view."""
        self.mirror.memories_changed()
        return self.mirror.run()

    def add(self, text: str, **options: Any) -> str:
        return self.memory.add(text, scope=SCOPE, **options)

    def write(self, path: str, text: str) -> None:
        place = self.folder / path
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(text.encode())

    def read(self, path: str) -> str:
        return (self.folder / path).read_bytes().decode()

    def files(self) -> dict[str, str]:
        """Return all files, also hidden ones."""
        found = sorted(path for path in self.folder.rglob("*") if path.is_file())
        return {path.relative_to(self.folder).as_posix(): path.read_bytes().decode() for path in found}

    def texts(self) -> dict[str, str]:
        """Return the texts of the scope by id."""
        return {record.id: record.text for record in self.memory.iterate(scope=SCOPE)}

    def every_text(self, memory_id: str) -> list[str]:
        return [revision.text for revision in self.memory.history(memory_id)]


@contextmanager
def crashing(machine: Machine, after: int, meanwhile: Callable[[Path], None] = lambda path: None) -> Iterator[None]:
    """Let the process of a machine end at one of its operations on files, or around one of its commits.

    Args:
        machine: The machine.
        after: The number of operations that succeed.
        meanwhile: Called before a file takes its place, with that place: somebody may write it just now.
    """
    left = after

    def step(half_done: Callable[[], None] = lambda: None) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            if left == -1:
                half_done()
            raise Crash

    def patched(name: str) -> Callable[..., Any]:
        real = getattr(os, name)

        def operation(*args: Any, **options: Any) -> Any:
            if name == "fsync":
                step(lambda: os.ftruncate(args[0], os.fstat(args[0]).st_size // 2) if _is_file(args[0]) else None)
            elif name != "open" or args[1] & os.O_CREAT:
                if name == "replace" and str(args[1]).startswith(str(machine.folder)):
                    meanwhile(Path(args[1]))
                step()
            return real(*args, **options)

        return operation

    commit = machine.memory.store.commit

    def committing(*args: Any, **options: Any) -> Any:
        step()
        done = commit(*args, **options)
        step()
        return done

    names = ("open", "replace", "link", "unlink", "rename", "mkdir", "fsync")
    patches = [mock.patch.object(os, name, patched(name)) for name in names]
    with mock.patch.object(machine.memory.store, "commit", committing):
        for patch in patches:
            patch.start()
        try:
            yield
        finally:
            for patch in patches:
                patch.stop()


def _is_file(descriptor: int) -> bool:
    return stat.S_ISREG(os.fstat(descriptor).st_mode)
