"""The completion of commands, options and values in shells."""

from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest
from click.shell_completion import ShellComplete

from memcrdt.cli.app import root

if TYPE_CHECKING:
    from tests.cli.conftest import Cli


def offered(*words: str) -> dict[str, str | None]:
    """Return the completions of the last word, with their descriptions."""
    *before, last = words
    completions = ShellComplete(root, {}, "memcrdt", "_MEMCRDT_COMPLETE").get_completions(before, last)
    return {item.value: item.help for item in completions}


def test_commands_and_options_are_offered() -> None:
    """With the description that the help has."""
    assert offered("sea") == {"search": "Find the memories that best answer QUERY, best first."}
    assert "--min-score" in offered("search", "--m")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_valid_in_its_shell(cli: Cli, shell: str) -> None:
    """The real shell reads it without complaint."""
    script = cli("completion", shell).out
    assert "_MEMCRDT_COMPLETE" in script
    if (program := shutil.which(shell)) is None:
        pytest.skip(f"{shell} is not installed")
    done = subprocess.run([program, "-n"], input=script.encode(), capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")


def test_another_shell_is_a_usage_error(cli: Cli) -> None:
    """The message names the shells that there are."""
    cli("completion", "tcsh").failed(2, "tcsh", "bash", "zsh", "fish")
