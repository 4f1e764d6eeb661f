"""`memcrdt token create`, `list` and `revoke`: who comes in as a stock Yjs client."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import click

from memcrdt.cli.face import Face, FaceGroup, command, pass_face
from memcrdt.cli.filters import several
from memcrdt.cli.output import Column, say

if TYPE_CHECKING:
    from memcrdt.store.membership.tokens import Token


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenLine:
    """A token as it is printed: all but its secret, which nobody has any more."""

    name: str
    spaces: tuple[str, ...]
    read_only: bool
    origins: tuple[str, ...]
    created_at: datetime


_TOKENS: tuple[Column[TokenLine], ...] = (
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
    from memcrdt.model.requests import PERSONAL
    from memcrdt.store.membership.tokens import Tokens

    with face.open() as memory:
        secret = Tokens(memory.store).create(name, spaces=spaces or (PERSONAL,), read_only=read_only, origins=origins)
    face.printer.value("token", secret)
    say("keep it secret: whoever has it reads these memories; it can't be shown again, only revoked")


@command("list")
@pass_face
def list_command(face: Face) -> None:
    """List the tokens, and what each opens."""
    from memcrdt.store.membership.tokens import Tokens

    with face.look() as memory:
        lines = [_line(token) for token in Tokens(memory.store).all()]
    face.printer.table(lines, _TOKENS)


@command("revoke")
@click.argument("name")
@pass_face
def revoke_command(face: Face, name: str) -> None:
    """End the token called NAME. Whoever is connected with it is disconnected."""
    from memcrdt.store.membership.tokens import Tokens

    with face.open() as memory:
        Tokens(memory.store).revoke(name)
    say("revoked; what its clients have already stays there")


for _subcommand in (create_command, list_command, revoke_command):
    token_command.add_command(_subcommand)


def _line(token: Token) -> TokenLine:
    from memcrdt.model.values import from_ms

    return TokenLine(
        name=token.name,
        spaces=token.spaces,
        read_only=token.read_only,
        origins=token.origins,
        created_at=from_ms(token.created_at),
    )
