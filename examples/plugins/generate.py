"""Generate the plugin folders of Claude Code, Codex, Cursor, Gemini CLI and Hermes Agent from one source.

    python examples/plugins/generate.py

The hooks are those of memcrdt.mcp.hooks, the skill is skill.md, and the manifests are below. A plugin starts the
command `memcrdt`, which has to be on the PATH of the client.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from memcrdt import __version__
from memcrdt.mcp.clients import NAME, START_S
from memcrdt.mcp.hooks import HOOK_CLIENTS

HERE = Path(__file__).parent
SKILL = "skills/memcrdt-memory/SKILL.md"
HOOKS = "hooks/hooks.json"
TITLE = "memcrdt: memory on your own machines"
DESCRIPTION = "A long-term memory for coding agents that stays on your own machines and syncs between them."
CATEGORY = "Productivity"
AUTHOR = {"name": "The memcrdt authors"}
SERVER: dict[str, Any] = {"command": NAME, "args": ["mcp"]}

_ABOUT: dict[str, Any] = {"name": NAME, "version": __version__, "description": DESCRIPTION}
_CREDITS = {"author": AUTHOR, "license": "Apache-2.0", "keywords": ["memory", "mcp", "sync", "local-first"]}

# The manifest and the servers of each client; its hooks and the skill are added below.
_PLUGINS: dict[str, dict[str, Any]] = {
    "claude-code": {
        ".claude-plugin/plugin.json": {**_ABOUT, **_CREDITS},
        ".mcp.json": {"mcpServers": {NAME: SERVER}},
    },
    "codex": {
        ".codex-plugin/plugin.json": {
            **_ABOUT,
            **_CREDITS,
            "skills": "./skills/",
            "mcpServers": "./.mcp.json",
            "hooks": f"./{HOOKS}",
            "interface": {"displayName": NAME, "shortDescription": DESCRIPTION, "category": CATEGORY},
        },
        ".mcp.json": {"mcpServers": {NAME: {**SERVER, "startup_timeout_sec": START_S}}},
    },
    "cursor": {
        ".cursor-plugin/plugin.json": {
            **_ABOUT,
            **_CREDITS,
            "displayName": TITLE,
            "skills": "./skills/",
            "mcpServers": "./mcp.json",
            "hooks": f"./{HOOKS}",
        },
        "mcp.json": {"mcpServers": {NAME: SERVER}},
    },
    "gemini": {
        "gemini-extension.json": {**_ABOUT, "mcpServers": {NAME: SERVER}},
    },
}
# Hermes Agent takes a folder with a Python module. Its hooks are methods of the provider.
_HERMES = {
    "hermes/__init__.py": f"""\
\"\"\"{TITLE}, as the memory provider of Hermes Agent.\"\"\"

from memcrdt.frameworks.hermes import register

__all__ = ["register"]
""",
    "hermes/plugin.yaml": f"""\
name: {NAME}
version: {__version__}
description: {DESCRIPTION}
pip_dependencies:
  - {NAME}
""",
}
# Catalogues by which Claude Code and Codex find a plugin in this folder.
_MARKETPLACES: dict[str, dict[str, Any]] = {
    ".claude-plugin/marketplace.json": {
        "name": NAME,
        "description": DESCRIPTION,
        "owner": AUTHOR,
        "plugins": [{"name": NAME, "source": "./claude-code", "description": DESCRIPTION}],
    },
    ".agents/plugins/marketplace.json": {
        "name": NAME,
        "interface": {"displayName": TITLE},
        "plugins": [
            {
                "name": NAME,
                "source": {"source": "local", "path": "./codex"},
                "policy": {"installation": "AVAILABLE", "authentication": "ON_INSTALL"},
                "category": CATEGORY,
            }
        ],
    },
}


def files() -> dict[str, str]:
    """Return the text of each file of the plugins, by its path below this folder."""
    documents = dict(_MARKETPLACES)
    made = dict(_HERMES)
    for client, own in _PLUGINS.items():
        documents |= {f"{client}/{path}": document for path, document in own.items()}
        documents[f"{client}/{HOOKS}"] = HOOK_CLIENTS[client].document([NAME])
        made[f"{client}/{SKILL}"] = (HERE / "skill.md").read_text(encoding="utf-8")
    return made | {path: json.dumps(document, indent=2) + "\n" for path, document in documents.items()}


def main() -> None:
    for path, text in files().items():
        file = HERE / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main()
