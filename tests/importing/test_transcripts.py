"""Transcripts: what the user typed, in the forms of four clients, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from memcrdt.errors import InputError
from memcrdt.importing.transcripts import LINE_BYTES, read_transcript, typed_text
from memcrdt.memory.memory import Memory

RECALLED = '<memories>\n<memory id="1">\nNever deploy on Fridays\n</memory>\n</memories>'
# Lines as the clients write them (Claude Code 2.1, Codex 0.171, Gemini CLI 0.61; that of Cursor by its description).
CLAUDE: list[Any] = [
    {"type": "queue-operation", "operation": "enqueue", "content": "queued text"},
    {"type": "attachment", "attachment": {"type": "hook_additional_context", "content": [RECALLED]}},
    {"type": "user", "isSidechain": False, "message": {"role": "user", "content": "Use tabs, please"}},
    {"type": "user", "message": {"role": "user", "content": [{"type": "tool_result", "content": "the tool said"}]}},
    {"type": "user", "message": {"role": "user", "content": [{"type": "text", "text": "And spaces in YAML"}]}},
    {"type": "user", "isSidechain": True, "message": {"role": "user", "content": "to a subagent"}},
    {"type": "user", "isMeta": True, "message": {"role": "user", "content": "by the client"}},
    {"type": "user", "message": {"role": "user", "content": "<command-name>/clear</command-name>"}},
    {"type": "assistant", "message": {"role": "assistant", "content": [{"type": "text", "text": "the answer"}]}},
    {"type": "summary", "summary": "A summary"},
    {"type": "ai-title", "aiTitle": "Tabs and\n spaces"},
]
CODEX: list[Any] = [
    {"type": "session_meta", "payload": {"id": "1", "cwd": "/work"}},
    {
        "type": "response_item",
        "payload": {
            "type": "message",
            "role": "user",
            "content": [{"type": "input_text", "text": "<environment_context>\n</environment_context>"}],
        },
    },
    {
        "type": "response_item",
        "payload": {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": RECALLED}]},
    },
    {
        "type": "response_item",
        "payload": {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Use tabs, please"}]},
    },
    {"type": "event_msg", "payload": {"type": "task_complete", "last_agent_message": "the answer"}},
]
GEMINI: list[Any] = [
    {"sessionId": "1", "kind": "main"},
    {"$set": {"messages": [{"type": "user", "content": [{"text": "<session_context>\nsetup\n</session_context>"}]}]}},
    {"type": "user", "content": [{"text": f"<hook_context>{RECALLED}</hook_context>\n\nUse tabs, please"}]},
    {"type": "gemini", "content": "the answer"},
]
CURSOR: list[Any] = [
    {
        "role": "user",
        "message": {"content": [{"type": "text", "text": "<user_query>Use tabs, please</user_query>"}]},
    },
    {"role": "assistant", "message": {"content": [{"type": "text", "text": "the answer"}]}},
]


def write(path: Path, lines: list[Any]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


@pytest.mark.parametrize("lines", [CODEX, GEMINI, CURSOR], ids=["codex", "gemini", "cursor"])
def test_each_client_is_understood(tmp_path: Path, lines: list[Any]) -> None:
    """What the user typed is found, and nothing that the client or a hook added."""
    assert read_transcript(write(tmp_path / "t.jsonl", lines)).turns == ["Use tabs, please"]


def test_claude_code_has_titles_and_blocks(tmp_path: Path) -> None:
    """Results of tools, subagents and commands are no turns, and a title beats a summary."""
    found = read_transcript(write(tmp_path / "t.jsonl", CLAUDE))
    assert found.turns == ["Use tabs, please", "And spaces in YAML"]
    assert found.title == "Tabs and spaces"


@pytest.mark.parametrize(
    ("text", "typed"),
    [
        ("Use List<String> instead of arrays", "Use List<String> instead of arrays"),
        ("a ```code\nnever do this\n``` b", "a   b"),
        ("before ```never closed", "before"),
        ("<system-reminder>always obey", ""),
        ("<memories>\ncut off in the mid", ""),
        ("<div><span>x</span></div> rest", "rest"),
    ],
)
def test_only_what_was_typed_is_left(text: str, typed: str) -> None:
    """Code and tagged blocks go, also cut ones; generics of a language stay."""
    assert typed_text(text) == typed


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff\xfe\n{",
        b"[" * 100_000 + b"\n",
        b'{"type": "user", "message": {"content": ' + b'"x' * 10 + b"\n",
        b'{"type": "user", "content": "' + b"x" * LINE_BYTES + b'"}\n',
        b'{"type": "user", "content": {"text": 3}}\n{"$set": {"messages": [1, null, {"type": "user"}]}}\n[]\n7\n',
        b'{"type": "custom-title", "customTitle": 5}\n{"payload": {"type": "message", "role": "user"}}\n',
    ],
)
def test_hostile_lines_are_skipped(tmp_path: Path, data: bytes) -> None:
    """The lines around them are read."""
    good = b'{"type": "user", "content": "Use tabs, please"}\n'
    (tmp_path / "t.jsonl").write_bytes(good + data + b"\n" + good)
    assert read_transcript(tmp_path / "t.jsonl").turns == ["Use tabs, please"] * 2


def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    """A folder, or nothing."""
    for path in (tmp_path, tmp_path / "missing"):
        with pytest.raises(InputError, match="transcript"):
            read_transcript(path)


def test_sessions_become_memories_if_asked_for(memory: Memory, tmp_path: Path) -> None:
    """One for each session, in the scope of its project. A session that goes on updates its memory."""
    times = [f"2026-02-03T04:05:{number:02}Z" for number in range(len(CLAUDE))]
    claude = [{**line, "cwd": "/home/ada/acme", "timestamp": time} for line, time in zip(CLAUDE, times, strict=True)]
    sessions = tmp_path / "projects"
    project = "-home-ada-acme/5c3"
    for name, lines in ((f"{project}.jsonl", claude), (f"{project}/subagents/a.jsonl", claude), ("6d/r.jsonl", CODEX)):
        (sessions / name).parent.mkdir(parents=True, exist_ok=True)
        (sessions / name).write_text("".join(json.dumps(line) + "\n" for line in lines))
    (sessions / "6d" / "empty.jsonl").write_text(json.dumps({"type": "summary", "summary": "nothing was typed"}))
    report = memory.import_from("transcripts", sessions)
    assert (report.added, report.refused) == (2, 0)
    told = {each.scope: each for each in memory.list()}
    assert told["project/acme"].text == "# Tabs and spaces\n\n- Use tabs, please\n- And spaces in YAML"
    assert told["project/work"].text == "- Use tabs, please"
    assert told["project/acme"].created_at.isoformat() == "2026-02-03T04:05:00+00:00"
    assert told["project/acme"].updated_at.isoformat() == "2026-02-03T04:05:10+00:00"
    assert {(each.kind, each.trust, each.source) for each in told.values()} == {
        ("conversation", "imported", "transcripts")
    }
    with (sessions / "6d" / "r.jsonl").open("a") as file:
        file.write(json.dumps(CODEX[3]) + "\n")
    assert (memory.import_from("transcripts", sessions).updated, len(memory.list())) == (1, 2)
    with pytest.raises(InputError, match="no usual place"):
        memory.import_from("transcripts")
