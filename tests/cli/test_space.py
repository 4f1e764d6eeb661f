"""`memcrdt space`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.cli.conftest import Cli


def test_a_space_is_made_listed_and_used(cli: Cli) -> None:
    """By its name here; its id is what members know it by."""
    made = cli("space", "create", "acme").out.strip()
    cli("add", "Deploys go out on Tuesdays", "--space", "acme")
    lines = {line["name"]: line for line in cli("space", "list", "--json").json}
    assert lines.keys() == {"personal", "local", "acme"}
    assert (lines["acme"]["id"], lines["acme"]["memories"]) == (made, 1)
    cli("space", "create", "acme").failed(2, "acme")


def test_members_are_this_device_and_those_it_is_shared_with(cli: Cli, tmp_path: Path) -> None:
    """With their names and rights; before anything is signed, too."""
    other = cli("init", "--json", "--home", str(tmp_path / "other")).json[0]["device"]
    cli("accept", other, "--name", "desktop")
    here, there = cli("space", "members", "--json").json
    assert (here["ours"], here["state"], here["rights"]) == (True, "member", "read and write")
    assert (there["ours"], there["name"]) == (False, "desktop")
    cli("space", "members", "nowhere").failed(3, "nowhere")


def test_leaving_a_space_keeps_what_is_in_it(cli: Cli, tmp_path: Path) -> None:
    """Nobody else takes part any more; `local` cannot be left."""
    other = cli("init", "--json", "--home", str(tmp_path / "other")).json[0]["device"]
    cli("accept", other)
    cli("add", "Deploys go out on Tuesdays")
    assert cli("space", "leave", "personal").code == 0
    assert len(cli("space", "members", "--json").json) == 1
    assert len(cli("list", "--json").json) == 1
    cli("space", "leave", "local").failed(2, "never leaves")
