"""The completion of commands, options and values in shells."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
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


def test_values_of_the_home_are_offered(cli: Cli, home: Path) -> None:
    """Ids with their texts, scopes, tags, spaces, devices, kinds and tokens."""
    added = cli(
        "add", "Deploys go out\x1b\non Tuesdays", "--scope", "project/acme", "--tag", "release", "--kind", "fact"
    ).out.strip()
    cli("space", "create", "team")
    cli("accept", "B" * 51 + "A", "--name", "laptop-b")
    cli("token", "create", "codex")
    text = "Deploys go out\\x1b on Tuesdays"
    assert offered("get", added[:4].lower()) == {added: text}
    assert offered("link", added, "of", "") == offered("update", added, "--superseded-by", "") == {added: text}
    assert offered("list", "--scope", "proj") == offered("rename-scope", "pro") == {"project/acme": None}
    assert (
        offered("search", "x", "--all-tag", "r")
        == offered("update", added, "--remove-tag", "")
        == {"release": "1 memory"}
    )
    assert offered("add", "x", "--kind", "") == {"fact": None}
    assert offered("add", "x", "--space", "t") == {"team": "0 memories"} == offered("space", "leave", "te")
    cli("accept", "C" * 51 + "A", "--name", "laptop-b")
    cli("revoke", "C" * 51 + "A", "--yes")
    assert offered("revoke", "lap") == offered("list", "--device", "") == {"laptop-b": "accepted"}
    assert offered("space", "invite", "team", "") == {"laptop-b": "accepted"}
    assert offered("token", "revoke", "") == {"codex": "personal"}
    assert offered("model", "use", "stat") != {}


def test_a_completion_uses_the_home_of_the_line_and_makes_none(
    cli: Cli, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a home there is nothing to offer, and nothing is printed."""
    other = tmp_path / "other"
    cli("add", "one", "--tag", "there", "--home", str(other))
    assert offered("list", "--home", str(other), "--tag", "") == {"there": "1 memory"}
    assert offered("list", "--after", "yesterday", "--tag", "") == {}
    assert not home.exists()
    assert capsys.readouterr() == ("", "")


@pytest.mark.skipif(os.name == "nt" or not shutil.which("bash"), reason="it needs bash")
def test_bash_completes_an_id(cli: Cli, home: Path, tmp_path: Path) -> None:
    """The real shell, with the script as it is printed."""
    added = cli("add", "Deploys go out on Tuesdays").out.strip()
    program = tmp_path / "memcrdt"
    program.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m memcrdt "$@"\n')
    program.chmod(0o755)
    script = cli("completion", "bash").out + (
        f"COMP_WORDS=(memcrdt get {added[:4]}); COMP_CWORD=2; _memcrdt_completion memcrdt {added[:4]} get\n"
        'echo "${COMPREPLY[@]}"\n'
    )
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", script], env={**os.environ, "PATH": path}, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == added


def test_powershell_gets_values_with_descriptions(process: Cli, home: Path) -> None:
    """As its script reads them. PowerShell itself is not needed for that."""
    added = process("add", "Deploys go out on Tuesdays").out.strip()
    line = {"COMP_WORDS": "memcrdt get", "COMP_CWORD": "2"}
    ran = process(**line, _MEMCRDT_COMPLETE="powershell_complete")
    assert added in ran.out
    assert "Deploys go out on Tuesdays" in ran.out


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
    cli("completion", "tcsh").failed(2, "tcsh", "bash", "zsh", "fish", "powershell")


def test_a_missing_shell_lists_the_shells_on_one_line(cli: Cli) -> None:
    """Without the line breaks of click."""
    cli("completion").failed(2, "Choose from: bash, zsh, fish, powershell; see memcrdt completion --help")
