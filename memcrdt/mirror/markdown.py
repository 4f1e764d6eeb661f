"""A folder of Markdown notes, such as a vault of Obsidian: one file a memory.

The body is the text, `type` the kind, `tags` the tags, and the other fields of the front matter are metadata. A note
without an id was made by a person: its title, if it is only in its name, begins the text of the memory. A file
that the mirror made names its memory in the field `memcrdt`, and its body is the whole text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any, Final

from memcrdt.importing.markdown import PROSE_TAG, without_code
from memcrdt.importing.markdown import titled as with_title
from memcrdt.importing.own import DATED, FIELD
from memcrdt.importing.rows import within_limits
from memcrdt.mirror.names import plain_name
from memcrdt.mirror.notes import Agreed, File, Note, Remembered, digest_of
from memcrdt.mirror.text_file import FILE_BYTES, EditableFile, has_marks, text_with_rivals
from memcrdt.model import limits
from memcrdt.model.ids import is_ulid
from memcrdt.model.normalization import nfc

MARKS: Final = "it still has the marks of two competing texts; leave what is right, and delete the lines with the marks"

_TAGS: Final = ("tags", "tag")
# Fields with a meaning of their own. Dates stay in the file: they change with every edit of some editors.
_DATES: Final = ("created", "created_at", "date created", "updated", "updated_at", "modified", "date modified", "date")
_RESERVED: Final = frozenset((FIELD, "type", *_TAGS, *_DATES, "path"))


class MarkdownFormat:
    """Notes of a folder. Implements Format."""

    name = "markdown"
    suffixes: tuple[str, ...] = (".md", ".markdown")

    def read(self, path: str, data: bytes) -> File:
        digest = digest_of(data)
        try:
            parsed = parse(data)
        except ValueError as exc:
            return File(path=path, digest=digest, problem=str(exc))
        memory_id = own_id(parsed)
        if has_marks(parsed.body):
            return File(path=path, digest=digest, id=memory_id, problem=MARKS)
        return File(path=path, digest=digest, id=memory_id, note=_note(path, parsed))

    def write(self, path: str, memory: Remembered, old: bytes | None, agreed: Agreed | None) -> bytes:
        file = EditableFile() if old is None else EditableFile.parse(old)
        before = _note(path, file) or Note(text="")
        if old is None:
            file.set_field(FIELD, memory.id)
        text = text_with_rivals(memory)
        if before.text != text or old is None:
            file.set_text(_without_title(path, file, text))
        if memory.note.kind != before.kind:
            file.set_field("type", memory.note.kind)
        self._write_tags(file, memory, agreed)
        removed = set() if agreed is None else set(agreed.keys) - memory.note.metadata.keys()
        for name in sorted({*memory.note.metadata, *(removed & before.metadata.keys())} - _RESERVED):
            value = memory.note.metadata.get(name)
            if value != before.metadata.get(name):
                file.set_field(name, value)
        return file.to_bytes()

    def name_for(self, memory: Remembered) -> str:
        first = memory.note.text.lstrip().partition("\n")[0].lstrip("#").strip()
        return f"{plain_name(first)}.md"

    def held(self, kind: str | None, tags: tuple[str, ...], metadata: Mapping[str, Any], text: str) -> Note:
        kept = {name: value for name, value in metadata.items() if name not in _RESERVED}
        return Note(text=text, kind=kind, tags=tags, metadata=kept)

    def _write_tags(self, file: EditableFile, memory: Remembered, agreed: Agreed | None) -> None:
        name, listed = _listed_tags(file)
        inline, tags = _inline_tags(file.body), _plain_tags(memory.note.tags)
        removed = set() if agreed is None else set(_plain_tags(agreed.tags)) - set(tags)
        wanted = [tag for tag in listed if tag not in removed]
        wanted += [tag for tag in tags if tag not in (*wanted, *inline)]
        if wanted != listed:
            file.set_field(name, wanted or None)


def parse(data: bytes) -> EditableFile:
    """Return the parts of a file within the limits. Raises ValueError with the reason."""
    if len(data) > FILE_BYTES:
        raise ValueError(f"it is larger than {FILE_BYTES // limits.KIB} KiB; split it into several notes")
    parsed = EditableFile.parse(data)
    if len(parsed.text.encode()) > limits.TEXT_BYTES:
        raise ValueError(f"its text is larger than {limits.TEXT_BYTES // limits.KIB} KiB; split it into several notes")
    return parsed


def own_id(file: EditableFile) -> str | None:
    """Return the id of the memory that a file names, or None."""
    said = file.fields.get(FIELD)
    return said if is_ulid(said) else None


def checked(note: Mapping[str, Any]) -> Note:
    """Return a note without the tags and fields that a memory cannot have."""
    kept = within_limits({"key": "", **note})
    return Note(text=note["text"], kind=kept.get("kind"), tags=tuple(kept["tags"]), metadata=kept["metadata"])


def _note(path: str, file: EditableFile) -> Note | None:
    if not file.text:
        return None
    is_export = own_id(file) is not None and "created_at" in file.fields  # of `memcrdt export --format markdown`
    left_out = _RESERVED.union(DATED) if is_export else _RESERVED
    fields = {name: value for name, value in file.fields.items() if name not in left_out and value not in ("", [], {})}
    title = _title(path, file)
    return checked(
        {
            "text": with_title(title, file.text) if title else file.text,
            "kind": file.fields.get("type") or file.fields.get("kind"),
            "tags": [*_listed_tags(file)[1], *_inline_tags(file.body)],
            "metadata": fields,
        }
    )


def _title(path: str, file: EditableFile) -> str:
    """Return the title of a note that a person made; empty for a file of the mirror, and below a heading."""
    if own_id(file) is not None or file.text.startswith("# "):
        return ""
    said = file.fields.get("title")
    return " ".join(said.split()) if isinstance(said, str) and said.strip() else PurePosixPath(path).stem


def _without_title(path: str, file: EditableFile, text: str) -> str:
    """Return the text of a memory as the body of a file whose title is in its name or its front matter."""
    title = _title(path, file)
    heading, _, rest = text.partition("\n")
    if title and heading == f"# {title}" and rest.strip() and with_title(title, rest) == text:
        return rest.strip()
    return text


def _listed_tags(file: EditableFile) -> tuple[str, list[str]]:
    """Return the name of the field with the tags, and the tags."""
    name = next((name for name in _TAGS if name in file.fields), _TAGS[0])
    given = file.fields.get(name)
    listed: Iterable[Any] = given if isinstance(given, list) else re.split(r"[,\s]+", given) if given else ()
    return name, _plain_tags(tag for tag in listed if isinstance(tag, (str, int, float)))


def _plain_tags(tags: Iterable[Any]) -> list[str]:
    plain = (nfc(str(tag).strip().removeprefix("#")) for tag in tags)
    return list(dict.fromkeys(tag for tag in plain if tag))


def _inline_tags(body: str) -> list[str]:
    return _plain_tags(PROSE_TAG.findall(without_code(body)))
