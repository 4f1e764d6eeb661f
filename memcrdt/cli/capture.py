"""`memcrdt capture`: statements of the user in the transcripts of coding agents become memories."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from memcrdt.cli.face import Face, GivenPath, command, pass_face
from memcrdt.cli.output import Column, memories, say

if TYPE_CHECKING:
    from memcrdt.service.capture import Captured

_COLUMNS: Final[tuple[Column[Captured], ...]] = (
    Column("kind", lambda found: found.kind),
    Column("stored", lambda found: found.left_out or found.id, whole=True),
    Column("text", lambda found: found.text),
)


@command("capture")
@click.argument("file", required=False, type=GivenPath())
@click.option("--dry-run", is_flag=True, help="Show what would be stored, and store nothing. Needs FILE.")
@click.option("--project", help="The name of the project. Default: the git repository of the working folder.")
@pass_face
def capture_command(face: Face, file: Path | None, *, dry_run: bool, project: str | None) -> None:
    """Store what the user said in the transcript FILE of a coding agent, or in all that hooks have queued.

    Takes preferences, decisions, corrections and facts by their form, without a model, and leaves out what is known.
    Hooks queue sessions and run this command if the setting `capture` is on.
    """
    if file is None:
        if dry_run:
            raise click.UsageError("--dry-run needs the FILE of a transcript")
        _work(face)
        return
    from memcrdt.importing.transcripts import read_transcript
    from memcrdt.projects import find_project
    from memcrdt.service.capture import capture
    from memcrdt.service.context import Context
    from memcrdt.service.service import Service

    transcript = read_transcript(file)
    context = Context(project=find_project(project, os.environ, Path.cwd()), agent="user", conversation=file.stem[:200])
    with face.look() if dry_run else face.changing(begins=True) as memory:
        _show(face, capture(Service(memory, context), transcript, dry_run=dry_run))


def _work(face: Face) -> None:
    from memcrdt.paths import home_folder
    from memcrdt.service import capture_queue
    from memcrdt.service.capture import work

    home = home_folder(face.home)
    _show(face, work(home, face.begin) if (home / capture_queue.FOLDER).is_dir() else [])


def _show(face: Face, found: list[Captured]) -> None:
    face.printer.table(found, _COLUMNS)
    say(f"stored {memories(sum(each.id is not None for each in found))}")
