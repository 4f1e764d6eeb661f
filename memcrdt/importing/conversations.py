"""A conversation as a memory: its title, and what the user said. What the model answered is left out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

TURN_CHARS: Final = 1_000
TURNS_CHARS: Final = 16_000  # of all turns: the rest says little that is new


def conversation_text(title: str, turns: Iterable[str], summary: str = "") -> str:
    """Return the text of the memory, or an empty text if the user said nothing.

    Long turns are clipped, and the turns of a long conversation end early.

    Example:
        >>> print(conversation_text("Tea", ["Which tea has least caffeine?"]))
        # Tea
        <BLANKLINE>
        - Which tea has least caffeine?
    """
    listed: list[str] = []
    left = TURNS_CHARS
    for turn in turns:
        words = " ".join(turn.split())
        clipped = words if len(words) <= TURN_CHARS else words[: TURN_CHARS - 1] + "…"
        if clipped and left >= len(clipped):
            listed.append(f"- {clipped}")
            left -= len(clipped)
    if not listed and not summary.strip():
        return ""
    heading = " ".join(title.split())
    return "\n\n".join(filter(None, (f"# {heading}" if heading else "", summary.strip(), "\n".join(listed))))
