"""`memcrdt` alone: the verdict, the counts, and three commands that fit the state."""

from __future__ import annotations

from typing import TYPE_CHECKING

from memcrdt.cli.face import Face
from memcrdt.cli.output import Column, memories
from memcrdt.cli.terminal import paint, show
from memcrdt.errors import NotFoundError

if TYPE_CHECKING:
    from memcrdt.service.start import NextStep, Start

_STEPS: tuple[Column[NextStep], ...] = (
    Column("", lambda step: "next"),
    Column("command", lambda step: step.command),
    Column("purpose", lambda step: step.purpose),
)


def show_start(face: Face) -> None:
    """Print the start screen. A home that does not exist yet is not created."""
    from datetime import UTC, datetime

    from memcrdt.service.start import FRESH, start_of

    try:
        with face.open(read_only=True) as memory:
            start = start_of(memory.status(), memory.stats(), datetime.now(UTC))
    except NotFoundError:
        start = FRESH
    if face.printer.is_terminal:
        width = max(len(step.command) for step in start.next)
        steps = (f"  {paint(step.command.ljust(width), bold=True)}  {step.purpose}" for step in start.next)
        more = "`memcrdt help` shows all commands."
        show("\n".join([paint(start.verdict, bold=True), _counts(start), "", *steps, "", more]))
        return
    face.printer.record(start if face.json else {"verdict": start.verdict, "holds": _counts(start)})
    if not face.json:
        face.printer.table(start.next, _STEPS)


def _counts(start: Start) -> str:
    devices = "no other device" if not start.devices else f"{start.devices} other device{'s' * (start.devices > 1)}"
    parts = [memories(start.memories), devices]
    parts += [f"{start.conflicted:,} in conflict"] if start.conflicted else []
    parts += [f"{start.forgotten:,} forgotten"] if start.forgotten else []
    return ", ".join(parts)
