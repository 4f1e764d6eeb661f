"""The export of Claude: `memories.json`, projects, and conversations, in one zip file, in several, or unpacked.

The memories come first: they are what Claude itself thought worth keeping. Each of their sections becomes a memory, and
so does each document and the instructions of a project, and each conversation.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from memcrdt.errors import InputError
from memcrdt.importing.conversations import conversation_text
from memcrdt.importing.json_files import json_elements
from memcrdt.importing.markdown import titled
from memcrdt.importing.rows import Item, named_sections, time_of

_FILES: Final = ("memories*.json", "projects*.json", "projects/*.json", "conversations*.json")
_BOLD_LINE: Final = re.compile(r"^\*\*([^*\n]+)\*\*[ \t]*$", re.MULTILINE)  # the headings of the memories


def items(path: Path) -> Iterator[Item]:
    """Yield the items of an export: a zip file, a folder, or one of its JSON files. Raises OSError."""
    for name, element in json_elements(path, _FILES):
        if isinstance(element, InputError):
            yield Item(name, element)
        elif isinstance(element, dict):
            yield from _items(name, element)
        else:
            yield Item(name, InputError("it is no export of Claude: an element is no object"))


def _items(name: str, element: Mapping[str, Any]) -> Iterator[Item]:
    if "conversations_memory" in element or "project_memories" in element:
        yield from _memories(name, element)
    elif "chat_messages" in element:
        yield _conversation(name, element)
    elif "docs" in element or "prompt_template" in element:
        yield from _project(name, element)
    else:
        yield Item(name, InputError("it is neither memories, nor a project, nor a conversation of Claude"))


def _memories(name: str, element: Mapping[str, Any]) -> Iterator[Item]:
    yield from _sections(name, "memory", _text(element, "conversations_memory"), {})
    projects = element.get("project_memories")
    for uuid, text in projects.items() if isinstance(projects, dict) else ():
        if isinstance(text, str):
            yield from _sections(name, f"memory/{uuid}", text, {"project": uuid})


def _sections(name: str, key: str, text: str, metadata: dict[str, Any]) -> Iterator[Item]:
    for heading, section in named_sections(_BOLD_LINE.sub(r"## \1", text)):
        yield Item(f"{name}: {heading}", {"text": section, "key": f"{key}#{heading}", "metadata": metadata})


def _project(name: str, project: Mapping[str, Any]) -> Iterator[Item]:
    uuid, title = _text(project, "uuid"), _text(project, "name")
    parts = [(f"project/{uuid}", "instruction", title, _text(project, "prompt_template"), project)]
    docs = project.get("docs")
    for doc in docs if isinstance(docs, list) else ():
        if isinstance(doc, dict):
            file = _text(doc, "filename")
            parts.append((f"document/{_text(doc, 'uuid') or file}", "document", file, _text(doc, "content"), doc))
    for key, kind, heading, text, source in parts:
        given = {
            "text": titled(heading, text) if heading else text,
            "key": key,
            "kind": kind,
            "created_at": time_of(source.get("created_at")),
            "updated_at": time_of(source.get("updated_at")),
            "metadata": {"project": uuid, "title": title},
        }
        yield Item(f"{name}: {heading}", given)


def _conversation(name: str, conversation: Mapping[str, Any]) -> Item:
    messages = conversation.get("chat_messages")
    said = [each for each in messages if _is_of_user(each)] if isinstance(messages, list) else []
    latest = {str(each.get("parent_message_uuid") or f"#{at}"): each for at, each in enumerate(said)}
    title = _text(conversation, "name")
    return Item(
        f"{name}: {title}",
        {
            "text": conversation_text(title, map(_said, latest.values()), _text(conversation, "summary")),
            "key": f"conversation/{_text(conversation, 'uuid') or title}",
            "kind": "conversation",
            "created_at": time_of(conversation.get("created_at")),
            "updated_at": time_of(conversation.get("updated_at")),
            "metadata": {"title": title},
        },
    )


def _is_of_user(message: Any) -> bool:
    return isinstance(message, dict) and message.get("sender") == "human"


def _said(message: Mapping[str, Any]) -> str:
    """Return the text of a message: its blocks of text, or in older exports the text beside them."""
    blocks = message.get("content")
    listed = [each for each in blocks if isinstance(each, dict)] if isinstance(blocks, list) else []
    return "\n".join(filter(None, (_text(each, "text") for each in listed))) or _text(message, "text")


def _text(element: Mapping[str, Any], name: str) -> str:
    value = element.get(name)
    return value if isinstance(value, str) else ""
