"""`memcrdt space create`, `list`, `members` and `leave`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from memcrdt.cli.face import Face, FaceGroup, command, pass_face
from memcrdt.cli.output import Column, readable, say, short

if TYPE_CHECKING:
    from memcrdt.store.overview import SpaceStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberLine:
    """A device that takes part in a space, or was revoked from it (`state`), as it is printed. `ours`: this device."""

    device: str
    name: str | None
    rights: str
    state: str
    ours: bool


_SPACES: tuple[Column[SpaceStatus], ...] = (
    Column("space", lambda space: space.name),
    Column("memories", lambda space: space.memories),
    Column("devices", lambda space: len(space.members)),
    Column("id", lambda space: space.id),
)
_MEMBERS: tuple[Column[MemberLine], ...] = (
    Column("device", lambda line: readable(line.device)),
    Column("name", lambda line: line.name),
    Column("rights", lambda line: line.rights),
    Column("state", lambda line: f"{line.state}, this device" if line.ours else line.state),
)
_MEMBERS_ON_TERMINAL: tuple[Column[MemberLine], ...] = (
    Column("device", lambda line: short(line.device, line.name)),
    *_MEMBERS[2:],
)


@click.group("space", cls=FaceGroup)
def space_command() -> None:
    """Make, list and leave spaces, and show who takes part in one.

    `memcrdt pair --space NAME` invites a device into a space, `memcrdt revoke` takes it out of all.
    """


@command("create")
@click.argument("name")
@pass_face
def create_command(face: Face, name: str) -> None:
    """Make a space called NAME, and print its id."""
    with face.open() as memory:
        face.printer.value("id", memory.space(name).create().id())


@command("list")
@pass_face
def list_command(face: Face) -> None:
    """List the spaces."""
    with face.look() as memory:
        face.printer.table(memory.status().store.spaces, _SPACES)


@command("members")
@click.argument("name", default="personal")
@pass_face
def members_command(face: Face, name: str) -> None:
    """List the devices that take part in the space NAME (personal), and those that were revoked from it."""
    from memcrdt.store.members import Members
    from memcrdt.store.overview import peer_states

    with face.open() as memory:
        known, own = Members(memory.store).of(name), memory.store.device
        shared = memory.space(name).members()
        names = {state.peer.device: state.peer.name for state in peer_states(memory.store)}
    lines = []
    for device in dict.fromkeys((*shared, *known.members, *sorted(known.revoked))):
        member = known.members.get(device)
        lines.append(
            MemberLine(
                device=device,
                name=names.get(device) or (member.name if member else None) or None,
                rights="read" if member and member.read_only else "read and write",
                state="revoked" if device in known.revoked else "member",
                ours=device == own,
            )
        )
    face.printer.table(lines, _MEMBERS, on_terminal=_MEMBERS_ON_TERMINAL)
    face.printer.below(readable(line.device) for line in lines)


@command("leave")
@click.argument("name")
@pass_face
def leave_command(face: Face, name: str) -> None:
    """Share the space NAME with nobody any more. What is in it stays here."""
    with face.open() as memory:
        memory.space(name).leave()
    say(f"left: what is in {name!r} stays here, and nothing more of it is sent or received")


for _each in (create_command, list_command, members_command, leave_command):
    space_command.add_command(_each)
