"""`memcrdt link`, `unlink` and `related`."""

from __future__ import annotations

import click

from memcrdt.cli.face import Face, command, pass_face
from memcrdt.cli.reading import LISTED, LISTED_ON_TERMINAL


@command("link")
@click.argument("id")
@click.argument("rel")
@click.argument("to")
@pass_face
def link_command(face: Face, /, id: str, rel: str, to: str) -> None:
    """Link memory ID to memory TO by relation REL, such as: memcrdt link ID causes TO."""
    with face.changing() as memory:
        memory.link(id, rel, to)


@command("unlink")
@click.argument("id")
@click.argument("rel")
@click.argument("to")
@pass_face
def unlink_command(face: Face, /, id: str, rel: str, to: str) -> None:
    """Take a link away. One that is not there is no error."""
    with face.changing() as memory:
        memory.unlink(id, rel, to)


@command("related")
@click.argument("id")
@click.option("--rel", metavar="REL", help="Only by this relation.")
@pass_face
def related_command(face: Face, /, id: str, rel: str | None) -> None:
    """List the memories that memory ID is linked to."""
    with face.look() as memory:
        face.printer.table(memory.related(id, rel), LISTED, on_terminal=LISTED_ON_TERMINAL)
