"""The memory folder of Claude Code: topic files, and the index MEMORY.md, of which it loads the beginning.

A topic file has `name`, `description` and `metadata: {type}` in its front matter. Its memory has the description and
the body as its text, the type as its kind, and the name as `title` in its metadata. MEMORY.md has a line
`- [Title](file.md): description` for each topic file, which the mirror keeps for the files that it writes. What else
MEMORY.md says is a memory too.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from typing import Any, Final

from memcrdt.importing.own import FIELD
from memcrdt.mirror.markdown import MARKS, checked, own_id, parse
from memcrdt.mirror.names import plain_name
from memcrdt.mirror.notes import Agreed, File, Note, Remembered, digest_of
from memcrdt.mirror.text_file import EditableFile, has_marks, text_with_rivals

INDEX: Final = "MEMORY.md"
TITLE: Final = "title"

_INDEX_LINE: Final = re.compile(r"[ \t]*[-*] \[[^\]\n]*\]\(([^)\n]+\.md)\)")
_HEADINGS: Final = re.compile(r"(?:\s*#{1,6}(?:\s[^\n]*)?(?:\n|\Z))*\s*")
_TYPE: Final = re.compile(r"^([ \t]+type:[ \t]*)[^\n]*$", re.MULTILINE)
_DESCRIPTION_CHARS: Final = 150
_BLOCKS: Final = ("#", "-", "*", ">", "|", "`")  # with which the first line of a text is no description
_NOT_IN_NAMES: Final = re.compile(r"[^\w-]+")
_NOT_IN_LINES: Final = re.compile(r"[\[\]()\s]+")


class ClaudeCodeFormat:
    """Topic files and the index. Implements Format."""

    name = "claude-code"
    suffixes: tuple[str, ...] = (".md",)

    def read(self, path: str, data: bytes) -> File:
        digest = digest_of(data)
        try:
            parsed = parse(data)
        except ValueError as exc:
            return File(path=path, digest=digest, problem=str(exc))
        if has_marks(parsed.body):
            return File(path=path, digest=digest, id=own_id(parsed), problem=MARKS)
        note = _prose(parsed.body) if path == INDEX else _topic(parsed)
        return File(path=path, digest=digest, id=own_id(parsed), note=note)

    def write(self, path: str, memory: Remembered, old: bytes | None, agreed: Agreed | None) -> bytes:
        file = EditableFile() if old is None else EditableFile.parse(old)
        text = text_with_rivals(memory)
        if path == INDEX:
            file.body = _with_prose(file.body, text)
            return file.to_bytes()
        before = _topic(file) or Note(text="")
        title = memory.note.metadata.get(TITLE)
        if old is None:
            file.set_field("name", title or plain_name(_first_line(memory.note.text)))
        elif title and title != before.metadata.get(TITLE):
            file.set_field("name", title)
        if before.text != text or old is None:
            _set_text(file, text, memory.note.text)
        if old is None:
            file.set_field("metadata", {"node_type": "memory", "type": memory.note.kind or "project"})
            file.set_field(FIELD, memory.id)
        elif memory.note.kind != before.kind and memory.note.kind is not None:
            _set_kind(file, memory.note.kind)
        return file.to_bytes()

    def name_for(self, memory: Remembered) -> str:
        title = memory.note.metadata.get(TITLE)
        name = plain_name(title if isinstance(title, str) else _first_line(memory.note.text))
        slug = _NOT_IN_NAMES.sub("_", name).strip("_").lower()
        return f"{slug or 'memory'}.md"

    def held(self, kind: str | None, tags: tuple[str, ...], metadata: Mapping[str, Any], text: str) -> Note:
        title = metadata.get(TITLE)
        return Note(text=text, kind=kind, metadata={TITLE: title} if isinstance(title, str) else {})


def with_line(index: bytes | None, path: str, topic: bytes) -> bytes:
    """Return MEMORY.md with the line of a topic file: added at the end of the others, or with its new description."""
    file, about = EditableFile() if index is None else EditableFile.parse(index), EditableFile.parse(topic)
    title = _in_line(str(about.fields.get("name") or path.removesuffix(".md")))
    description = _in_line(str(about.fields.get("description") or _first_line(about.text)))
    line = f"- [{title}]({path})" + (f": {description}" if description else "")
    lines = file.body.rstrip("\n").split("\n") if file.body.strip() else []
    places = [at for at, each in enumerate(lines) if _INDEX_LINE.match(each)]
    for at in places:
        if _named(lines[at]) == path:
            lines[at] = line
            break
    else:
        lines.insert(places[-1] + 1 if places else len(lines), line)
    file.body = "\n".join(lines) + "\n"
    return file.to_bytes()


def without_line(index: bytes, path: str) -> bytes:
    """Return MEMORY.md without the line of a file."""
    file = EditableFile.parse(index)
    file.body = "".join(line for line in file.body.splitlines(keepends=True) if _named(line) != path)
    return file.to_bytes()


def has_line(index: bytes | None, path: str) -> bool:
    """Return whether MEMORY.md has a line for a file."""
    return index is not None and any(_named(line) == path for line in EditableFile.parse(index).body.splitlines())


def _named(line: str) -> str | None:
    found = _INDEX_LINE.match(line)
    return found[1].removeprefix("./") if found else None


def _topic(file: EditableFile) -> Note | None:
    description = _line(file.fields.get("description"))
    begins = description.removesuffix("…").rstrip()
    body = file.text
    if not body and not description:
        return None
    text = body if begins and _on_one_line(body).startswith(begins) else f"{description}\n\n{body}".strip()
    nested = file.fields.get("metadata")
    kind = nested.get("type") if isinstance(nested, dict) else None
    title = _line(file.fields.get("name"))
    metadata = {TITLE: title} if title else {}
    return checked({"text": text, "kind": kind or file.fields.get("type"), "tags": (), "metadata": metadata})


def _set_text(file: EditableFile, text: str, shown: str) -> None:
    """Write a text as description and body. The description stays if the text still begins with it."""
    description = _line(file.fields.get("description"))
    first, _, rest = text.partition("\n\n")
    is_line = text == shown and _line(first) == first and len(first) <= 2 * _DESCRIPTION_CHARS
    if first != description and is_line and not first.startswith(_BLOCKS):
        file.set_field("description", description := first)
    if description and first == description and rest.strip():
        file.set_text(rest.strip())
    else:
        file.set_field("description", _clipped(_on_one_line(shown)))
        file.set_text(text)


def _set_kind(file: EditableFile, kind: str) -> None:
    if isinstance(file.fields.get("metadata"), dict) and _TYPE.search(file.head):
        plain = EditableFile()
        plain.set_field("type", kind)
        value = plain.head.split("\n")[1].removeprefix("type: ")
        file.head = _TYPE.sub(lambda found: found[1] + value, file.head, count=1)
    elif isinstance(file.fields.get("metadata"), dict):
        file.set_field("metadata", {**file.fields["metadata"], "type": kind})
    else:
        file.set_field("type", kind)


def _prose(body: str) -> Note | None:
    """Return what MEMORY.md says beside its index; None if that is nothing but headings."""
    text = "".join(line for line in body.splitlines(keepends=True) if _named(line) is None).strip()
    return None if _HEADINGS.fullmatch(text) else Note(text=text)


def _with_prose(body: str, text: str) -> str:
    """Return MEMORY.md with another text beside its index. The lines of the index stay where they are in the text."""
    above: list[str] = []  # lines of the index before any other line
    groups: list[list[str]] = []  # each other line, and the lines of the index after it
    for line in body.rstrip("\n").split("\n") if body.strip() else []:
        if _named(line) is None:
            groups.append([line])
        else:
            (groups[-1] if groups else above).append(line)
    result = above
    new = text.split("\n")
    matcher = difflib.SequenceMatcher(a=[group[0] for group in groups], b=new, autojunk=False)
    for change, start, end, first, last in matcher.get_opcodes():
        if change != "equal":
            result += new[first:last]
        for group in groups[start:end]:
            result += group if change == "equal" else group[1:]
    return "\n".join(result) + "\n"


def _on_one_line(text: str) -> str:
    return " ".join(text.lstrip("# ").split())


def _line(value: object) -> str:
    return " ".join(str(value).split()) if isinstance(value, (str, int, float)) else ""


def _first_line(text: str) -> str:
    return text.lstrip().partition("\n")[0].lstrip("#").strip()


def _in_line(text: str) -> str:
    return _clipped(_NOT_IN_LINES.sub(" ", "".join(c for c in text if c.isprintable())).strip())


def _clipped(text: str) -> str:
    if len(text) <= _DESCRIPTION_CHARS:
        return text
    return (text[:_DESCRIPTION_CHARS].rpartition(" ")[0] or text[:_DESCRIPTION_CHARS]) + "…"
