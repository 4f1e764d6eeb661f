"""The unit for systemd in the guide."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from memcrdt.cli.hub import hub_command

_GUIDE = Path(__file__).parents[2] / "docs" / "guides" / "hub.md"
_PROGRAM = "/opt/memcrdt/bin/memcrdt hub"


def _unit() -> str:
    found = re.search(r"^```ini\n(.*?)^```$", _GUIDE.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    assert found is not None
    return found[1]


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed")
@pytest.mark.parametrize("is_broken", [False, True])
def test_systemd_finds_no_fault_with_the_unit(tmp_path: Path, is_broken: bool) -> None:
    """It notices settings that it does not know."""
    unit = tmp_path / "memcrdt-hub.service"
    text = _unit().replace(_PROGRAM, "/bin/echo")
    unit.write_text(text.replace("Restart=always", "Restarts=always") if is_broken else text, "utf-8")
    ran = subprocess.run(["systemd-analyze", "--user", "verify", unit], capture_output=True, text=True, check=False)
    assert bool(ran.stderr) == is_broken


def test_the_unit_runs_a_command_with_options_that_exist() -> None:
    """As the help has them."""
    (line,) = (line for line in _unit().splitlines() if line.startswith("ExecStart="))
    given = re.findall(r"--[a-z-]+", line.partition(_PROGRAM)[2])
    assert given
    assert set(given) <= {name for parameter in hub_command.params for name in parameter.opts}
