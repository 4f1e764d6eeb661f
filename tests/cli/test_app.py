"""The root command: help, exit codes, and errors as one line."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click
import pytest

from memcrdt import __version__, errors
from memcrdt.cli.app import root

if TYPE_CHECKING:
    from tests.cli.conftest import Cli

HEAVY = {"asyncio", "numpy", "pycrdt", "apsw", "aiohttp", "cryptography", "rich", "tokenizers", "fastembed", "msgpack"}
GROUPS = ("token", "space", "model")
COMMANDS = root.list_commands(click.Context(root))


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_helps_and_takes_home_and_json(cli: Cli, name: str) -> None:
    """Each has a help text with the two shared options."""
    ran = cli(name, "--help")
    assert ran.code == 0
    assert ran.out.startswith(f"Usage: memcrdt {name}")
    assert "--home FOLDER" in ran.out
    assert "--json" in ran.out


def test_help_names_every_command(cli: Cli) -> None:
    """The list is complete."""
    ran = cli("--help")
    assert ran.code == 0
    assert [name for name in COMMANDS if f"\n  {name} " not in ran.out] == []
    assert {"init", "add", "search", "get", "list", "update", "forget", "history", "conflicts"} <= set(COMMANDS)
    assert {"status", "peers", "accept", "revoke", "serve", "demo", "path"} <= set(COMMANDS)


def test_help_loads_nothing_heavy() -> None:
    """Printing a help text loads neither numpy nor any other slow library."""
    code = f"import sys; from memcrdt.cli.app import run; run(['--help']); sys.exit(str({HEAVY} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == "set()"


def test_help_shows_the_commands_in_sections_and_cuts_none_off(cli: Cli) -> None:
    """Each section has a heading, and each command its whole first sentence."""
    out = cli("--help").out
    assert [heading for heading in ("Remember:", "Find:", "Devices:", "Upkeep:") if f"\n{heading}\n" not in out] == []
    assert [line for line in out.splitlines()[1:] if line.endswith(("...", "…"))] == []


@pytest.mark.parametrize("group", GROUPS)
def test_a_group_without_a_command_shows_its_help_as_a_usage_error(cli: Cli, group: str) -> None:
    """The help is printed on stderr, and the exit code is 2."""
    ran = cli(group)
    assert (ran.code, ran.out) == (2, "")
    assert "\nCommands:\n" in ran.err


def test_the_version_is_that_of_the_package(cli: Cli) -> None:
    """`memcrdt --version`, `-V` and `version` print name and version."""
    assert {cli(word).out for word in ("--version", "-V", "version")} == {f"memcrdt {__version__}\n"}
    assert cli("version", "--json").json == [{"version": __version__}]


def test_help_is_a_command_too(cli: Cli) -> None:
    """`help COMMAND` prints the help of the command, also of one in a group."""
    assert cli("help").out == cli("--help").out == cli("-h").out
    assert cli("help", "space", "create").out == cli("space", "create", "--help").out
    cli("help", "get", "more").failed(2, "memcrdt get has no commands of its own")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        (["serch", "x"], "search"),
        (["conflict"], "conflicts"),
        (["space", "creat", "x"], "create"),
        (["help", "ad"], "add"),
    ],
)
def test_a_mistyped_command_is_suggested(cli: Cli, typed: list[str], meant: str) -> None:
    """The error names the commands that are spelled nearly the same."""
    cli(*typed).failed(2, "did you mean", meant, "? See memcrdt ")


def test_a_word_that_resembles_no_command_gets_no_suggestion(cli: Cli) -> None:
    """Only the help is named."""
    ran = cli("xyzzy")
    ran.failed(2, "there is no command 'xyzzy'", "memcrdt --help")
    assert "did you mean" not in ran.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["lst"], ["lst", "memcrdt --help"]),
        (["add", "two", "words"], ["words", "in quotes", "memcrdt add --help"]),
        (["list", "--bogus"], ["--bogus", "memcrdt list --help"]),
        (["get"], ["ID", "memcrdt get --help"]),
        (["get", "one", "two"], ["two", "memcrdt get --help"]),
        (["list", "--limit", "many"], ["many"]),
        (["serve", "--port", "70000"], ["70000"]),
        (["list", "--limit"], ["--limit", "memcrdt list --help"]),
        (["serve", "--yjs-port", "1234"], ["--yjs-port needs --yjs", "memcrdt serve --help"]),
        (["update", "ID", "--add-tag", "a", "--remove-tag", "a"], ["'a'", "memcrdt update --help"]),
        (["update", "ID", "--importance", ".5", "--clear", "importance"], ["--importance", "memcrdt update --help"]),
        (["update", "ID", "--trust", "low", "--clear", "trust"], ["--trust", "memcrdt update --help"]),
        (["list", "--ancestors"], ["--ancestors needs --scope", "memcrdt list --help"]),
        (["search", "words", "--ancestors"], ["--ancestors needs --scope", "memcrdt search --help"]),
    ],
)
def test_a_wrong_command_line_is_a_usage_error(cli: Cli, home: Path, arguments: list[str], words: list[str]) -> None:
    """One line names the mistake and the help command, the exit code is 2, and no home is created."""
    cli(*arguments).failed(2, *words)
    assert not home.exists()


def test_quotes_are_advised_only_where_a_text_is_expected(cli: Cli) -> None:
    """An id or a name that is too many is not a part of a text."""
    for arguments in (["search", "two", "words"], ["update", "ID", "two", "words"]):
        cli(*arguments).failed(2, "in quotes")
    for arguments in (["get", "one", "two"], ["status", "now"], ["forget", "one", "two"]):
        ran = cli(*arguments)
        ran.failed(2, "unexpected extra argument")
        assert "quotes" not in ran.err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.InputError("no good"), 2),
        (errors.NotFoundError("no good"), 3),
        (errors.LockedError("no good"), 4),
        (errors.UnreachableError("no good"), 5),
        (errors.ReadOnlyError("no good"), 1),
        (errors.CorruptError("no good"), 1),
        (errors.SchemaError("no good"), 1),
        (errors.DiskFullError("no good"), 1),
        (errors.UntrustedPeerError("no good"), 1),
        (errors.ModelMissingError("no good"), 1),
        (errors.RemoteProtocolError("no good"), 1),
    ],
)
def test_an_error_has_its_exit_code(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, error: errors.MemcrdtError, code: int
) -> None:
    """An error of memcrdt prints its message and has the exit code of its class. It prints no traceback."""

    def fail(*_: object, **__: object) -> NoReturn:
        raise error

    monkeypatch.setattr("memcrdt._open.open", fail)
    ran = cli("init")
    ran.failed(code)
    assert ran.err == "memcrdt: no good\n"


def test_a_message_stays_on_one_line(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Line breaks and escape sequences in a message, perhaps from another device, are escaped."""

    def fail(*_: object, **__: object) -> NoReturn:
        raise errors.RemoteProtocolError("it said \x1b[2J\nand more")

    monkeypatch.setattr("memcrdt._open.open", fail)
    assert cli("init").err == "memcrdt: it said \\x1b[2J\\nand more\n"


def test_an_interrupt_is_exit_code_130(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C prints no traceback."""

    def interrupt(*_: object, **__: object) -> NoReturn:
        raise KeyboardInterrupt

    monkeypatch.setattr("memcrdt._open.open", interrupt)
    ran = cli("init")
    assert ran.code == 130
    assert ran.err.splitlines()[-1] == "memcrdt: interrupted"


def test_an_interrupt_while_importing_is_silent(process: Cli, tmp_path: Path) -> None:
    """The exit code is 130 without a traceback, even if Ctrl-C comes very early."""
    (tmp_path / "click.py").write_text("raise KeyboardInterrupt")
    ran = process("list", PYTHONPATH=str(tmp_path))
    assert (ran.code, ran.out, ran.err) == (130, "", "")


def test_a_reader_that_goes_away_is_no_traceback(process: Cli, home: Path) -> None:
    """`memcrdt list | head -1` drops the rest of the output silently."""
    process("add", "Deploys go out on Tuesdays")
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "memcrdt", "list"], stdout=writing, stderr=subprocess.PIPE, timeout=60, check=False
        )
    finally:
        os.close(writing)
    assert done.stderr == b""
    assert done.returncode == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_output_that_cannot_be_written_is_an_error(process: Cli, home: Path) -> None:
    """With a full disk behind stdout, one line is printed and the exit code is 1."""
    process("add", "Deploys go out on Tuesdays")
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "memcrdt", "list"], stdout=full, stderr=subprocess.PIPE, timeout=60, check=False
        )
    assert done.returncode == 1
    assert done.stderr.startswith(b"memcrdt: writing the output: ")
    assert done.stderr.count(b"\n") == 1


@pytest.mark.skipif(sys.platform == "win32", reason="the folder of the settings is not named by HOME")
def test_a_file_that_cannot_be_used_is_named_with_the_next_step(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where no command expects it: what happened, to what, and what to look at."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("HOME", str(tmp_path / "file"))
    ran = cli("mcp", "install", "--client", "codex")
    ran.failed(1, "config.toml cannot be used (Not a directory); check the path, its owner")


def test_pipes_carry_utf_8_whatever_the_locale(process: Cli, home: Path) -> None:
    """Any text passes unchanged through arguments, stdin and pipes."""
    plain = {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    process("add", "-", stdin="Grüße an 東京 🚀\n".encode(), **plain)
    ran = process("list", "--json", **plain)
    assert [memory["text"] for memory in ran.json] == ["Grüße an 東京 🚀"]
    assert "🚀" in ran.out


def test_the_entry_point_ends_with_the_exit_code(process: Cli) -> None:
    """`python -m memcrdt` is `memcrdt`: its own process has the right exit code and message."""
    process("init")
    process("get", "01ARZ3NDEKTSV4RRFFQ69G5FAV").failed(3, "01ARZ3NDEKTSV4RRFFQ69G5FAV")


@pytest.mark.skipif(os.name == "nt", reason="its shell closes no streams")
@pytest.mark.parametrize(("closed", "code"), [(">&-", 0), ("2>&-", 0), ("<&- >&- 2>&-", 2)])
def test_closed_streams_are_no_crash(home: Path, closed: str, code: int) -> None:
    """A closed stdout swallows the output. A closed stdin is empty, which no memory may be."""
    text = "-" if "<" in closed else "Deploys go out on Tuesdays"
    command = f'"$0" -m memcrdt add {shlex.quote(text)} {closed}'
    done = subprocess.run(["sh", "-c", command, sys.executable], capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert "Traceback" not in done.stderr


def test_a_home_whose_name_is_no_text_is_refused(cli: Cli) -> None:
    """Such bytes are not UTF-8."""
    cli("list", "--home", "a\udcffb").failed(2, "UTF-8")


def test_with_json_an_error_is_a_problem_in_json(cli: Cli) -> None:
    """It has the code, the reason and the remedy that every face uses, in one line on stderr."""
    cli("init")
    ran = cli("get", "01ARZ3NDEKTSV4RRFFQ69G5FAV", "--json")
    problem = json.loads(ran.err)
    assert (ran.code, ran.out, problem["code"]) == (3, "", "not_found")
    assert "01ARZ3NDEKTSV4RRFFQ69G5FAV" in problem["reason"]
    assert json.loads(cli("list", "--json", "--limit", "0").err)["code"] == "invalid_input"
    assert json.loads(cli("list", "--json", "--bogus").err)["code"] == "invalid_input"
    cli("add", "one")
    assert (
        json.loads(cli("forget", "--scope", "global", "--json").err.splitlines()[-1])["code"] == "confirmation_required"
    )
