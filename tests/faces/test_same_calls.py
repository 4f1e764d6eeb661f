"""The same forty calls through every face give the same answers and leave the same memories."""

from __future__ import annotations

import io
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import memcrdt
from memcrdt.frameworks.recall import Recall
from memcrdt.service.context import Context
from memcrdt.service.service import Service
from tests.faces.calls import ACME, CALLS, GLOBAL, OTHER, Outcome
from tests.faces.faces import CliFace, Face, McpFace, RecallFace, ServiceFace
from tests.mcp.conftest import serve_http

FACES = ("mcp-2026", "mcp-2025", "mcp-http", "cli", "recall")


def _configure(home: Path) -> None:
    """Make a home whose search needs no model."""
    home.mkdir()
    (home / "config.toml").write_text('embedder = "none"\n', encoding="utf-8")


@asynccontextmanager
async def _open(name: str, home: Path) -> AsyncIterator[Face]:
    """Open a face over the memory in a folder."""
    async with AsyncExitStack() as opened:
        if name == "cli":
            yield CliFace(home)
        elif name in ("service", "recall"):
            service = Service(opened.enter_context(memcrdt.open(home)), Context(project="acme"))
            yield ServiceFace(service) if name == "service" else RecallFace(Recall(service))
        elif name == "mcp-http":
            yield await _over_http(home, opened)
        else:
            pytest.importorskip("mcp", reason="the extra memcrdt[mcp] is not installed")
            from mcp import Client

            from memcrdt.mcp.server import MemoryServer
            from memcrdt.mcp.workspace import Workspace

            server = MemoryServer(Workspace(partial(memcrdt.open, home), Context(project="acme"), sync=False))
            mode = "auto" if name == "mcp-2026" else "legacy"
            yield McpFace(await opened.enter_async_context(Client(server, mode=mode)))


async def _over_http(home: Path, opened: AsyncExitStack) -> Face:
    """Start a server as a process, and connect to it with a token for all that the other faces write."""
    pytest.importorskip("mcp", reason="the extra memcrdt[mcp] is not installed")
    import httpx2
    from mcp import Client
    from mcp.client.streamable_http import streamable_http_client

    with memcrdt.open(home) as memory:
        token = memory.tokens.create("faces")
    url, _ = opened.enter_context(serve_http(home, "--project", "acme"))
    headers = {"Authorization": f"Bearer {token}"}
    http = await opened.enter_async_context(httpx2.AsyncClient(headers=headers))
    return McpFace(await opened.enter_async_context(Client(streamable_http_client(url, http_client=http))))


async def _play(name: str, home: Path) -> tuple[list[Outcome], list[dict[str, Any]]]:
    """Make the calls through one face. Return the outcomes, and what the memory contains afterwards."""
    _configure(home)
    async with _open(name, home) as face:
        outcomes = [await face.call(call, arguments) for call, arguments in CALLS]
    with memcrdt.open(home) as memory:
        left = [
            (record.text, record.scope, record.kind, record.tags, record.metadata, record.importance, record.pinned)
            for record in memory.iterate(order="oldest")
        ]
        linked = [(record.text, [memory.get(link.to).text for link in record.links]) for record in memory.iterate()]
    return outcomes, [{"left": sorted(left, key=str), "linked": sorted(linked)}]


@pytest.mark.parametrize("name", FACES)
async def test_every_face_gives_the_same_answers(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The answers, the problems and the memories afterwards are those of the service layer."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(), encoding="utf-8"))  # nobody answers questions
    expected, left = await _play("service", tmp_path / "service")
    outcomes, also_left = await _play(name, tmp_path / "face")
    for call, wanted, got in zip(CALLS, expected, outcomes, strict=True):
        assert (call, got) == (call, wanted)
    assert also_left == left


async def test_the_calls_reach_every_kind_of_answer(tmp_path: Path) -> None:
    """There are forty, and each verb is both answered and refused where it can be."""
    outcomes, _ = await _play("service", tmp_path / "service")
    assert len(CALLS) == 40
    answered = {call for (call, _), (kind, _) in zip(CALLS, outcomes, strict=True) if kind != "problem"}
    refused = {call for (call, _), (kind, _) in zip(CALLS, outcomes, strict=True) if kind == "problem"}
    codes = {value for kind, value in outcomes if kind == "problem"}
    assert answered == {call for call, _ in CALLS}
    assert refused == answered - {"add_many", "sync_status"}
    assert codes == {"invalid_input", "not_found", "secret_refused", "confirmation_required"}
    assert {scope for kind, value in outcomes if kind == "saved" for _, scope in value} == {ACME, OTHER, GLOBAL}
