"""JSON lines, tab-separated fields and tables."""

from __future__ import annotations

import json
import logging
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click
import pytest

from memcrdt.cli.output import Column, Printer, as_text, show_messages
from memcrdt.cli.terminal import local_time

if TYPE_CHECKING:
    from tests.cli.conftest import Cli

AT = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Item:
    name: str
    at: datetime
    tags: tuple[str, ...] = ()


COLUMNS: tuple[Column[Item], ...] = (Column("name", lambda item: item.name), Column("tags", lambda item: item.tags))


def test_json_has_the_whole_item_on_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """It has every field, columns or not. Times are ISO 8601, and line breaks are escaped."""
    Printer(True).table([Item("two\nlines", AT, ("a",)), Item("ß", AT)], COLUMNS)
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line) for line in lines] == [
        {"name": "two\nlines", "at": "2026-11-22T09:30:00+00:00", "tags": ["a"]},
        {"name": "ß", "at": "2026-11-22T09:30:00+00:00", "tags": []},
    ]
    assert "ß" in lines[1]


def test_elsewhere_than_on_a_terminal_fields_are_separated_by_tabs(capsys: pytest.CaptureFixture[str]) -> None:
    """One item per line and a tab between fields. Characters that would break either are escaped."""
    Printer(False).table([Item("a\tb\nc\\d\x1b[2J", AT, ("x", "y"))], COLUMNS)
    assert capsys.readouterr().out == "a\\tb\\nc\\\\d\\x1b[2J\tx, y\n"


def test_a_terminal_gets_a_table(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Headings and cells. Escape sequences in a text have no effect."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "60")
    Printer(False).table([Item("a\x1b[2J", AT, ("x",))], COLUMNS)
    out = capsys.readouterr().out
    assert "name" in out
    assert "tags" in out
    assert "a\\x1b[2J" in out


def test_a_record_is_a_line_for_each_field_that_holds_something(capsys: pytest.CaptureFixture[str]) -> None:
    """Name, tab, value. Empty fields are left out."""
    Printer(False).record(Item("two\nlines", AT))
    assert capsys.readouterr().out == "name\ttwo\\nlines\nat\t2026-11-22T09:30:00+00:00\n"


def test_a_terminal_keeps_the_lines_of_a_text(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a terminal, further lines of a text are indented below the field name."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    Printer(False).record({"text": "one\ntwo"})
    assert capsys.readouterr().out.endswith("one\n      two\n")


def test_a_terminal_wraps_a_long_value(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Between words, below its beginning. A long word, such as a path, stays whole."""
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "30")
    Printer(False).record({"text": "some words that take two lines", "path": "/" + "x" * 40})
    assert click.unstyle(capsys.readouterr().out).splitlines() == [
        "text  some words that take two",
        "      lines",
        f"path  /{'x' * 40}",
    ]


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, ""),
        ((), ""),
        ({}, ""),
        ("text", "text"),
        (("a", "b"), "a, b"),
        (False, "false"),
        (0, "0"),
        (0.5, "0.5"),
        ({"by": "ops"}, '{"by": "ops"}'),
        (AT, "2026-11-22T09:30:00+00:00"),
    ],
)
def test_a_value_is_shown_as_text(value: object, shown: str) -> None:
    """Empty values are empty, a list of texts has commas, and other values are JSON."""
    assert as_text(value) == shown


LOG = logging.getLogger("memcrdt.somewhere")


def test_a_warning_is_a_line_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    """It starts like every message, appears once however often messages are enabled, and has its escape sequences
    escaped.
    """
    show_messages()
    show_messages()
    LOG.warning("%s said \x1b[2J\nthis", "it")
    LOG.info("not shown")
    assert capsys.readouterr() == ("", "memcrdt: it said \\x1b[2J\\nthis\n")


def test_a_bug_says_where(capsys: pytest.CaptureFixture[str]) -> None:
    """An exception in a log record is printed with its traceback."""
    show_messages()
    try:
        raise AssertionError("lives have no end")
    except AssertionError:
        LOG.exception("a task ended")
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("memcrdt: a task ended\nTraceback")
    assert "lives have no end" in err


@pytest.mark.skipif(not hasattr(time, "tzset"), reason="this platform cannot change the time zone of a process")
@pytest.mark.parametrize(
    ("zone", "at", "shown"),
    [
        ("EAST-14", AT, "2026-11-22 23:30"),
        ("UTC0", datetime(9999, 12, 31, 23, 59, tzinfo=UTC), "9999-12-31 23:59"),
        ("EAST-14", datetime(9999, 12, 31, 23, 59, tzinfo=UTC), "9999-12-31 23:59+00:00"),
        ("WEST12", datetime(1, 1, 1, tzinfo=UTC), "0001-01-01 00:00+00:00"),
    ],
)
def test_every_time_can_be_shown_in_every_zone(
    zone: str, at: datetime, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The edges of the calendar have no local time in some zones. They are shown in UTC there."""
    monkeypatch.setenv("TZ", zone)
    time.tzset()
    try:
        assert local_time(at) == shown
    finally:
        monkeypatch.undo()
        time.tzset()


_UNSAFE = "\x1b]0;t\x07 \x7f \x85 \x9b31m \u202a \u202e \u2066 \u2069 \u2028 \u2029 \r"


@pytest.mark.parametrize("is_terminal", [True, False])
@pytest.mark.parametrize(
    "command",
    [["list"], ["list", "--json"], ["get", "ID"], ["get", "ID", "--json"], ["history", "ID"], ["search", "lantern"]],
    ids=" ".join,
)
def test_no_text_of_a_memory_steers_a_terminal(
    cli: Cli, command: list[str], is_terminal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Control characters and bidirectional controls are shown as escapes, in JSON too, where they mean the same."""
    added = cli("add", f"lantern {_UNSAFE} end", "--tag", f"t{_UNSAFE}t").out.strip()
    monkeypatch.setattr(type(sys.stdout), "isatty", lambda self: is_terminal)
    out = click.unstyle(cli(*(added if word == "ID" else word for word in command)).out)
    assert "lantern" in out
    assert set(out) & set(_UNSAFE) <= {" ", *"0;t31m]"}
    if "--json" in command:
        assert json.loads(out)["text"] == f"lantern {_UNSAFE} end"


def test_an_export_to_a_terminal_is_escaped(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the same JSON. An export to a file or a pipe has every character as it is."""
    cli("add", f"lantern {_UNSAFE} end")
    monkeypatch.setattr(type(sys.stdout), "isatty", lambda self: True)
    out = cli("export", "-").out
    assert not set(out) & set("\x1b\x07\x7f\x85\x9b\u202e\u2066\u2028")
    assert json.loads(out)["text"] == f"lantern {_UNSAFE} end"
