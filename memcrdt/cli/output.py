"""Printing: JSON lines, tables on a terminal, otherwise tab-separated lines. Messages and logs go to stderr."""

from __future__ import annotations

import dataclasses
import io
import json
import logging
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

import click

from memcrdt.cli.terminal import age, local_time, paint, show
from memcrdt.model.serialization import to_json

if TYPE_CHECKING:
    from rich.table import Table

    from memcrdt import Memory

T = TypeVar("T")

THIS_DEVICE: Final = "this device"
WORD_CHARS: Final = 24  # a longer word of a table, such as the name of a model, is broken where there is no room

# Control characters would move the cursor, or break a line or a field. Bidirectional embeddings, overrides and isolates
# would show the text of a memory in another order, or take the rest of the line along. All are shown as Python escapes.
_BIDI = (*range(0x202A, 0x202F), *range(0x2066, 0x206A))
_SEPARATORS = (0x2028, 0x2029)  # of lines and paragraphs
_UNSEEN = (*range(32), *range(127, 160), *_BIDI, *_SEPARATORS)
CONTROLS = {code: ascii(chr(code))[1:-1] for code in _UNSEEN}
_DEVICES = ("device", "imported_from")  # fields that are the id of one
_FIELD = {**CONTROLS, ord("\\"): r"\\"}
_JSON = {code: f"\\u{code:04x}" for code in _UNSEEN if code >= 32}  # JSON itself escapes the others
_SEVERAL_LINES = {code: shown for code, shown in CONTROLS.items() if chr(code) not in "\n\t"}


@dataclasses.dataclass(frozen=True, slots=True)
class Column(Generic[T]):
    """One column of a table: the heading and the cell of an item. A `whole` cell is not wrapped."""

    heading: str
    cell: Callable[[T], object]
    whole: bool = False


class Printer:
    """Prints data on stdout: as JSON if `as_json`, as a table on a terminal, otherwise for cut and awk."""

    def __init__(self, as_json: bool) -> None:
        self.is_json = as_json

    @property
    def is_terminal(self) -> bool:
        """Whether people read the data on a terminal."""
        return not self.is_json and sys.stdout.isatty()

    def table(
        self,
        items: Iterable[T],
        columns: Sequence[Column[T]],
        *,
        on_terminal: Sequence[Column[T]] | None = None,
        empty: str = "",
    ) -> bool:
        """Print one item per line, or a table on a terminal, with other columns if given. JSON has the whole item.

        Return whether there are items. If there are none, print the message `empty`, unless JSON is printed.
        """
        count = 0
        if self.is_terminal:
            count = _print_table(list(items), on_terminal or columns)
        else:
            for count, item in enumerate(items, 1):  # noqa: B007 - the last number is the count
                click.echo(as_json(item) if self.is_json else _line(item, columns))
        if empty and not count and not self.is_json:
            say(empty)
        return count > 0

    def record(self, item: object) -> None:
        """Print one item: as JSON, or as a line `name<tab>value` for each field that is not empty."""
        if self.is_json:
            click.echo(as_json(item))
            return
        fields = {name: _device_shown(name, value) for name, value in _fields(item).items()}
        if self.is_terminal:
            show(_named_lines({name: as_seen(value) for name, value in fields.items()}))
            return
        for name, value in fields.items():
            for part in value if isinstance(value, Sentences) else (value,):
                if text := as_text(part):
                    click.echo(f"{name}\t{text.translate(_FIELD)}")

    def headline(self, name: str, text: str) -> None:
        """Print a sentence that stands above everything else: bold on a terminal, otherwise as record() prints it."""
        if sys.stdout.isatty():
            width = shutil.get_terminal_size().columns
            click.secho(textwrap.fill(text.translate(CONTROLS), width, break_long_words=False), bold=True)
        else:
            self.record({name: text})

    def below(self, lines: Iterable[str]) -> None:
        """Print lines below a table on a terminal, for data that the table has no room for."""
        if self.is_terminal:
            for line in lines:
                click.echo(line.translate(CONTROLS))

    def value(self, name: str, value: str) -> None:
        """Print one bare value, such as an id, or {name: value} as JSON."""
        shown = value.translate(CONTROLS) if sys.stdout.isatty() else value
        click.echo(as_json({name: value}) if self.is_json else shown)


def say(message: str) -> None:
    """Print a message for people on stderr, as one line."""
    if _MESSAGES.is_json:
        _MESSAGES.print_json("info", "memcrdt.cli", message)
    else:
        click.echo(f"memcrdt: {message}".translate(CONTROLS), err=True)


def as_json(item: object) -> str:
    """Return one line of JSON. Dataclasses are objects, and times are ISO 8601.

    Characters that are unsafe to print are escaped.
    """
    return json.dumps(to_json(item), ensure_ascii=False).translate(_JSON)


class TerminalJson(io.BytesIO):
    """A stream for whole lines of JSON on a terminal. Characters that are unsafe to print are escaped."""

    def write(self, data: Any) -> int:
        click.echo(bytes(data).decode().translate(_JSON), nl=False)
        return len(data)


class Sentences(tuple[str, ...]):
    """Sentences of one field of a record. Each has a line of its own."""

    __slots__ = ()


def as_text(value: object) -> str:
    """Return the text of one field. None and empty values have an empty text."""
    match value:
        case None | () | []:
            return ""
        case str():
            return value
        case datetime():
            return value.isoformat(timespec="seconds")
        case tuple() | list() if all(isinstance(item, str) for item in value):
            return ("\n" if isinstance(value, Sentences) else ", ").join(value)
        case Mapping() if not value:
            return ""
    return as_json(value)


def readable(device: str) -> str:
    """Return a device id in groups, for people. JSON has it without groups."""
    from memcrdt.model.device_ids import shown

    return shown(device)


def short(device: str, name: str | None) -> str:
    """Return a short form of a device: the name, if any, and the first group of the id."""
    group = readable(device).partition("-")[0]
    return f"{name} ({group})" if name else group


def on_terminal(text: str) -> str:
    """Return a text of several lines without characters that would steer a terminal."""
    return text.translate(_SEVERAL_LINES)


def device_names(memory: Memory) -> dict[str, str]:
    """Return short forms of the known devices by id. Our own is `this device`."""
    return {memory.device: THIS_DEVICE, **{each.device: short(each.device, each.name) for each in memory.devices()}}


def device_name(names: Mapping[str, str], device: str) -> str:
    """Return the short form of a device from device_names(), or the beginning of the id of an unknown one."""
    return names.get(device) or short(device, None)


def size(count: int) -> str:
    """Return a number of bytes for people, such as `1.4 MB`. JSON has the number."""
    value, unit = float(count), "bytes"
    for larger in ("kB", "MB", "GB"):
        if value < 999.5:
            break
        value, unit = value / 1_000, larger
    return f"{value:,.{0 if unit == 'bytes' or value >= 99.95 else 1}f} {unit}"


def memories(count: int) -> str:
    """Return a number of memories in words, for messages."""
    return "1 memory" if count == 1 else f"{count:,} memories"


def _line(item: T, columns: Sequence[Column[T]]) -> str:
    return "\t".join(as_text(column.cell(item)).translate(_FIELD) for column in columns)


def _print_table(items: Sequence[T], columns: Sequence[Column[T]]) -> int:
    """Print a table on a terminal, unless it is empty. Return the number of items.

    On a terminal that is too narrow for the words of all columns, each item is a block of lines.
    """
    if items and _least_width(items, columns) <= shutil.get_terminal_size().columns:
        from rich.console import Console

        Console(highlight=False).print(rich_table(items, columns))
    elif items:
        blocks = ({column.heading: _cell(column, item) for column in columns} for item in items)
        # Empty lines stand around it, as around a table. The pager would show it after what is printed below.
        click.echo("\n{}\n".format("\n\n".join(map(_named_lines, blocks))))
    return len(items)


def _least_width(items: Sequence[T], columns: Sequence[Column[T]]) -> int:
    """Return the width of a table that breaks no word, except those of over WORD_CHARS."""

    def needed(column: Column[T], text: str) -> int:
        return len(text) if column.whole else min(max(map(len, text.split()), default=0), WORD_CHARS)

    texts = ([column.heading, *(_cell(column, item) for item in items)] for column in columns)
    return sum(2 + max(needed(column, text) for text in cells) for column, cells in zip(columns, texts, strict=True))


def _named_lines(texts: Mapping[str, str]) -> str:
    """Return a line `name  text` for each text that is not empty."""
    seen = {name: text for name, text in texts.items() if text}
    width = max(map(len, seen), default=0)
    lines = (_wrapped(text.translate(_SEVERAL_LINES), width + 2) for text in seen.values())
    return "\n".join(f"{paint(n.ljust(width), bold=True)}  {line}" for n, line in zip(seen, lines, strict=True))


def _cell(column: Column[T], item: T) -> str:
    """Return the text of a cell on a terminal."""
    cell = column.cell(item)
    return age(cell) if isinstance(cell, datetime) else as_text(cell)


def rich_table(items: Iterable[T], columns: Sequence[Column[T]]) -> Table:
    """Return a table for a terminal. Long cells are wrapped, not cut off."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    for column in columns:
        table.add_column(column.heading, no_wrap=column.whole, overflow="fold")
    for item in items:
        table.add_row(*(Text(_cell(column, item).translate(_SEVERAL_LINES)) for column in columns))
    return table


def as_seen(value: object) -> str:
    """Return the text of a value on a terminal: times in local time, with their age."""
    if not isinstance(value, datetime):
        return as_text(value)
    at, since = local_time(value), age(value)
    return at if at == since else f"{at} ({since})"


def _wrapped(text: str, indent: int) -> str:
    """Return a text whose lines fit on the terminal beside an indent, which all lines but the first begin with."""
    width = max(shutil.get_terminal_size().columns - indent, 20)
    options: dict[str, Any] = {"break_long_words": False, "break_on_hyphens": False, "replace_whitespace": False}
    lines = [part for line in text.split("\n") for part in textwrap.wrap(line, width, **options) or [""]]
    return ("\n" + " " * indent).join(lines)


def _device_shown(name: str, value: object) -> object:
    """Return a field of a record with the id of a device in the form that people read."""
    from memcrdt.model.device_ids import is_device_id

    return readable(value) if name in _DEVICES and isinstance(value, str) and is_device_id(value) else value


def _fields(item: Any) -> dict[str, Any]:
    if isinstance(item, Mapping):
        return dict(item)
    return {field.name: getattr(item, field.name) for field in dataclasses.fields(item)}


class _Messages(logging.Handler):
    """Prints log records on stderr, for people, or as lines of JSON.

    Attributes:
        is_json: Whether it prints JSON.
    """

    is_json = False

    def emit(self, record: logging.LogRecord) -> None:
        problem = logging.Formatter().formatException(record.exc_info) if record.exc_info else None
        if self.is_json:
            self.print_json(record.levelname.lower(), record.name, record.getMessage(), problem)
            return
        say(record.getMessage())
        if problem:  # a bug: the traceback helps to fix it
            click.echo(problem, err=True)

    def print_json(self, level: str, logger: str, message: str, exception: str | None = None) -> None:
        line = {"at": datetime.now(UTC).isoformat(), "level": level, "logger": logger, "message": message}
        click.echo(as_json({**line, "exception": exception} if exception else line), err=True)


_MESSAGES = _Messages()


@contextmanager
def without(logger: str) -> Iterator[None]:
    """Silence a logger inside the block, because the command reports the same in its own way."""
    quiet = logging.getLogger(logger)
    quiet.addFilter(_nothing)
    try:
        yield
    finally:
        quiet.removeFilter(_nothing)


@contextmanager
def telling(logger: str, level: int) -> Iterator[None]:
    """Print the messages of a logger from this level on, inside the block."""
    talkative = logging.getLogger(logger)
    before = talkative.level
    talkative.setLevel(level)
    try:
        yield
    finally:
        talkative.setLevel(before)


def _nothing(record: logging.LogRecord) -> bool:
    return False


@contextmanager
def messages_as_json(wanted: bool) -> Iterator[None]:
    """Print messages and log records as lines of JSON inside the block, if wanted."""
    _MESSAGES.is_json = wanted
    try:
        yield
    finally:
        _MESSAGES.is_json = False


def show_messages() -> None:
    """Print log warnings and errors on stderr from now on. A second call does nothing."""
    logging.getLogger("memcrdt").addHandler(_MESSAGES)
