"""`memcrdt config`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from memcrdt import config

if TYPE_CHECKING:
    from tests.cli.conftest import Cli


def test_config_says_where_each_setting_comes_from(cli: Cli, home: Path) -> None:
    """The file or the default; what equals the default but stands in the file comes from the file."""
    config.change(home, "device_name", "laptop")
    config.change(home, "budget_mb", 4096)
    lines = {line["name"]: line for line in cli("config", "--json").json}
    file = str(home / "config.toml")
    assert set(lines) == set(config.Config.__dataclass_fields__)
    assert (lines["device_name"]["value"], lines["device_name"]["origin"]) == ("laptop", file)
    assert (lines["budget_mb"]["value"], lines["budget_mb"]["origin"]) == (4096, file)
    assert (lines["mdns"]["value"], lines["mdns"]["origin"]) == (True, "default")
    assert f"device_name\tlaptop\t{file}\n" in cli("config").out


def test_config_makes_nothing(cli: Cli, home: Path) -> None:
    """Neither a home nor a file."""
    assert cli("config").code == 0
    assert not home.exists()


def test_a_setting_that_makes_no_sense_is_named(cli: Cli, home: Path) -> None:
    """With the file it stands in."""
    home.mkdir()
    (home / "config.toml").write_text("budget_mb = 'much'\n")
    cli("config").failed(2, "config.toml", "budget_mb")
