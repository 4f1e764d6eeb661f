"""`memcrdt space create`, `list`, `members`, `invite`, `revoke` and `leave`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from memcrdt.cli.face import Face, FaceGroup, command, pass_face
from memcrdt.cli.output import Column, device_name, device_names, readable, say, short
from memcrdt.cli.values import CompletedText, spaces

if TYPE_CHECKING:
    from memcrdt import SpaceMember, SpaceStatus


_SPACES: tuple[Column[SpaceStatus], ...] = (
    Column("space", lambda space: space.name),
    Column("memories", lambda space: space.memories),
    Column("devices", lambda space: len(space.members)),
    Column("id", lambda space: space.id),
)
_MEMBERS: tuple[Column[SpaceMember], ...] = (
    Column("device", lambda line: readable(line.device)),
    Column("name", lambda line: line.name),
    Column("rights", lambda line: line.rights),
    Column("state", lambda line: f"{line.state}, this device" if line.ours else line.state),
)
_MEMBERS_ON_TERMINAL: tuple[Column[SpaceMember], ...] = (
    Column("device", lambda line: short(line.device, line.name)),
    *_MEMBERS[2:],
)


@click.group("space", cls=FaceGroup)
def space_command() -> None:
    """Create, list, share and leave spaces, and show their members.

    `memcrdt pair --space NAME` shares a space with a new device. `memcrdt revoke` removes a device from all spaces.
    """


@command("create")
@click.argument("name")
@pass_face
def create_command(face: Face, name: str) -> None:
    """Create the space NAME, and print its id."""
    with face.begin() as memory:
        face.printer.value("id", memory.space(name).create().id())


@command("list")
@pass_face
def list_command(face: Face) -> None:
    """List the spaces."""
    with face.look() as memory:
        face.printer.table(memory.status().spaces, _SPACES, on_terminal=_SPACES[:-1])  # no command takes the id


@command("members")
@click.argument("name", type=CompletedText(spaces), default="personal")
@pass_face
def members_command(face: Face, name: str) -> None:
    """List the members of the space NAME (default: personal), and the devices revoked from it."""
    with face.look() as memory:
        members = memory.space(memory.find_space(name)).members(revoked=True)
    face.printer.table(members, _MEMBERS, on_terminal=_MEMBERS_ON_TERMINAL)
    face.printer.below(readable(line.device) for line in members)


@command("invite")
@click.argument("name", type=CompletedText(spaces))
@click.argument("device")
@pass_face
def invite_command(face: Face, name: str, device: str) -> None:
    """Share the space NAME with DEVICE, which must be accepted here.

    The other device has to do the same with its space of that name. Then the two spaces become one.
    """
    with face.open() as memory:
        name = memory.find_space(name)
        memory.space(name).invite(memory.sync.find(device))
        own = readable(memory.device)
    say(
        f"invited; if you have not done so already, run on the other device: memcrdt space create {name}; "
        f"memcrdt space invite {name} {own}"
    )


@command("revoke")
@click.argument("name", type=CompletedText(spaces))
@click.argument("device")
@pass_face
def revoke_command(face: Face, name: str, device: str) -> None:
    """Remove DEVICE from the space NAME, for all members. Its key cannot become a member again."""
    with face.open() as memory:
        found = memory.sync.find(device)
        name = memory.find_space(name)
        memory.space(name).revoke(found)
        shown = device_name(device_names(memory), found)
    say(f"revoked {shown} from {name}; the device keeps the data that it has")


@command("leave")
@click.argument("name", type=CompletedText(spaces))
@pass_face
def leave_command(face: Face, name: str) -> None:
    """Stop sharing the space NAME. Its memories stay here and on the other members."""
    with face.open() as memory:
        name = memory.find_space(name)
        memory.space(name).leave()
    say(f"left; the memories of {name!r} stay here and on the other members, but are no longer synced")


for _each in (create_command, list_command, members_command, invite_command, revoke_command, leave_command):
    space_command.add_command(_each)
