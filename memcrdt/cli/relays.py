"""`memcrdt relays list`, `add` and `remove`: the relays of the spaces, which all their members use."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from memcrdt.cli.face import Face, FaceGroup, command, pass_face
from memcrdt.cli.filters import F
from memcrdt.cli.output import Column, device_name, device_names, say
from memcrdt.cli.values import CompletedText, spaces

if TYPE_CHECKING:
    from memcrdt import SpaceRelay


@click.group("relays", cls=FaceGroup)
def relays_command() -> None:
    """List the relays of the spaces, and add and remove them.

    A relay joins devices that no direct path reaches. `memcrdt relay` runs one. The members of a space learn its relays
    by themselves.
    """


def _relay_of_space(run: F) -> F:
    """Take the address of a relay and the name of a space."""
    space = click.option(
        "--space", default="personal", show_default=True, type=CompletedText(spaces), help="The space."
    )
    return click.argument("address", metavar="HOST[:PORT]")(space(run))


@command("list")
@pass_face
def list_command(face: Face) -> None:
    """List the relays of the spaces, and the devices that list them."""
    with face.look() as memory:
        found = [relay for space in memory.status().spaces for relay in memory.space(space.name).relays()]
        names = device_names(memory)
        own = memory.config.relays
    columns: tuple[Column[SpaceRelay], ...] = (
        Column("relay", lambda line: line.address),
        Column("space", lambda line: line.space),
        Column("listed by", lambda line: device_name(names, line.listed_by)),
    )
    face.printer.table(found, columns, empty="no space lists a relay; `memcrdt relays add HOST` adds one")
    if own:
        say(f"by its settings this device also uses {', '.join(own)}")


@command("add")
@_relay_of_space
@pass_face
def add_command(face: Face, address: str, space: str) -> None:
    """Let the members of a space meet at the relay at HOST[:PORT]."""
    with face.begin() as memory:
        space = memory.find_space(space)
        memory.space(space).add_relay(address)
        serving = memory.sync.serving()
    say(f"added; the members of {space!r} learn it " + ("when they sync" if serving else "while `memcrdt serve` runs"))


@command("remove")
@_relay_of_space
@pass_face
def remove_command(face: Face, address: str, space: str) -> None:
    """Let the members of a space use a relay no longer, whichever member has added it."""
    with face.open() as memory:
        space = memory.find_space(space)
        memory.space(space).remove_relay(address)
    say(f"removed from {space!r}")


for _each in (list_command, add_command, remove_command):
    relays_command.add_command(_each)
