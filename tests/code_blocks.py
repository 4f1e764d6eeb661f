"""The code blocks of the README and of the pages in docs and .github.

A block that no test runs says why in a comment above it: `<!-- not run: it needs two machines -->`. The block `text`
that follows a Python block is what that block prints.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]

_BLOCK: Final = re.compile(r"^(?:<!-- not run: ([^\n]+) -->\n)?```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Block:
    """One block of a page.

    Attributes:
        language: The language, or a directive such as `{toctree}`.
        code: The text of the block.
        reason: Why it is not run, or None.
        line: The number of its first line.
        output: The block `text` behind it, for Python; None if there is none.
    """

    language: str
    code: str
    reason: str | None
    line: int
    output: str | None


def pages() -> list[Path]:
    """Return the README, every page, and the pages for contributors."""
    return [ROOT / "README.md", *sorted([*ROOT.glob("docs/**/*.md"), *ROOT.glob(".github/*.md")])]


def name_of(page: Path) -> str:
    """Return the path of a page within the project."""
    return page.relative_to(ROOT).as_posix()


def blocks(page: Path) -> list[Block]:
    """Return the blocks of a page, in order. The output of a Python block is a part of it."""
    text = page.read_text(encoding="utf-8")
    found: list[Block] = []
    end = 0
    for match in _BLOCK.finditer(text):
        reason, language, code = match.groups()
        follows = found and found[-1].language == "python" and not text[end : match.start()].strip()
        if follows and language == "text" and reason is None:
            before = found.pop()
            found.append(Block(before.language, before.code, before.reason, before.line, code))
        else:
            found.append(Block(language, code, reason, text.count("\n", 0, match.start(3)) + 1, None))
        end = match.end()
    return found
