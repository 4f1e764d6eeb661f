"""memcrdt mcp install and uninstall, in the files of each client."""

from __future__ import annotations

import errno
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path
from typing import Any

import pytest

from memcrdt.mcp.clients import CLIENTS
from memcrdt.mcp.hooks import HOOK_CLIENTS, commands
from tests.cli.conftest import Cli

pytestmark = pytest.mark.usefixtures("user")


def settings(file: str | Path) -> Any:
    """Return what the file of a client says."""
    text = Path(file).read_text(encoding="utf-8")
    return tomllib.loads(text) if str(file).endswith(".toml") else json.loads(text)


@pytest.mark.parametrize("project", [False, True])
@pytest.mark.parametrize("name", [name for name in CLIENTS if name != "claude-desktop"])
def test_a_client_gets_its_own_form(cli: Cli, user: Path, name: str, project: bool) -> None:
    """The entry has an absolute command and the words of the client, below the user's home or in the project."""
    ran = cli("mcp", "install", "--client", name, "--json", *(["--project"] if project else []))
    done = ran.json[0]
    entry = settings(done["file"])[CLIENTS[name].key]["memcrdt"]
    started = entry["command"] if name == "opencode" else [entry["command"], *entry["args"]]
    assert (ran.code, done["changed"]) == (0, True)
    assert (user / "work" in Path(done["file"]).parents) is project
    assert user in Path(done["file"]).parents
    assert Path(started[0]).is_absolute()
    assert os.access(started[0], os.X_OK)
    assert started[-3:] == ["mcp", "--home", os.environ["MEMCRDT_HOME"]]  # not every client passes the variable on
    assert (entry.get("startup_timeout_sec") == 30) is (name == "codex")


@pytest.mark.parametrize("missing", [True, False])
def test_a_missing_extra_is_said(cli: Cli, monkeypatch: pytest.MonkeyPatch, missing: bool) -> None:
    """Otherwise the client would say no more than that the server does not start."""
    if missing:
        monkeypatch.setitem(sys.modules, "mcp", None)
    assert ("install memcrdt[mcp]" in cli("mcp", "install", "--client", "codex").err) is missing


def test_the_home_of_the_platform_is_not_named(cli: Cli, user: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the same for every program of the user."""
    monkeypatch.delenv("MEMCRDT_HOME")
    done = cli("mcp", "install", "--client", "claude-code", "--hooks", "--json").json
    assert settings(done[0]["file"])["mcpServers"]["memcrdt"]["args"][-1:] == ["mcp"]
    (command,) = commands(settings(done[1]["file"])["hooks"]["SessionStart"][0])
    assert command.endswith("memcrdt hook SessionStart")


@pytest.mark.parametrize("platform", ["linux", "darwin", "win32"])
def test_claude_desktop_has_a_file_on_each_platform(
    cli: Cli, user: Path, platform: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its file is where the platform keeps settings, and it has none for a project."""
    places = {"linux": ".config", "darwin": "Library/Application Support", "win32": "AppData"}
    monkeypatch.setattr(sys, "platform", platform)
    done = cli("mcp", "install", "--client", "claude-desktop", "--json").json[0]
    assert Path(done["file"]) == user / places[platform] / "Claude" / "claude_desktop_config.json"
    cli("mcp", "install", "--client", "claude-desktop", "--project").failed(2, "--project")


def test_uninstall_restores_the_file(cli: Cli, user: Path) -> None:
    """Comments and other servers stay, the former file is kept, and the home that was named is in the command."""
    file = user / ".cursor" / "mcp.json"
    file.parent.mkdir()
    before = '{\n  // mine\n  "mcpServers": {\n    "files": {"command": "npx"}\n  }\n}\n'
    file.write_text(before, encoding="utf-8")
    done = cli("mcp", "install", "--client", "cursor", "--home", str(user / "memory"), "--json").json[0]
    assert json.dumps(str(user / "memory")) in file.read_text(encoding="utf-8")
    assert Path(done["backup"]).read_text(encoding="utf-8") == before
    assert cli("mcp", "uninstall", "--client", "cursor").code == 0
    assert file.read_text(encoding="utf-8") == before


def test_a_dry_run_shows_the_change_and_writes_nothing(cli: Cli, user: Path) -> None:
    """The change is a unified diff, and no file is created."""
    ran = cli("mcp", "install", "--client", "codex", "--dry-run")
    assert "+[mcp_servers.memcrdt]" in ran.out.splitlines()
    assert [each.name for each in user.iterdir()] == ["work"]


def test_a_second_time_changes_nothing(cli: Cli) -> None:
    """Installing again and removing what is not there write nothing."""
    assert cli("mcp", "uninstall", "--client", "gemini", "--json").json[0]["changed"] is False
    cli("mcp", "install", "--client", "gemini")
    again = cli("mcp", "install", "--client", "gemini", "--json").json[0]
    assert (again["changed"], again["backup"]) == (False, None)


def test_a_file_that_is_not_understood_is_left_alone(cli: Cli, user: Path) -> None:
    """The error names the file and the next step."""
    file = user / ".claude.json"
    file.write_text('{"mcpServers": ', encoding="utf-8")
    cli("mcp", "install", "--client", "claude-code").failed(2, str(file), "left as it is", "by hand")
    assert file.read_text(encoding="utf-8") == '{"mcpServers": '
    assert not list(user.glob("*backup*"))


@pytest.mark.skipif(sys.platform == "win32", reason="links need a right there")
def test_a_link_stays_a_link(cli: Cli, user: Path) -> None:
    """A file that is kept elsewhere and linked is changed where it is, with its permissions."""
    kept = user / "kept.json"
    kept.write_text("{}", encoding="utf-8")
    kept.chmod(0o600)
    (user / ".claude.json").symlink_to(kept)
    assert cli("mcp", "install", "--client", "claude-code").code == 0
    assert (user / ".claude.json").is_symlink()
    assert "memcrdt" in settings(kept)["mcpServers"]
    assert kept.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("project", [False, True])
@pytest.mark.parametrize("name", sorted(HOOK_CLIENTS))
def test_hooks_are_added_beside_those_of_others(cli: Cli, user: Path, name: str, project: bool) -> None:
    """Each event runs an absolute command, comments and other hooks stay, and uninstall restores the file."""
    client = HOOK_CLIENTS[name]
    file = client.file(user / "work" if project else None)
    file.parent.mkdir(parents=True)
    other = client.item("echo hello")
    before = (
        '{\n  // mine\n  "version": 1,\n  "hooks": {\n    "'
        + client.starts
        + '": [\n      '
        + json.dumps(other)
        + " // keep\n    ]\n  }\n}\n"
    )
    file.write_text(before, encoding="utf-8")
    options = ["--client", name, *(["--project"] if project else [])]
    ran = cli("mcp", "install", "--hooks", "--home", str(user / "my memory"), "--json", *options)
    assert str(file) in [each["file"] for each in ran.json]
    text = file.read_text(encoding="utf-8")
    assert "// mine" in text
    assert "// keep" in text
    hooks = json.loads(re.sub("//.*", "", text))["hooks"]
    assert hooks[client.starts][0] == other
    for event in client.events:
        (command,) = commands(hooks[event][-1])
        program, *rest = shlex.split(command)
        assert Path(program).is_absolute()
        assert rest[-4:] == ["hook", event, "--home", str(user / "my memory")]
    again = cli("mcp", "install", "--hooks", "--home", str(user / "my memory"), "--json", *options)
    assert [each["changed"] for each in again.json] == [False] * len(again.json)
    assert cli("mcp", "uninstall", *options).code == 0
    assert file.read_text(encoding="utf-8") == before


def test_hooks_make_a_file_that_is_missing(cli: Cli, user: Path) -> None:
    """Cursor wants the version of the form; Gemini CLI has server and hooks in one file, which is written once."""
    cli("mcp", "install", "--client", "cursor", "--hooks")
    made = settings(user / ".cursor" / "hooks.json")
    assert made["version"] == 1
    assert set(made["hooks"]) == {"sessionStart", "preCompact", "sessionEnd"}
    ran = cli("mcp", "install", "--client", "gemini", "--hooks", "--json")
    assert len(ran.json) == 1
    assert set(settings(user / ".gemini" / "settings.json")) == {"mcpServers", "hooks"}


def test_a_client_without_hooks_is_refused(cli: Cli, user: Path) -> None:
    """Nothing is written when one part cannot be done."""
    cli("mcp", "install", "--client", "vscode", "--hooks").failed(2, "vscode", "--hooks")
    assert [each.name for each in user.iterdir()] == ["work"]


@pytest.mark.skipif(sys.platform == "win32", reason="the shell differs there")
def test_an_installed_hook_answers(cli: Cli, user: Path) -> None:
    """The command line in the file runs in a shell, with a folder that has a space in its name."""
    home = user / "my memory"
    cli("add", "Deploys go out on Tuesdays", "--home", str(home))
    cli("mcp", "install", "--client", "claude-code", "--hooks", "--home", str(home))
    (command,) = commands(settings(user / ".claude" / "settings.json")["hooks"]["SessionStart"][0])
    ran = subprocess.run(command, shell=True, input="{}", capture_output=True, text=True, timeout=60, check=True)
    assert "Tuesdays" in json.loads(ran.stdout)["hookSpecificOutput"]["additionalContext"]


def test_settings_that_cannot_be_written_are_named(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And not the temporary file beside them, whose name says nothing to the user."""

    def refuse(dir: Path, prefix: str) -> tuple[int, str]:
        raise PermissionError(errno.EACCES, "Permission denied", f"{dir}/{prefix}1x2y")

    monkeypatch.setattr(tempfile, "mkstemp", refuse)
    ran = cli("mcp", "install", "--client", "claude-code")
    ran.failed(1, ".claude.json cannot be used (Permission denied)")
