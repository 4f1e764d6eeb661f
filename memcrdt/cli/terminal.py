"""What only a terminal gets: colours, ages instead of times, and a pager for long output."""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import click

from memcrdt.service.times import ago

_COLORS = ("fg", "bg")
_AHEAD = timedelta(minutes=1)  # a clock may be that wrong; a later time is meant


def paint(text: str, **style: Any) -> str:
    """Return a text with a style of click.style(), without its colours if $NO_COLOR is set."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        style = {name: value for name, value in style.items() if name not in _COLORS}
    return click.style(text, **style)


def age(moment: datetime) -> str:
    """Return how long ago a time was, or the local time if it is still to come."""
    now = datetime.now(UTC)
    return local_time(moment) if moment > now + _AHEAD else ago(moment, now)


def local_time(moment: datetime) -> str:
    """Return a time in the time zone of this machine, without seconds."""
    try:
        return moment.astimezone().strftime("%Y-%m-%d %H:%M")
    except (OverflowError, ValueError, OSError):  # at the edges of the calendar there is no local time
        return moment.isoformat(sep=" ", timespec="minutes")


@contextmanager
def progress_line() -> Iterator[Callable[[str], None]]:
    """Lend a function that shows its text on stderr, if that is a terminal: in one line, which is erased at the end."""
    width = 0

    def tell(text: str) -> None:
        nonlocal width
        if sys.stderr.isatty():
            line = f"memcrdt: {text}"
            width = max(width, len(line))
            click.echo(f"\r{line.ljust(width)}\r", nl=False, err=True)

    try:
        yield tell
    finally:
        if width:
            click.echo(f"\r{' ' * width}\r", nl=False, err=True)


@contextmanager
def progress_bar(
    what: str, count: Callable[[], int | None], clock: Callable[[], float] = time.monotonic
) -> Iterator[Callable[[int], None]]:
    """Lend a function that takes the number of things done, and shows it on stderr, if that is a terminal.

    The bar has the number of things a second, and the time that remains. It is erased at the end.

    Args:
        what: The name of the things.
        count: Returns the number of all things, or None if nobody knows. Only called for a terminal.
        clock: Returns the time in seconds.
    """
    if not sys.stderr.isatty():
        yield lambda done: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    shown = (TextColumn(f"memcrdt: {what}"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"))
    options: dict[str, Any] = {"console": Console(stderr=True), "transient": True, "get_time": clock}
    with Progress(*shown, TimeRemainingColumn(), **options) as progress:
        task = progress.add_task(what, total=None, rate="counting")
        total, begun = count(), clock()
        progress.reset(task, total=total, rate="")

        def tell(done: int) -> None:
            rate = done / max(clock() - begun, 0.001)
            progress.update(task, completed=done, rate=f"{rate:,.0f}/s")

        yield tell


def show(text: str) -> None:
    """Print lines on a terminal, by the pager ($PAGER, or less) if they are more than fit.

    The pager begins when the command has ended, so that the store is closed while somebody reads.
    """
    text = text.removesuffix("\n")
    if text.count("\n") + 1 < shutil.get_terminal_size().lines:
        click.echo(text)
        return
    context = click.get_current_context(silent=True)
    page = partial(click.echo_via_pager, text + "\n")  # prints without a pager if stdin is not a terminal
    page() if context is None else context.call_on_close(page)
