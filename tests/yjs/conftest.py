"""A store with its Yjs listener, and stock JavaScript clients in a Node.js process."""

from __future__ import annotations

import asyncio
import json
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import memcrdt
from memcrdt.memory.memory import Memory
from memcrdt.store.membership.tokens import TokenTable
from memcrdt.yjs import client
from memcrdt.yjs.listener import YjsListener, YjsOptions
from tests.npm import install

EXAMPLE = Path(__file__).parents[2] / "examples" / "yjs"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the tests that need npm packages in one worker, which installs them once."""
    for item in items:
        if Path(__file__).parent in item.path.parents and "packages" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.xdist_group("node"))


@pytest.fixture(scope="session", name="packages")
def _packages(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the example, the driver of the tests, and the installed packages of both."""
    folder = tmp_path_factory.mktemp("npm")
    here = Path(__file__).parent
    for file in (*EXAMPLE.glob("*.js"), here / "driver.mjs", here / "uses.ts"):
        shutil.copy(file, folder)
    files = (EXAMPLE / "package.json", here / "package.json")
    dependencies = [json.loads(file.read_text(encoding="utf-8"))["dependencies"] for file in files]
    return install(folder, dependencies[0] | dependencies[1], "--ignore-scripts", "--omit=optional")


class Node:
    """A Node.js process that runs snippets of JavaScript and returns their results by value."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def __call__(self, code: str, **given: Any) -> Any:
        """Run a snippet: the body of an async function that can use the given values as variables."""
        reader, writer = self._process.stdout, self._process.stdin
        assert reader is not None
        assert writer is not None
        writer.write(json.dumps({"code": code, "given": given}).encode() + b"\n")
        await writer.drain()
        line = await reader.readline()
        assert line, "the Node process has ended"
        answer = json.loads(line)
        assert "error" not in answer, answer["error"]
        return answer["value"]


@pytest.fixture(name="node")
async def _node(packages: Path) -> AsyncIterator[Node]:
    process = await asyncio.create_subprocess_exec(
        str(shutil.which("node")),
        "driver.mjs",
        cwd=packages,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        limit=64 << 20,
    )
    yield Node(process)
    assert process.stdin is not None
    process.stdin.close()
    async with asyncio.timeout(10):
        await process.wait()


@pytest.fixture(name="memory")
def _memory(tmp_path: Path) -> Iterator[Memory]:
    with memcrdt.open(tmp_path / "home", embedder=None) as memory:
        yield memory


@dataclass(frozen=True, slots=True)
class Served:
    """A running listener, with a token for its space `personal`."""

    listener: YjsListener
    token: str

    @property
    def spaces(self) -> str:
        return self.listener.url

    @property
    def personal(self) -> str:
        """The server address for y-websocket. The shard is its room."""
        return f"{self.listener.url.replace('http', 'ws', 1)}/personal"


@pytest.fixture(name="served")
async def _served(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Served]:
    monkeypatch.setattr(client, "REFUSAL_FIRST_S", 0.05)
    token = TokenTable(memory.store).create("browser")
    async with YjsListener(memory.store, YjsOptions(port=0)) as listener:
        yield Served(listener, token)
