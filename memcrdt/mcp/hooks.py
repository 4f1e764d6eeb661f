"""The hooks of coding agents: the events that `memcrdt hook` answers, and their form in the file of each client."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from memcrdt.mcp.config_text import edit_items, edit_json

TIMEOUT_S: Final = 10

_OWN: Final = re.compile(r"\bmemcrdt\b.*\bhook\b", re.DOTALL)


@dataclass(frozen=True, slots=True, kw_only=True)
class HookClient:
    """A client with hooks.

    Attributes:
        user: Its file for all projects, below the home of the user.
        project: Its file in a project.
        starts: The event that begins a session.
        prompts: The event of a prompt; None if the client takes no context with a prompt.
        captures: The events of which only the transcript is noted.
        timeout: The time that the client gives a hook, in its own unit; None if it has none.
        version: The version that the file must name; None if it names none.
    """

    user: str
    project: str
    starts: str
    prompts: str | None
    captures: tuple[str, ...]
    timeout: int | None = TIMEOUT_S
    version: int | None = None

    def file(self, folder: Path | None) -> Path:
        """Return the file for a project in `folder`, or for all projects if it is None."""
        return Path.home() / self.user if folder is None else folder / self.project

    @property
    def events(self) -> tuple[str, ...]:
        """The events, in the order of a session."""
        return (self.starts, *([self.prompts] if self.prompts else []), *self.captures)

    def item(self, command: str) -> dict[str, Any]:
        """Return the item of one event that runs a command line."""
        if self.version is not None:
            return {"command": command}
        return {"hooks": [{"type": "command", "command": command, "timeout": self.timeout}]}

    def document(self, program: list[str]) -> dict[str, Any]:
        """Return a whole file that runs a program, with the name of the event behind its arguments."""
        hooks = {event: [self.item(command_line([*program, "hook", event]))] for event in self.events}
        return {**({"version": self.version} if self.version is not None else {}), "hooks": hooks}


HOOK_CLIENTS: Final[Mapping[str, HookClient]] = {
    "claude-code": HookClient(
        user=".claude/settings.json",
        project=".claude/settings.json",
        starts="SessionStart",
        prompts="UserPromptSubmit",
        captures=("PreCompact", "SessionEnd"),
    ),
    "codex": HookClient(
        user=".codex/hooks.json",
        project=".codex/hooks.json",
        starts="SessionStart",
        prompts="UserPromptSubmit",
        captures=("PreCompact", "Stop"),  # it has no end of a session
    ),
    "cursor": HookClient(
        user=".cursor/hooks.json",
        project=".cursor/hooks.json",
        starts="sessionStart",
        prompts=None,
        captures=("preCompact", "sessionEnd"),
        timeout=None,
        version=1,
    ),
    "gemini": HookClient(
        user=".gemini/settings.json",
        project=".gemini/settings.json",
        starts="SessionStart",
        prompts="BeforeAgent",
        captures=("PreCompress", "SessionEnd"),
        timeout=TIMEOUT_S * 1_000,
    ),
}


def edit_hooks(client: HookClient, text: str, program: list[str] | None, home: str | None = None) -> str:
    """Return the text of a client's file with our hooks, or without them if the program is None.

    Args:
        client: The client.
        text: The present text of the file.
        program: The program with its first arguments.
        home: The folder of the memory; None for the default.

    Raises:
        InputError: The text is not understood.
    """
    if program is not None and client.version is not None and not text.strip():
        text = edit_json("", ("version",), client.version)
    place = ["--home", home] if home else []
    for event in client.events:
        item = None if program is None else client.item(command_line([*program, "hook", event, *place]))
        text = edit_items(text, ("hooks", event), item, is_own)
    return text


def is_own(item: Any) -> bool:
    """Return whether an item of a client's hooks runs `memcrdt hook`."""
    return any(_OWN.search(command) for command in commands(item))


def commands(item: Any) -> Iterator[str]:
    """Yield the command lines in an item of a client's hooks."""
    if isinstance(item, dict):
        if isinstance(item.get("command"), str):
            yield item["command"]
        if isinstance(item.get("hooks"), list):
            for each in item["hooks"]:
                yield from commands(each)


def command_line(arguments: list[str]) -> str:
    """Return a command as one line for the shell of this platform."""
    return subprocess.list2cmdline(arguments) if sys.platform == "win32" else shlex.join(arguments)


def sample(event: str, folder: Path) -> str:
    """Return what a client writes to a hook, for a trial."""
    asked = {"hook_event_name": event, "session_id": "trial", "cwd": str(folder), "workspace_roots": [str(folder)]}
    return json.dumps({**asked, "source": "startup", "prompt": "What do we know about this project?"})
