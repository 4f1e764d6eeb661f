"""`memcrdt space`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from memcrdt.cli.output import readable

if TYPE_CHECKING:
    from tests.cli.conftest import Cli


def test_a_space_is_made_listed_and_used(cli: Cli) -> None:
    """By its local name. Members know it by its id."""
    made = cli("space", "create", "acme").out.strip()
    cli("add", "Deploys go out on Tuesdays", "--space", "acme")
    lines = {line["name"]: line for line in cli("space", "list", "--json").json}
    assert lines.keys() == {"personal", "local", "acme"}
    assert (lines["acme"]["id"], lines["acme"]["memories"]) == (made, 1)
    cli("space", "create", "acme").failed(2, "acme")
    cli("space", "create", "x" * 300).failed(2, "1 to 200")


def test_members_are_this_device_and_those_it_is_shared_with(cli: Cli, tmp_path: Path) -> None:
    """With their names and rights, and also before any statement is signed."""
    other = cli("init", "--json", "--home", str(tmp_path / "other")).json[0]["device"]
    cli("accept", other, "--name", "desktop")
    here, there = cli("space", "members", "--json").json
    assert (here["ours"], here["state"], here["rights"]) == (True, "member", "read and write")
    assert (there["ours"], there["name"]) == (False, "desktop")
    cli("space", "members", "nowhere").failed(3, "nowhere")


def test_leaving_a_space_keeps_what_is_in_it(cli: Cli, tmp_path: Path) -> None:
    """No other device is a member any more, and the message says where the memories stay. `local` cannot be left."""
    other = cli("init", "--json", "--home", str(tmp_path / "other")).json[0]["device"]
    cli("accept", other)
    cli("add", "Deploys go out on Tuesdays")
    assert "stay here and on the other members" in cli("space", "leave", "personal").err
    assert len(cli("space", "members", "--json").json) == 1
    assert len(cli("list", "--json").json) == 1
    cli("space", "leave", "local").failed(2, "never leaves")


def test_a_device_is_invited_into_a_space_and_revoked_from_it(cli: Cli, tmp_path: Path) -> None:
    """An accepted device. The command for the other side is printed, and the result is listed."""
    other = cli("init", "--json", "--home", str(tmp_path / "other")).json[0]["device"]
    own = readable(cli("init", "--json").json[0]["device"])
    cli("space", "create", "acme")
    cli("space", "invite", "acme", other).failed(3, "memcrdt pair")
    cli("accept", other)
    ran = cli("space", "invite", "acme", readable(other))
    assert (ran.code, ran.out) == (0, "")
    assert f"memcrdt space invite acme {own}" in ran.err
    assert cli("peers", "--json").json[0]["spaces"] == ["personal", "acme"]
    assert cli("space", "revoke", "acme", other).code == 0
    states = {
        line["device"]: (line["state"], line["rights"]) for line in cli("space", "members", "acme", "--json").json
    }
    assert states[other] == ("revoked", None)
    assert cli("peers", "--json").json[0]["spaces"] == ["personal"]
    cli("space", "revoke", "acme", "B" * 51 + "A").failed(3, "does not share")
    cli("space", "invite", "acme", readable(other)[:-1]).failed(2, "55 in all")
