"""`memcrdt token create`, `list` and `revoke`: access tokens of clients over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from memcrdt.cli.face import Face, FaceGroup, command, given, pass_face
from memcrdt.cli.filters import several
from memcrdt.cli.names import with_names
from memcrdt.cli.output import Column, say
from memcrdt.cli.values import CompletedText, tokens
from memcrdt.model.rights import ALL

if TYPE_CHECKING:
    from memcrdt import YjsToken


_TOKENS: tuple[Column[YjsToken], ...] = (
    Column("name", lambda line: line.name),
    Column("spaces", lambda line: line.spaces),
    Column("rights", lambda line: line.rights),
    Column("origins", lambda line: line.origins),
    Column("created", lambda line: line.created_at),
)


@click.group("token", cls=FaceGroup)
def token_command() -> None:
    """Create, list and revoke the tokens of clients that connect over HTTP.

    `memcrdt serve --http` accepts REST and MCP clients, `memcrdt mcp --http` MCP clients, and `memcrdt serve --yjs` Yjs
    clients.
    """


@command("create")
@click.argument("name")
@several("--space", "spaces", "NAME", "A space that its clients can access; can be repeated. Default: personal.")
@click.option("--read-only", is_flag=True, help="Its clients may only read: as --right read.")
@click.option(
    "--right",
    "rights",
    multiple=True,
    type=click.Choice(ALL),
    help="What its clients may do in these spaces; can be repeated. Default: read, write and forget. With admin, also"
    " pair, accept and revoke devices: never give that to an agent.",
)
@several(
    "--origin",
    "origins",
    "URL",
    "A web origin that may use the token in Yjs, such as https://app.example; can be repeated.",
)
@pass_face
def create_command(face: Face, /, name: str, read_only: bool, **options: tuple[str, ...]) -> None:
    """Create the token NAME, and print its secret. It cannot be shown again."""
    with face.begin() as memory:
        secret = memory.tokens.create(name, read_only=read_only, **with_names(memory, given(options)))
    face.printer.value("token", secret)
    say("keep it secret: anyone with the token has its rights here; it cannot be shown again, only revoked")


@command("list")
@pass_face
def list_command(face: Face) -> None:
    """List the tokens with their spaces and rights."""
    with face.look() as memory:
        face.printer.table(memory.tokens.list(), _TOKENS, empty="there are no tokens; `memcrdt token create` makes one")


@command("revoke")
@click.argument("name", type=CompletedText(tokens))
@pass_face
def revoke_command(face: Face, name: str) -> None:
    """Revoke the token NAME, and disconnect its clients."""
    with face.open() as memory:
        memory.tokens.revoke(name)
    say("revoked; its clients keep the data that they have")


for _subcommand in (create_command, list_command, revoke_command):
    token_command.add_command(_subcommand)
