"""Memories, spaces and devices named by less than their whole id or name."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import memcrdt
from memcrdt.cli import names

if TYPE_CHECKING:
    from tests.cli.conftest import Cli

FIRST, SECOND, THIRD = (f"01ARZ3NDEKTSV4RRFFQ69G5F{end}" for end in ("AA", "AB", "BB"))


@pytest.fixture(autouse=True)
def _memories(cli: Cli) -> None:
    for memory_id, text in ((FIRST, "one"), (SECOND, "two"), (THIRD, "three")):
        cli("add", text, "--id", memory_id)


def test_the_beginning_of_an_id_names_a_memory(cli: Cli) -> None:
    """In every command, in either case, if it is that of one memory."""
    beginning = THIRD[:25].lower()
    assert cli("get", beginning, "--json").json[0]["text"] == "three"
    assert cli("update", beginning, "3", "--superseded-by", FIRST, "--json").json[0]["superseded_by"] == FIRST
    assert cli("link", beginning, "follows", SECOND).code == 0
    assert cli("related", beginning, "--json").json[0]["id"] == SECOND
    assert cli("history", beginning, "--json").json[-1]["text"] == "3"
    assert cli("forget", beginning, "--json").json[0]["count"] == 1
    cli("get", beginning).failed(3, THIRD, "forgotten")


def test_several_candidates_are_listed(cli: Cli) -> None:
    """With their texts, and no memory is changed."""
    cli("update", FIRST[:25], "x").failed(2, "beginning of several ids", FIRST, "(one)", SECOND, "(two)", "give more")
    cli("get", "7ZZZ").failed(3, "no memory has an id that begins with 7ZZZ")
    cli("get", FIRST[:3]).failed(2, "4 characters or more")


def test_the_beginning_of_a_name_names_a_space(cli: Cli) -> None:
    """A whole name wins over a longer one, and several candidates are listed."""
    for name in ("work", "workshop", "workers"):
        cli("space", "create", name)
    cli("add", "in the workshop", "--space", "works")
    assert [found["space"] for found in cli("list", "--space", "works", "--json").json] == ["workshop"]
    assert cli("list", "--space", "work", "--json").json == []
    cli("list", "--space", "workx").failed(3, "no space called 'workx'", "workshop")
    cli("list", "--space", "wor").failed(3, "no space called 'wor'")
    cli("space", "create", "holidays-2026")
    cli("space", "create", "holidays-2027")
    cli("add", "x", "--space", "holi").failed(2, "holidays-2026, holidays-2027", "give more")
    assert cli("move", FIRST, "--space", "holidays-2027").code == 0
    assert cli("space", "members", "pers").code == 0


def test_a_line_of_the_last_listing_names_a_memory(cli: Cli, home: Path) -> None:
    """`@N`, as long as something was listed on this terminal."""
    cli("get", "@1").failed(3, "nothing was listed on this terminal")
    assert names.remember(home, [SECOND, FIRST])
    assert cli("get", "@2", "--json").json[0]["id"] == FIRST
    assert cli("link", "@1", "follows", "@2").code == 0
    cli("get", "@3").failed(3, "@1 to @2")
    for wrong in ("@", "@0x", "@-1", "@²", "@99999"):
        cli("get", wrong).failed(2, "not a line of a listing")


@pytest.mark.parametrize("content", ["", "[]", '{"1": "x"}', '{"1": ["../x"]}', "{" * 5_000])
def test_a_damaged_file_of_listings_counts_as_none(cli: Cli, home: Path, content: str) -> None:
    """It is written anew by the next listing."""
    (home / names.FILE).write_text(content)
    cli("get", "@1").failed(3)
    assert names.remember(home, [FIRST])
    assert cli("get", "@1", "--json").json[0]["id"] == FIRST


def test_each_terminal_has_its_own_listing(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last eight are kept."""
    with memcrdt.open(home, embedder=None) as memory:
        for terminal in range(10):
            monkeypatch.setattr(names, "_terminal", lambda name=terminal: str(name))
            names.remember(home, [(FIRST, SECOND)[terminal % 2]])
        found: list[Any] = []
        for terminal in (9, 8, 2):
            monkeypatch.setattr(names, "_terminal", lambda name=terminal: str(name))
            found.append(names.memory_id(memory, "@1"))
        assert found == [SECOND, FIRST, FIRST]
        monkeypatch.setattr(names, "_terminal", lambda: "1")
        with pytest.raises(memcrdt.NotFoundError):
            names.memory_id(memory, "@1")
