"""npm packages for tests: installed into a temporary folder, or the test is skipped."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

INSTALL_S = 90
_QUIET = ("--no-audit", "--no-fund", "--loglevel=error", "--fetch-retries=1", "--fetch-retry-mintimeout=500")


def install(folder: Path, dependencies: Mapping[str, str], *options: str) -> Path:
    """Install packages into a folder, and return it. Skip the test without npm, Node.js or a registry.

    Args:
        folder: The folder.
        dependencies: Versions by the names of packages, as in package.json.
        *options: Further options of `npm install`.
    """
    npm = shutil.which("npm")
    if npm is None or shutil.which("node") is None:
        pytest.skip("there is no Node.js with npm here")
    package = {"private": True, "type": "module", "dependencies": dict(dependencies)}
    (folder / "package.json").write_text(json.dumps(package), encoding="utf-8")
    command = [npm, "install", *_QUIET, *options]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=INSTALL_S, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip(f"npm install took over {INSTALL_S} s")
    if done.returncode:
        pytest.skip(f"npm install failed: {done.stderr.strip()[-300:]}")
    return folder
