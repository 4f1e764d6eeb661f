"""`memcrdt import` and `export`: memories as files."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import Any

import click

from memcrdt.cli.face import STDIO, Face, command, given, pass_face
from memcrdt.cli.filters import allow_secret, asked, attribute_options, filter_options, several
from memcrdt.cli.output import say

_FILE = click.argument("file", type=click.Path())  # as it was typed: ./- is a file
_FORMAT = click.option("--format", metavar="NAME", help="jsonl; without it, the ending of the file's name says it.")


@command("import")
@_FILE
@_FORMAT
@click.option("--space", metavar="NAME", help="Put all of them into this space, whatever the file says.")
@several("--tag", "tags", "TAG", "Give all of them this tag; can be repeated.")
@attribute_options("add")
@allow_secret
@click.option("--again", is_flag=True, help="Add also what was forgotten here since.")
@click.option("--dry-run", is_flag=True, help="Only count.")
@pass_face
def import_command(face: Face, /, file: str, **options: Any) -> None:
    """Add the memories of FILE; `-` reads stdin.

    It holds what `memcrdt export` writes, or a JSON text a line. What is here already stays as it is, or is updated by
    a line with its key. The options apply to all of them, whatever the file says. Lines that are refused are named,
    and make the exit code 1; the others are in.
    """
    with face.changing() as memory:
        source = sys.stdin.buffer if file == STDIO else file
        report = memory.import_(source, progress=_show_progress, **given(options))
        face.printer.record(report if face.json else {**asdict(report), "refusals": None, "dry_run": None})
        for refusal in report.refusals:
            say(f"line {refusal.line}: {refusal.reason}")
    if report.refused:
        raise click.exceptions.Exit(1)


@command("export")
@_FILE
@_FORMAT
@filter_options
@pass_face
def export_command(face: Face, /, file: str, format: str | None, **filters: Any) -> None:
    """Write memories into FILE, one a line as JSON; `-` writes to stdout.

    Their histories are not in it. A file that is there already is replaced.
    """
    wanted = asked(filters)
    with face.look() as memory:
        if file == STDIO:
            memory.export(sys.stdout.buffer, format=format, **wanted)
        else:
            face.printer.record({"memories": memory.export(file, format=format, **wanted)})


def _show_progress(lines: int) -> None:
    if sys.stderr.isatty():
        click.echo(f"\rmemcrdt: {lines:,} lines\r", nl=False, err=True)
