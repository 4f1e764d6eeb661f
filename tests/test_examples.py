"""The examples run as a reader would run them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

EXAMPLES = Path(__file__).parents[1] / "examples"


def run(name: str, *arguments: str) -> str:
    """Return the output of an example, which must exit with 0 and print nothing on stderr."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-X", "utf8", str(EXAMPLES / name), *arguments],
        capture_output=True,
        encoding="utf-8",
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_the_agent_remembers_between_runs(tmp_path: Path) -> None:
    """The first run knows nothing. The second run finds the memories of the first."""
    home = str(tmp_path / "home")
    first = run("agent_notes.py", home)
    assert "I remember nothing" in first
    lesson = "send every command twice"
    assert lesson in first.partition("What I learned")[2]
    second = run("agent_notes.py", home)
    assert lesson in second.partition("What I remember")[2].partition("What I learned")[0]


def test_two_machines_come_to_agree() -> None:
    """Each finds the memories of the other, and a conflict settled on one is settled on both."""
    out = run("two_machines.py")
    assert "Tomás waters the roof garden on Fridays\n" in out
    assert out.rstrip().endswith("laptop:  Amina waters the roof garden on Fridays, Tomás on Saturdays")
