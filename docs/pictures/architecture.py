"""Draw architecture.svg: `python docs/pictures/architecture.py`. tests/test_recordings.py compares the file."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Final

PICTURE: Final = Path(__file__).with_suffix(".svg")
WIDTH, HEIGHT = 860, 470

# Each box: left, top, width, height, the name and what it does. Names of packages are those of memcrdt/.
BOXES: Final = {
    "faces": (40, 50, 480, 50, "cli · mcp · server · frameworks", "they translate and decide nothing"),
    "service": (40, 130, 480, 50, "service · memory", "add, search, update, forget: one path for each"),
    "search": (40, 220, 150, 70, "search", "words and vectors"),
    "commit": (210, 220, 150, 70, "store", "one commit for all"),
    "node": (380, 220, 140, 70, "node · sync · net", "gossip over TLS"),
    "views": (60, 345, 130, 60, "views, indexes", "built from the log"),
    "log": (230, 345, 130, 60, "log", "Yjs updates"),
    "other": (670, 130, 160, 275, "desktop", "the same"),
}
# Each arrow: from, to, in points; the words beside it, and where they begin.
ARROWS: Final = (
    ((280, 100), (280, 130), "", (0, 0)),
    ((115, 180), (115, 220), "", (0, 0)),
    ((285, 180), (285, 220), "", (0, 0)),
    ((115, 345), (115, 290), "reads", (122, 322)),
    ((295, 290), (295, 345), "appends", (302, 322)),
    ((230, 375), (190, 375), "", (0, 0)),
    ((380, 255), (360, 255), "", (0, 0)),
    ((360, 365), (440, 290), "", (0, 0)),
    ((520, 245), (670, 245), "digests", (548, 237)),
    ((670, 265), (520, 265), "missing updates", (548, 284)),
)


def draw() -> str:
    """Return the picture as SVG."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}"',
        'font-family="sans-serif" font-size="14">',
        "<title>The parts of memcrdt on one machine, and another machine with the same</title>",
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" markerHeight="8" orient="auto">'
        '<path d="M0 0 8 4 0 8z" fill="#555"/></marker></defs>',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>',
        _box(20, 15, 520, 435, fill="#f4f6fa"),
        _words(36, 38, "laptop", bold=True),
        _box(40, 315, 480, 115, fill="#e6ecf7"),
        _words(508, 422, "one SQLite file", anchor="end"),
    ]
    for left, top, width, height, name, purpose in BOXES.values():
        parts.append(_box(left, top, width, height, fill="#fff"))
        middle = top + height / 2
        parts.append(_words(left + width / 2, middle - 4, name, bold=True, anchor="middle"))
        parts.append(_words(left + width / 2, middle + 15, purpose, anchor="middle"))
    for start, end, words, at in ARROWS:
        (x1, y1), (x2, y2) = start, end
        parts.append(f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="#555" marker-end="url(#tip)"/>')
        if words:
            parts.append(_words(*at, words))
    return "\n".join([*parts, "</svg>", ""])


def _box(left: float, top: float, width: float, height: float, *, fill: str) -> str:
    return f'<rect x="{left}" y="{top}" width="{width}" height="{height}" rx="6" fill="{fill}" stroke="#8a94a6"/>'


def _words(x: float, y: float, words: str, *, bold: bool = False, anchor: str = "start") -> str:
    weight = ' font-weight="bold"' if bold else ""
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}" fill="#222"{weight}>{escape(words)}</text>'


if __name__ == "__main__":
    PICTURE.write_text(draw(), encoding="utf-8")
