"""`memcrdt pair`, `accept` and `revoke`: whom to trust."""

from __future__ import annotations

import shlex
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import click

from memcrdt.cli.face import Face, command, given, pass_face, run_loop
from memcrdt.cli.filters import several
from memcrdt.cli.output import readable, say

if TYPE_CHECKING:
    from memcrdt import Memory, PairedDevice

WAIT_S: Final = 300.0  # for the code to be typed
FIND_S: Final = 60.0  # for the other device to be found


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
        own = readable(memory.device)
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
        unheard = memory.revoke(device)
    say("revoked; what it has already stays there")
    if unheard:
        say(f"the other members of {', '.join(unheard)} do not hear of it: revoke it on a device that may write there")


@command("pair")
@click.argument("words", nargs=-1, metavar="[CODE]")
@click.option("--at", metavar="HOST[:PORT]", help="With CODE: where the other device waits, as it shows.")
@several("--space", "spaces", "NAME", "Without CODE: what to share; can be repeated. Without: personal.")
@click.option("--read-only", is_flag=True, help="Without CODE: the other device may read and not write.")
@click.option("--name", metavar="NAME", help="What to call the other device here. Without: what it calls itself.")
@click.option("--host", default="", help="Without CODE: wait at this address of the machine only.")
@click.option("--mdns/--no-mdns", default=None, help="Whether to find and be found on the local network.")
@click.option("--tailscale/--no-tailscale", default=None, help="Whether to look for devices in the tailnet.")
@pass_face
def pair_command(
    face: Face, /, words: tuple[str, ...], at: str | None, spaces: tuple[str, ...], **options: Any
) -> None:
    """Trust another device and be trusted by it, by a short code.

    Without CODE: print one, and wait five minutes until it is typed on the other device. One wrong guess ends it.
    """
    code = " ".join(words) or None  # as somebody may type it who was told it on the telephone
    if code is None and at is not None:
        raise click.UsageError("--at goes with a CODE: it says where that code waits")
    if code is not None and (spaces or options["read_only"]):
        raise click.UsageError("--space and --read-only are said on the device that shows the code")
    with face.open() as memory:
        if code is None:
            partner = run_loop(_invite(face, memory, given({"spaces": spaces, **options})))
        else:
            partner = run_loop(_join(memory, code, at, options))
        serving = memory.sync.serving()
    _print(face, partner)
    say("paired" if serving else "paired; nothing is sent until `memcrdt serve` runs")


async def _invite(face: Face, memory: Memory, options: dict[str, Any]) -> PairedDevice:
    from memcrdt import AsyncMemory

    async with await AsyncMemory(memory).sync.invite(**options) as invitation:
        face.printer.value("code", invitation.code)
        where = " or ".join(f"--at {address}" for address in invitation.addresses)
        say(
            f"within five minutes run on the other device: memcrdt pair {invitation.code}   (if it is not found, with "
            f"{where})"
        )
        return await invitation.joined(timeout=WAIT_S)


async def _join(memory: Memory, code: str, at: str | None, options: dict[str, Any]) -> PairedDevice:
    from memcrdt import AsyncMemory

    code = memory.sync.spell(code)  # a slip is told before anything else
    if at is None:
        say(
            f"looking for the device that shows this code, for {FIND_S:.0f} s at most; "
            "--at HOST[:PORT] names its address"
        )
    del options["read_only"]
    return await AsyncMemory(memory).sync.join(code, address=at, timeout=FIND_S, **options)


def _print(face: Face, partner: PairedDevice) -> None:
    face.printer.record(partner if face.json else replace(partner, device=readable(partner.device)))
    for name, aside in partner.aside.items():
        say(
            f"this device may only read {name!r} of {partner.name}; what this device made in {name!r} is in the space "
            f"{aside!r} now, and stays here; to add to that: memcrdt add --space {shlex.quote(aside)}"
        )
