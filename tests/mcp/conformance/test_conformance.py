"""The conformance package of the protocol against the server over HTTP, on both wires."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

pytest.importorskip("mcp", reason="the extra memcrdt[mcp] is not installed")

import memcrdt
from tests.npm import install

HERE = Path(__file__).parent
PATIENCE_S = 90
OLDER = "2025-11-25"
NEWER = "2026-07-28"
# Scenarios that need no fixtures: tools, prompts and resources are those of memcrdt.
SHIPPED = {
    OLDER: {
        *("server-initialize", "ping", "completion-complete", "tools-list", "server-sse-multiple-streams"),
        *("resources-list", "resources-subscribe", "resources-unsubscribe", "prompts-list"),
        *("dns-rebinding-protection", "server-session-lifecycle"),
    },
    NEWER: {
        *("completion-complete", "tools-list", "server-sse-multiple-streams", "resources-list", "prompts-list"),
        *("sep-2164-resource-not-found", "dns-rebinding-protection", "caching", "http-header-validation"),
        "input-required-result-unsupported-methods",
    },
}

pytestmark = pytest.mark.xdist_group("mcp-npm")


@pytest.fixture(scope="module", name="packages")
def _packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the package, and with the Node.js 22 that it needs."""
    dependencies = json.loads((HERE / "package.json").read_text(encoding="utf-8"))["dependencies"]
    return install(tmp_path_factory.mktemp("conformance"), dependencies)


@contextmanager
def _serve(home: Path, *options: str) -> Iterator[str]:
    """Start the server as a process, and return its address."""
    with memcrdt.open(home, embedder=None) as memory:
        token = memory.tokens.create("conformance")
    command = [sys.executable, "-m", "tests.mcp.conformance.server", str(home), token, *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=HERE.parents[2]) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
        finally:
            process.kill()


def _run(packages: Path, url: str, revision: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run the scenarios that a revision requires."""
    node = str(shutil.which("node", path=str(packages / "node_modules" / ".bin")))
    tool = "node_modules/@modelcontextprotocol/conformance/dist/index.js"
    command = [node, tool, "server", "--url", url, "--requirements", revision, *options]
    return subprocess.run(command, cwd=packages, capture_output=True, text=True, timeout=PATIENCE_S, check=False)


@pytest.fixture(scope="module", name="done")
def _done(
    packages: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[tuple[str, str], subprocess.CompletedProcess[str]]:
    """Run both revisions against the server with and without fixtures, all at once: they mostly wait."""
    expected = ("--expected-failures", str(HERE / f"expected-failures-{OLDER}.yaml"))
    with (
        _serve(tmp_path_factory.mktemp("with"), "--fixtures") as fixtures,
        _serve(tmp_path_factory.mktemp("without")) as shipped,
        ThreadPoolExecutor(4) as threads,
    ):
        runs = {
            ("fixtures", OLDER): threads.submit(_run, packages, fixtures, OLDER, *expected),
            ("fixtures", NEWER): threads.submit(_run, packages, fixtures, NEWER),
            ("shipped", OLDER): threads.submit(_run, packages, shipped, OLDER),
            ("shipped", NEWER): threads.submit(_run, packages, shipped, NEWER),
        }
        return {name: run.result() for name, run in runs.items()}


@pytest.mark.parametrize("revision", [OLDER, NEWER])
def test_the_server_conforms(done: dict[tuple[str, str], subprocess.CompletedProcess[str]], revision: str) -> None:
    """To the newer revision without exception; each exception of the older one is explained, and still fails."""
    result = done["fixtures", revision]
    assert result.returncode == 0, result.stdout[-4_000:]


@pytest.mark.parametrize("revision", [OLDER, NEWER])
def test_the_product_as_shipped_passes_what_needs_no_fixtures(
    done: dict[tuple[str, str], subprocess.CompletedProcess[str]], revision: str
) -> None:
    """With its own tools, prompts and resources."""
    told = done["shipped", revision].stdout
    passed = set(re.findall(r"✓ ([a-z0-9-]+): [1-9]\d* passed, 0 failed", told))
    assert passed >= SHIPPED[revision], told[-4_000:]
