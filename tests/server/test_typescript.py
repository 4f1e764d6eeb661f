"""A client in TypeScript whose types are generated from the description, compiled strictly and run against a server."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from urllib.request import urlopen

import pytest

pytest.importorskip("fastapi", reason="the extra memcrdt[server] is not installed")

import memcrdt
from tests.npm import install
from tests.server.conftest import serving

HERE = Path(__file__).parent / "typescript"
PATIENCE_S = 110
GENERATED = ("--default-non-nullable", "false")  # what has a default may be left out

pytestmark = pytest.mark.xdist_group("rest-npm")


def test_a_generated_client_compiles_and_holds_a_session(tmp_path: Path) -> None:
    """Every call is typed: the arguments, the answers, and the problem with the memory that is there."""
    dependencies = json.loads((HERE / "package.json").read_text(encoding="utf-8"))["dependencies"]
    folder = install(tmp_path, dependencies, "--ignore-scripts")
    for name in ("session.ts", "tsconfig.json"):
        shutil.copy(HERE / name, folder)
    home = tmp_path / "home"
    home.mkdir()
    with memcrdt.open(home, embedder=None) as memory:
        token = memory.tokens.create("typescript")
    with serving(home) as said:
        with urlopen(f"{said['http']}/v1/openapi.json", timeout=PATIENCE_S) as answer:
            (folder / "openapi.json").write_bytes(answer.read())
        _run(folder, "openapi-typescript/bin/cli.js", "openapi.json", "-o", "schema.d.ts", *GENERATED)
        _run(folder, "typescript/bin/tsc")
        told = json.loads(_run(folder, "../out/session.js", said["http"], token))
    memory_told = told.pop("memory")
    assert (memory_told["scope"], memory_told["author"]) == ("project/acme", "typescript")
    assert told == {
        "changed": "Ada prefers coffee",
        "stale": [412, "stale_revision", "Ada prefers coffee"],
        "found": ["Ada prefers coffee"],
        "history": ["Ada prefers tea", "Ada prefers coffee"],
        "tags": {"drinks": 1},
        "news": ["added"],
        "forgotten": 1,
        "receipts": "done",
    }


def _run(folder: Path, script: str, *arguments: str) -> str:
    """Run a script of a package, and return what it prints."""
    command = [str(shutil.which("node")), str(folder / "node_modules" / script), *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
