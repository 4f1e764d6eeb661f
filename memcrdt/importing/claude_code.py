"""The memory of Claude Code: the folders that it writes itself, and CLAUDE.md files.

A folder `projects/SLUG/memory` has `MEMORY.md`, an index with a line `- [Title](file.md): description` for each other
file, and those files, with the front matter `name`, `description` and `metadata: {type}` (older: `type` beside them).
A file becomes one memory. Of MEMORY.md and CLAUDE.md each section becomes one, without the lines of the index.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, Final

from memcrdt.errors import InputError
from memcrdt.importing.folders import TextFile, text_files
from memcrdt.importing.front_matter import read_front_matter
from memcrdt.importing.markdown import section_items, titled
from memcrdt.importing.rows import Item, time_of

FOLDER: Final = ".claude"  # in the home of the user

_MEMORY: Final = "memory"  # the name of the folder below the folder of a project
_BY_SECTION: Final = frozenset(("MEMORY.md", "CLAUDE.md", "CLAUDE.local.md"))
_INDEX_LINE: Final = re.compile(r"^[ \t]*[-*] \[[^\]\n]*\]\([^)\n]+\.md\).*\n?", re.MULTILINE)


def items(path: Path) -> Iterator[Item]:
    """Yield the items of a memory folder, of a CLAUDE.md, or of the whole folder of Claude Code. Raises OSError."""
    path = path.absolute()
    projects = path / "projects"
    if not projects.is_dir():
        yield from _folder(path, path.parent.name if path.name == _MEMORY else "")
        return
    if (path / "CLAUDE.md").is_file():
        yield from _folder(path / "CLAUDE.md", "")
    for project in sorted(projects.iterdir()):
        if (project / _MEMORY).is_dir() and not project.is_symlink():
            yield from _folder(project / _MEMORY, project.name)


def _folder(path: Path, project: str) -> Iterator[Item]:
    for file in text_files(path, (".md",)):
        name = "/".join(filter(None, (project, file.name.removeprefix(f"{_MEMORY}/"))))
        if isinstance(file.text, InputError):
            yield Item(name, file.text)
        elif PurePosixPath(name).name in _BY_SECTION:
            kind = "instruction" if "CLAUDE" in PurePosixPath(name).name else None
            text = _INDEX_LINE.sub("", file.text)
            yield from section_items(name, text, file.changed_at, kind=kind, metadata=_metadata(name, project))
        else:
            yield Item(name, _topic(name, file, file.text, project))


def _topic(name: str, file: TextFile, text: str, project: str) -> dict[str, Any]:
    fields, body = read_front_matter(text)
    nested = fields["metadata"] if isinstance(fields.get("metadata"), dict) else {}
    title, description = (str(fields.get(each, "")).strip() for each in ("name", "description"))
    changed_at = time_of(nested.get("modified")) or time_of(file.changed_at)
    body = "\n\n".join(filter(None, (description, body.strip())))
    return {
        "text": titled(title, body) if title else body,
        "key": name,
        "kind": str(nested.get("type") or fields.get("type") or "") or None,
        "created_at": changed_at,
        "updated_at": changed_at,
        "metadata": _metadata(name, project),
    }


def _metadata(name: str, project: str) -> dict[str, Any]:
    return {"path": name, **({"project": project} if project else {})}
