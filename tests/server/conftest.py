"""A server over a memory, in process or as a process of its own, and clients with tokens."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

import memcrdt
from tests.server.browser import chromium, hurry, unknown_reads, watch_reads

if TYPE_CHECKING:
    from pathlib import Path

    from selenium.webdriver import Chrome
    from starlette.testclient import TestClient

RIGHTS = {
    "agent": ["read", "write", "forget"],
    "reader": ["read"],
    "writer": ["read", "write"],
    "admin": ["read", "write", "forget", "admin"],
}


@pytest.fixture(name="tokens")
def _tokens(memory: memcrdt.Memory) -> dict[str, str]:
    """Make a token for `personal` with each set of rights, and one for the space `team`."""
    memory.space("team").create()
    made = {name: memory.tokens.create(name, rights=rights) for name, rights in RIGHTS.items()}
    return made | {"team": memory.tokens.create("team", spaces=["team"])}


@pytest.fixture(name="home")
def _home(tmp_path: Path) -> Path:
    """Return a home that searches by words, and looks for no devices."""
    home = tmp_path / "home"
    home.mkdir()
    (home / "config.toml").write_text('embedder = "none"\nmdns = false\ntailscale = false\n', encoding="utf-8")
    return home


@pytest.fixture(name="url")
def _url(home: Path) -> Iterator[str]:
    """Serve the home, and return the address of its page."""
    with serving(home) as said:
        yield said["http"]


@pytest.fixture(name="chromium", scope="session")
def _chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    with chromium(tmp_path_factory.mktemp("profile")) as browser:
        watch_reads(browser)
        hurry(browser)
        yield browser


@pytest.fixture(name="browser")
def _browser(chromium: Chrome) -> Iterator[Chrome]:
    """Return the browser of all tests. Afterwards, the page must have read only what the answers have."""
    yield chromium
    assert unknown_reads(chromium) == []


@pytest.fixture(name="client")
def _client(memory: memcrdt.Memory, tokens: dict[str, str]) -> Iterator[TestClient]:
    """Connect to the app in process, with the token of an agent."""
    pytest.importorskip("fastapi", reason="the extra memcrdt[server] is not installed")
    pytest.importorskip("mcp", reason="the extra memcrdt[server] is not installed")
    from starlette.testclient import TestClient

    from memcrdt.server.app import App

    headers = bearer(tokens["agent"])
    with TestClient(App(memory), base_url="http://localhost", headers=headers) as client:
        yield client


def bearer(token: str) -> dict[str, str]:
    """Return the header of a token."""
    return {"Authorization": f"Bearer {token}"}


def rivals(memory: memcrdt.Memory, other: memcrdt.Memory, before: str, mine: str, theirs: str) -> str:
    """Return the id of a memory that two devices have changed while they were apart."""
    from memcrdt.node.store_replica import StoreReplica

    added = memory.add(before, tags=["<i>tag</i>"], author="<b>who</b>\u202e")
    replicas = StoreReplica(memory.store), StoreReplica(other.store)
    spaces = memory.space("personal").id(), other.space("personal").id()

    def send(source: int) -> None:
        target = 1 - source
        known = replicas[target].state_vector(spaces[target], 0)
        replicas[target].apply(spaces[target], 0, replicas[source].diff(spaces[source], 0, known).update, "peer")

    send(0)
    memory.update(added, text=mine, author="<b>who</b>\u202e")
    other.update(added, text=theirs, author="<b>who</b>\u202e")
    send(1)
    assert memory.get(added).conflicted
    return added


@contextmanager
def serving(home: Path, *options: str) -> Iterator[dict[str, Any]]:
    """Run `memcrdt serve --http` as a process, and return what it says about itself."""
    command = [sys.executable, "-m", "memcrdt", "--home", str(home), "--json", "serve", "--port", "0", "--no-mdns"]
    command += ["--no-tailscale", *(options or ("--http", "127.0.0.1:0"))]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line, process.stderr and process.stderr.read()
            yield json.loads(line)
        finally:
            process.terminate()
            process.communicate(timeout=30)
