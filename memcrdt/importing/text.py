"""Plain text: a paragraph becomes a memory, or a line if the text has no empty lines, as in a list."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from memcrdt.errors import InputError
from memcrdt.importing.folders import text_files
from memcrdt.importing.rows import Item, time_of

_EMPTY_LINES: Final = re.compile(r"\n[ \t]*\n\s*")


def items(path: Path) -> Iterator[Item]:
    """Yield the items of a text file, or of the files of a folder that end in .txt. Raises OSError.

    The key is made of the text: another order, or a new item between others, changes none.
    """
    for file in text_files(path, (".txt",)):
        if isinstance(file.text, InputError):
            yield Item(file.name, file.text)
            continue
        whole = file.text.strip()
        for text in _EMPTY_LINES.split(whole) if _EMPTY_LINES.search(whole) else whole.split("\n"):
            digest = hashlib.sha256(text.strip().encode()).hexdigest()
            changed_at = time_of(file.changed_at)
            yield Item(
                file.name,
                {
                    "text": text,
                    "key": f"{file.name}#{digest}",
                    "created_at": changed_at,
                    "updated_at": changed_at,
                    "metadata": {"path": file.name},
                },
            )
