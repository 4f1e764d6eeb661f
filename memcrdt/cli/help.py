"""`memcrdt help` and `memcrdt version`: the words that people type before they know the options."""

from __future__ import annotations

import click

from memcrdt import __version__
from memcrdt.cli.face import Face, command, pass_face


@command("help")
@click.argument("words", nargs=-1, metavar="[COMMAND]...")
@click.pass_context
def help_command(context: click.Context, words: tuple[str, ...]) -> None:
    """Show the help of memcrdt, or of a command: memcrdt help space create."""
    shown = context.find_root()
    for word in words:
        group = shown.command
        if not isinstance(group, click.Group):
            raise click.UsageError(f"{shown.command_path} has no commands of its own")
        name, found, _ = group.resolve_command(shown, [word])
        assert found is not None  # resolve_command() fails otherwise
        shown = click.Context(found, info_name=name, parent=shown)
    click.echo(shown.get_help())


@command("version")
@pass_face
def version_command(face: Face) -> None:
    """Show the version of memcrdt."""
    face.printer.value("version", __version__ if face.json else f"memcrdt {__version__}")
