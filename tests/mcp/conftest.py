"""A server in process, with the client of the SDK, on both wires."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import pytest

import memcrdt
from memcrdt.service.context import Context

if TYPE_CHECKING:
    from mcp import Client

Connect: TypeAlias = "Callable[..., AbstractAsyncContextManager[Client]]"


@pytest.fixture(name="mode", params=["legacy", "auto"])
def _mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(name="connect")
def _connect(mode: str) -> Connect:
    """Connect to a server over an empty memory of the project acme."""
    from mcp import Client

    from memcrdt.mcp.server import MemoryServer
    from memcrdt.mcp.workspace import Workspace

    @asynccontextmanager
    async def connect(
        context: Context = Context(project="acme"),  # noqa: B008
        opener: Callable[[], memcrdt.Memory] = lambda: memcrdt.open(":memory:", embedder=None),
        offer: Any = "memories",
        **options: Any,
    ) -> AsyncIterator[Client]:
        server = MemoryServer(Workspace(opener, context, sync=False), offer=offer)
        async with Client(server, mode=mode, **options) as client:
            yield client

    return connect


@contextmanager
def serve_http(home: Path, *options: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """Start a server over HTTP as a process of its own, and return its address and the process."""
    command = [sys.executable, "-m", "memcrdt", "--home", str(home), "mcp", "--no-sync", "--http", "127.0.0.1:0"]
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("CLAUDE", "MEMCRDT_PROJECT"))}
    with subprocess.Popen([*command, *options], stdout=subprocess.PIPE, text=True, cwd=home, env=environ) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip(), process
        finally:
            process.kill()
