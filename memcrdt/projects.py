"""Which project an agent works on, without being told.

The same repository has different paths on different machines, so the name of a project comes from the address of its
git remote, and from its folder only if it has none. The files of git are read directly: an answer takes under a
millisecond, and git need not be installed.

A repository cannot choose the name in a file that a clone brings along. Otherwise a hostile repository could name
another project, and an agent that opens it would read the memories of that project.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final
from urllib.parse import unquote, urlsplit

from memcrdt.errors import InputError
from memcrdt.model import limits
from memcrdt.model.scopes import PROJECT, named

VARIABLE: Final = "MEMCRDT_PROJECT"  # the name of the project, for clients that cannot pass --project
FOLDER_VARIABLES: Final = ("CLAUDE_PROJECT_DIR",)  # set by clients for the servers and hooks that they start

_FILE_BYTES: Final = 64 * limits.KIB  # of a file of git
_PARENTS: Final = 64
_SECTION: Final = re.compile(r'\[\s*([\w.-]+)(?:\s+"(.*)")?\s*\]')
_SCP_FORM: Final = re.compile(r"(?:[^@/\s]+@)?([^/:\s]{2,}):(?!//)(.+)")  # user@host:path; one letter is a drive


def find_project(explicit: str | None, environ: Mapping[str, str], folder: Path) -> str | None:
    """Return the name of the project, or None outside of projects.

    The first of these decides: the explicit name, the variable MEMCRDT_PROJECT, the folder in CLAUDE_PROJECT_DIR, and
    the git repository around the working folder. A folder is named by `git config memcrdt.project`, else by the address
    of its remote, else by its own name.

    Args:
        explicit: The name from an option, or None.
        environ: The environment variables.
        folder: The working folder.

    Returns:
        The name, without `project/`.

    Raises:
        InputError: The explicit name or the variable is not the name of a project.
    """
    for name in (explicit, environ.get(VARIABLE)):
        if name:
            return named(PROJECT, name.removeprefix(f"{PROJECT}/")).removeprefix(f"{PROJECT}/")
    for variable in FOLDER_VARIABLES:
        if said := environ.get(variable):
            start = Path(said)
            root = git_root(start)
            if root is None and start == _home():
                return None
            return project_of_folder(root or start)
    root = git_root(folder)
    return None if root is None else project_of_folder(root)


def git_root(folder: Path) -> Path | None:
    """Return the root of the git work tree around a folder, or None."""
    try:
        start = folder.resolve()
    except (OSError, RuntimeError):
        return None
    for each in (start, *start.parents)[:_PARENTS]:
        if (each / ".git").exists():
            return each
    return None


def project_of_folder(root: Path) -> str | None:
    """Return the name of the project in a folder, or None if nothing makes a valid name."""
    settings = _git_settings(root)
    remotes = [value for key, value in settings.items() if re.fullmatch(r"remote\..*\.url", key)]
    remote = settings.get("remote.origin.url") or next(iter(remotes), None)
    candidates = (settings.get("memcrdt.project"), remote and project_of_remote(remote), root.name)
    for name in candidates:
        if name and (valid := _valid(name)):
            return valid
    return None


def project_of_remote(url: str) -> str | None:
    """Return HOST/PATH for the address of a git remote, the same for all its forms, or None for a local path.

    User, password, port and `.git` are left out, and letters become small: the forges ignore case.

    Example:
        >>> project_of_remote("git@git.example.org:Team/App.git")
        'git.example.org/team/app'
    """
    if "://" in url:
        try:
            parts = urlsplit(url)
            host, path = parts.hostname or "", parts.path
        except ValueError:
            return None
    elif match := _SCP_FORM.fullmatch(url):
        host, path = match[1], match[2]
    else:
        return None
    path = unquote(path).strip("/").removesuffix(".git").strip("/")
    if not host or not path:
        return None
    host = re.sub(r"^(?:www|ssh|altssh)\.", "", host.lower())
    if host == "dev.azure.com":  # v3/ORG/PROJECT/REPO over ssh, ORG/PROJECT/_git/REPO over https
        path = path.removeprefix("v3/").replace("/_git/", "/")
    return f"{host}/{path.lower()}"


def _valid(name: str) -> str | None:
    name = " ".join(name.split())
    for form in (name, name.replace("/", ":")):  # a part of the path that is called `conversation` would end the name
        try:
            return named(PROJECT, form).removeprefix(f"{PROJECT}/")
        except InputError:
            continue
    return None


def _git_settings(root: Path) -> dict[str, str]:
    """Return the settings of a repository, the last value of each. Empty if they cannot be read."""
    folder = root / ".git"
    if folder.is_file():  # a linked work tree or a submodule
        said = _read(folder)
        if not said.startswith("gitdir:"):
            return {}
        folder = root / said.removeprefix("gitdir:").strip()
    if shared := _read(folder / "commondir").strip():
        folder = folder / shared
    return dict(_settings(_read(folder / "config")))


def _settings(text: str) -> Iterator[tuple[str, str]]:
    """Yield the settings of a configuration of git, as `section.subsection.name` and value."""
    section = ""
    for line in text.splitlines():
        if match := _SECTION.match(line.strip()):
            section = match[1].lower() + (f".{match[2]}" if match[2] is not None else "")
        elif "=" in line and not line.lstrip().startswith(("#", ";")):
            name, _, value = line.partition("=")
            yield f"{section}.{name.strip().lower()}", value.strip().strip('"')


def _read(path: Path) -> str:
    """Return the start of a file, or an empty text if it cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(_FILE_BYTES).decode("utf-8", "replace")
    except (OSError, ValueError):
        return ""


def _home() -> Path | None:
    try:
        return Path.home()
    except RuntimeError:
        return None
