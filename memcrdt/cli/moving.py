"""`memcrdt move` and `rename-scope`."""

from __future__ import annotations

import click

from memcrdt.cli.face import Face, command, pass_face


@command("move")
@click.argument("id")
@click.option("--space", metavar="NAME", required=True, help="Where it is to be.")
@pass_face
def move_command(face: Face, /, id: str, space: str) -> None:
    """Move a memory to another space, and print its new id.

    It has a new life there, without its history and the links to it, and is forgotten where it was.
    """
    with face.changing() as memory:
        face.printer.value("id", memory.move(id, space=space))


@command("rename-scope")
@click.argument("old")
@click.argument("new")
@pass_face
def rename_scope_command(face: Face, /, old: str, new: str) -> None:
    """Rename scope OLD to NEW in all its memories, in one go.

    The conversations of a project follow it to another project. To move a conversation that an older version kept
    outside its project: memcrdt rename-scope conversation/standup project/acme/conversation/standup
    """
    with face.changing() as memory:
        face.printer.record({"memories": memory.rename_scope(old, new)})
