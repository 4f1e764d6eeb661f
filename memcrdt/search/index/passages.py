"""Passages: the windows of a memory's text that are indexed as full text and as vectors.

Passage n of memory m has the number m * 256 + n, so no table is needed to convert the numbers.
"""

from __future__ import annotations

from typing import Final

from memcrdt.search.words import is_mostly_unspaced

PER_MEMORY: Final = 256
# About 200 words, a good paragraph, and within the 256 tokens that the smaller models read.
WINDOW_CHARS: Final = 900
STEP_CHARS: Final = 600
_UNSPACED_SHARE: Final = 3  # without spaces each character is a token: windows are shorter by this factor


def split(text: str) -> list[str]:
    """Return the windows of `text` in order.

    A short text is one window. A long text has overlapping windows, cut at spaces where possible.
    """
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
    """Return the place after the last space before `wanted`, or `wanted` itself if no space is near."""
    if wanted >= len(text):
        return len(text)
    space = text.rfind(" ", wanted - STEP_CHARS // 6, wanted)
    return wanted if space < 0 else space + 1


def number(memory: int, window: int) -> int:
    """Return the number of a memory's passage."""
    return memory * PER_MEMORY + window


def number_range(memory: int) -> tuple[int, int]:
    """Return the first and the last number that passages of `memory` can have."""
    return number(memory, 0), number(memory, PER_MEMORY - 1)
