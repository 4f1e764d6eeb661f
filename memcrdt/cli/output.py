"""Printing: JSON lines, tables on a terminal, tab-separated lines elsewhere; messages and logs on stderr."""

from __future__ import annotations

import dataclasses
import json
import logging
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import click

from memcrdt.model.serialization import to_json

if TYPE_CHECKING:
    from rich.table import Table

T = TypeVar("T")

# What would move the cursor, or break a line or a field, is shown as Python would write it.
_CONTROLS = {code: ascii(chr(code))[1:-1] for code in (*range(32), *range(127, 160))}
_FIELD = {**_CONTROLS, ord("\\"): r"\\"}
_SEVERAL_LINES = {code: shown for code, shown in _CONTROLS.items() if chr(code) not in "\n\t"}


@dataclasses.dataclass(frozen=True, slots=True)
class Column(Generic[T]):
    """One column of a table: its heading, and what it shows of an item; `whole`, not broken over lines."""

    heading: str
    cell: Callable[[T], object]
    whole: bool = False


class Printer:
    """Prints data on stdout: as JSON if `as_json`, else for eyes on a terminal, else for cut and awk."""

    def __init__(self, as_json: bool) -> None:
        self.is_json = as_json

    def table(
        self, items: Iterable[T], columns: Sequence[Column[T]], *, on_terminal: Sequence[Column[T]] | None = None
    ) -> None:
        """One item a line; on a terminal a table, of other columns if they are named. JSON holds the whole item, not
        only the columns."""
        if self.is_json:
            for item in items:
                click.echo(as_json(item))
        elif sys.stdout.isatty():
            from rich.console import Console

            Console(highlight=False).print(rich_table(items, on_terminal or columns))
        else:
            for item in items:
                click.echo("\t".join(as_text(column.cell(item)).translate(_FIELD) for column in columns))

    def record(self, item: object) -> None:
        """One item: as JSON, or a line `name<tab>value` for each field that holds something."""
        if self.is_json:
            click.echo(as_json(item))
            return
        fields = {name: text for name, value in _fields(item).items() if (text := as_text(value))}
        width = max(map(len, fields), default=0)
        for name, text in fields.items():
            if sys.stdout.isatty():
                shown = text.translate(_SEVERAL_LINES).replace("\n", "\n" + " " * (width + 2))
                click.echo(f"{click.style(name.ljust(width), dim=True)}  {shown}")
            else:
                click.echo(f"{name}\t{text.translate(_FIELD)}")

    def below(self, lines: Iterable[str]) -> None:
        """Lines below a table, on a terminal only: what has no room in it."""
        if not self.is_json and sys.stdout.isatty():
            for line in lines:
                click.echo(line.translate(_CONTROLS))

    def value(self, name: str, value: str) -> None:
        """One bare value, such as an id; {name: value} as JSON."""
        click.echo(as_json({name: value}) if self.is_json else value)


def say(message: str) -> None:
    """A line on stderr, for people."""
    click.echo(f"memcrdt: {message}".translate(_CONTROLS), err=True)


def as_json(item: object) -> str:
    """Dataclasses as objects, times as ISO 8601, on one line."""
    return json.dumps(to_json(item), ensure_ascii=False)


def as_text(value: object) -> str:
    """A value as one field shows it; None and what is empty are empty."""
    match value:
        case None | () | []:
            return ""
        case str():
            return value
        case datetime():
            return value.isoformat(timespec="seconds")
        case tuple() | list() if all(isinstance(item, str) for item in value):
            return ", ".join(value)
        case Mapping() if not value:
            return ""
    return as_json(value)


def readable(device: str) -> str:
    """The id of a device in groups, for people; JSON has it without."""
    from memcrdt.model.device_ids import shown

    return shown(device)


def short(device: str, name: str | None) -> str:
    """A device where there is little room: its name, if it has one, and the first group of its id."""
    group = readable(device).partition("-")[0]
    return f"{name} ({group})" if name else group


def rich_table(items: Iterable[T], columns: Sequence[Column[T]]) -> Table:
    """A table for a terminal. What has too little room goes on in the next line; nothing is cut off."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for column in columns:
        table.add_column(column.heading, no_wrap=column.whole, overflow="fold")
    for item in items:
        table.add_row(*(Text(as_seen(column.cell(item)).translate(_SEVERAL_LINES)) for column in columns))
    return table


def as_seen(value: object) -> str:
    """A value on a terminal: times short and as the clock on the wall says; all else as text."""
    return value.astimezone().strftime("%Y-%m-%d %H:%M") if isinstance(value, datetime) else as_text(value)


def _fields(item: Any) -> dict[str, Any]:
    if isinstance(item, Mapping):
        return dict(item)
    return {field.name: getattr(item, field.name) for field in dataclasses.fields(item)}


class _Messages(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        say(record.getMessage())
        if record.exc_info:  # a bug, then: where it happened helps to mend it
            click.echo(logging.Formatter().formatException(record.exc_info), err=True)


_MESSAGES = _Messages()


@contextmanager
def without(logger: str) -> Iterator[None]:
    """Shows nothing of this logger: the command tells it in its own way."""
    quiet = logging.getLogger(logger)
    quiet.addFilter(_nothing)
    try:
        yield
    finally:
        quiet.removeFilter(_nothing)


def _nothing(record: logging.LogRecord) -> bool:
    return False


def show_messages() -> None:
    """Shows warnings and errors from now on. A second call does nothing."""
    logging.getLogger("memcrdt").addHandler(_MESSAGES)
