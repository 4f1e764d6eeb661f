"""The coding agents: how each is asked, and set up for a model on this machine."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

PLUGINS = Path(__file__).parents[2] / "examples" / "plugins"


@dataclass(frozen=True)
class Agent:
    """A coding agent.

    Attributes:
        package: Its package of npm.
        version: The version whose session is on its page.
        ask: Returns the command for a prompt and the URL of the model, and its variables.
        prepare: Changes the settings in the home of the user, for the URL of the model.
        checks: Commands that check the plugin, without the program.
        has_hooks: Whether memcrdt has hooks for it.
    """

    package: str
    version: str
    ask: Callable[[str, str], tuple[list[str], dict[str, str]]]
    prepare: Callable[[Path, str], None]
    checks: tuple[tuple[str, ...], ...] = ()
    has_hooks: bool = True


def _claude(prompt: str, url: str) -> tuple[list[str], dict[str, str]]:
    variables = {
        "ANTHROPIC_BASE_URL": url,
        "ANTHROPIC_API_KEY": "none",
        "CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1",
    }
    return ["claude", "-p", prompt, "--allowedTools", "mcp__memcrdt"], variables


def _codex(prompt: str, url: str) -> tuple[list[str], dict[str, str]]:
    bypass = ["--skip-git-repo-check", "--dangerously-bypass-hook-trust", "--dangerously-bypass-approvals-and-sandbox"]
    options = ["model_provider=script", "model=script", "mcp_servers.memcrdt.required=true"]
    return ["codex", "exec", *bypass, *(word for each in options for word in ("-c", each)), prompt], {"KEY": "none"}


def _gemini(prompt: str, url: str) -> tuple[list[str], dict[str, str]]:
    return ["gemini", "--yolo", "-p", prompt], {"GOOGLE_GEMINI_BASE_URL": url, "GEMINI_API_KEY": "none"}


def _opencode(prompt: str, url: str) -> tuple[list[str], dict[str, str]]:
    variables = {"OPENCODE_DISABLE_AUTOUPDATE": "1", "OPENCODE_DISABLE_MODELS_FETCH": "1"}
    return ["opencode", "run", prompt], variables


def _codex_settings(user: Path, url: str) -> None:
    provider = {"name": "script", "base_url": f"{url}/v1", "env_key": "KEY", "wire_api": "responses"}
    lines = [f"{name} = {json.dumps(value)}" for name, value in provider.items()]
    with (user / ".codex" / "config.toml").open("a", encoding="utf-8") as file:
        file.write("\n[model_providers.script]\n" + "\n".join(lines) + "\n")


def _gemini_settings(user: Path, url: str) -> None:
    file = user / ".gemini" / "settings.json"
    settings = json.loads(file.read_text(encoding="utf-8"))
    settings["security"] = {"auth": {"selectedType": "gemini-api-key"}, "folderTrust": {"enabled": False}}
    settings["privacy"] = {"usageStatisticsEnabled": False}
    file.write_text(json.dumps(settings), encoding="utf-8")


def _opencode_settings(user: Path, url: str) -> None:
    file = user / ".config" / "opencode" / "opencode.json"
    settings = json.loads(file.read_text(encoding="utf-8"))
    options = {"baseURL": f"{url}/v1", "apiKey": "none"}
    provider = {"npm": "@ai-sdk/openai-compatible", "options": options, "models": {"script": {"name": "script"}}}
    settings |= {"provider": {"script": provider}, "model": "script/script"}
    file.write_text(json.dumps(settings), encoding="utf-8")


AGENTS = {
    "claude-code": Agent(
        "@anthropic-ai/claude-code",
        "2.1.197",
        _claude,
        lambda user, url: None,
        (
            ("claude", "plugin", "validate", str(PLUGINS / "claude-code")),
            ("claude", "plugin", "validate", str(PLUGINS)),
        ),
    ),
    "codex": Agent(
        "@openai/codex",
        "0.171.0",
        _codex,
        _codex_settings,
        (("codex", "plugin", "marketplace", "add", str(PLUGINS)), ("codex", "plugin", "add", "memcrdt@memcrdt")),
    ),
    "gemini": Agent(
        "@google/gemini-cli",
        "0.61.0",
        _gemini,
        _gemini_settings,
        (("gemini", "extensions", "validate", str(PLUGINS / "gemini")),),
    ),
    "opencode": Agent("opencode-ai", "1.18.33", _opencode, _opencode_settings, has_hooks=False),
}
