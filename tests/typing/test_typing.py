"""Type checkers, as users run them, accept correct uses of the public interface and refuse wrong ones."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
RIGHT, WRONG = HERE / "right_uses.py", HERE / "wrong_uses.py"

pytestmark = [pytest.mark.timeout(600), pytest.mark.xdist_group("typing")]


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", *command], capture_output=True, text=True, cwd=ROOT, check=False)


def _mypy() -> dict[str, set[int]]:
    """Return the lines with errors by file, according to `mypy --strict`."""
    done = _run("mypy", "--strict", "--no-pretty", str(RIGHT), str(WRONG))
    assert done.returncode == 1, done.stdout + done.stderr
    found: dict[str, set[int]] = {}
    for line in done.stdout.splitlines():
        if match := re.match(r"(.+?):(\d+): error: ", line):
            found.setdefault(Path(match[1]).name, set()).add(int(match[2]))
    return found


def _pyright() -> dict[str, set[int]]:
    """Return the same according to pyright in strict mode."""
    if find_spec("pyright") is None or _run("pyright", "--version").returncode:
        pytest.skip("pyright, or the node that runs it, is not installed: pip install 'pyright[nodejs]'")
    done = _run("pyright", "--outputjson", "--project", str(HERE / "pyrightconfig.json"))
    found: dict[str, set[int]] = {}
    for problem in json.loads(done.stdout)["generalDiagnostics"]:
        if problem["severity"] == "error":
            found.setdefault(Path(problem["file"]).name, set()).add(problem["range"]["start"]["line"] + 1)
    return found


@pytest.mark.parametrize("checker", [_mypy, _pyright])
def test_exactly_the_wrong_uses_are_refused(checker: Callable[[], dict[str, set[int]]]) -> None:
    """Line by line, in both checkers."""
    marked = {n for n, line in enumerate(WRONG.read_text().splitlines(), 1) if line.endswith("# refused")}
    assert checker() == {WRONG.name: marked}
