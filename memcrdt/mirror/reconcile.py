"""The comparison of a folder and a scope with what both last agreed on. Pure: it returns what to do.

A change is carried to the other side if only one side changed. If both changed, the text of the file becomes a revision
that is made from the revisions that the file showed. So the memory has two competing texts, as if two devices had
written them, and the file then shows both. Nothing is compared by time.

Three rules keep texts from being lost:

- Nothing is deleted or replaced on the word of one side alone: without an agreement, both texts are kept.
- A deletion is carried over only if it is asked for, and only against a side that did not change since.
- An agreement is noted after the change that it speaks of. If a crash comes in between, both sides are found equal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Set
from dataclasses import dataclass, field, replace
from types import EllipsisType
from typing import Any, Final, Literal, TypeAlias

from memcrdt.mirror.names import folded
from memcrdt.mirror.notes import Absence, Agreed, File, Note, Remembered, digest_of

MANY: Final = 10  # deletions at once that are never too many; more have to be less than half of all

GONE_HERE: Final = "the file was deleted, and its memory stays"
LEFT: Final = {
    "forgotten": "its memory was forgotten, so it is not taken again; the file stays",
    "elsewhere": "its memory is no longer in the scope, has expired, or is superseded; the file stays",
}
TOO_MANY: Final = (
    "{count:,} of {total:,} were deleted at once, so nothing is deleted on the other side: was a disk missing, or "
    "another branch checked out? Remove the mirror and add it again to bring all of them back, or forget the memories "
    "with `memcrdt forget`"
)


@dataclass(frozen=True, slots=True)
class AddMemory:
    """Add the memory of a new file. `again`: an earlier memory of the file is gone, and so was the file."""

    file: File
    note: Note
    again: bool = False


@dataclass(frozen=True, slots=True)
class ChangeMemory:
    """Carry what changed in a file to its memory. Without an agreement, its text competes with that of the memory."""

    file: File
    note: Note
    memory: Remembered
    agreed: Agreed | None


@dataclass(frozen=True, slots=True)
class WriteFile:
    """Write the file of a memory. `file` is the present one, which has to be unchanged; None for a new file.

    A file that cannot be taken is only compared: if it is not what would be written, it stays.
    """

    memory: Remembered
    file: File | None
    agreed: Agreed | None


@dataclass(frozen=True, slots=True)
class MoveFile:
    """Rename a file as its memory was renamed on another device."""

    file: File
    memory: Remembered
    agreed: Agreed
    path: str


@dataclass(frozen=True, slots=True)
class Forget:
    """Forget the memory of a deleted file."""

    memory: Remembered
    agreed: Agreed


@dataclass(frozen=True, slots=True)
class DeleteFile:
    """Delete the file of a memory that is gone."""

    file: File
    agreed: Agreed


@dataclass(frozen=True, slots=True)
class Agree:
    """Note an agreement; None drops that of the memory."""

    id: str
    agreed: Agreed | None


@dataclass(frozen=True, slots=True)
class Report:
    """Tell the user about a file or a memory that is left as it is."""

    path: str
    text: str


Action: TypeAlias = AddMemory | ChangeMemory | WriteFile | MoveFile | Forget | DeleteFile | Agree | Report


@dataclass(frozen=True, slots=True, kw_only=True)
class Sides:
    """What is compared.

    Attributes:
        agreed: The last agreements, by memory.
        files: The files by path.
        memories: The memories of the scope, by id.
        absent: Why other memories, which agreements or files name, are not in the scope.
        unsettled: Paths of files that may be about to change: being written, or missing only for a moment.
        deletes: Whether deletions are carried over.
    """

    agreed: Mapping[str, Agreed]
    files: Mapping[str, File]
    memories: Mapping[str, Remembered]
    absent: Mapping[str, Absence]
    unsettled: Set[str] = frozenset()
    deletes: bool = False


def reconcile(sides: Sides) -> list[Action]:
    """Return the actions that make both sides equal, in a stable order. Each is safe without the others."""
    paired = pair(sides)
    taken = {file.path for file in paired.values()}
    actions: list[Action] = []
    for memory_id in sorted({*sides.agreed, *sides.memories}):
        actions += _of_memory(sides, memory_id, paired.get(memory_id))
    for path in sorted(sides.files.keys() - taken - sides.unsettled):
        actions += _of_new_file(sides, sides.files[path])
    return _without_many_deletions(actions, len(sides.agreed))


def pair(sides: Sides) -> dict[str, File]:
    """Return the file of each memory that has one.

    The first of these decides: the agreement, the path in the memory, the id in the file, equal bytes at another path
    (the file was renamed), a path that differs in its letters only, and the same text. A file may be a copy, and name
    another memory than its own: then only the first two count.
    """
    files = dict(sides.files)
    paired: dict[str, File] = {}
    named = {*sides.agreed, *sides.memories, *(each for each, why in sides.absent.items() if why != "unknown")}

    def take(memory_id: str, path: str, *, is_named: bool = False) -> None:
        file = files.get(path)
        if memory_id in paired or file is None:
            return
        if is_named or file.id == memory_id or file.id not in named:
            paired[memory_id] = files.pop(path)

    def is_moved_here(agreed: Agreed) -> bool:
        """Return whether the file of another memory was moved to the path of this one."""
        file = files.get(agreed.path)
        other = None if file is None or file.id == agreed.id else sides.agreed.get(file.id or "")
        return other is not None and other.path not in sides.files and file is not None and file.digest != agreed.file

    def first(key: Callable[[File], str]) -> dict[str, str]:
        """Return the paths of the files that are left, by another key; of several, the first path."""
        return {key(files[path]): path for path in sorted(files, reverse=True)}

    new = [memory for memory in sides.memories.values() if memory.id not in sides.agreed]
    for agreed in sides.agreed.values():
        if not is_moved_here(agreed):
            take(agreed.id, agreed.path, is_named=True)
    for memory in new:
        take(memory.id, memory.path or "", is_named=True)
    for path, file in sorted(sides.files.items()):
        if file.id is not None and (file.id in sides.agreed or file.id in sides.memories):
            take(file.id, path)
    renamed = first(lambda file: file.digest)
    for agreed in sides.agreed.values():
        take(agreed.id, renamed.get(agreed.file, ""))
    by_path, by_text = first(lambda file: folded(file.path)), first(lambda file: file.note.text if file.note else "")
    for memory in new:
        take(memory.id, by_path.get(folded(memory.path or ""), ""))
        take(memory.id, by_text.get(memory.note.text, ""))
    return paired


def said_by(file: File) -> Note:
    """Return what a file says, with the hash of its text as the text: agreements hold no texts."""
    return Note(text="") if file.note is None else replace(file.note, text=digest_of(file.note.text))


def agreement(file: File, memory: Remembered) -> Agreed:
    """Return the agreement of a file and a memory that are equal."""
    return Agreed(
        id=memory.id,
        path=file.path,
        file=file.digest,
        memory=memory.digest,
        heads=memory.heads,
        said=said_by(file),
        tags=memory.note.tags,
        keys=tuple(memory.note.metadata),
        memory_path=memory.path,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class NoteChange:
    """What a file changes in its memory. None changes nothing.

    Attributes:
        text: The new text.
        base: The revisions from which the text was made; empty if they are not known, so that it competes with all.
        kind: The new kind, or `...` for the present one.
        metadata: The entries to write; None removes one.
        path: The new path.
    """

    text: str | None = None
    base: tuple[str, ...] = ()
    kind: str | EllipsisType | None = ...
    add_tags: tuple[str, ...] = ()
    remove_tags: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    path: str | None = None


def change_of(action: ChangeMemory) -> NoteChange:
    """Return what a file changes in its memory since they agreed. Without an agreement, it only adds."""
    note, memory, agreed = action.note, action.memory, action.agreed
    held = memory.note
    if agreed is None:
        is_new = note.text not in (held.text, *(rival.text for rival in memory.rivals))
        return NoteChange(
            text=note.text if is_new else None,
            kind=note.kind if held.kind is None else ...,
            add_tags=tuple(tag for tag in note.tags if tag not in held.tags),
            metadata={name: value for name, value in note.metadata.items() if name not in held.metadata},
            path=action.file.path if memory.path is None else None,
        )
    said = agreed.said
    changed = {name: value for name, value in note.metadata.items() if said.metadata.get(name) != value}
    return NoteChange(
        text=note.text if digest_of(note.text) != said.text else None,
        base=agreed.heads,
        kind=note.kind if note.kind != said.kind else ...,
        add_tags=tuple(tag for tag in note.tags if tag not in said.tags),
        remove_tags=tuple(tag for tag in said.tags if tag not in note.tags),
        metadata={**changed, **dict.fromkeys(said.metadata.keys() - note.metadata.keys())},
        path=action.file.path if action.file.path != agreed.path else None,
    )


def _of_memory(sides: Sides, memory_id: str, file: File | None) -> Iterable[Action]:
    agreed, memory = sides.agreed.get(memory_id), sides.memories.get(memory_id)
    paths = {each.path for each in (file, agreed) if each is not None}
    if paths & sides.unsettled:
        return
    if memory is None:
        if agreed is not None:
            yield from _of_absent(sides, agreed, file)
    elif file is None or (agreed is not None and _is_empty(file) and file.digest != agreed.file):
        yield from _of_missing_file(sides, memory, file, agreed)
    elif agreed is None:
        yield from _of_pair_without_agreement(file, memory)
    else:
        yield from _of_pair(file, memory, agreed)


def _of_pair(file: File, memory: Remembered, agreed: Agreed) -> Iterable[Action]:
    changed_here, changed_there = file.digest != agreed.file, memory.digest != agreed.memory
    if changed_here and file.problem is not None:
        yield Report(file.path, file.problem)
    elif changed_here or file.path != agreed.path:
        if file.note is None:
            yield Report(file.path, file.problem or "it is empty")
        elif changed_there and _is_equal(file.note, memory):
            yield Agree(memory.id, agreement(file, memory))
        else:
            yield ChangeMemory(file, file.note, memory, agreed)
    elif changed_there:
        if memory.path not in (None, agreed.memory_path, file.path):
            yield MoveFile(file, memory, agreed, memory.path or "")
        else:
            yield WriteFile(memory, file, agreed)
    elif agreed.left:
        yield Agree(memory.id, replace(agreed, left=""))


def _of_pair_without_agreement(file: File, memory: Remembered) -> Iterable[Action]:
    """Both sides are kept: an equal file is agreed on, an empty one is written, and another text competes."""
    if file.problem is not None and not memory.rivals:
        yield Report(file.path, file.problem)
    elif file.note is None:
        yield WriteFile(memory, file, None)
    elif _is_equal(file.note, memory):
        yield WriteFile(memory, file, None)  # writes nothing if the file is the same
    else:
        yield ChangeMemory(file, file.note, memory, None)


def _of_missing_file(sides: Sides, memory: Remembered, file: File | None, agreed: Agreed | None) -> Iterable[Action]:
    """The file of a memory is missing, or was emptied."""
    if agreed is None:
        yield WriteFile(memory, file, None)
    elif memory.digest != agreed.memory:
        yield WriteFile(memory, file, agreed)  # a change outlives a deletion
    elif sides.deletes:
        yield Forget(memory, agreed)
    elif agreed.left != "file":
        yield Agree(memory.id, replace(agreed, left="file"))
        yield Report(agreed.path, GONE_HERE)


def _of_absent(sides: Sides, agreed: Agreed, file: File | None) -> Iterable[Action]:
    """The memory of an agreement is not in the scope."""
    why = sides.absent.get(agreed.id, "unknown")
    if file is None or _is_empty(file):
        if agreed.left != "both":
            yield Agree(agreed.id, None if why == "unknown" else _of_left(agreed.id, agreed.path, agreed.file, "both"))
    elif agreed.left == "both" and file.digest != agreed.file and file.id != agreed.id:
        yield Agree(agreed.id, None)  # the file was gone, and this is another one
        yield from _of_new_file(sides, file, again=True)
    elif why == "unknown":  # an older store was restored: the file is the only copy
        yield Agree(agreed.id, None)
        yield from _of_new_file(sides, file)
    elif sides.deletes and file.digest == agreed.file and agreed.left in ("", "memory"):
        yield DeleteFile(file, agreed)
    else:
        yield from leave(file, agreed.id, why, agreed)


def _of_new_file(sides: Sides, file: File, *, again: bool = False) -> Iterable[Action]:
    why = sides.absent.get(file.id or "", "unknown")
    if file.problem is not None:
        yield Report(file.path, file.problem)
    elif file.id in sides.agreed and why != "unknown":  # a copy of a file that is left
        yield Report(file.path, LEFT[why])
    elif file.id is not None and why != "unknown":
        yield from leave(file, file.id, why, None)
    elif file.note is not None:
        yield AddMemory(file, file.note, again)


def leave(file: File, memory_id: str, why: Absence, agreed: Agreed | None) -> Iterable[Action]:
    """Leave a file without its memory. Nothing but the hash of the file is kept of what both said."""
    if agreed is None or agreed.left in ("unagreed", "both"):
        left = _of_left(memory_id, file.path, file.digest, "unagreed")
    else:
        left = _of_left(memory_id, file.path, agreed.file, "memory")
    if agreed != left:
        yield Agree(memory_id, left)
    yield Report(file.path, LEFT[why])


def _of_left(memory_id: str, path: str, digest: str, left: Literal["memory", "unagreed", "both"]) -> Agreed:
    return Agreed(id=memory_id, path=path, file=digest, left=left)


def _is_empty(file: File) -> bool:
    return file.note is None and file.problem is None


def _is_equal(note: Note, memory: Remembered) -> bool:
    """Return whether a memory has the text and everything else that a file says."""
    held = memory.note
    return (
        not memory.rivals
        and note.text == held.text
        and note.kind in (None, held.kind)
        and set(note.tags) <= set(held.tags)
        and all(held.metadata.get(name) == value for name, value in note.metadata.items())
    )


def _without_many_deletions(actions: list[Action], total: int) -> list[Action]:
    """Return the actions without the deletions of a side where more than half of all is gone at once."""
    for kind, side in ((Forget, "files"), (DeleteFile, "memories")):
        count = sum(isinstance(action, kind) for action in actions)
        if count > max(MANY, total // 2):
            actions = [action for action in actions if not isinstance(action, kind)]
            actions.append(Report("", f"of the {side}, " + TOO_MANY.format(count=count, total=total)))
    return actions
