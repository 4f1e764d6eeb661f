"""`memcrdt completion`: the script with which a shell completes commands, options and their values."""

from __future__ import annotations

from typing import Final

import click
from click.shell_completion import get_completion_class

from memcrdt.cli.face import command

_VARIABLE: Final = "_MEMCRDT_COMPLETE"  # click looks for it when memcrdt starts


@command("completion")
@click.argument("shell", type=click.Choice(("bash", "zsh", "fish", "powershell")))
@click.pass_context
def completion_command(context: click.Context, shell: str) -> None:
    """Print the script that completes memcrdt's commands, options and values in SHELL.

    \b
    bash: add to ~/.bashrc:  eval "$(memcrdt completion bash)"
    zsh:  add to ~/.zshrc:   eval "$(memcrdt completion zsh)"
    fish: run once:          memcrdt completion fish > ~/.config/fish/completions/memcrdt.fish
    PowerShell: add to $PROFILE:  memcrdt completion powershell | Out-String | Invoke-Expression
    """
    script = get_completion_class(shell)
    assert script is not None  # click has one for each of the choices
    click.echo(script(context.find_root().command, {}, "memcrdt", _VARIABLE).source())
