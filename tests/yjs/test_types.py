"""The types of the JavaScript client."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.yjs.conftest import EXAMPLE

OPTIONS = (
    "--target es2022 --module nodenext --moduleResolution nodenext --strict --allowJs --checkJs --declaration"
    " --emitDeclarationOnly --skipLibCheck"  # of other packages
)


def test_the_declarations_are_those_of_the_code(packages: Path, tmp_path: Path) -> None:
    """tsc accepts the code, refuses exactly the marked uses, and makes the committed file of the code's comments."""
    compiler = [str(shutil.which("node")), "node_modules/typescript/bin/tsc", *OPTIONS.split()]
    command = [*compiler, "--outDir", str(tmp_path), "memcrdt.js", "uses.ts"]
    done = subprocess.run(command, cwd=packages, capture_output=True, text=True, timeout=100, check=False)
    assert (done.stdout, done.returncode) == ("", 0)
    made = (tmp_path / "memcrdt.d.ts").read_text(encoding="utf-8")
    assert made == (EXAMPLE / "memcrdt.d.ts").read_text(encoding="utf-8")
