"""Agent files of Letta (`.af`): each block of the core memory becomes a memory. Messages and tools are not read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from memcrdt.errors import InputError
from memcrdt.importing.json_files import json_elements
from memcrdt.importing.markdown import titled
from memcrdt.importing.rows import Item


def items(path: Path) -> Iterator[Item]:
    """Yield an item for each block of an agent file, or of the agent files of a folder. Raises OSError."""
    for name, block in json_elements(path, ("*.af",), ("blocks",)):
        if isinstance(block, InputError):
            yield Item(name, block)
        elif not isinstance(block, dict) or not isinstance(block.get("value"), str):
            yield Item(name, InputError("a block of an agent file has no text"))
        else:
            label = str(block.get("label") or "")
            given = {
                "text": titled(label, block["value"]) if label else block["value"],
                "key": f"{name}/{block.get('id') or label}",  # ids are unique within a file
                "kind": label,
                "metadata": {"path": name},
            }
            yield Item(f"{name}: {label}", given)
