"""`memcrdt hook`: memories for a coding agent at the start of a session and with each prompt, and what to capture.

A client waits for its hooks and may stop on an error of one. So this command always exits with 0 and prints one JSON
object, which is empty if there is nothing to say. Problems go to stderr. Imports happen where they are used, and click
is not among them (see main()): importing everything takes several times longer than the answer.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

INPUT_BYTES: Final = 1024 * 1024  # of the JSON of a client; more is not read
FOLDER_CHARS: Final = 4_096

_STARTS: Final = frozenset({"SessionStart", "sessionStart"})
_CAPTURES: Final = frozenset({"PreCompact", "PreCompress", "Stop", "SessionEnd", "preCompact", "stop", "sessionEnd"})
_PROMPTS: Final = frozenset({"UserPromptSubmit", "BeforeAgent"})  # Cursor takes no context with a prompt


def respond(event: str, *, home: str | None = None, project: str | None = None) -> None:
    """Answer the hook `event` of a client, whose JSON is on stdin. Raises nothing but KeyboardInterrupt.

    Args:
        event: The name of the event, as the client spells it.
        home: The folder of the memory; None for the default.
        project: The name of the project; None to find it.
    """
    told = ""
    try:
        asked = _asked(sys.stdin.buffer.read(INPUT_BYTES + 1))
        if event in _CAPTURES:
            _note(home, project, asked)
        else:
            told = _context(event, home, project, asked)
    except Exception as exc:  # noqa: BLE001 - whatever is wrong here, the client goes on without memories
        if sys.stderr is not None:  # print() would write to stdout instead, where the client reads JSON
            print(f"memcrdt: nothing done for {ascii(event[:40])[1:-1]}: {ascii(str(exc))[1:-1]}", file=sys.stderr)
    print(json.dumps(_answer(event, told)))  # ASCII: some clients read stdout in the encoding of the system


def _asked(data: bytes) -> Mapping[str, Any]:
    """Return the object of a client; empty if it sent nothing.

    Raises:
        ValueError: It is too big, or no JSON object. The folder of the client is then unknown, and the memories of
            another project would be worse than none.
    """
    if not data.strip():
        return {}
    if len(data) > INPUT_BYTES:
        raise ValueError(f"stdin has over {INPUT_BYTES:,} bytes")
    try:
        asked = json.loads(data)
    except (ValueError, RecursionError) as exc:
        raise ValueError("stdin is not JSON") from exc
    if not isinstance(asked, dict):
        raise ValueError("stdin has JSON, but no object")
    return asked


def _context(event: str, home: str | None, project: str | None, asked: Mapping[str, Any]) -> str:
    """Return the memories for an event as text; empty if there are none or the home does not exist."""
    if event not in _STARTS | _PROMPTS:
        return ""
    from memcrdt.model.prompt import without_tagged
    from memcrdt.paths import home_folder
    from memcrdt.projects import find_project
    from memcrdt.service import recall
    from memcrdt.service.context import Context

    prompt = without_tagged(asked["prompt"]) if isinstance(asked.get("prompt"), str) else ""
    if event in _PROMPTS and not recall.is_worth_recall(prompt):
        return ""
    folder = home_folder(home)
    if not folder.is_dir():
        return ""
    context = Context(project=find_project(project, os.environ, _folder(asked)))
    with recall.quick_service(folder, context) as service:
        return recall.session_context(service) if event in _STARTS else recall.prompt_context(service, prompt)


def _note(home: str | None, project: str | None, asked: Mapping[str, Any]) -> None:
    """Queue the transcript of a session if the user wants it captured, and start the process that reads it."""
    from memcrdt.paths import CONFIG_FILE, home_folder

    folder = home_folder(home)
    if not (folder / CONFIG_FILE).is_file():  # it is off, as for most users, and there is nothing more to import
        return
    from memcrdt import config
    from memcrdt.projects import find_project
    from memcrdt.service import capture_queue

    if not config.load(folder).capture:
        return
    if capture_queue.enqueue(folder, asked, find_project(project, os.environ, _folder(asked))):
        _start(["capture", "--home", str(folder)])


def _start(arguments: list[str]) -> None:
    """Start memcrdt in the background. It outlives the client, and has none of its streams."""
    import subprocess

    apart: dict[str, Any] = (
        {"creationflags": 0x0000_0208}  # DETACHED_PROCESS and CREATE_NEW_PROCESS_GROUP
        if sys.platform == "win32"
        else {"start_new_session": True}
    )
    nowhere = subprocess.DEVNULL
    subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, "-m", "memcrdt", *arguments], stdin=nowhere, stdout=nowhere, stderr=nowhere, **apart
    )


def _folder(asked: Mapping[str, Any]) -> Path:
    """Return the folder that the client works in, or the folder of this process if it names none."""
    roots = asked.get("workspace_roots")
    for said in (asked.get("cwd"), *(roots[:1] if isinstance(roots, list) else ())):
        if isinstance(said, str) and 0 < len(said) <= FOLDER_CHARS and "\0" not in said:
            return Path(said)
    return Path.cwd()


def _answer(event: str, told: str) -> dict[str, Any]:
    """Return the answer in the form of the client that has this event."""
    if not told:
        return {}
    if event == "sessionStart":
        return {"additional_context": told}
    return {"hookSpecificOutput": {"hookEventName": event, "additionalContext": told}}
