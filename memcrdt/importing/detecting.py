"""What there is to import on this machine: looks where other programs keep their memories, and counts."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Any, Final

from memcrdt.errors import InputError
from memcrdt.importing import chroma, claude_code, claude_mem, codex, mcp_memory_service, mem0, server_memory, sources
from memcrdt.model import limits
from memcrdt.model.serialization import Record

_CONFIG_BYTES: Final = 16 * limits.MIB
_ZIPS: Final = 200  # of a folder, the newest
_MEMBERS: Final = 10_000
_SETTINGS: Final = (  # of MCP clients, below the home and below the folder of settings
    (".claude.json", ".cursor/mcp.json", ".gemini/settings.json", ".codeium/windsurf/mcp_config.json"),
    ("Claude/claude_desktop_config.json", "Code/User/mcp.json"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectedSource(Record):
    """A source of memories on this machine.

    Attributes:
        source: The name of the source, for `import --from`.
        path: The file or folder.
        items: The number of memories that an import would read.
        refused: The number of items that it would refuse, apart from secrets.
        command: The command that imports it.
    """

    source: str
    path: str
    items: int
    refused: int
    command: str


@dataclass(frozen=True, slots=True)
class Machine:
    """Where programs keep files on a machine.

    Attributes:
        home: The home of the user.
        folder: The working folder.
        data: The folder for data of programs.
        settings: The folder for settings of programs.
        environ: The environment variables.
    """

    home: Path
    folder: Path
    data: Path
    settings: Path
    environ: Mapping[str, str]

    @classmethod
    def this(cls) -> Machine:
        """Return this machine. Raises InputError if the user has no home."""
        try:
            home, folder = Path.home(), Path.cwd()
        except (RuntimeError, OSError) as exc:
            raise InputError(
                "this user has no home folder, or the working folder is gone; go to another folder"
            ) from exc
        return cls.of(sys.platform, home, folder, os.environ)

    @classmethod
    def of(cls, platform: str, home: Path, folder: Path, environ: Mapping[str, str]) -> Machine:
        """Return a machine of a platform, as sys.platform names it."""
        match platform:
            case "darwin":
                data = settings = home / "Library" / "Application Support"
            case "win32":
                data = Path(environ.get("LOCALAPPDATA") or home / "AppData" / "Local")
                settings = Path(environ.get("APPDATA") or home / "AppData" / "Roaming")
            case _:
                data = Path(environ.get("XDG_DATA_HOME") or home / ".local" / "share")
                settings = Path(environ.get("XDG_CONFIG_HOME") or home / ".config")
        return cls(home, folder, data, settings, environ)

    def place(self, variable: str, usual: str) -> Path:
        """Return the path in an environment variable, or else one below the home."""
        return Path(self.environ.get(variable) or self.home / usual)


def detect(machine: Machine, progress: Callable[[str], None] | None = None) -> Iterator[DetectedSource]:
    """Yield the sources that have at least one item. Nothing is written.

    Args:
        machine: Where to look.
        progress: Called with each path before its items are counted, which takes as long as a dry run.

    Example:
        >>> [(each.source, each.items) for each in detect(Machine.this())]
        [('claude-code', 42)]
    """
    seen: set[tuple[str, Path]] = set()
    for source, path in chain(_usual(machine), _configured(machine), _vaults(machine), _exports(machine)):
        try:
            real = path.resolve()
            is_new = path.exists() and (source, real) not in seen
        except (OSError, RuntimeError):
            continue
        if is_new:
            seen.add((source, real))
            if progress is not None:
                progress(str(path))
            yield from _counted(source, path)


def _counted(source: str, path: Path) -> Iterator[DetectedSource]:
    found = refused = 0
    try:
        for row in sources.rows(source, path):
            refused += isinstance(row.given, InputError)
            found += not isinstance(row.given, InputError)
    except OSError:
        return
    if found:
        line = ["memcrdt", "import", "--from", source, str(path)]
        command = subprocess.list2cmdline(line) if sys.platform == "win32" else shlex.join(line)
        yield DetectedSource(source=source, path=str(path), items=found, refused=refused, command=command)


def _usual(machine: Machine) -> Iterator[tuple[str, Path]]:
    """Yield where programs keep their memories unless they are told otherwise."""
    yield "claude-code", machine.place("CLAUDE_CONFIG_DIR", claude_code.FOLDER)
    codex_home, below = codex.FOLDER.split("/", 1)
    yield "codex", machine.place("CODEX_HOME", codex_home) / below
    yield "mem0", machine.place("MEM0_DIR", mem0.FOLDER) / mem0.FILE
    yield "claude-mem", machine.place("CLAUDE_MEM_DATA_DIR", claude_mem.FOLDER) / claude_mem.FILE
    service = machine.environ.get("MCP_MEMORY_BASE_DIR")
    yield "mcp-memory-service", (Path(service) if service else machine.data / "mcp-memory") / mcp_memory_service.FILE
    yield "markdown", machine.home / "basic-memory"
    for folder in (machine.folder, machine.folder / "chroma", machine.folder / "chroma_db", machine.folder / ".chroma"):
        yield "chroma", folder / chroma.FILE
    packages = machine.home / ".npm" / "_npx"
    for file in _glob(packages, "*/node_modules/@modelcontextprotocol/server-memory/dist/memory.json*"):
        yield server_memory.SOURCE, file


def _configured(machine: Machine) -> Iterator[tuple[str, Path]]:
    """Yield the files that settings of MCP clients name for the server server-memory."""
    places = ((machine.home, _SETTINGS[0]), (machine.settings, _SETTINGS[1]), (machine.folder, (".mcp.json",)))
    for base, names in places:
        for name in names:
            for path in _values(_json(base / name), "MEMORY_FILE_PATH"):
                yield server_memory.SOURCE, Path(path)


def _vaults(machine: Machine) -> Iterator[tuple[str, Path]]:
    """Yield the vaults that Obsidian knows."""
    for path in _values(_json(machine.settings / "obsidian" / "obsidian.json"), "path"):
        yield "markdown", Path(path)


def _exports(machine: Machine) -> Iterator[tuple[str, Path]]:
    """Yield exports in the folder of downloads, and agent files."""
    downloads = machine.home / "Downloads"
    for file in _glob(downloads, "*.zip")[-_ZIPS:]:
        if source := _source_of(file):
            yield source, file
    for file in _glob(downloads, "*.af"):
        yield "letta", file


def _source_of(file: Path) -> str | None:
    """Return the source of a zip file by the names in it, or None."""
    try:
        with zipfile.ZipFile(file) as members:
            names = {PurePosixPath(name).name for name in members.namelist()[:_MEMBERS]}
    except (OSError, ValueError, RuntimeError, NotImplementedError, zipfile.BadZipFile):
        return None
    if not any(name.startswith("conversations") and name.endswith(".json") for name in names):
        return "mem0" if {"memories.json", "memories.jsonl.gz"} <= names else None
    return "chatgpt" if names & {"chat.html", "message_feedback.json", "shared_conversations.json"} else "claude"


def _glob(folder: Path, pattern: str) -> list[Path]:
    """Return the files in a folder that match a pattern, oldest first."""
    try:
        return sorted((each for each in folder.glob(pattern) if each.is_file()), key=lambda each: each.stat().st_mtime)
    except OSError:
        return []


def _json(file: Path) -> Any:
    try:
        with file.open("rb") as source:
            return json.loads(source.read(_CONFIG_BYTES))
    except (OSError, ValueError, RecursionError):
        return None


def _values(given: Any, name: str) -> Iterator[str]:
    """Yield the texts under a name, however deep."""
    waiting = [given]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            if isinstance(each.get(name), str) and "\0" not in each[name]:
                yield each[name]
            waiting += each.values()
        elif isinstance(each, list):
            waiting += each
