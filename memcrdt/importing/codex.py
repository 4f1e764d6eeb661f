"""The memories of Codex, and files of rules such as AGENTS.md.

The folder `memories` has a handbook, `MEMORY.md`, and in `rollout_summaries` a file for each session. Each section of
the handbook, or of a file of rules, becomes a memory, and so does each summary. The other files repeat them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from memcrdt.errors import InputError
from memcrdt.importing.folders import text_files
from memcrdt.importing.markdown import section_items
from memcrdt.importing.rows import Item, time_of

FOLDER: Final = ".codex/memories"  # in the home of the user

_HANDBOOK: Final = "MEMORY.md"
_SUMMARIES: Final = "rollout_summaries"


def items(path: Path) -> Iterator[Item]:
    """Yield the items of the folder, or of one file, such as an AGENTS.md. Raises OSError."""
    is_folder = path.is_dir()
    for file in text_files(path, (".md",)):
        _, *folders, name = file.name.split("/")
        metadata = {"path": file.name}
        if is_folder and folders != [_SUMMARIES] and (folders or name != _HANDBOOK):
            continue
        if isinstance(file.text, InputError):
            yield Item(file.name, file.text)
        elif folders:
            times = dict.fromkeys(("created_at", "updated_at"), time_of(file.changed_at))
            given = {"text": file.text, "key": file.name, "kind": "summary", **times, "metadata": metadata}
            yield Item(file.name, given)
        else:
            kind = None if name == _HANDBOOK else "instruction"
            yield from section_items(file.name, file.text, file.changed_at, kind=kind, metadata=metadata)
