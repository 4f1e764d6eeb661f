"""Passages: the windows of a memory's text that full text and vectors hold.

Passage n of memory m is the number m * 256 + n, so that one tells the other without a table.
"""

from __future__ import annotations

from memcrdt.search.words import is_mostly_unspaced

PER_MEMORY = 256
# About 200 words, a good paragraph, and within the 256 tokens that the smaller models read.
WINDOW_CHARS = 900
STEP_CHARS = 600
_UNSPACED_SHARE = 3  # a character of a script without spaces is a token: windows of such text are that much shorter


def split(text: str) -> list[str]:
    """The windows of `text` in order: all of it when short, else overlapping ones, cut at spaces where possible."""
    scale = _UNSPACED_SHARE if is_mostly_unspaced(text) else 1
    window, step = WINDOW_CHARS // scale, STEP_CHARS // scale
    if len(text) <= window:
        return [text]
    windows, start = [], 0
    while True:
        end = _cut(text, start + window)
        windows.append(text[start:end])
        if end == len(text):
            return windows
        start = _cut(text, start + step)


def _cut(text: str, wanted: int) -> int:
    """The place behind the last space before `wanted`, or `wanted` itself when there is none near."""
    if wanted >= len(text):
        return len(text)
    space = text.rfind(" ", wanted - STEP_CHARS // 6, wanted)
    return wanted if space < 0 else space + 1


def number(memory: int, window: int) -> int:
    return memory * PER_MEMORY + window


def span(memory: int) -> tuple[int, int]:
    """The first and the last number that passages of `memory` can have."""
    return number(memory, 0), number(memory, PER_MEMORY - 1)
