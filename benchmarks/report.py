"""Reports of comparisons: a table of medians with their spread, the same as JSON, and a plot."""

from __future__ import annotations

import html
import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

Figures: TypeAlias = dict[str, list[float]]  # one number a round, by the key of a measure

PANEL, BAR, LEFT, WIDTH = 28, 16, 190, 720  # pixels


@dataclass(frozen=True)
class Measure:
    """A row of the table.

    Args:
        key: Its key in Figures.
        title: Its name, with the unit.
        digits: Digits behind the point.
        higher_is_better: Whether more is better.
        drawn: Whether the plot has it.
    """

    key: str
    title: str
    digits: int
    higher_is_better: bool = False
    drawn: bool = True

    def text(self, values: Sequence[float]) -> str:
        """Return the median, and the least and most of several rounds."""
        if not values:
            return "not measured"
        told = f"{statistics.median(values):,.{self.digits}f}"
        if len(values) < 2:
            return told
        return f"{told} ({min(values):,.{self.digits}f} to {max(values):,.{self.digits}f})"


@dataclass
class Report:
    """A comparison.

    Args:
        title: What was measured, with its sizes.
        machine: The machine, its load and the versions.
        measures: The rows.
        figures: The figures by the title of a system, which are the columns.
        absent: Reasons by the title of a system that was not measured.
        notes: Sentences below the table.
    """

    title: str
    machine: str
    measures: Sequence[Measure]
    figures: Mapping[str, Figures]
    absent: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()

    def table(self) -> str:
        """Return the report as Markdown."""
        head = ["", *self.figures]
        rows = [
            [measure.title, *(measure.text(found.get(measure.key, [])) for found in self.figures.values())]
            for measure in self.measures
        ]
        lines = [f"| {' | '.join(row)} |" for row in (head, ["---"] * len(head), *rows)]
        absent = [f"Not measured: {name} ({reason})." for name, reason in self.absent.items()]
        return "\n".join([f"## {self.title}", "", self.machine, "", *lines, "", *absent, *self.notes])

    def write(self, folder: Path, name: str, plot: str = "") -> None:
        """Write NAME.md, NAME.json and NAME.svg: the plot, or else the bars of this report."""
        folder.mkdir(parents=True, exist_ok=True)
        content = {
            "title": self.title,
            "machine": self.machine,
            "measures": {measure.key: measure.title for measure in self.measures},
            "figures": self.figures,
            "absent": self.absent,
            "notes": list(self.notes),
        }
        texts = {"md": self.table(), "json": json.dumps(content, indent=1), "svg": plot or self.plot()}
        for ending, text in texts.items():
            (folder / f"{name}.{ending}").write_text(text + "\n", encoding="utf-8")

    def plot(self) -> str:
        """Return an SVG with a panel for each measure that is drawn, and a bar for each system."""
        top, parts = 10, []
        for measure in (each for each in self.measures if each.drawn):
            medians = {
                name: statistics.median(values)
                for name, found in self.figures.items()
                if (values := found.get(measure.key, []))
            }
            if medians:
                parts += self._panel(measure, medians, top)
                top += PANEL + BAR * len(medians)
        size = f'width="{WIDTH}" height="{top}" viewBox="0 0 {WIDTH} {top}"'
        style = 'font-family="sans-serif" font-size="11" fill="#222"'
        white = f'<rect width="{WIDTH}" height="{top}" fill="#fff"/>'
        return "\n".join([f'<svg xmlns="http://www.w3.org/2000/svg" {size} {style}>', white, *parts, "</svg>"])

    def _panel(self, measure: Measure, medians: Mapping[str, float], top: int) -> list[str]:
        most = max(*medians.values(), 1e-9)
        better = "more is better" if measure.higher_is_better else "less is better"
        parts = [f'<text x="4" y="{top + 12}" font-weight="bold">{html.escape(measure.title)} ({better})</text>']
        for number, (name, value) in enumerate(medians.items()):
            y = top + 18 + number * BAR
            length = max(value, 0) / most * (WIDTH - LEFT - 90)
            colour = "#2a6f97" if name == "memcrdt" else "#a9b4bd"
            parts += [
                f'<text x="{LEFT - 8}" y="{y + 11}" text-anchor="end">{html.escape(name)}</text>',
                f'<rect x="{LEFT}" y="{y + 2}" width="{length:.1f}" height="{BAR - 4}" fill="{colour}"/>',
                f'<text x="{LEFT + length + 6:.1f}" y="{y + 11}">{value:,.{measure.digits}f}</text>',
            ]
        return parts
