"""`memcrdt accept` and `revoke`."""

from __future__ import annotations

import shlex

import click

from memcrdt.cli.face import Face, command, pass_face
from memcrdt.cli.filters import several
from memcrdt.cli.output import readable, say


@command("accept")
@click.argument("device")
@click.option("--name", metavar="NAME", help="What to call it here.")
@click.option("--at", "address", metavar="HOST[:PORT]", help="Where it listens.")
@several("--space", "spaces", "NAME", "What to share; can be repeated. Without: personal, unless a space is already.")
@pass_face
def accept_command(face: Face, device: str, name: str | None, address: str | None, spaces: tuple[str, ...]) -> None:
    """Trust DEVICE and share memories with it. The other device has to accept this one too."""
    from memcrdt.model.requests import PERSONAL

    with face.open() as memory:
        shared = memory.accept(device, name=name, address=address, spaces=spaces or None).spaces
        own = readable(memory.store.device)
    options = "" if shared == (PERSONAL,) else "".join(f" --space {shlex.quote(space)}" for space in shared)
    say(f"accepted; unless that is done already, run on the other device: memcrdt accept {own}{options}")


@command("revoke")
@click.argument("device")
@pass_face
def revoke_command(face: Face, device: str) -> None:
    """Trust DEVICE no longer, and take it out of every space.

    Nothing more is sent to it or taken from it, here and by the other members; its key never comes back.
    `memcrdt space revoke` takes it out of one space.
    """
    with face.open() as memory:
        memory.revoke(device)
    say("revoked; what it has already stays there")
