"""`memcrdt conflicts` and `resolve`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest

import memcrdt
from memcrdt.testing import exchange, temporary

if TYPE_CHECKING:
    from tests.cli.conftest import Cli

HERE, THERE = "Deploys go out on Tuesdays", "Deploys go out on Fridays"


@pytest.fixture
def conflicted(home: Path) -> str:
    """Return the id of a memory whose text two devices changed while disconnected. Another memory has one text."""
    with memcrdt.open(home, embedder=None) as ours, temporary() as theirs:
        ours.add("The printer needs a static address")
        memory = ours.add("Deploys go out on Mondays")
        exchange(ours, theirs)
        theirs.update(memory, text=THERE, author="bot")
        ours.update(memory, text=HERE)
        exchange(ours, theirs)
    return memory


def texts(home: Path, memory: str) -> tuple[str, int]:
    """Return the current text and the number of competing texts."""
    with memcrdt.open(home, embedder=None) as opened:
        return opened.get(memory).text, len(opened.conflicts(memory))


@pytest.mark.parametrize("named", [True, False])
def test_every_competing_text_names_its_device(cli: Cli, conflicted: str, named: bool) -> None:
    """With an ID or without one. The memory with one text is not listed."""
    rows = [line.split("\t") for line in cli("conflicts", *([conflicted] if named else [])).out.splitlines()]
    assert {row[0] for row in rows} == {conflicted}
    assert {row[-1] for row in rows} == {HERE, THERE}
    assert next(row[3] for row in rows if row[-1] == HERE) == "this device"
    assert next(row[4] for row in rows if row[-1] == THERE) == "bot"


def test_without_a_conflict_nothing_is_listed(cli: Cli, home: Path) -> None:
    """Stdout is empty, stderr says so, and the exit code is 0."""
    memory = cli("add", HERE).out.strip()
    for arguments in ((), (memory,)):
        ran = cli("conflicts", *arguments)
        assert (ran.code, ran.out) == (0, "")
        assert "one current text" in ran.err


def test_lists_select_and_mark_conflicts(cli: Cli, conflicted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """--conflicts is a filter, and a terminal shows a mark before the text."""
    assert [line["id"] for line in cli("list", "--conflicts", "--json").json] == [conflicted]
    assert conflicted not in cli("list", "--no-conflicts").out
    monkeypatch.setattr(type(sys.stdout), "isatty", lambda self: True)
    monkeypatch.setenv("COLUMNS", "150")
    for command in (("list",), ("search", "deploys")):
        marked = [line for line in cli(*command).out.splitlines() if "[conflict]" in line]
        assert len(marked) == 1
        assert conflicted in marked[0]


def test_a_terminal_shows_the_words_that_differ(cli: Cli, conflicted: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second text is shown with the words that it removes from the first one and adds to it."""
    monkeypatch.setattr(type(sys.stdout), "isatty", lambda self: True)
    out = click.unstyle(cli("conflicts").out)
    first, second = (text.rpartition(" ")[2] for text in ((THERE, HERE) if f" {THERE}\n" in out else (HERE, THERE)))
    assert f"Deploys go out on [-{first}-]{{+{second}+}}\n" in out
    assert out.startswith(f"@1  memory {conflicted}\n")
    assert cli("get", "@1", "--json").json[0]["id"] == conflicted
    assert click.unstyle(cli("conflicts", "@1").out).startswith(f"memory {conflicted}\n")


@pytest.mark.parametrize("option", ["--keep", "--text"])
def test_a_conflict_is_settled_by_one_text(cli: Cli, home: Path, conflicted: str, option: str) -> None:
    """By a competing text or by a new one. The others stay in the history."""
    revision = next(line["revision"] for line in cli("conflicts", "--json").json if line["text"] == THERE)
    wanted = THERE if option == "--keep" else "Deploys go out daily"
    shown = cli("resolve", conflicted, option, revision if option == "--keep" else wanted, "--json").json
    assert [(line["text"], line["conflicted"]) for line in shown] == [(wanted, False)]
    assert texts(home, conflicted) == (wanted, 0)
    assert {HERE, THERE} <= {line["text"] for line in cli("history", conflicted, "--json").json}


def test_what_cannot_be_resolved_is_refused(cli: Cli, home: Path, conflicted: str) -> None:
    """An unknown revision, both options, no option without a terminal, and a memory without a conflict."""
    cli("resolve", conflicted, "--keep", "01ARZ3NDEKTSV4RRFFQ69G5FAV").failed(3, "none of the competing texts")
    cli("resolve", conflicted, "--keep", conflicted[:3]).failed(3, "none of the competing texts")
    cli("resolve", conflicted, "--keep", "x", "--text", "y").failed(2, "not both")
    cli("resolve", conflicted).failed(2, "--keep REVISION", "--text TEXT")
    assert texts(home, conflicted)[1] == 2
    cli("resolve", conflicted, "--text", HERE)
    cli("resolve", conflicted, "--text", HERE).failed(2, "one current text")


TOOL = "import sys; from pathlib import Path; *texts, result = map(Path, sys.argv[1:]); "


@pytest.mark.parametrize(
    ("code", "wanted", "left", "said"),
    [
        ("result.write_text(' / '.join(sorted(each.read_text() for each in texts)))", f"{THERE} / {HERE}", 0, "merged"),
        ("sys.exit(3)", HERE, 2, "ended with code 3"),
        ("0", HERE, 2, "changed nothing"),
    ],
)
def test_a_program_of_the_user_merges(
    cli: Cli, home: Path, tmp_path: Path, conflicted: str, *, code: str, wanted: str, left: int, said: str
) -> None:
    """Its result becomes the text, unless it fails or changes nothing."""
    script = tmp_path / "merge.py"
    script.write_text(TOOL + code)
    before = texts(home, conflicted)[0]
    ran = cli("conflicts", "--merge-tool", f'"{sys.executable}" "{script}"')
    assert ran.code == 0
    assert said in ran.err
    assert texts(home, conflicted) == (before if left else wanted, left)


@pytest.mark.parametrize("number", [1, 2])
def test_resolve_asks_on_a_terminal(cli: Cli, home: Path, conflicted: str, number: int) -> None:
    """It shows the texts with numbers, and the number chooses one."""
    wanted = cli("conflicts", "--json").json[number - 1]["text"]
    ran = cli("resolve", conflicted, typed=f"{number}\n")
    assert ran.code == 0
    assert "keep which text" in ran.err
    assert texts(home, conflicted) == (wanted, 0)


def test_without_conflicts_a_terminal_shows_only_the_message(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """No empty line stands above it."""
    cli("add", HERE)
    monkeypatch.setattr(type(sys.stdout), "isatty", lambda self: True)
    ran = cli("conflicts")
    assert (ran.out, ran.err) == ("", "memcrdt: no conflicts: every memory has one current text\n")
