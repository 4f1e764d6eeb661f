"""The MCP clients that memcrdt can be installed in: the file of each, and the entry in it."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from memcrdt.errors import InputError
from memcrdt.mcp.config_text import edit_json, edit_toml
from memcrdt.mcp.hooks import HOOK_CLIENTS, HookClient, edit_hooks
from memcrdt.model import limits
from memcrdt.paths import home_folder, named_home

NAME: Final = "memcrdt"
START_S: Final = 30  # Codex waits 10 s, which a computer under load may need
FILE_BYTES: Final = 16 * limits.KIB * limits.KIB

_BACKUP: Final = ".memcrdt-backup"


@dataclass(frozen=True, slots=True, kw_only=True)
class McpClient:
    """A client.

    Attributes:
        user: Its file for all projects: parts below the home of the user, or below the folder for settings.
        project: Its file in a project; None if it has none.
        key: The table of servers in the file.
        extra: Values of the entry beside the command.
        settings: Whether `user` is below the folder where programs of this platform keep settings.
    """

    user: str
    project: str | None
    key: str = "mcpServers"
    extra: Mapping[str, Any] = field(default_factory=dict)
    settings: bool = False

    def file(self, folder: Path | None) -> Path:
        """Return the file for a project in `folder`, or for all projects if it is None. Raises InputError."""
        if folder is None:
            return (_settings_folder() if self.settings else Path.home()) / self.user
        if self.project is None:
            raise InputError("this client has no settings for one project; leave out --project")
        return folder / self.project

    def entry(self, command: list[str]) -> dict[str, Any]:
        """Return the entry that starts a command."""
        if self.key == "mcp":
            return {**self.extra, "command": command}
        return {**self.extra, "command": command[0], "args": command[1:]}


CLIENTS: Final[Mapping[str, McpClient]] = {
    "claude-code": McpClient(user=".claude.json", project=".mcp.json", extra={"type": "stdio"}),
    "claude-desktop": McpClient(user="Claude/claude_desktop_config.json", project=None, settings=True),
    "codex": McpClient(
        user=".codex/config.toml",
        project=".codex/config.toml",
        key="mcp_servers",
        extra={"startup_timeout_sec": START_S},
    ),
    "cursor": McpClient(user=".cursor/mcp.json", project=".cursor/mcp.json"),
    "vscode": McpClient(
        user="Code/User/mcp.json", project=".vscode/mcp.json", key="servers", extra={"type": "stdio"}, settings=True
    ),
    "gemini": McpClient(user=".gemini/settings.json", project=".gemini/settings.json"),
    "opencode": McpClient(
        user=".config/opencode/opencode.json", project="opencode.json", key="mcp", extra={"type": "local"}
    ),
}


@dataclass(frozen=True, slots=True)
class SettingsChange:
    """A change of the file of a client, not yet written."""

    file: Path
    before: str
    after: str

    def write(self) -> Path | None:
        """Write the file at once or not at all, and return the copy of the former one, if there was one."""
        target = self.file.resolve()  # a link to a file under version control stays a link
        target.parent.mkdir(parents=True, exist_ok=True)
        backup = None
        if target.exists():
            backup = target.with_name(target.name + _BACKUP)
            shutil.copy2(target, backup)
        try:
            handle, name = tempfile.mkstemp(dir=target.parent, prefix=target.name)
        except OSError as exc:  # nobody knows the name of the temporary file
            raise OSError(exc.errno, exc.strerror, str(target)) from exc
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(self.after.encode())
                file.flush()
                os.fsync(file.fileno())
            if backup is not None:
                shutil.copymode(backup, name)
            Path(name).replace(target)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise
        return backup


def install(name: str, folder: Path | None, home: str | None, *, hooks: bool) -> list[SettingsChange]:
    """Return the changes that make a client start the server, and run the hooks too if `hooks` is set.

    Args:
        name: The name of the client.
        folder: The folder of the project; None for all projects.
        home: The folder of the memory; None for $MEMCRDT_HOME if it is set, else the default of the platform.
        hooks: Whether to add the hooks.

    Raises:
        InputError: The client has no hooks or no settings for one project, or a file is not understood.
    """
    if hooks and name not in HOOK_CLIENTS:
        raise InputError(f"{name} has no hooks that memcrdt knows; leave out --hooks")
    # Not every client passes $MEMCRDT_HOME on, and then its server would have another memory than the user's shell.
    given = named_home(home)
    home = None if given is None else str(home_folder(given))
    changes = [_edit_server(CLIENTS[name], folder, [*program(), "mcp", *(["--home", home] if home else [])])]
    if hooks:
        changes = _with_hooks(changes, HOOK_CLIENTS[name], folder, program(), home)
    return changes


def uninstall(name: str, folder: Path | None) -> list[SettingsChange]:
    """Return the changes that remove the server and the hooks from a client. Raises InputError."""
    changes = [_edit_server(CLIENTS[name], folder, None)]
    if name in HOOK_CLIENTS:
        changes = _with_hooks(changes, HOOK_CLIENTS[name], folder, None, None)
    return changes


def program() -> list[str]:
    """Return the command of memcrdt with an absolute path: clients have other search paths than a shell."""
    found = shutil.which("memcrdt", path=str(Path(sys.executable).parent))
    return [str(Path(found).absolute())] if found else [sys.executable, "-m", "memcrdt"]


def _edit_server(client: McpClient, folder: Path | None, command: list[str] | None) -> SettingsChange:
    file = client.file(folder)
    entry = None if command is None else client.entry(command)
    edit = edit_toml if file.suffix == ".toml" else edit_json
    return _edited(file, read(file), lambda text: edit(text, (client.key, NAME), entry))


def _with_hooks(
    changes: list[SettingsChange], client: HookClient, folder: Path | None, start: list[str] | None, home: str | None
) -> list[SettingsChange]:
    """Return changes with that of the hooks, which may be in a file that is changed already."""
    file = client.file(folder)
    same = next((each for each in changes if each.file == file), None)
    before = read(file) if same is None else same.before
    present = before if same is None else same.after
    change = _edited(file, present, lambda text: edit_hooks(client, text, start, home))
    return [*(each for each in changes if each is not same), SettingsChange(file, before, change.after)]


def _edited(file: Path, text: str, edit: Callable[[str], str]) -> SettingsChange:
    try:
        after = edit(text)
    except InputError as exc:
        raise InputError(f"{file} is left as it is: {exc}; edit it by hand") from exc
    nothing = not text.strip() and after.strip() in ("", "{}")  # an empty object is not worth a file
    return SettingsChange(file, text, text if nothing else after)


def read(file: Path) -> str:
    """Return the text of a file, empty if it does not exist. Raises InputError."""
    try:
        with file.open("rb") as stream:
            data = stream.read(FILE_BYTES + 1)
        if len(data) > FILE_BYTES:
            raise InputError(f"{file} has over {FILE_BYTES:,} bytes; edit it by hand")
        return data.decode()
    except FileNotFoundError:
        return ""
    except UnicodeDecodeError as exc:
        raise InputError(f"{file} is not UTF-8; edit it by hand") from exc


def _settings_folder() -> Path:
    """Return the folder where programs of this platform keep the settings of the user."""
    platform: str = sys.platform  # a plain text: a type checker would find the other branches unreachable
    if platform == "darwin":
        return Path.home() / "Library" / "Application Support"
    if platform == "win32":
        return Path(os.environ.get("APPDATA") or Path.home() / "AppData" / "Roaming")
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
