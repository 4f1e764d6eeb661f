"""`memcrdt move` and `rename-scope`."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.cli.conftest import Cli


def test_move_gives_a_new_life_elsewhere(cli: Cli) -> None:
    """stdout has the new id; the old one is gone."""
    old = cli("add", "the printer's address", "--tag", "office").out.strip()
    new = cli("move", old, "--space", "local").out.strip()
    (memory,) = cli("get", new, "--json").json
    assert (memory["space"], memory["tags"], memory["text"]) == ("local", ["office"], "the printer's address")
    cli("get", old).failed(3, old)


def test_a_space_that_is_not_there_takes_nothing(cli: Cli) -> None:
    """Exit code 3, and the memory stays; without a space it is a usage error."""
    old = cli("add", "the printer's address").out.strip()
    cli("move", old, "--space", "nowhere").failed(3, "nowhere")
    cli("move", old).failed(2, "--space")
    assert cli("get", old).code == 0


def test_rename_scope_takes_all_memories_along(cli: Cli) -> None:
    """It says how many they are; a second time there are none."""
    for text in ("one", "two"):
        cli("add", text, "--scope", "project/acme")
    cli("add", "three")
    assert cli("rename-scope", "project/acme", "project/apex", "--json").json == [{"memories": 2}]
    assert len(cli("list", "--scope", "project/apex", "--json").json) == 2
    again = cli("rename-scope", "project/acme", "project/apex", "--json")
    assert (again.json, again.err) == ([{"memories": 0}], "")
    cli("rename-scope", "acme", "project/apex").failed(2, "acme")
