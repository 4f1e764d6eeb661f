"""Stock TypeScript clients from npm, of both protocols and SDKs, against the real server over stdio and HTTP."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("mcp", reason="the extra memcrdt[mcp] is not installed")

import memcrdt
from memcrdt.mcp.texts import DESCRIPTIONS
from tests.mcp.conftest import serve_http
from tests.npm import install

HERE = Path(__file__).parent / "typescript"
PATIENCE_S = 60
CLIENTS = ["client-2026", "client-2025", "sdk"]

pytestmark = pytest.mark.xdist_group("mcp-npm")  # one worker installs the packages once


@pytest.fixture(scope="module", name="packages")
def _packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("npm")
    shutil.copy(HERE / "session.mjs", folder)
    dependencies = json.loads((HERE / "package.json").read_text(encoding="utf-8"))["dependencies"]
    return install(folder, dependencies, "--ignore-scripts")


@pytest.fixture(scope="module", name="served")
def _served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    home = tmp_path_factory.mktemp("home")
    with memcrdt.open(home, embedder=None) as memory:
        token = memory.tokens.create("typescript")
    with serve_http(home) as (url, _):
        yield {"url": url, "token": token}


def _check(packages: Path, **asked: Any) -> None:
    """Hold one session, and check what the client got."""
    command = [str(shutil.which("node")), "session.mjs", json.dumps(asked)]
    done = subprocess.run(command, cwd=packages, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["server"] == "memcrdt"
    assert set(told["tools"]) == set(DESCRIPTIONS)
    assert told["added"]["text"].startswith("stored")
    assert told["notified"] == "memory://recent"
    assert "Ada prefers tea" in told["found"]["text"]
    assert told["found"]["data"]["rows"][0]["scope"] == "global"
    assert (told["refused"]["isError"], told["refused"]["data"]["code"]) == (True, "invalid_input")
    assert 'author="typescript"' in told["resource"]
    assert told["completed"] == ["drinks"]
    assert "Recall what we know about: tea" in told["prompt"]


@pytest.mark.parametrize("client", CLIENTS)
def test_a_typescript_client_holds_a_session_over_stdio(packages: Path, tmp_path: Path, client: str) -> None:
    """Tools, a notification, a resource, a completion and a prompt."""
    args = ["-m", "memcrdt", "--home", str(tmp_path / "home"), "mcp", "--no-sync", "--project", "acme"]
    _check(packages, client=client, command=sys.executable, args=args, env=dict(os.environ), cwd=str(tmp_path))


@pytest.mark.parametrize("client", CLIENTS)
def test_a_typescript_client_holds_a_session_over_http(packages: Path, served: dict[str, str], client: str) -> None:
    """The same with a token."""
    _check(packages, client=client, **served)
