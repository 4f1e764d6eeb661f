"""The exports of Claude and ChatGPT. The files are written by hand, from the descriptions of the formats."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from memcrdt.importing.conversations import TURN_CHARS, TURNS_CHARS, conversation_text
from memcrdt.memory.memory import Memory

SECRET = "ghp_" + "aB3dE5fG7h" * 3 + "iJ9kL1"
MEMORIES = [
    {
        "conversations_memory": "**Work**\n\nAda plans releases.\n\n**Food**\n\nShe likes tea.\n",
        "project_memories": {"p-1": "Ship on Friday."},
        "account_uuid": "a-1",
    }
]
PROJECT = {
    "uuid": "p-1",
    "name": "Acme",
    "prompt_template": "Answer briefly.",
    "created_at": "2025-01-02T00:00:00Z",
    "docs": [{"uuid": "d-1", "filename": "plan.md", "content": "The plan.", "created_at": "2025-01-03T00:00:00Z"}],
}
TALK = {
    "uuid": "c-1",
    "name": "Tea",
    "created_at": "2025-03-04T10:00:00Z",
    "updated_at": "2025-03-04T11:00:00Z",
    "chat_messages": [
        {
            "uuid": "1",
            "sender": "human",
            "content": [{"type": "text", "text": "Which tea?"}],
            "parent_message_uuid": "0",
        },
        {"uuid": "2", "sender": "assistant", "text": "Green.", "parent_message_uuid": "1"},
        {"uuid": "3", "sender": "human", "text": "A draft.", "parent_message_uuid": "2"},
        {"uuid": "4", "sender": "human", "text": "How hot?", "parent_message_uuid": "2"},
    ],
}


def _message(role: str, text: Any, parent: str | None, **metadata: Any) -> dict[str, Any]:
    content = {"content_type": "text", "parts": text if isinstance(text, list) else [text]}
    message = {"author": {"role": role}, "content": content, "create_time": None, "metadata": metadata}
    return {"parent": parent, "children": [], "message": message}


CHAT = {
    "conversation_id": "g-1",
    "title": "Tea",
    "create_time": 1741082400.5,
    "update_time": None,
    "current_node": "e",
    "mapping": {
        "root": {"parent": None, "message": None},
        "a": _message("user", "hidden", "root", is_visually_hidden_from_conversation=True),
        "b": _message("user", ["Which tea?", {"asset": "picture"}], "a"),
        "c": _message("assistant", "Green.", "b"),
        "d": _message("user", "A branch left behind.", "c"),
        "e": _message("user", "How hot?", "c"),
    },
}


def _zip(file: Path, **documents: Any) -> Path:
    with zipfile.ZipFile(file, "w") as members:
        for name, document in documents.items():
            members.writestr(f"{name.replace('__', '/')}.json", json.dumps(document))
    return file


def test_the_export_of_claude(memory: Memory, tmp_path: Path) -> None:
    """Its memories by section, its projects, and the user's side of its conversations."""
    file = _zip(tmp_path / "a.zip", conversations=[TALK], memories=MEMORIES, projects=[PROJECT], users=[{"name": "x"}])
    report = memory.import_from("claude", file)
    assert (report.added, report.refused) == (6, 0)
    assert {(each.text, each.kind) for each in memory.list()} == {
        ("## Work\n\nAda plans releases.", None),
        ("## Food\n\nShe likes tea.", None),
        ("Ship on Friday.", None),
        ("# Acme\n\nAnswer briefly.", "instruction"),
        ("# plan.md\n\nThe plan.", "document"),
        ("# Tea\n\n- Which tea?\n- How hot?", "conversation"),
    }
    (talk,) = (each for each in memory.list() if each.kind == "conversation")
    assert talk.created_at.isoformat() == "2025-03-04T10:00:00+00:00"
    assert memory.import_from("claude", file).known == 6


def test_an_export_of_claude_in_several_files(memory: Memory, tmp_path: Path) -> None:
    """Zip files in a folder, and a file for each project."""
    _zip(tmp_path / "conversations-000.zip", **{"conversations-000": [TALK]})
    _zip(tmp_path / "memories-000.zip", memories=MEMORIES)
    _zip(tmp_path / "projects-000.zip", **{"projects__p-1": PROJECT})
    assert memory.import_from("claude", tmp_path).added == 6
    for file in tmp_path.glob("*.zip"):
        with zipfile.ZipFile(file) as members:
            members.extractall(tmp_path / "unpacked")
    assert memory.import_from("claude", tmp_path / "unpacked").known == 6


def test_the_export_of_chatgpt(memory: Memory, tmp_path: Path) -> None:
    """The branch that was shown last. What must not be remembered is not."""
    forbidden = {**CHAT, "conversation_id": "g-2", "is_do_not_remember": True}
    circle = {**CHAT, "conversation_id": "g-3", "title": "Circle", "current_node": "x", "mapping": {}}
    circle["mapping"] = {"x": _message("user", "Round.", "x")}
    file = _zip(tmp_path / "a.zip", **{"conversations-000": [CHAT, forbidden], "conversations-001": [circle, {}, 5]})
    report = memory.import_from("chatgpt", file)
    assert (report.added, report.refused) == (2, 2)
    assert {each.text for each in memory.list()} == {"# Tea\n\n- Which tea?\n- How hot?", "# Circle\n\n- Round."}
    assert {each.created_at.isoformat() for each in memory.list()} == {"2025-03-04T10:00:00.500000+00:00"}
    assert memory.import_from("chatgpt", file).known == 2


@pytest.mark.parametrize("kind", ["thoughts", "reasoning_recap", "user_editable_context", "code"])
def test_only_what_the_user_typed_of_chatgpt_is_read(memory: Memory, tmp_path: Path, kind: str) -> None:
    """Other contents stay out. A conversation may lack its time, or have an `id` alone."""
    talk = json.loads(json.dumps({**CHAT, "id": CHAT["conversation_id"], "create_time": None}))
    talk["mapping"]["e"]["message"]["content"]["content_type"] = kind
    file = tmp_path / "conversations.json"
    file.write_text(json.dumps([talk]))
    assert memory.import_from("chatgpt", file).added == 1
    assert [each.text for each in memory.list()] == ["# Tea\n\n- Which tea?"]
    del talk["conversation_id"]
    file.write_text(json.dumps([talk]))
    assert memory.import_from("chatgpt", file).known == 1


@pytest.mark.parametrize("source", ["claude", "chatgpt"])
def test_a_conversation_with_a_secret_is_refused_by_name(memory: Memory, tmp_path: Path, source: str) -> None:
    """The others are imported."""
    talk = json.loads(json.dumps(TALK if source == "claude" else CHAT).replace("How hot?", SECRET))
    report = memory.import_from(source, _zip(tmp_path / "a.zip", conversations=[talk]))
    assert [each.name for each in report.refusals] == ["conversations.json: Tea"]


def test_a_long_conversation_is_clipped() -> None:
    """In its turns, and as a whole. Without a turn there is no text."""
    text = conversation_text("Long", ["word " * 1_000] * 100)
    assert len(text) < TURNS_CHARS + 200
    assert max(map(len, text.split("\n"))) <= TURN_CHARS + 2
    assert conversation_text("Nothing", ["", " "]) == ""
