"""`memcrdt pair`, `accept` and `revoke`: trust in other devices."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

import click

from memcrdt.cli.face import Face, command, given, pass_face, run_loop
from memcrdt.cli.filters import several
from memcrdt.cli.names import with_names
from memcrdt.cli.output import readable, say, short

if TYPE_CHECKING:
    from memcrdt import Memory, PairedDevice

WAIT_S: Final = 300.0  # for the code to be typed
FIND_S: Final = 60.0  # for the other device to be found


@command("accept")
@click.argument("device")
@click.option("--name", metavar="NAME", help="The local name of the device.")
@click.option("--at", "address", metavar="HOST[:PORT]", help="The address of the device.")
@several("--space", "spaces", "NAME", "A space to share; can be repeated. Default: personal, unless one is shared.")
@pass_face
def accept_command(face: Face, device: str, name: str | None, address: str | None, spaces: tuple[str, ...]) -> None:
    """Trust DEVICE and share spaces with it. The other device has to accept this device too."""
    from memcrdt.model.scopes import PERSONAL

    with face.begin() as memory:
        wanted = [memory.find_space(space) for space in spaces]
        shared = memory.accept(device, name=name, address=address, spaces=wanted or None).spaces
        own = readable(memory.device)
    options = "" if shared == (PERSONAL,) else "".join(f" --space {shlex.quote(space)}" for space in shared)
    say(f"accepted; if you have not done so already, run on the other device: memcrdt accept {own}{options}")


@command("revoke")
@click.argument("device")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
@pass_face
def revoke_command(face: Face, device: str, *, yes: bool) -> None:
    """Stop trusting DEVICE, and remove it from every space. On a terminal, it asks first.

    DEVICE is a name, an id, or the first characters of one, 4 or more. This device and the other members no longer send
    to it or accept data from it. Its key cannot become a member again.
    `memcrdt space revoke` removes it from one space.
    """
    with face.open() as memory:
        found = memory.sync.find(device)
        known = next((each for each in memory.devices() if each.device == found), None)
        name = short(found, known.name if known else None)
        spaces = known.spaces if known else ()
        if not yes and sys.stdin.isatty() and not click.confirm(f"memcrdt: revoke {name}{_from(spaces)}?", err=True):
            say("nothing was revoked")
            raise click.exceptions.Exit(1)
        unheard = memory.revoke(found)
    left = [space for space in spaces if space not in unheard]
    say(f"revoked {name}{_from(left)}; the device keeps the data that it has")
    if unheard:
        say(
            f"this device cannot revoke it from {', '.join(unheard)}, which it may only read; do that on a device that "
            "may write"
        )


def _from(spaces: Sequence[str]) -> str:
    return f" from {', '.join(spaces)}" if spaces else ""


@command("pair")
@click.argument("words", nargs=-1, metavar="[CODE]")
@click.option("--at", metavar="HOST[:PORT]", help="With CODE: the address that the other device shows.")
@click.option(
    "--relay", metavar="HOST[:PORT]", help="A relay at which the devices meet, if they cannot reach each other."
)
@several("--space", "spaces", "NAME", "Without CODE: a space to share; can be repeated. Default: personal.")
@click.option("--read-only", is_flag=True, help="Without CODE: the other device may only read.")
@click.option("--name", metavar="NAME", help="The local name of the other device. Default: its own name.")
@click.option("--host", default="", help="Without CODE: listen on this local address only.")
@click.option("--mdns/--no-mdns", default=None, help="Announce this device and look for others on the local network.")
@click.option("--tailscale/--no-tailscale", default=None, help="Look for other devices in the tailnet.")
@pass_face
def pair_command(
    face: Face, /, words: tuple[str, ...], at: str | None, spaces: tuple[str, ...], **options: Any
) -> None:
    """Pair with another device by a short code. Then the two devices trust each other.

    Without CODE: print a code, and wait five minutes until it is typed on the other device. One wrong guess invalidates
    it.
    """
    code = " ".join(words) or None  # a code told on the telephone may be typed as several words
    if code is None and at is not None:
        raise click.UsageError("--at needs a CODE; it names the address of the device that shows the code")
    if at is not None and options["relay"] is not None:
        raise click.UsageError("give --at or --relay; the first is a direct path")
    if code is not None and (spaces or options["read_only"]):
        raise click.UsageError("give --space and --read-only on the device that shows the code")
    with face.begin() as memory:
        if code is None:
            partner = run_loop(_invite(face, memory, with_names(memory, given({"spaces": spaces, **options}))))
        else:
            partner = run_loop(_join(memory, code, at, options))
        serving = memory.sync.serving()
    _print(face, partner)
    say("paired" if serving else "paired; the devices sync while `memcrdt serve` runs")


async def _invite(face: Face, memory: Memory, options: dict[str, Any]) -> PairedDevice:
    from memcrdt import AsyncMemory

    async with await AsyncMemory(memory).sync.invite(**options) as invitation:
        face.printer.value("code", invitation.code)
        ways = [("--at", each) for each in invitation.addresses] + [("--relay", each) for each in invitation.relays]
        where = " or ".join(f"{option} {each}" for option, each in ways)
        say(
            f"within five minutes, run on the other device: memcrdt pair {invitation.code}   (if it does not find this "
            f"device, add {where})"
        )
        return await invitation.joined(timeout=WAIT_S)


async def _join(memory: Memory, code: str, at: str | None, options: dict[str, Any]) -> PairedDevice:
    from memcrdt import AsyncMemory

    code = memory.sync.spell(code)  # report a typing error before the search
    if at is None and options["relay"] is None:
        say(
            f"searching for the device that shows this code, for up to {FIND_S:.0f} s; "
            "--at HOST[:PORT] gives its address"
        )
    del options["read_only"]
    return await AsyncMemory(memory).sync.join(code, address=at, timeout=FIND_S, **options)


def _print(face: Face, partner: PairedDevice) -> None:
    face.printer.record(partner)
    for name, aside in partner.aside.items():
        say(
            f"this device may only read the space {name!r} of {partner.name}; its own memories in {name!r} are now in "
            f"the space {aside!r} and are not shared; to add to them: memcrdt add --space {shlex.quote(aside)}"
        )
