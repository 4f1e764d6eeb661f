"""The plugins of coding agents: made from one source, in the form of each client, and answered by real commands."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from memcrdt.mcp.hooks import HOOK_CLIENTS, commands, sample

PLUGINS = Path(__file__).parents[1] / "examples" / "plugins"

# What each client knows in its manifest, by the schema or reference that it publishes: name to type.
_COMMON: dict[str, type] = {"name": str, "version": str, "description": str}
_CREDITED: dict[str, type] = {**_COMMON, "author": dict, "license": str, "keywords": list}
MANIFESTS: dict[str, tuple[str, dict[str, type]]] = {
    "claude-code": (".claude-plugin/plugin.json", {**_CREDITED, "homepage": str, "repository": str}),
    "codex": (
        ".codex-plugin/plugin.json",
        {**_CREDITED, "skills": str, "mcpServers": str, "hooks": str, "interface": dict},
    ),
    "cursor": (
        ".cursor-plugin/plugin.json",
        {**_CREDITED, "displayName": str, "skills": str, "mcpServers": str, "hooks": str},
    ),
    "gemini": ("gemini-extension.json", {**_COMMON, "mcpServers": dict, "contextFileName": str}),
}
SERVERS = {"claude-code": ".mcp.json", "codex": ".mcp.json", "cursor": "mcp.json", "gemini": "gemini-extension.json"}
# The events that each client's hooks may name.
EVENTS: dict[str, set[str]] = {
    "claude-code": {
        "SessionStart",
        "UserPromptSubmit",
        "PreToolUse",
        "PostToolUse",
        "PreCompact",
        "Stop",
        "SessionEnd",
    },
    "codex": {"SessionStart", "UserPromptSubmit", "PreToolUse", "PostToolUse", "PreCompact", "PostCompact", "Stop"},
    "cursor": {"sessionStart", "beforeSubmitPrompt", "preCompact", "stop", "sessionEnd"},
    "gemini": {"SessionStart", "SessionEnd", "BeforeAgent", "AfterAgent", "PreCompress", "Notification"},
}


def document(client: str, path: str) -> Any:
    """Return a JSON document of a plugin."""
    return json.loads((PLUGINS / client / path).read_text(encoding="utf-8"))


def test_the_folders_are_those_of_the_generator() -> None:
    """Nothing is edited by hand, forgotten or left over: run examples/plugins/generate.py after a change."""
    spec = importlib.util.spec_from_file_location("generate_plugins", PLUGINS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    made = module.files()
    kept = {"README.md", "generate.py", "skill.md"}
    there = {
        path.relative_to(PLUGINS).as_posix(): path.read_text(encoding="utf-8")
        for path in PLUGINS.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {path: text for path, text in there.items() if path not in kept} == made


@pytest.mark.parametrize("client", sorted(MANIFESTS))
def test_a_manifest_has_what_its_client_knows(client: str) -> None:
    """The required name, only known fields of the right types, and paths that exist."""
    path, known = MANIFESTS[client]
    manifest = document(client, path)
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", manifest["name"])
    assert re.fullmatch(r"\d+\.\d+\.\d+", manifest["version"])
    assert {name: type(value) for name, value in manifest.items()} == {name: known[name] for name in manifest}
    assert not manifest.get("author", {}).keys() - {"name", "email", "url"}
    for value in manifest.values():
        if isinstance(value, str) and value.startswith("./"):
            assert (PLUGINS / client / value).exists(), value


@pytest.mark.parametrize("client", sorted(SERVERS))
def test_each_plugin_starts_the_server(client: str) -> None:
    """Every client reads `mcpServers` with a command and arguments."""
    servers = document(client, SERVERS[client])["mcpServers"]
    assert set(servers) == {"memcrdt"}
    assert (servers["memcrdt"]["command"], servers["memcrdt"]["args"]) == ("memcrdt", ["mcp"])


@pytest.mark.parametrize("client", sorted(HOOK_CLIENTS))
def test_each_hook_is_one_that_its_client_has(client: str) -> None:
    """Only known events, in the form of the client, with a time limit in its unit."""
    hooks = document(client, "hooks/hooks.json")
    assert set(hooks) == ({"version", "hooks"} if client == "cursor" else {"hooks"})
    assert set(hooks["hooks"]) <= EVENTS[client]
    for event, items in hooks["hooks"].items():
        for item in items:
            assert list(commands(item)) == [f"memcrdt hook {event}"]
            for handler in item.get("hooks", []):
                assert set(handler) == {"type", "command", "timeout"}
                assert handler["timeout"] == (10_000 if client == "gemini" else 10)


def test_the_marketplaces_lead_to_the_plugins() -> None:
    """Claude Code and Codex find a folder by a catalogue, with a path from the folder that was added."""
    claude = json.loads((PLUGINS / ".claude-plugin" / "marketplace.json").read_text(encoding="utf-8"))
    assert claude["owner"]["name"]
    assert (PLUGINS / claude["plugins"][0]["source"] / ".claude-plugin" / "plugin.json").exists()
    codex = json.loads((PLUGINS / ".agents" / "plugins" / "marketplace.json").read_text(encoding="utf-8"))
    assert (PLUGINS / codex["plugins"][0]["source"]["path"] / ".codex-plugin" / "plugin.json").exists()


@pytest.mark.parametrize("client", sorted(MANIFESTS))
def test_the_skill_can_be_found(client: str) -> None:
    """A skill has its folder's name and a description of at most 1,024 characters, and names tools that exist."""
    from memcrdt.mcp.texts import DESCRIPTIONS

    (skill,) = (PLUGINS / client / "skills").glob("*/SKILL.md")
    _, front, text = skill.read_text(encoding="utf-8").split("---\n", 2)
    fields = dict(line.split(": ", 1) for line in front.splitlines())
    assert fields["name"] == skill.parent.name
    assert 0 < len(fields["description"]) <= 1_024
    assert set(re.findall(r"`(\w+_memor\w+)`", text)) <= set(DESCRIPTIONS)


@pytest.mark.skipif(sys.platform == "win32", reason="the shell differs there")
@pytest.mark.parametrize("client", sorted(HOOK_CLIENTS))
def test_the_commands_of_a_plugin_answer(client: str, tmp_path: Path) -> None:
    """Every hook of a plugin runs as a command on the PATH, and prints one JSON object."""
    programs = tmp_path / "bin"
    programs.mkdir()
    program = programs / "memcrdt"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m memcrdt "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    environment = {
        **os.environ,
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "MEMCRDT_HOME": str(tmp_path / "home"),
    }
    for event, items in document(client, "hooks/hooks.json")["hooks"].items():
        (command,) = commands(items[0])
        ran = subprocess.run(
            command,
            shell=True,
            input=sample(event, tmp_path),
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        assert isinstance(json.loads(ran.stdout), dict)
