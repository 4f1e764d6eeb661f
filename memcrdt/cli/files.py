"""`memcrdt import` and `export`: memories as files."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from memcrdt import InputError
from memcrdt.cli.face import STDIO, Face, command, given, pass_face
from memcrdt.cli.filters import allow_secret, asked, attribute_options, filter_options, several
from memcrdt.cli.names import with_names
from memcrdt.cli.output import Column, TerminalJson, say
from memcrdt.cli.terminal import progress_bar, progress_line

if TYPE_CHECKING:
    from memcrdt import ImportReport, Memory

_COUNTS = ("added", "updated", "conflicting", "known", "forgotten", "repeated", "refused")
_FILE = click.argument("file", type=click.Path())  # not normalized: ./- is a file
_EXPORT_FORMAT = click.option(
    "--format",
    metavar="NAME",
    help="The format: jsonl, markdown (a folder with a file for each memory), mem0, or server-memory (the MCP server)."
    " Default: the suffix of the file name.",
)
_IMPORT_FORMAT = click.option(
    "--format",
    metavar="NAME",
    help="The format of an export: jsonl, markdown, mem0 or server-memory. Default: the suffix of the file name.",
)


@command("import")
@click.argument("file", type=click.Path(), required=False)  # not normalized: ./- is a file
@click.option(
    "--from",
    "origin",
    metavar="SOURCE",
    help="The program that FILE is from: markdown (also basic-memory and Obsidian), claude-code, codex, claude,"
    " chatgpt, mem0 (also OpenMemory), letta, mcp-memory-service, claude-mem, chroma, transcripts, text, or"
    " server-memory.",
)
@_IMPORT_FORMAT
@click.option("--space", metavar="NAME", help="The space for all memories, instead of the space in the file.")
@several("--tag", "tags", "TAG", "A tag for all memories, instead of the tags in the file; can be repeated.")
@attribute_options("add")
@allow_secret
@click.option("--again", is_flag=True, help="Also add memories that were forgotten here.")
@click.option("--dry-run", is_flag=True, help="Count the memories, and change nothing.")
@click.option("--detect", is_flag=True, help="Show what there is to import on this machine, with the commands.")
@pass_face
def import_command(face: Face, /, file: str | None, origin: str | None, *, detect: bool, **options: Any) -> None:
    """Add the memories of FILE; `-` reads stdin. With --from, FILE is a file or folder of another program.

    Without it, FILE is what `memcrdt export` wrote, or lines with a JSON string on each. An existing memory does not
    change, unless the line has its key. The options override the file. Refused lines are reported and make the exit
    code 1. The other lines are imported.
    """
    if detect:
        if file is not None or origin is not None:
            raise click.UsageError("--detect looks at the usual places, and takes no FILE and no --from")
        _show_sources(face)
        return
    if origin is not None and (file == STDIO or options["format"] is not None):
        raise click.UsageError("--from reads a file or folder, and takes no --format")
    if origin is None and file is None:
        raise click.UsageError("name the file to import, or a program with --from")
    with face.changing(begins=True) as memory:
        report = _imported(memory, file, origin, with_names(memory, given(options)))
        face.printer.record(report if face.json else {**asdict(report), "refusals": None, "dry_run": None})
        for refusal in report.refusals:
            say(f"{refusal.name or f'line {refusal.line}'}: {refusal.reason}")
    if not any(getattr(report, each) for each in _COUNTS):
        place = "stdin" if file == STDIO else file or "the usual place"
        say(f"there is nothing to import in {place}; is it the right file or folder?")
    if report.refused:
        if origin is None and not any(getattr(report, each) for each in _COUNTS if each != "refused"):
            say("nothing of it is a memory; if the file is from another program, name the program with --from")
        raise click.exceptions.Exit(1)


def _imported(memory: Memory, file: str | None, origin: str | None, wanted: dict[str, Any]) -> ImportReport:
    done = 0

    def told(items: int) -> None:
        nonlocal done
        done = items
        tell(items)

    try:
        with progress_bar("items", lambda: _count(origin, file)) as tell:
            if origin is not None:
                return memory.import_from(origin, file, progress=told, **wanted)
            source: Any = sys.stdin.buffer if file == STDIO else file
            return memory.import_(source, progress=told, **wanted)
    except KeyboardInterrupt:
        if not wanted.get("dry_run"):
            say(f"interrupted after {done:,} items, which are imported; run the same command again to go on")
        raise


def _count(origin: str | None, file: str | None) -> int | None:
    """Return the number of items in a source, or None if it cannot be read twice. The import says what is wrong."""
    from memcrdt.importing import sources

    if file == STDIO:
        return None
    try:
        place = sources.check_source(origin or "jsonl", None if file is None else Path(file))
        return sum(1 for _ in sources.rows(origin or "jsonl", place))
    except (InputError, OSError):
        return None


def _show_sources(face: Face) -> None:
    from memcrdt.importing.detecting import Machine, detect

    columns: list[Column[Any]] = [
        Column("source", lambda each: each.source),
        Column("items", lambda each: f"{each.items:,}" if face.printer.is_terminal else each.items),
        Column("command", lambda each: each.command),
    ]
    with progress_line() as tell:
        found = list(detect(Machine.this(), tell))
    face.printer.table(found, columns, empty="nothing was found in the usual places; name a source with --from")


@command("export")
@_FILE
@_EXPORT_FORMAT
@click.option(
    "--history", is_flag=True, help="Also write all texts of each memory, the time of its last change, and its device."
)
@filter_options
@pass_face
def export_command(face: Face, /, file: str, format: str | None, history: bool, **filters: Any) -> None:
    """Write memories to FILE as JSON, one per line, or in the form of another program; `-` writes to stdout.

    Expired and superseded memories are included, unless --include names one of the two. An existing file is replaced.
    For the format markdown, FILE is a folder, and files of other memories stay in it.
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
            if not history and format in (None, "jsonl"):
                say("only the present texts were exported; --history adds the earlier ones, and the devices")
