"""`memcrdt init` and `memcrdt path`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from memcrdt.model.device_ids import shown

if TYPE_CHECKING:
    from tests.cli.conftest import Cli


def test_init_makes_the_home_once(cli: Cli, home: Path) -> None:
    """Store and key are there afterwards; a second time shows the same device."""
    first = cli("init", "--json")
    assert first.code == 0
    assert first.json[0]["home"] == str(home)
    assert f"device\t{shown(first.json[0]['device'])}\n" in cli("init").out
    assert (home / "memories.db").is_file()
    assert (home / "device.key").is_file()
    assert cli("init", "--json").json == first.json


def test_path_makes_nothing(cli: Cli, home: Path) -> None:
    """The folder's name is printed, whether it is there or not."""
    assert cli("path").out == f"{home}\n"
    assert cli("path", "--json").json == [{"home": str(home)}]
    assert not home.exists()


def test_home_may_stand_before_or_behind_the_command(cli: Cli, tmp_path: Path) -> None:
    """`--home` names another folder than the environment does, in either place; the nearer one counts."""
    other = str(tmp_path / "other")
    assert cli("--home", other, "path").out == f"{other}\n"
    assert cli("path", "--home", other).out == f"{other}\n"
    assert cli("--home", "/elsewhere", "path", "--home", other).out == f"{other}\n"
