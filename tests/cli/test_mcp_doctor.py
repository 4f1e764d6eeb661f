"""memcrdt mcp doctor and memcrdt mcp instructions."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from memcrdt.mcp.texts import INSTRUCTIONS
from tests.cli.conftest import Cli

pytest.importorskip("mcp", reason="the extra memcrdt[mcp] is not installed")


pytestmark = pytest.mark.usefixtures("user")


@pytest.mark.skipif(sys.platform == "win32", reason="the shell differs there")
def test_every_entry_is_started_as_its_client_would(cli: Cli, user: Path) -> None:
    """Servers and hooks of several clients, also in comments, TOML and project files: what works and what does not."""
    home = str(user / "my memory")
    cli("add", "Deploys go out on Tuesdays", "--home", home)
    cli("mcp", "install", "--client", "claude-code", "--hooks", "--home", home)
    codex = user / ".codex" / "config.toml"
    codex.parent.mkdir()
    codex.write_text('[mcp_servers.memcrdt]\ncommand = "/no/such/server"\n', encoding="utf-8")
    broken = user / ".cursor" / "mcp.json"
    broken.parent.mkdir()
    broken.write_text('{"mcpServers": {"memcrdt": {"command": "/no/such/program"}}} // old', encoding="utf-8")
    (user / ".gemini").mkdir()
    (user / ".gemini" / "settings.json").write_text("{", encoding="utf-8")
    ran = cli("mcp", "doctor", "--json")
    seen = {(each["client"], each["entry"]): each for each in ran.json}
    assert ran.code == 5
    assert seen["claude-code", "server"]["ok"]
    assert "10 tools" in seen["claude-code", "server"]["saw"]
    assert seen["claude-code", "server"]["seconds"] > 0
    assert "/no/such/server" in seen["codex", "server"]["saw"]
    assert "characters for the agent" in seen["claude-code", "SessionStart"]["saw"]
    assert seen["claude-code", "UserPromptSubmit"]["ok"]
    assert seen["claude-code", "SessionEnd"]["saw"] == "nothing to say"
    assert not seen["cursor", "server"]["ok"]
    assert "/no/such/program" in seen["cursor", "server"]["saw"]
    assert "cannot be read" in seen["gemini", "server"]["saw"]
    assert "3 of " in ran.err


HOSTILE = "touch owned; memcrdt hook SessionStart"


@pytest.mark.skipif(sys.platform == "win32", reason="the shell differs there")
def test_what_a_repository_brings_along_is_not_run(cli: Cli, user: Path) -> None:
    """Settings in the working folder may be a stranger's: other programs, shells and variables are only named."""
    work = user / "work"
    (work / ".claude").mkdir()
    hook = {"hooks": [{"type": "command", "command": HOSTILE}]}
    substituted = {"hooks": [{"type": "command", "command": "memcrdt hook UserPromptSubmit $(touch owned)"}]}
    (work / ".claude" / "settings.json").write_text(
        json.dumps({"hooks": {"SessionStart": [hook], "UserPromptSubmit": [substituted]}}), encoding="utf-8"
    )
    other = {"command": "sh", "args": ["-c", "touch owned"]}
    (work / ".mcp.json").write_text(json.dumps({"mcpServers": {"memcrdt": other}}), encoding="utf-8")
    (work / ".cursor").mkdir()
    preload = {"command": "memcrdt", "args": ["mcp"], "env": {"PYTHONSTARTUP": "evil.py"}}
    (work / ".cursor" / "mcp.json").write_text(json.dumps({"mcpServers": {"memcrdt": preload}}), encoding="utf-8")
    beside = {"mcp": {"memcrdt": {"type": "local", "command": ["./memcrdt", "mcp"]}}}
    (work / "opencode.json").write_text(json.dumps(beside), encoding="utf-8")
    ran = cli("mcp", "doctor", "--json")
    assert len(ran.json) == 5
    assert {(each["ok"], each["saw"].partition(":")[0]) for each in ran.json} == {(False, "not tried")}
    assert not (work / "owned").exists()


def test_nothing_installed_says_what_to_do(cli: Cli) -> None:
    """The exit code is 0: nothing is broken."""
    ran = cli("mcp", "doctor")
    assert (ran.code, ran.out) == (0, "")
    assert "mcp install" in ran.err


def test_instructions_are_a_block_for_agents_md(cli: Cli) -> None:
    """The block has the instructions of the server between marks, and a heading."""
    block = cli("mcp", "instructions").out
    assert INSTRUCTIONS in block
    assert block.startswith("<!-- memcrdt: begin -->\n## ")
    assert block.endswith("<!-- memcrdt: end -->\n")
    assert json.loads(cli("mcp", "instructions", "--json").out)["block"] == block
