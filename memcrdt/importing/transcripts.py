"""Transcripts of coding agents: what the user said, and the title of the session. Nothing else is read.

Four clients write a JSON object on each line. What the user typed is

- Claude Code: `{"type": "user", "message": {"content": TEXT or blocks}}`; titles are lines of their own;
- Codex: `{"type": "response_item", "payload": {"type": "message", "role": "user", "content": blocks}}`;
- Gemini CLI: `{"type": "user", "content": TEXT or blocks}`, alone or in the list of `{"$set": {"messages": [...]}}`;
- Cursor: `{"role": "user", "message": {"content": blocks}}`.

Clients put much into such messages that the user did not type, between tags: recalled memories, reminders, files. It is
left out. Results of tools are no text blocks, and so are not read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, Final

from memcrdt.errors import InputError
from memcrdt.model import limits
from memcrdt.model.prompt import MESSAGE_CHARS, without_tagged

LINE_BYTES: Final = limits.KIB * limits.KIB  # longer lines are skipped: nobody types them
FILE_BYTES: Final = 256 * limits.KIB * limits.KIB
TURNS: Final = 5_000
TITLE_CHARS: Final = 200

_QUERY: Final = re.compile(r"</?user_query>")  # Cursor's tags around what the user typed
_FENCED: Final = re.compile(r"```.*?(?:```|\Z)", re.DOTALL)
_TITLES: Final = (("custom-title", "customTitle"), ("ai-title", "aiTitle"), ("summary", "summary"))


@dataclass(slots=True)
class Transcript:
    """A session.

    Attributes:
        turns: What the user typed, in order, without what the client added.
        title: The title of the session; None if it has none.
        cwd: The working folder of the session; empty if the transcript has none.
        times: The first and the last time in it, as they are written.
    """

    turns: list[str] = field(default_factory=list)
    title: str | None = None
    cwd: str = ""
    times: tuple[str, str] = ("", "")


def read_transcript(path: Path) -> Transcript:
    """Read a transcript. Lines that are not understood are skipped.

    Raises:
        InputError: The file cannot be read, or is too big.
    """
    found, titles = Transcript(), dict.fromkeys((kind for kind, _ in _TITLES), "")
    for line in lines(path):
        for kind, name in _TITLES:
            if line.get("type") == kind and isinstance(line.get(name), str):
                titles[kind] = " ".join(line[name][: 2 * TITLE_CHARS].split())[:TITLE_CHARS]
        _note_session(found, line)
        for message in _messages(line):
            if len(found.turns) < TURNS and (typed := typed_text(_text(message))):
                found.turns.append(typed)
    found.title = next((title for title in titles.values() if title), None)
    return found


def typed_text(text: str) -> str:
    """Return what the user typed of a message: without code, and without blocks between tags.

    Example:
        >>> typed_text("<system-reminder>be brief</system-reminder>Use tabs, please")
        'Use tabs, please'
    """
    return without_tagged(_FENCED.sub(" ", _QUERY.sub("", text[:MESSAGE_CHARS]))).strip()


def _note_session(found: Transcript, line: Mapping[str, Any]) -> None:
    """Note where and when a session was. Codex says where in the `payload` of a line of its own."""
    payload = line.get("payload")
    meta = payload if line.get("type") == "session_meta" and isinstance(payload, dict) else line
    cwd, time = meta.get("cwd"), line.get("timestamp")
    if isinstance(cwd, str) and "\0" not in cwd:
        found.cwd = found.cwd or cwd
    if isinstance(time, str):
        found.times = found.times[0] or time, time


def lines(path: Path, most: int | None = None) -> Iterator[Mapping[str, Any]]:
    """Yield the objects of a transcript, of its first lines if `most` is given. Raises InputError."""
    try:
        if not path.is_file() or path.stat().st_size > FILE_BYTES:
            raise InputError(f"{path} is no file of at most {FILE_BYTES:,} bytes; name the transcript of a session")
        with path.open("rb") as file:
            numbers = count() if most is None else iter(range(most))
            while next(numbers, None) is not None and (data := file.readline(LINE_BYTES + 1)):
                if len(data) > LINE_BYTES:
                    while data and not data.endswith(b"\n"):
                        data = file.readline(LINE_BYTES)
                    continue
                try:
                    line = json.loads(data)
                except (ValueError, RecursionError):
                    continue
                if isinstance(line, dict):
                    yield line
    except OSError as exc:
        raise InputError(f"{path} cannot be read ({exc.strerror or exc}); name the transcript of a session") from exc


def _messages(line: Mapping[str, Any]) -> Iterator[Any]:
    """Yield the contents of the user's messages in a line."""
    payload, message, setting = line.get("payload"), line.get("message"), line.get("$set")
    if line.get("isSidechain") or line.get("isMeta"):  # of a subagent, or by the client
        return
    if isinstance(message, dict) and "user" in (line.get("type"), line.get("role")):
        yield message.get("content")
    elif isinstance(payload, dict) and (payload.get("type"), payload.get("role")) == ("message", "user"):
        yield payload.get("content")
    elif line.get("type") == "user":
        yield line.get("content")
    elif isinstance(setting, dict) and isinstance(setting.get("messages"), list):
        yield from (each.get("content") for each in setting["messages"] if _is_of_user(each))


def _is_of_user(message: Any) -> bool:
    return isinstance(message, dict) and message.get("type") == "user"


def _text(content: Any) -> str:
    """Return the text of a message, which is a text or a list of blocks."""
    if isinstance(content, list):
        blocks = [block for block in content if isinstance(block, dict)]
        content = "\n".join(block["text"] for block in blocks if isinstance(block.get("text"), str))
    return content if isinstance(content, str) else ""
