"""`memcrdt mirror`: folders of text files that are kept equal to memories."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from memcrdt.cli.face import Face, FaceGroup, GivenPath, command, pass_face
from memcrdt.cli.names import with_names
from memcrdt.cli.output import Column, say
from memcrdt.cli.values import CompletedText, mirrors

if TYPE_CHECKING:
    from memcrdt import MirrorInfo, MirrorLine, MirrorReport


def _state(line: MirrorInfo) -> str:
    if line.error is not None:
        return f"failed: {line.error}"
    deletes = "with deletions" if line.deletes else "without deletions"
    return f"{deletes}, {'by serve' if line.serving else 'on request'}"


_MIRRORS: tuple[Column[MirrorInfo], ...] = (
    Column("name", lambda line: line.name),
    Column("source", lambda line: line.source),
    Column("scope", lambda line: line.scope),
    Column("equal", lambda line: line.files),
    Column("left", lambda line: len(line.lines)),
    Column("last", lambda line: line.at),
    Column("state", _state),
    Column("folder", lambda line: line.folder),
)
_ON_TERMINAL: tuple[Column[MirrorInfo], ...] = (*_MIRRORS[:5], _MIRRORS[6])
_LINES: tuple[Column[MirrorLine], ...] = (
    Column("file", lambda line: line.path),
    Column("what", lambda line: line.text),
)


@click.group("mirror", cls=FaceGroup)
def mirror_command() -> None:
    """Keep a folder of text files and the memories of a scope equal, each way.

    An edit in either place reaches the other. If both were edited, the memory has two competing texts, and the file
    shows both. `memcrdt serve` keeps the mirrors equal; without it, repeat the command that made the mirror.
    """


def _options(function: Callable[..., None]) -> Callable[..., None]:
    for option in (
        click.option("--dry-run", is_flag=True, help="Say what would be done, and change nothing."),
        click.option("--once", is_flag=True, help="Make both sides equal now, and leave the mirror out of `serve`."),
        click.option(
            "--deletes",
            is_flag=True,
            help="Forget the memory of a deleted file, and delete the file of a forgotten memory.",
        ),
        click.option("--space", metavar="NAME", default="personal", help="The space. Default: personal."),
    ):
        function = option(function)
    return function


@command("claude-code")
@click.argument("folder", type=GivenPath(), default=Path())
@click.option("--project", metavar="NAME", help="The project. Default: the git remote, or the name of the folder.")
@click.option("--scope", metavar="SCOPE", help="The scope, instead of the project's.")
@_options
@pass_face
def claude_code_command(face: Face, /, folder: Path, project: str | None, scope: str | None, **options: Any) -> None:
    """Mirror the memory that Claude Code keeps of the project in FOLDER (default: the working folder).

    FOLDER may also be the memory folder itself.
    """
    from memcrdt.service.mirroring import claude_code_folder, project_scope

    if project is not None and scope is not None:
        raise click.UsageError("--project and --scope exclude each other")
    options["scope"] = scope or project_scope(folder, project)
    _mirror(face, "claude-code", claude_code_folder(folder, os.environ), options)


@command("markdown")
@click.argument("folder", type=GivenPath())
@click.option("--scope", metavar="SCOPE", default="global", help="The scope. Default: global.")
@click.option("--create", is_flag=True, help="Create FOLDER if it does not exist.")
@_options
@pass_face
def markdown_command(face: Face, /, folder: Path, **options: Any) -> None:
    """Mirror a folder of Markdown files, such as a vault of Obsidian: one file a memory."""
    _mirror(face, "markdown", folder, options)


def _mirror(face: Face, source: str, folder: Path, options: dict[str, Any]) -> None:
    once = options.pop("once")
    with face.changing(begins=True) as memory:
        wanted = with_names(memory, options)
        report = memory.mirrors.add(source, folder, serving=not once, **wanted)
        serving = memory.sync.serving() is not None
    _print(face, report)
    if not once and not report.dry_run and not serving:
        say("nothing keeps them equal until `memcrdt serve` runs")


def _print(face: Face, report: MirrorReport) -> None:
    if face.json:
        face.printer.record(report)
        return
    face.printer.table(report.done, _LINES, empty="nothing was to be done")
    for line in report.left:
        say(f"{line.path}: {line.text}" if line.path else line.text)
    if not report.dry_run:
        say(f"mirror {report.name}: {report.equal:,} files and memories are equal")


@command("list")
@pass_face
def list_command(face: Face) -> None:
    """List the mirrors."""
    with face.look() as memory:
        face.printer.table(
            memory.mirrors.list(),
            _MIRRORS,
            on_terminal=_ON_TERMINAL,
            empty="there are no mirrors; `memcrdt mirror claude-code` and `mirror markdown FOLDER` make one",
        )


@command("status")
@click.argument("name", type=CompletedText(mirrors), required=False)
@pass_face
def status_command(face: Face, name: str | None) -> None:
    """Show how the last pass of each mirror went, or of the mirror NAME, with all that it left as it is."""
    from memcrdt.errors import NotFoundError

    with face.look() as memory:
        found = [each for each in memory.mirrors.list() if name in (None, each.name)]
    if name is not None and not found:
        raise NotFoundError(f"there is no mirror {name!r}; `memcrdt mirror list` shows the mirrors")
    for each in found:
        if face.json:
            face.printer.record(each)
            continue
        face.printer.record({**each.to_dict(), "lines": None, "at": each.at})
        face.printer.table(each.lines, _LINES)


@command("remove")
@click.argument("name", type=CompletedText(mirrors))
@pass_face
def remove_command(face: Face, name: str) -> None:
    """Stop mirroring. The files and the memories stay."""
    with face.open() as memory:
        memory.mirrors.remove(name)
    say("removed; the files and the memories stay as they are")


for _each in (claude_code_command, markdown_command, list_command, status_command, remove_command):
    mirror_command.add_command(_each)
