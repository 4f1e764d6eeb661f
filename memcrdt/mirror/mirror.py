"""One mirror: it looks at both sides, compares them, and carries out what follows."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Final, Literal, Protocol, TypeAlias

from memcrdt.errors import InputError, MemcrdtError, ReadOnlyError, StoreError
from memcrdt.mirror import claude_code, reconcile
from memcrdt.mirror.claude_index import Index
from memcrdt.mirror.folder import ChangedError, Folder, free_path
from memcrdt.mirror.looking import Looks
from memcrdt.mirror.names import folded, other_name
from memcrdt.mirror.notes import Absence, Agreed, Format, Note, Remembered
from memcrdt.mirror.reconcile import (
    Action,
    AddMemory,
    Agree,
    ChangeMemory,
    DeleteFile,
    Forget,
    MoveFile,
    NoteChange,
    Report,
    Sides,
    WriteFile,
)
from memcrdt.mirror.records import SETTLE_S, MirrorLine
from memcrdt.mirror.text_file import FILE_BYTES
from memcrdt.model import limits
from memcrdt.model.secrets import check_no_secret

ROUNDS: Final = 5  # of one pass: what one round writes, the next one compares

Outcome: TypeAlias = Literal["added", "known", "forgotten"]


class Memories(Protocol):
    """The memories of the mirrored scope. Methods raise MemcrdtError."""

    def read(self, ids: Collection[str] | None = None) -> dict[str, Remembered]:
        """Return the memories of the scope, or those of them with these ids."""
        ...

    def absent(self, ids: Collection[str]) -> dict[str, Absence]:
        """Return why memories are not in the scope."""
        ...

    def add(self, path: str, note: Note, modified_ms: int, *, again: bool) -> tuple[Outcome, str]:
        """Add the memory of a file, unless there is or was one. With `again`, add one in any case."""
        ...

    def check_add(self, path: str, note: Note, modified_ms: int) -> None:
        """Raise the InputError with which add() refuses a file."""
        ...

    def check_change(self, change: NoteChange) -> None:
        """Raise the InputError with which change() refuses a change."""
        ...

    def change(self, memory_id: str, change: NoteChange) -> str | None:
        """Change a memory. Return the revision of the text, if the change has one."""
        ...

    def forget(self, memory_id: str, heads: tuple[str, ...]) -> None:
        """Forget a memory, if it is at these revisions."""
        ...


@dataclass(slots=True)
class Pass:
    """What one pass did.

    Attributes:
        actions: What was done, or is to be done, in words by path.
        lines: What is left as it is.
        waits: Whether files are about to change, so that another pass has to follow.
    """

    actions: list[MirrorLine] = field(default_factory=list)
    lines: list[MirrorLine] = field(default_factory=list)
    waits: bool = False


class Mirror:
    """A folder and the memories of a scope. It is used by one thread of one process at a time.

    Args:
        form: The format of the files.
        folder: The folder.
        memories: The memories.
        agreed: What was last agreed on.
        keep: Stores what was agreed on.
        deletes: Whether deletions are carried over.
        settle_s: How long a file has to stay the same, in seconds.
    """

    def __init__(
        self,
        form: Format,
        folder: Folder,
        memories: Memories,
        agreed: Mapping[str, Agreed],
        keep: Callable[[Mapping[str, Agreed]], None],
        *,
        deletes: bool = False,
        settle_s: float = SETTLE_S,
    ) -> None:
        self._form = form
        self._folder = folder
        self._memories = memories
        self._agreed = dict(agreed)
        self._keep = keep
        self._deletes = deletes
        self._looks = Looks(form, folder, settle_s)
        self._index = Index(folder, self._agreed, is_used=form.name == claude_code.ClaudeCodeFormat.name)
        self._known: dict[str, Remembered] | None = None
        self._is_recovered = False

    @property
    def equal(self) -> int:
        """The number of files and memories that are equal."""
        return sum(not each.left for each in self._agreed.values())

    def memories_changed(self) -> None:
        """Read the memories again with the next pass."""
        self._known = None

    def run(self, *, dry_run: bool = False, ended: Callable[[], bool] = lambda: False) -> Pass:
        """Make both sides equal. Raises StoreError and OSError; what was done until then is kept.

        Args:
            dry_run: Whether to return what would be done, and change nothing.
            ended: Returns whether to stop in the middle of the pass.
        """
        done = Pass()
        if not dry_run and not self._is_recovered:
            self._folder.recover({each.file for each in self._agreed.values()})
            self._is_recovered = True
        for _ in range(1 if dry_run else ROUNDS):
            done.lines, done.waits = [], False
            actions = reconcile.reconcile(self._sides(done))
            before = dict(self._agreed)
            try:
                for action in actions:
                    if ended():
                        break
                    self._carry_out(action, done, dry_run=dry_run)
            finally:
                if self._agreed != before:
                    self._keep(self._agreed)
            if self._agreed == before or ended():
                break
        return done

    # Looking

    def _sides(self, done: Pass) -> Sides:
        files, unsettled = self._looks.look(self._agreed)
        if self._known is None:
            self._known = self._memories.read()
        named = {*self._agreed, *(file.id for file in files.values() if file.id is not None)}
        done.waits = bool(unsettled)
        return Sides(
            agreed=self._agreed,
            files=files,
            memories=self._known,
            absent=self._memories.absent(named - self._known.keys()),
            unsettled=unsettled,
            deletes=self._deletes,
        )

    # Acting

    def _carry_out(self, action: Action, done: Pass, *, dry_run: bool) -> None:
        path = _path_of(action)
        try:
            is_done = self._check(action) if dry_run else self._act(action)
        except ChangedError:
            done.waits = True  # somebody writes the file just now
        except OSError as exc:
            done.lines.append(MirrorLine(path=path, text=f"it cannot be changed ({exc.strerror or exc})"))
        except (MemcrdtError, ValueError) as exc:
            if isinstance(exc, StoreError) and not isinstance(exc, ReadOnlyError):
                raise
            done.lines.append(MirrorLine(path=path, text=str(exc)))
        else:
            if is_done:
                self._tell(action, done)

    def _check(self, action: Action) -> bool:
        """Raise what refuses an action, without carrying it out. Return whether there is something to tell."""
        match action:
            case AddMemory(file=file) if file.note is not None:
                self._memories.check_add(file.path, file.note, self._looks.modified_ms(file.path))
            case ChangeMemory():
                self._memories.check_change(reconcile.change_of(action))
            case WriteFile(file=file):
                old = None if file is None else self._looks.fresh(file)[1]
                return self._data_of(action, _path_of(action), old) != old
        return True

    def _act(self, action: Action) -> bool:
        """Carry out an action. Return whether there is something to tell."""
        match action:
            case AddMemory():
                self._add(action)
            case ChangeMemory():
                self._change(action)
            case WriteFile():
                return self._write(action)
            case MoveFile():
                self._move(action)
            case Forget():
                self._forget(action)
            case DeleteFile():
                self._delete(action)
            case Agree(id=memory_id, agreed=agreed):
                self._agree(memory_id, agreed)
            case Report():
                pass
        return True

    def _agree(self, memory_id: str, agreed: Agreed | None) -> None:
        if agreed is None:
            self._agreed.pop(memory_id, None)
        else:
            self._agreed[memory_id] = agreed

    def _forget(self, action: Forget) -> None:
        self._memories.forget(action.memory.id, action.memory.heads)
        self._refresh(action.memory.id)
        self._agreed[action.memory.id] = _left(action.agreed)

    def _tell(self, action: Action, done: Pass) -> None:
        text = _WORDS.get(type(action))
        if text is not None:
            done.actions.append(MirrorLine(path=_path_of(action), text=text))
        elif isinstance(action, Report) and MirrorLine(path=action.path, text=action.text) not in done.lines:
            done.lines.append(MirrorLine(path=action.path, text=action.text))

    def _refresh(self, memory_id: str) -> Remembered | None:
        """Read a memory again, and return it."""
        found = self._memories.read([memory_id])
        if self._known is not None:
            self._known.pop(memory_id, None)
            self._known.update(found)
        return found.get(memory_id)

    def _add(self, action: AddMemory) -> None:
        file, _ = self._looks.fresh(action.file)
        if file.note is None:
            raise ChangedError(f"{file.path} was changed")
        modified_ms = self._looks.modified_ms(file.path)
        outcome, memory_id = self._memories.add(file.path, file.note, modified_ms, again=action.again)
        if outcome == "known" and memory_id in self._agreed:  # its file was renamed, and this is another one
            outcome, memory_id = self._memories.add(file.path, file.note, modified_ms, again=True)
        memory = self._refresh(memory_id)
        if outcome == "added" and memory is not None:
            self._agreed[memory_id] = reconcile.agreement(file, memory)
        elif memory is None:
            why: Absence = "forgotten" if outcome == "forgotten" else "elsewhere"
            for each in reconcile.leave(file, memory_id, why, self._agreed.get(memory_id)):
                if isinstance(each, Agree):
                    self._agree(memory_id, each.agreed)
            raise InputError(reconcile.LEFT[why])

    def _change(self, action: ChangeMemory) -> None:
        file, _ = self._looks.fresh(action.file)
        if file.note is None:
            raise ChangedError(f"{file.path} was changed")
        memory_id, agreed = action.memory.id, action.agreed
        revision = self._memories.change(memory_id, reconcile.change_of(replace(action, file=file, note=file.note)))
        memory = self._refresh(memory_id)
        if memory is None:
            return
        heads = agreed.heads if agreed is not None else memory.heads
        if agreed is not None and agreed.path != file.path:
            self._index.moved(agreed.path, file.path)
        self._agreed[memory_id] = replace(
            reconcile.agreement(file, memory),
            memory="",  # the next round writes what the file lacks
            heads=heads if revision is None else (revision,),
            tags=memory.note.tags if agreed is None else agreed.tags,
            keys=tuple(memory.note.metadata) if agreed is None else agreed.keys,
        )

    def _write(self, action: WriteFile) -> bool:
        memory, agreed = action.memory, action.agreed
        old = None if action.file is None else self._looks.fresh(action.file)[1]
        path = self._target(action)
        data = self._data_of(action, path, old)
        if data != old:
            self._folder.write(path, data, old)
        self._index.written(path, data, is_new=old is None or agreed is None, is_changed=data != old)
        self._agreed[memory.id] = reconcile.agreement(self._form.read(path, data), memory)
        return data != old

    def _target(self, action: WriteFile) -> str:
        return self._path_for(action.memory, action.agreed) if action.file is None else action.file.path

    def _data_of(self, action: WriteFile, path: str, old: bytes | None) -> bytes:
        """Return the new bytes of a file. Raises SecretError and ValueError for what no file may have."""
        memory, agreed = action.memory, action.agreed
        note = memory.note
        check_no_secret(note.text, [rival.text for rival in memory.rivals], note.tags, dict(note.metadata))
        data = self._form.write(path, memory, old, agreed)
        if len(data) > FILE_BYTES:
            raise ValueError(f"its file would be larger than {FILE_BYTES // limits.KIB} KiB; see `memcrdt conflicts`")
        if agreed is None and action.file is not None and action.file.problem is not None and data != old:
            raise ValueError(action.file.problem)
        return data

    def _move(self, action: MoveFile) -> None:
        self._looks.fresh(action.file)
        agreed = replace(action.agreed, memory="", memory_path=action.memory.path)
        taken = {folded(path) for path in self._looks.paths if folded(path) != folded(action.file.path)}
        if free_path(action.path, taken, self._form.suffixes, ()) is not None:
            self._folder.move(action.file.path, action.path)
            self._index.moved(action.file.path, action.path)
            agreed = replace(agreed, path=action.path)
        self._agreed[action.memory.id] = agreed

    def _delete(self, action: DeleteFile) -> None:
        _, data = self._looks.fresh(action.file)
        self._folder.delete(action.file.path, data)
        self._agreed[action.agreed.id] = _left(action.agreed)
        self._index.deleted(action.file.path)

    def _path_for(self, memory: Remembered, agreed: Agreed | None) -> str:
        """Return a path for a new file: its last one, the one that the memory names, or one made from its text."""
        seen, refused = self._folder.look()
        taken = {folded(path) for path in (*seen, *refused)}
        taken |= {folded(each.path) for each in self._agreed.values() if each.id != memory.id and each.left != "both"}
        named = self._form.name_for(memory)
        others = (memory.path or named, named, other_name(named, memory.id), f"{memory.id}.md")
        found = free_path(agreed.path if agreed else others[0], taken, self._form.suffixes, others)
        if found is None:
            raise ValueError(f"no file can be named after the memory {memory.id}")
        return found


def _left(agreed: Agreed) -> Agreed:
    """Return the agreement of a file and a memory that are both gone."""
    return Agreed(id=agreed.id, path=agreed.path, file=agreed.file, left="both")


_WORDS: Final[Mapping[type, str]] = {
    AddMemory: "added to the memories",
    ChangeMemory: "changed in the memories",
    WriteFile: "written to the folder",
    MoveFile: "renamed in the folder",
    Forget: "forgotten, because its file was deleted",
    DeleteFile: "deleted from the folder",
}


def _path_of(action: Action) -> str:
    match action:
        case WriteFile(file=None, memory=memory):
            return memory.path or memory.id
        case WriteFile(file=file) if file is not None:
            return file.path
        case AddMemory(file=file) | ChangeMemory(file=file) | MoveFile(file=file) | DeleteFile(file=file):
            return file.path
        case Forget(agreed=agreed):
            return agreed.path
        case Report(path=path):
            return path
    return ""
