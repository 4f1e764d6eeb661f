"""Where Claude Code keeps the memory of a project, and the scope that it is mirrored with."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from memcrdt.errors import InputError
from memcrdt.mirror.claude_code import INDEX
from memcrdt.model.scopes import PROJECT, named
from memcrdt.projects import git_root, project_of_folder

CONFIG_VARIABLE: Final = "CLAUDE_CONFIG_DIR"  # the folder of Claude Code, if it is not ~/.claude

_MEMORY: Final = "memory"


def claude_code_folder(project: Path, environ: Mapping[str, str]) -> Path:
    """Return the folder in which Claude Code keeps its memory of a project. It need not exist.

    Args:
        project: A folder of the project, or the memory folder itself.
        environ: The environment variables.

    Raises:
        InputError: The folder of the project does not exist, or this user has no home folder.
    """
    place = project.expanduser().resolve()
    if place.name == _MEMORY and (place.parent.parent.name == "projects" or (place / INDEX).is_file()):
        return place
    if not place.is_dir():
        raise InputError(f"there is no folder {place}; name a folder of the project")
    try:
        config = Path(environ.get(CONFIG_VARIABLE) or Path.home() / ".claude").expanduser()
    except RuntimeError as exc:
        raise InputError("this user has no home folder; name the memory folder of Claude Code") from exc
    root = str(_main_root(place))
    # Versions of Claude Code differ in what they replace.
    slugs = [re.sub(pattern, "-", root) for pattern in (r"[^A-Za-z0-9]", r"[/\\.:]")]
    there = [slug for slug in slugs if (config / "projects" / slug).is_dir()]
    return config / "projects" / (there or slugs)[0] / _MEMORY


def project_scope(project: Path, name: str | None) -> str:
    """Return the scope of a project: `project/NAME`. Without a name, the git remote or the folder names it.

    Raises:
        InputError: The name is malformed, or none was given for a memory folder or a folder without a usable name.
    """
    if name is not None:
        return named(PROJECT, name.removeprefix(f"{PROJECT}/"))
    place = project.expanduser().resolve()
    if place.name != _MEMORY:
        found = project_of_folder(git_root(place) or place)
        if found is not None:
            return f"{PROJECT}/{found}"
    raise InputError(f"{place} does not tell the name of its project; give it: --project NAME, or --scope SCOPE")


def _main_root(folder: Path) -> Path:
    """Return the root of the repository around a folder. All work trees of a repository share one memory."""
    root = git_root(folder)
    if root is None:
        return folder
    pointer = root / ".git"
    if pointer.is_file():
        try:
            with pointer.open("rb") as file:
                said = file.read(4096).decode("utf-8", "replace").strip()
        except OSError:
            return root
        found = re.fullmatch(r"gitdir: (.+)[/\\]\.git[/\\]worktrees[/\\][^/\\]+", said)
        if found is not None and Path(found[1]).is_dir():
            return Path(found[1])
    return root
