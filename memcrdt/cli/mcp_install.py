"""`memcrdt mcp install` and `uninstall`: the entry of the server in the file of an MCP client."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import click

from memcrdt.cli.face import Face, command, pass_face
from memcrdt.cli.output import say
from memcrdt.mcp.clients import CLIENTS, install, uninstall

if TYPE_CHECKING:
    from collections.abc import Callable

    from memcrdt.mcp.clients import SettingsChange


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientChange:
    """A change of the file of a client.

    Attributes:
        client: The name of the client.
        file: Its file.
        changed: Whether the file differs now, or with --dry-run would differ.
        backup: The copy of the former file; None if there was none or nothing was written.
        diff: With --dry-run: the change as a unified diff.
    """

    client: str
    file: str
    changed: bool
    backup: str | None = None
    diff: str | None = None


def _options(function: Callable[..., None]) -> Callable[..., None]:
    """Add the options that install and uninstall share."""
    for option in (
        click.option("--dry-run", is_flag=True, help="Show the change and write nothing."),
        click.option("--project", is_flag=True, help="Only for the project in the working folder."),
        click.option("--client", required=True, type=click.Choice(list(CLIENTS)), help="The client."),
    ):
        function = option(function)
    return function


@command("install")
@click.option("--hooks", is_flag=True, help="Add the hooks too (claude-code, codex, cursor, gemini).")
@_options
@pass_face
def install_command(face: Face, /, client: str, *, hooks: bool, project: bool, dry_run: bool) -> None:
    """Add the server to the settings of an MCP client.

    Comments and other settings stay. A copy of the former file is kept beside it.
    """
    changes = install(client, Path.cwd() if project else None, face.home, hooks=hooks)
    for change in changes:
        _finish(face, client, change, dry_run=dry_run)
    if any(change.after != change.before for change in changes) and not dry_run:
        say(f"restart {client} to start the server")
    if find_spec("mcp") is None:
        say("the server needs the module mcp, which is missing here; install memcrdt[mcp]")


@command("uninstall")
@_options
@pass_face
def uninstall_command(face: Face, /, client: str, *, project: bool, dry_run: bool) -> None:
    """Remove the server and the hooks from the settings of an MCP client. The memories stay."""
    for change in uninstall(client, Path.cwd() if project else None):
        _finish(face, client, change, dry_run=dry_run)


def _finish(face: Face, client: str, change: SettingsChange, *, dry_run: bool) -> None:
    """Write or show a change."""
    changed = change.after != change.before
    backup = change.write() if changed and not dry_run else None
    diff = _diff(change) if dry_run else None
    if diff and not face.json:
        click.echo(diff, nl=False)
        return
    face.printer.record(
        ClientChange(
            client=client, file=str(change.file), changed=changed, backup=str(backup) if backup else None, diff=diff
        )
    )


def _diff(change: SettingsChange) -> str:
    name = str(change.file)
    lines = difflib.unified_diff(change.before.splitlines(), change.after.splitlines(), name, name, lineterm="")
    return "".join(f"{line}\n" for line in lines)
