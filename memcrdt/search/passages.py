"""Passages: the windows of a memory's text that full text and vectors hold.

Passage n of memory m is the number m * 256 + n, so that one tells the other without a table.
"""

from __future__ import annotations

from memcrdt.model import limits

PER_MEMORY = 256
WHOLE_CHARS = 1_200  # up to here a text is one passage: about 200 words, a good paragraph
WINDOW_CHARS = 900
STEP_CHARS = 600
assert limits.TEXT_BYTES // STEP_CHARS < PER_MEMORY // 2  # cutting at spaces may add some


def split(text: str) -> list[str]:
    """The windows of `text` in order: all of it when short, else overlapping ones, cut at spaces where possible."""
    if len(text) <= WHOLE_CHARS:
        return [text]
    windows, start = [], 0
    while True:
        end = _cut(text, start + WINDOW_CHARS)
        windows.append(text[start:end])
        if end == len(text):
            return windows
        start = _cut(text, start + STEP_CHARS)


def _cut(text: str, wanted: int) -> int:
    """The place of the last space before `wanted`, or `wanted` itself when there is none near."""
    if wanted >= len(text):
        return len(text)
    space = text.rfind(" ", wanted - WINDOW_CHARS // 6, wanted)
    return wanted if space < 0 else space + 1


def number(memory: int, window: int) -> int:
    return memory * PER_MEMORY + window


def span(memory: int) -> tuple[int, int]:
    """The first and the last number that passages of `memory` can have."""
    return number(memory, 0), number(memory, PER_MEMORY - 1)
