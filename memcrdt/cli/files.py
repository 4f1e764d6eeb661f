"""`memcrdt import` and `export`: memories as files."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import Any

import click

from memcrdt.cli.face import STDIO, Face, command, given, pass_face
from memcrdt.cli.filters import allow_secret, asked, attribute_options, filter_options, several
from memcrdt.cli.names import with_names
from memcrdt.cli.output import TerminalJson, say
from memcrdt.cli.terminal import progress_line

_FILE = click.argument("file", type=click.Path())  # not normalized: ./- is a file
_FORMAT = click.option("--format", metavar="NAME", help="The format: jsonl. Default: the suffix of the file name.")
_IMPORT_FORMAT = click.option(
    "--format",
    metavar="NAME",
    help="The format: jsonl, or server-memory (the MCP server). Default: the suffix of the file name.",
)


@command("import")
@click.argument("file", type=click.Path(), required=False)  # not normalized: ./- is a file
@click.option(
    "--from",
    "origin",
    metavar="SOURCE",
    help="The program that FILE is from: markdown (also basic-memory and Obsidian), claude-code, codex, claude,"
    " chatgpt, mem0 (also OpenMemory), letta, mcp-memory-service, text, or server-memory.",
)
@_IMPORT_FORMAT
@click.option("--space", metavar="NAME", help="The space for all memories, instead of the space in the file.")
@several("--tag", "tags", "TAG", "A tag for all memories, instead of the tags in the file; can be repeated.")
@attribute_options("add")
@allow_secret
@click.option("--again", is_flag=True, help="Also add memories that were forgotten here.")
@click.option("--dry-run", is_flag=True, help="Count the memories, and change nothing.")
@pass_face
def import_command(face: Face, /, file: str | None, origin: str | None, **options: Any) -> None:
    """Add the memories of FILE; `-` reads stdin. With --from, FILE is a file or folder of another program.

    Each line is an object as written by `memcrdt export`, or a JSON string. An existing memory does not change, unless
    the line has its key. The options override the file. Refused lines are reported and make the exit code 1. The other
    lines are imported.
    """
    if origin is not None and (file == STDIO or options["format"] is not None):
        raise click.UsageError("--from reads a file or folder, and takes no --format")
    with face.changing() as memory:
        wanted = with_names(memory, given(options))
        with progress_line() as tell:
            if origin is not None:
                report = memory.import_from(origin, file, progress=lambda items: tell(f"{items:,} items"), **wanted)
            elif file is None:
                raise click.UsageError("name the file to import, or a program with --from")
            else:
                source = sys.stdin.buffer if file == STDIO else file
                report = memory.import_(source, progress=lambda lines: tell(f"{lines:,} lines"), **wanted)
        face.printer.record(report if face.json else {**asdict(report), "refusals": None, "dry_run": None})
        for refusal in report.refusals:
            say(f"{refusal.name or f'line {refusal.line}'}: {refusal.reason}")
    if report.refused:
        raise click.exceptions.Exit(1)


@command("export")
@_FILE
@_FORMAT
@click.option(
    "--history", is_flag=True, help="Also write all texts of each memory, the time of its last change, and its device."
)
@filter_options
@pass_face
def export_command(face: Face, /, file: str, format: str | None, history: bool, **filters: Any) -> None:
    """Write memories to FILE as JSON, one per line; `-` writes to stdout.

    Expired and superseded memories are included, unless --include names one of the two. An existing file is replaced.
    """
    wanted = asked(filters)
    with face.look() as memory:
        wanted = with_names(memory, wanted)
        if file == STDIO:
            to_terminal = sys.stdout.isatty()
            memory.export(
                TerminalJson() if to_terminal else sys.stdout.buffer, format=format, history=history, **wanted
            )
        else:
            face.printer.record({"memories": memory.export(file, format=format, history=history, **wanted)})
            if not history:
                say("only the present texts were exported; --history adds the earlier ones, and the devices")
