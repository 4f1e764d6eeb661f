"""`memcrdt pair`."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from memcrdt.cli.face import Face, command, pass_face
from memcrdt.cli.filters import several
from memcrdt.cli.output import readable, say

if TYPE_CHECKING:
    from collections.abc import Mapping

    from memcrdt.memory.memory import Memory
    from memcrdt.pairing.channel import PairedDevice
    from memcrdt.pairing.pair import PairOptions


@dataclass(frozen=True, slots=True, kw_only=True)
class PairedLine:
    """The other device, what is shared with it, and what spaces of ours are called that had to give up their names."""

    device: str
    name: str
    address: str | None
    spaces: tuple[str, ...]
    aside: Mapping[str, str]


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
    from memcrdt.cli.interrupts import run
    from memcrdt.model.requests import PERSONAL
    from memcrdt.pairing.pair import PairOptions

    code = " ".join(words) or None  # as somebody may type it who was told it on the telephone
    if code is None and at is not None:
        raise click.UsageError("--at goes with a CODE: it says where that code waits")
    if code is not None and (spaces or options["read_only"]):
        raise click.UsageError("--space and --read-only are said on the device that shows the code")
    asked = PairOptions(spaces=() if code else spaces or (PERSONAL,), **options)
    with face.open() as memory:
        partner = run(_invite(face, memory, asked) if code is None else _join(memory, code, asked, at))
        serving = memory.status().serving
    _print(face, partner)
    say("paired" if serving else "paired; nothing is sent until `memcrdt serve` runs")


async def _invite(face: Face, memory: Memory, options: PairOptions) -> PairedDevice:
    from memcrdt.pairing.pair import invite

    async with await invite(memory, options) as invitation:
        face.printer.value("code", str(invitation.code))
        where = " or ".join(f"--at {address}" for address in invitation.addresses)
        say(
            f"within five minutes run on the other device: memcrdt pair {invitation.code}   (if it is not found, with "
            f"{where})"
        )
        return await invitation.joined()


async def _join(memory: Memory, code: str, options: PairOptions, at: str | None) -> PairedDevice:
    from memcrdt.pairing.codes import parse_code
    from memcrdt.pairing.joining import FIND_S
    from memcrdt.pairing.pair import join

    code = str(parse_code(code))  # a slip is told before anything else
    if at is None:
        say(
            f"looking for the device that shows this code, for {FIND_S:.0f} s at most; "
            "--at HOST[:PORT] names its address"
        )
    return await join(memory, code, options, at=at)


def _print(face: Face, partner: PairedDevice) -> None:
    device = partner.device if face.json else readable(partner.device)
    line = PairedLine(
        device=device, name=partner.name, address=partner.address, spaces=partner.spaces, aside=partner.aside
    )
    face.printer.record(line)
    for name, aside in partner.aside.items():
        say(
            f"this device may only read {name!r} of {partner.name}; what this device made in {name!r} is in the space "
            f"{aside!r} now, and stays here; to add to that: memcrdt add --space {shlex.quote(aside)}"
        )
