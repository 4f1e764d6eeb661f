"""The memory of Claude Code: the folders that it writes itself, and CLAUDE.md files.

A folder `projects/SLUG/memory` has `MEMORY.md`, an index with a line `- [Title](file.md): description` for each other
file, and those files, with the front matter `name`, `description` and `metadata: {type}` (older: `type` beside them).
A file becomes one memory. Of MEMORY.md and CLAUDE.md each section becomes one, without the lines of the index.

SLUG is the path of the project with a dash for every other character than a letter or digit. So the project is found by
the `cwd` in a transcript beside the memory, or else by the only folder of this machine that has such a path.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, Final, NamedTuple

from memcrdt.errors import InputError
from memcrdt.importing.folders import TextFile, text_files
from memcrdt.importing.front_matter import read_front_matter
from memcrdt.importing.markdown import section_items, titled
from memcrdt.importing.rows import Item, project_scope, time_of
from memcrdt.importing.transcripts import lines as transcript_lines
from memcrdt.projects import git_root, project_of_folder

FOLDER: Final = ".claude"  # in the home of the user

_NO_SLUG: Final = re.compile(r"[^A-Za-z0-9]")
_TRANSCRIPTS: Final = 20  # to look into
_LINES: Final = 50  # of each of them
_LOOKED: Final = 200  # folders in which a slug is looked for
_MEMORY: Final = "memory"  # the name of the folder below the folder of a project
_BY_SECTION: Final = frozenset(("MEMORY.md", "CLAUDE.md", "CLAUDE.local.md"))
_INDEX_LINE: Final = re.compile(r"^[ \t]*[-*] \[[^\]\n]*\]\([^)\n]+\.md\).*\n?", re.MULTILINE)


class _Project(NamedTuple):
    """A project.

    Attributes:
        slug: Its name for Claude Code; empty outside of projects.
        scope: Its scope as an argument of an import, if it is known.
    """

    slug: str
    scope: dict[str, str]


_NO_PROJECT: Final = _Project("", {})


def items(path: Path) -> Iterator[Item]:
    """Yield the items of a memory folder, of a CLAUDE.md, or of the whole folder of Claude Code. Raises OSError."""
    path = path.absolute()
    projects = path / "projects"
    if not projects.is_dir():
        yield from _folder(path, _project(path.parent) if path.name == _MEMORY else _NO_PROJECT)
        return
    if (path / "CLAUDE.md").is_file():
        yield from _folder(path / "CLAUDE.md", _NO_PROJECT)
    for project in sorted(projects.iterdir()):
        if (project / _MEMORY).is_dir() and not project.is_symlink():
            yield from _folder(project / _MEMORY, _project(project))


def _folder(path: Path, project: _Project) -> Iterator[Item]:
    for file in text_files(path, (".md",)):
        name = "/".join(filter(None, (project.slug, file.name.removeprefix(f"{_MEMORY}/"))))
        if isinstance(file.text, InputError):
            yield Item(name, file.text)
        elif PurePosixPath(name).name in _BY_SECTION:
            kind = "instruction" if "CLAUDE" in PurePosixPath(name).name else None
            text = _INDEX_LINE.sub("", file.text)
            for item, given in section_items(name, text, file.changed_at, kind=kind, metadata=_metadata(name, project)):
                yield Item(item, given if isinstance(given, InputError) else {**given, **project.scope})
        else:
            yield Item(name, _topic(name, file, file.text, project))


def _topic(name: str, file: TextFile, text: str, project: _Project) -> dict[str, Any]:
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
        **project.scope,
    }


def _metadata(name: str, project: _Project) -> dict[str, Any]:
    return {"path": name, **({"project": project.slug} if project.slug else {})}


def _project(folder: Path) -> _Project:
    """Return the project of a folder in `projects`."""
    cwd = _cwd(folder)
    place = None if cwd else _folder_with_slug(folder.name)
    return _Project(folder.name, scope_of(cwd or str(place or "")))


def scope_of(cwd: str) -> dict[str, str]:
    """Return the scope of a working folder as an argument of an import, or nothing if it has none.

    Of a folder of another machine, or one that is gone, only the name is known.
    """
    place = Path(cwd)
    is_here = bool(cwd) and place.is_dir()
    name = project_of_folder(git_root(place) or place) if is_here else PureWindowsPath(cwd).name  # knows both slashes
    return project_scope(name) if name else {}


def _cwd(folder: Path) -> str:
    """Return the working folder that a transcript names, or an empty text."""
    try:
        transcripts = sorted(file for file in folder.iterdir() if file.suffix == ".jsonl" and file.is_file())
    except OSError:
        return ""
    for file in transcripts[-_TRANSCRIPTS:]:
        with suppress(InputError):
            for line in transcript_lines(file, _LINES):
                if isinstance(cwd := line.get("cwd"), str) and slug_of(cwd) == folder.name:
                    return cwd
    return ""


def slug_of(path: str) -> str:
    """Return the name that Claude Code gives the folder of a project.

    Example:
        >>> slug_of("/home/ada/acme.org")
        '-home-ada-acme-org'
    """
    return _NO_SLUG.sub("-", path)


def _folder_with_slug(slug: str) -> Path | None:
    """Return the folder of this machine with this slug, or None if there is none, or several."""
    found, looked = [], 0
    waiting = [Path(Path.cwd().anchor)]
    while waiting and looked < _LOOKED:
        folder = waiting.pop()
        looked += 1
        try:
            below = [each for each in folder.iterdir() if slug.startswith(slug_of(str(each))) and each.is_dir()]
        except OSError:
            continue
        found += [each for each in below if slug_of(str(each)) == slug]
        waiting += below
    return found[0] if len(found) == 1 else None
