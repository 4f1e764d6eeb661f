"""`memcrdt accept` and `revoke`."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import click

from memcrdt.cli.face import Face, command, pass_face
from memcrdt.cli.filters import several
from memcrdt.cli.output import readable, say

if TYPE_CHECKING:
    from memcrdt.memory.memory import Memory


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
        unheard = _only_read(memory, device)
        memory.revoke(device)
    say("revoked; what it has already stays there")
    if unheard:
        say(f"the other members of {unheard} do not hear of it: revoke it on a device that may write there")


def _only_read(memory: Memory, device: str) -> str:
    """The spaces that are shared with a device and that we may only read."""
    from memcrdt.model.device_ids import parse_device_id

    shared = next((known.spaces for known in memory.devices() if known.device == parse_device_id(device)), ())
    return ", ".join(space for space in shared if memory.space(space).members()[0].rights == "read")
