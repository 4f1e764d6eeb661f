"""The export of ChatGPT: `conversations.json`, or `conversations-000.json` and so on, in a zip file or unpacked.

A conversation is a tree of messages, because an edited message begins a branch. Only the branch that was shown last is
read. Hidden messages, and conversations that ChatGPT was told not to remember, are left out. The memories of ChatGPT
are not in its export.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from memcrdt.errors import InputError
from memcrdt.importing.conversations import conversation_text
from memcrdt.importing.json_files import json_elements
from memcrdt.importing.rows import Item, time_of

_TYPES: Final = ("text", "multimodal_text")  # of contents that the user wrote


def items(path: Path) -> Iterator[Item]:
    """Yield an item for each conversation of an export: a zip file, a folder, or a JSON file. Raises OSError."""
    for name, conversation in json_elements(path, ("conversations*.json",)):
        if isinstance(conversation, InputError):
            yield Item(name, conversation)
        elif not isinstance(conversation, dict) or not isinstance(conversation.get("mapping"), dict):
            yield Item(name, InputError("it is no conversation of ChatGPT: it has no mapping"))
        elif not conversation.get("is_do_not_remember"):
            yield _conversation(name, conversation)


def _conversation(name: str, conversation: Mapping[str, Any]) -> Item:
    title = conversation.get("title")
    title = title if isinstance(title, str) else ""
    created_at = time_of(conversation.get("create_time"))
    return Item(
        f"{name}: {title}",
        {
            "text": conversation_text(title, _turns(conversation)),
            "key": f"conversation/{conversation.get('conversation_id') or conversation.get('id') or title}",
            "kind": "conversation",
            "created_at": created_at,
            "updated_at": time_of(conversation.get("update_time")) or created_at,
            "metadata": {"title": title},
        },
    )


def _turns(conversation: Mapping[str, Any]) -> list[str]:
    """Return what the user said on the branch that was shown last, in order."""
    mapping, turns = conversation["mapping"], []
    seen: set[str] = set()
    at = conversation.get("current_node")
    while isinstance(at, str) and at not in seen and isinstance(node := mapping.get(at), dict):
        seen.add(at)  # a circle would have no end
        if text := _said(node.get("message")):
            turns.append(text)
        at = node.get("parent")
    return turns[::-1]


def _said(message: Any) -> str:
    """Return the text of a message of the user, without pictures; an empty text for other messages."""
    if not isinstance(message, dict):
        return ""
    author, content, metadata = (_object(message, name) for name in ("author", "content", "metadata"))
    hidden = metadata.get("is_visually_hidden_from_conversation")
    if author.get("role") != "user" or hidden or content.get("content_type") not in _TYPES:
        return ""
    parts = content.get("parts")
    return "\n".join(part for part in parts if isinstance(part, str)) if isinstance(parts, list) else ""


def _object(message: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = message.get(name)
    return value if isinstance(value, dict) else {}
