"""The command line of `memcrdt hook`. Its work is in hook.py, which main() calls without click where it can."""

from __future__ import annotations

import click

from memcrdt.cli import hook
from memcrdt.cli.face import Face, command, pass_face


@command("hook")
@click.argument("event")
@click.option("--project", help="The name of the project. Default: the git repository of the client's folder.")
@pass_face
def hook_command(face: Face, event: str, project: str | None) -> None:
    """Answer the hook EVENT of a coding agent, whose JSON is on stdin.

    EVENT is SessionStart, UserPromptSubmit, BeforeAgent or sessionStart, as the client spells it. PreCompact, Stop,
    SessionEnd and their like queue the session for `memcrdt capture`, if the setting `capture` is on. Any other event
    gets an empty answer. The exit code is always 0.
    """
    hook.respond(event, home=face.home, project=project)
