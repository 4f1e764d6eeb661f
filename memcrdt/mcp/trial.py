"""Trials for `memcrdt mcp doctor`: start what clients would start, as their settings say, and report what is seen.

A repository may bring settings of clients along. What they say is not run unless it is the command of memcrdt itself:
clients ask the user whether to trust a folder, and this command would not.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TextIO, cast

from memcrdt.errors import InputError
from memcrdt.mcp.clients import CLIENTS, NAME, program, read
from memcrdt.mcp.config_text import parse
from memcrdt.mcp.hooks import HOOK_CLIENTS, TIMEOUT_S, commands, is_own, sample
from memcrdt.model.serialization import Record

PATIENCE_S: Final = 30.0  # as long as the most patient client waits for a server
_SAID_CHARS: Final = 300
_NOT_RUN: Final = "not tried: the file comes with the project, and this is not just the command of memcrdt"
_PLAIN: Final = re.compile(r"[\w ./\\:'\"=+@~-]+")  # what cannot start another command in a shell


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial(Record):
    """The trial of one entry in the settings of a client.

    Attributes:
        client: The name of the client.
        file: The file with the entry.
        entry: `server`, or the event of a hook.
        ok: Whether it works.
        seconds: The time until the answer; None without one.
        saw: What was seen, or what is wrong.
    """

    client: str
    file: str
    entry: str
    ok: bool
    seconds: float | None
    saw: str


def trials(folder: Path) -> Iterator[Trial]:
    """Try every entry of memcrdt that clients have for all projects and for the project in `folder`.

    Args:
        folder: The folder that the servers and hooks start in.
    """
    for name, client in CLIENTS.items():
        places = [None, folder] if client.project else [None]
        for file in dict.fromkeys(client.file(place) for place in places):
            settings = _settings(file)
            if isinstance(settings, str):
                yield Trial(client=name, file=str(file), entry="server", ok=False, seconds=None, saw=settings)
                continue
            entry = _at(settings, client.key, NAME)
            if isinstance(entry, Mapping):
                is_foreign = file == client.file(folder if client.project else None) != client.file(None)
                ok, seconds, saw = _try_server(entry, folder, is_foreign=is_foreign)
                yield Trial(client=name, file=str(file), entry="server", ok=ok, seconds=seconds, saw=saw)
        if name in HOOK_CLIENTS:
            yield from _hook_trials(name, folder)


def _hook_trials(name: str, folder: Path) -> Iterator[Trial]:
    client = HOOK_CLIENTS[name]
    for file in dict.fromkeys(client.file(place) for place in (None, folder)):
        settings = _settings(file)
        for event in client.events:
            items = _at({} if isinstance(settings, str) else settings, "hooks", event)
            for item in filter(is_own, items if isinstance(items, list) else []):
                for command in commands(item):
                    if file != client.file(None) and not _is_memcrdt(_words(command)):
                        ok, seconds, saw = False, None, f"{_NOT_RUN}: {command[:_SAID_CHARS]}"
                    else:
                        ok, seconds, saw = _try_hook(command, event, folder)
                    yield Trial(client=name, file=str(file), entry=event, ok=ok, seconds=seconds, saw=saw)


def _settings(file: Path) -> Any:
    """Return the settings in a file, or as a text why they cannot be read."""
    try:
        return parse(read(file), toml=file.suffix == ".toml")
    except (InputError, OSError) as exc:
        return f"the file cannot be read: {exc}"


def _at(tree: Any, *path: str) -> Any:
    for key in path:
        tree = tree.get(key) if isinstance(tree, Mapping) else None
    return tree


def _words(command: str) -> list[str]:
    """Return the words of a command line without any meaning for a shell; empty if it may have one."""
    if not _PLAIN.fullmatch(command):
        return []
    try:
        return shlex.split(command)
    except ValueError:
        return []


def _is_memcrdt(words: list[str]) -> bool:
    """Return whether a command is memcrdt itself, as this program was started or as it is found on the PATH."""
    start = program()
    on_path = words[:1] == [NAME] and sys.platform != "win32"  # there the working folder comes before the PATH
    return words[: len(start)] == start or on_path


def _try_server(entry: Mapping[str, Any], folder: Path, *, is_foreign: bool) -> tuple[bool, float | None, str]:
    """Start a server as its entry says. Return whether it works, the seconds until it was ready, and what was seen."""
    import anyio

    command = entry.get("command")
    words = command if isinstance(command, list) else [command, *(entry.get("args") or [])]
    if not words or not all(isinstance(word, str) for word in words):
        return False, None, "the entry has no command; run memcrdt mcp install again"
    given = entry.get("env") or entry.get("environment") or {}
    if is_foreign and (given or not _is_memcrdt(words)):
        return False, None, f"{_NOT_RUN}: {' '.join(words)[:_SAID_CHARS]}"
    environment = {**os.environ, **{str(name): str(value) for name, value in given.items()}}
    with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as errors:
        try:
            seconds, saw = anyio.run(_ask_server, words, environment, folder, cast("TextIO", errors))
        except Exception as exc:  # noqa: BLE001 - whatever keeps a server from answering is the finding
            errors.seek(0)
            said = errors.read()[-_SAID_CHARS:].strip().splitlines()
            return False, None, f"{words[0]} did not answer: {said[-1] if said else _root(exc)}"
    return True, round(seconds, 2), saw


async def _ask_server(words: list[str], environment: dict[str, str], folder: Path, errors: TextIO) -> tuple[float, str]:
    import anyio
    from mcp import Client, StdioServerParameters
    from mcp.client.stdio import stdio_client

    parameters = StdioServerParameters(command=words[0], args=words[1:], env=environment, cwd=folder)
    started = time.perf_counter()
    with anyio.fail_after(PATIENCE_S):
        async with Client(stdio_client(parameters, errlog=errors)) as client:
            tools = [tool.name for tool in (await client.list_tools()).tools]
            ready = time.perf_counter() - started
            if "sync_status" not in tools:
                return ready, f"{len(tools)} tools"
            state = await client.call_tool("sync_status", {})
            text = " ".join(getattr(part, "text", "") for part in state.content).strip()
            if state.is_error:
                raise InputError(text)
            return ready, f"{len(tools)} tools; {text.splitlines()[0] if text else 'the memory opens'}"


def _try_hook(command: str, event: str, folder: Path) -> tuple[bool, float | None, str]:
    """Run a hook as its client would. Return whether it works, the seconds it took, and what was seen."""
    started = time.perf_counter()
    try:
        ran = subprocess.run(  # noqa: S602 - clients run it in a shell, and it is the user's own setting
            command,
            shell=True,
            input=sample(event, folder),
            capture_output=True,
            text=True,
            encoding="utf-8",
            errors="replace",
            timeout=TIMEOUT_S,
            cwd=folder,
            check=False,
        )
        seconds = round(time.perf_counter() - started, 2)
        answer = json.loads(ran.stdout)
    except subprocess.TimeoutExpired:
        return False, None, f"no answer within {TIMEOUT_S} s"
    except (OSError, ValueError):
        return False, None, f"it does not print JSON; run it by hand: {command}"
    if ran.returncode or not isinstance(answer, dict):
        return False, seconds, f"it ends with {ran.returncode}: {ran.stderr.strip()[-_SAID_CHARS:]}"
    told = answer.get("additional_context") or _at(answer, "hookSpecificOutput", "additionalContext") or ""
    said = f"{len(told):,} characters for the agent" if told else "nothing to say"
    return True, seconds, f"{said}; {ran.stderr.strip()[-_SAID_CHARS:]}" if ran.stderr.strip() else said


def _root(problem: BaseException) -> BaseException | str:
    """Return the first error in a group, or in words that there was no answer in time."""
    while isinstance(problem, BaseExceptionGroup):
        problem = problem.exceptions[0]
    return f"nothing within {PATIENCE_S:.0f} s" if isinstance(problem, TimeoutError) else problem
