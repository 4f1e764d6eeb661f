"""`memcrdt token create`, `list` and `revoke`: who comes in as a stock Yjs client."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from memcrdt.cli.face import Face, FaceGroup, command, given, pass_face
from memcrdt.cli.filters import several
from memcrdt.cli.output import Column, say

if TYPE_CHECKING:
    from memcrdt import YjsToken


_TOKENS: tuple[Column[YjsToken], ...] = (
    Column("name", lambda line: line.name),
    Column("spaces", lambda line: line.spaces),
    Column("rights", lambda line: "read" if line.read_only else "read and write"),
    Column("origins", lambda line: line.origins),
    Column("created", lambda line: line.created_at),
)


@click.group("token", cls=FaceGroup)
def token_command() -> None:
    """Make, list and revoke the tokens of Yjs clients.

    `memcrdt serve --yjs` lets them in.
    """


@command("create")
@click.argument("name")
@several("--space", "spaces", "NAME", "What it opens; can be repeated. Without: personal.")
@click.option("--read-only", is_flag=True, help="What its clients write is dropped.")
@several("--origin", "origins", "URL", "A web origin whose pages may use it, such as https://app.example.")
@pass_face
def create_command(face: Face, name: str, spaces: tuple[str, ...], read_only: bool, origins: tuple[str, ...]) -> None:
    """Make a token called NAME, and print its secret, which is shown only this once."""
    with face.open() as memory:
        secret = memory.tokens.create(name, read_only=read_only, **given({"spaces": spaces, "origins": origins}))
    face.printer.value("token", secret)
    say("keep it secret: whoever has it reads these memories; it can't be shown again, only revoked")


@command("list")
@pass_face
def list_command(face: Face) -> None:
    """List the tokens, and what each opens."""
    with face.look() as memory:
        face.printer.table(memory.tokens.list(), _TOKENS)


@command("revoke")
@click.argument("name")
@pass_face
def revoke_command(face: Face, name: str) -> None:
    """End the token called NAME. Whoever is connected with it is disconnected."""
    with face.open() as memory:
        memory.tokens.revoke(name)
    say("revoked; what its clients have already stays there")


for _subcommand in (create_command, list_command, revoke_command):
    token_command.add_command(_subcommand)
