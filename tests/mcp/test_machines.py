"""Two machines, each with its own server, as their clients start it: added through one, found through the other."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("mcp", reason="the extra memcrdt[mcp] is not installed")

from mcp import Client, StdioServerParameters
from mcp_types import ResourceUpdatedNotification

import memcrdt
from memcrdt import config

PATIENCE_S = 60
SHARED = "memory://scope/global"


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _pair(laptop: Path, desktop: Path) -> None:
    """Let two homes accept each other. The laptop knows where the desktop listens."""
    port = _free_port()
    for home in (laptop, desktop):
        config.change(home, "mdns", False)
        config.change(home, "device_name", home.name)
    config.change(desktop, "port", port)
    with memcrdt.open(laptop, embedder=None) as here, memcrdt.open(desktop, embedder=None) as there:
        there.accept(here.device, name="laptop")
        here.accept(there.device, name="desktop", address=f"127.0.0.1:{port}")


def _server(home: Path) -> StdioServerParameters:
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("CLAUDE", "MEMCRDT_PROJECT"))}
    args = ["-m", "memcrdt", "--home", str(home), "mcp", "--project", "acme"]
    return StdioServerParameters(command=sys.executable, args=args, cwd=home, env=environ)


async def _text(client: Client, name: str, **arguments: Any) -> str:
    result = await client.call_tool(name, arguments)
    assert not result.is_error, result.content[0].text
    return str(result.content[0].text)


async def test_what_is_added_through_one_server_is_found_through_the_other(tmp_path: Path) -> None:
    """The other client is told of it, and sees the device that it comes from. The first one learns that it arrived."""
    laptop, desktop = tmp_path / "laptop", tmp_path / "desktop"
    _pair(laptop, desktop)
    told = asyncio.Event()

    async def on_message(message: Any) -> None:
        if isinstance(message, ResourceUpdatedNotification) and str(message.params.uri) == SHARED:
            told.set()

    async with (
        Client(_server(desktop), message_handler=on_message) as there,
        Client(_server(laptop)) as here,
        there.listen(resource_subscriptions=[SHARED]),
        asyncio.timeout(PATIENCE_S),
    ):
        await _text(here, "add_memory", text="Deploys go out on Tuesdays", scope="global", kind="decision")
        await told.wait()
        found = await _text(there, "search_memories", query="when do deploys go out?")
        assert "Deploys go out on Tuesdays" in found
        assert 'device="laptop"' in found
        assert "untrusted" not in found
        state = await _text(here, "sync_status")
        while not state.startswith("In sync with desktop"):  # the confirmation comes a moment later
            await asyncio.sleep(0.1)
            state = await _text(here, "sync_status")
