"""A log-log plot as SVG: how costs grow, each relative to that of the smallest number."""

from __future__ import annotations

import html
import math
import statistics
from collections.abc import Mapping, Sequence

from report import Figures, Measure

WIDTH, HEIGHT = 880, 400  # pixels
LEFT, TOP, RIGHT, BOTTOM = 76, 16, 420, 44  # margins; the names of the lines are at the right
LINE_HEIGHT = 15
COLOURS = (
    "#1b6ca8",
    "#c2571a",
    "#2e8b57",
    "#8e44ad",
    "#b8860b",
    "#c0392b",
    "#16808c",
    "#6b6b6b",
    "#d16ba5",
    "#5d7a1f",
    "#000080",
)


class _Axes:
    """The place of values on both axes."""

    def __init__(self, numbers: Sequence[int], most: float) -> None:
        self.first, self.last, self.top = min(numbers), max(numbers), max(most, 10.0)

    def x(self, number: float) -> float:
        share = math.log(number / self.first) / (math.log(self.last / self.first) or 1.0)
        return LEFT + share * (WIDTH - LEFT - RIGHT)

    def y(self, factor: float) -> float:
        share = math.log(max(factor, 0.5) / 0.5) / math.log(self.top / 0.5)
        return HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM)


def growth_plot(measures: Sequence[Measure], columns: Mapping[int, Figures], what: str) -> str:
    """Return an SVG with a line for each measure: its medians, divided by that of the smallest number.

    Args:
        measures: The lines. One without figures, or that begins at zero, has none.
        columns: The figures by number.
        what: What is counted, under the axis.
    """
    numbers = sorted(columns)
    lines = {measure.title: line for measure in measures if (line := _factors(measure.key, numbers, columns))}
    axes = _Axes(numbers, max((factor for line in lines.values() for _, factor in line), default=1.0))
    named = sorted(lines.items(), key=lambda item: -item[1][-1][1])
    parts = _grid(axes, numbers, what)
    for place, (title, line) in enumerate(named):
        parts += _line(axes, line, COLOURS[place % len(COLOURS)], place, title)
    size = f'width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}"'
    style = 'font-family="sans-serif" font-size="11" fill="#222"'
    white = f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>'
    return "\n".join([f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>', white, *parts, "</svg>"])


def _factors(key: str, numbers: Sequence[int], columns: Mapping[int, Figures]) -> list[tuple[int, float]]:
    """Return the medians of a measure, relative to the first one."""
    found = [(number, statistics.median(values)) for number in numbers if (values := columns[number].get(key))]
    if not found or found[0][1] <= 0:
        return []
    return [(number, value / found[0][1]) for number, value in found]


def _grid(axes: _Axes, numbers: Sequence[int], what: str) -> list[str]:
    bottom, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    parts = []
    for power in range(int(math.log10(axes.top)) + 1):
        y = axes.y(10.0**power)
        parts.append(f'<line x1="{LEFT}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}" stroke="#ddd"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{10**power:,} times</text>')
    for number in numbers:
        x = axes.x(number)
        parts.append(f'<line x1="{x:.1f}" y1="{TOP}" x2="{x:.1f}" y2="{bottom}" stroke="#ddd"/>')
        parts.append(f'<text x="{x:.1f}" y="{bottom + 16}" text-anchor="middle">{number:,}</text>')
    end = min(axes.last / axes.first, axes.top)
    ends = f'x2="{axes.x(axes.first * end):.1f}" y2="{axes.y(end):.1f}"'
    parts.append(f'<line x1="{LEFT}" y1="{axes.y(1):.1f}" {ends} stroke="#999" stroke-dasharray="4 4"/>')
    middle = (LEFT + right) / 2
    note = f"{html.escape(what)}; the dashed line grows as fast as their number"
    return [*parts, f'<text x="{middle:.0f}" y="{HEIGHT - 8}" text-anchor="middle">{note}</text>']


def _factor(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _line(axes: _Axes, line: Sequence[tuple[int, float]], colour: str, place: int, title: str) -> list[str]:
    """Return a line with its dots, and its name at the right, in the order of the last values."""
    points = [(axes.x(number), axes.y(factor)) for number, factor in line]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
    at = TOP + 10 + place * LINE_HEIGHT
    x = WIDTH - RIGHT + 14
    return [
        f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.8"/>',
        *(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="2.6" fill="{colour}"/>' for x, y in points),
        f'<rect x="{x}" y="{at - 8}" width="9" height="9" fill="{colour}"/>',
        f'<text x="{x + 14}" y="{at}">{html.escape(title)}: {_factor(line[-1][1])} times</text>',
    ]
