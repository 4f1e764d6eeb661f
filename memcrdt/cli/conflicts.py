"""`memcrdt conflicts` and `resolve`: competing texts that devices wrote while disconnected."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import click

from memcrdt.cli.face import Face, command, pass_face, read_text
from memcrdt.cli.filters import asked, filter_options
from memcrdt.cli.names import memory_id, remember, with_names
from memcrdt.cli.output import Column, device_names, say
from memcrdt.cli.revisions import conflict_lines, revised
from memcrdt.cli.terminal import show
from memcrdt.errors import InputError, NotFoundError
from memcrdt.model import limits

if TYPE_CHECKING:
    from memcrdt import Memory, Revision


def _program(context: click.Context, parameter: click.Parameter, value: str | None) -> list[str] | None:
    """Split a command line into words. Raises click.BadParameter."""
    if value is None:
        return None
    try:
        words = [word.strip("\"'") if os.name == "nt" else word for word in shlex.split(value, posix=os.name != "nt")]
    except ValueError:
        words = []
    if not words:
        raise click.BadParameter(f"{value!r} is not a command line")
    return words


@command("conflicts")
@click.argument("id", required=False)
@click.option(
    "--merge-tool",
    "tool",
    metavar="CMD",
    callback=_program,
    help="Run CMD with a file for each text and one for the result.",
)
@filter_options
@pass_face
def conflicts_command(face: Face, /, id: str | None, tool: list[str] | None, **filters: Any) -> None:
    """Show the competing texts of one memory, or of all that have some.

    `memcrdt resolve` settles a conflict. The list is empty if every memory has one current text.
    """
    filters.pop("conflicts")
    wanted = asked(filters)
    if id is not None and wanted:
        raise click.UsageError("give an ID or filters, not both")
    with face.look() if tool is None else face.changing() as memory:
        ids = [memory_id(memory, id)] if id else _conflicted(memory, with_names(memory, wanted))
        found = (memory.conflicts(each) for each in ids)
        conflicts = [heads for heads in found if heads]
        if tool is not None:
            for heads in conflicts:
                _merge(memory, heads, tool)
        elif conflicts and face.printer.is_terminal:
            names = device_names(memory)
            numbered = id is None and remember(memory.home, [heads[0].id for heads in conflicts])
            shown = (conflict_lines(heads, names, at if numbered else None) for at, heads in enumerate(conflicts, 1))
            show("\n\n".join("\n".join(lines) for lines in shown))
        else:
            face.printer.table((head for heads in conflicts for head in heads), _columns(device_names(memory)))
        if not conflicts and not face.json:
            say("no conflicts: every memory has one current text" if id is None else "this memory has one current text")


@command("resolve")
@click.argument("id")
@click.option("--keep", metavar="REVISION", help="Keep the text of this revision, which `memcrdt conflicts` shows.")
@click.option("--text", metavar="TEXT", help="Replace the texts by TEXT; `-` reads it from stdin.")
@pass_face
def resolve_command(face: Face, /, id: str, keep: str | None, text: str | None) -> None:
    """Settle the conflict of memory ID, and show the memory. The other texts stay in its history.

    Without --keep and --text it shows the texts and asks, on a terminal.
    """
    if keep is not None and text is not None:
        raise click.UsageError("give --keep or --text, not both")
    with face.changing() as memory:
        found = memory_id(memory, id)
        heads = memory.conflicts(found)
        if not heads:
            raise InputError(f"memory {found} has one current text, so there is nothing to resolve")
        if keep is not None:
            chosen = _kept(heads, keep)
        else:
            chosen = read_text(text) if text is not None else _chosen(memory, heads)
        face.printer.record(memory.update(found, text=chosen))


def _conflicted(memory: Memory, filters: dict[str, Any]) -> Iterator[str]:
    return (each.id for each in memory.iterate(conflicts=True, **filters))


def _columns(names: dict[str, str]) -> tuple[Column[Revision], ...]:
    """Return the columns of a history, all of whose texts are heads, behind the memory."""
    return (Column("memory", lambda head: head.id), *(each for each in revised(names) if each.heading != "head"))


def _kept(heads: Sequence[Revision], revision: str) -> str:
    """Return the text of the head with this revision, or one that begins so. Raises NotFoundError."""
    named = [
        head for head in heads if head.revision.startswith(revision.upper()) and len(revision) >= limits.PREFIX_CHARS
    ]
    if len(named) == 1:
        return named[0].text
    choices = ", ".join(head.revision for head in heads)
    raise NotFoundError(f"{revision[:40]} is none of the competing texts; they are {choices}")


def _chosen(memory: Memory, heads: Sequence[Revision]) -> str:
    """Ask which text to keep. Raises InputError without a terminal."""
    if not sys.stdin.isatty():
        raise InputError("give --keep REVISION or --text TEXT; `memcrdt conflicts` shows the competing texts")
    click.echo("\n".join(conflict_lines(heads, device_names(memory))))
    numbers = [str(number + 1) for number in range(len(heads))]
    answer = click.prompt("memcrdt: keep which text (e: edit)", type=click.Choice([*numbers, "e"]), err=True)
    if answer != "e":
        return heads[int(answer) - 1].text
    written = click.edit("\n".join(head.text for head in heads))
    if written is None:
        raise click.Abort
    return written.rstrip("\r\n")


def _merge(memory: Memory, heads: Sequence[Revision], tool: Sequence[str]) -> None:
    """Run a program of the user on the texts of one memory, and take its result."""
    with TemporaryDirectory(prefix="memcrdt-merge-") as folder:  # only its owner can read it
        paths = [Path(folder) / f"text-{number}.txt" for number in range(1, len(heads) + 1)]
        for path, head in zip(paths, heads, strict=True):
            path.write_text(head.text, encoding="utf-8", newline="")
        result = Path(folder) / "result.txt"
        result.write_text(heads[-1].text, encoding="utf-8", newline="")
        before = result.stat().st_mtime_ns
        code = subprocess.run([*tool, *map(str, paths), str(result)], check=False).returncode  # noqa: S603 - it is the command of the user
        merged = result.read_bytes()
        unchanged = result.stat().st_mtime_ns == before and merged == heads[-1].text.encode()
    if code or unchanged:
        reason = f"ended with code {code}" if code else "changed nothing"
        say(f"memory {heads[0].id} is as it was, because {tool[0]} {reason}")
        return
    try:
        text = merged.decode("utf-8-sig").removesuffix("\n")
    except UnicodeDecodeError as exc:
        raise InputError(f"the result of {tool[0]} is not UTF-8; memory {heads[0].id} is as it was") from exc
    memory.update(heads[0].id, text=text)
    say(f"memory {heads[0].id} has the merged text")
