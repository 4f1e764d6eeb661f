"""`memcrdt accept` and `revoke`."""

from __future__ import annotations

import click

from memcrdt.cli.face import Face, command, pass_face
from memcrdt.cli.filters import several
from memcrdt.cli.output import say


@command("accept")
@click.argument("device")
@click.option("--name", metavar="NAME", help="What to call it here.")
@click.option("--at", "address", metavar="HOST[:PORT]", help="Where it listens.")
@several("--space", "spaces", "NAME", "What to share with it; can be repeated. Without: personal.")
@pass_face
def accept_command(face: Face, device: str, name: str | None, address: str | None, spaces: tuple[str, ...]) -> None:
    """Trust DEVICE and share memories with it. The other device has to accept this one too."""
    from memcrdt.model.devices import parse_device_id, shown
    from memcrdt.model.requests import PERSONAL
    from memcrdt.net.addresses import Address
    from memcrdt.store.peers import Peers

    accepted = parse_device_id(device)
    where = None if address is None else str(Address.parse(address))
    with face.open() as memory:
        Peers(memory.store).accept(accepted, name=name, address=where, spaces=spaces or (PERSONAL,))
        own = shown(memory.store.device)
    say(f"accepted; unless that is done already, run on the other device: memcrdt accept {own}")


@command("revoke")
@click.argument("device")
@pass_face
def revoke_command(face: Face, device: str) -> None:
    """Trust DEVICE no longer: nothing more is sent to it or taken from it."""
    from memcrdt.model.devices import parse_device_id
    from memcrdt.store.peers import Peers

    revoked = parse_device_id(device)
    with face.open() as memory:
        Peers(memory.store).revoke(revoked)
    say("revoked; what it has already stays there")
