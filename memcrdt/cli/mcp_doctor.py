"""`memcrdt mcp doctor` and `memcrdt mcp instructions`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from memcrdt.cli.face import Face, command, pass_face
from memcrdt.cli.output import Column, say
from memcrdt.errors import InputError, UnreachableError

if TYPE_CHECKING:
    from memcrdt.mcp.trial import Trial

_COLUMNS: Final[tuple[Column[Trial], ...]] = (
    Column("client", lambda trial: trial.client, whole=True),
    Column("entry", lambda trial: trial.entry, whole=True),
    Column("works", lambda trial: "yes" if trial.ok else "no"),
    Column("seconds", lambda trial: trial.seconds),
    Column("saw", lambda trial: trial.saw),
    Column("file", lambda trial: trial.file),
)


@command("doctor")
@pass_face
def doctor_command(face: Face) -> None:
    """Start what your MCP clients would start, and show what came back.

    Tries every server and hook of memcrdt in the settings of all clients, for all projects and for the project in the
    working folder. The exit code is 5 if one of them does not work.
    """
    try:
        import mcp  # noqa: F401 - the client that asks the servers
    except ModuleNotFoundError as exc:
        raise InputError(f"the trial of a server needs the module {exc.name}; install memcrdt[mcp]") from exc
    from memcrdt.mcp.trial import trials

    found = []
    for trial in trials(Path.cwd()):  # each takes a second: show it when it is done
        found.append(trial)
        say(f"{trial.client}, {trial.entry}: {'works' if trial.ok else 'does not work'}")
    face.printer.table(found, _COLUMNS)
    if not found:
        say("no client starts memcrdt; run memcrdt mcp install --client NAME")
    elif wrong := sum(not trial.ok for trial in found):
        raise UnreachableError(f"{wrong} of {len(found)} entries do not work; see above what is wrong with each")


@command("instructions")
@pass_face
def instructions_command(face: Face) -> None:
    """Print a block for AGENTS.md that says when to recall and when to store.

    For clients that do not show the instructions of MCP servers to the model: memcrdt mcp instructions >> AGENTS.md
    """
    from memcrdt.mcp.texts import AGENTS_BLOCK

    if face.json:
        face.printer.value("block", AGENTS_BLOCK)
    else:
        click.echo(AGENTS_BLOCK, nl=False)
