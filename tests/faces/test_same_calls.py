"""The same forty calls through every face give the same answers and leave the same memories.

The interfaces and the command line have all of them. The two adapters have some: FALLBACKS lists the others.
"""

from __future__ import annotations

import io
import sys
from collections import Counter
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
from tests.faces.faces import AdapterFace, CliFace, CollectionFace, Face, McpFace, RecallFace, RestFace, ServiceFace
from tests.mcp.conftest import serve_http
from tests.server.conftest import serving

FACES = ("mcp-2026", "mcp-2025", "mcp-http", "rest", "cli", "recall", "collection")

#: The calls that an adapter does not have, with their arguments and how often they are made. The service layer makes
#: them in its place, so they say nothing about it. All others go through it.
FALLBACKS = {
    "recall": {
        "list scope": 2,
        "list scope limit": 1,
        "list scope category": 1,
        "list scope tags tag_match": 1,
        "list scope after": 2,
        "update id importance tags": 1,
        "update id text expected": 2,
        "history id": 2,
        "link id rel to": 2,
        "forget id expected": 2,
        "forget tags dry_run": 1,
        "forget tags": 1,
        "forget tags confirmed": 1,
        "sync_status": 1,
    },
    "collection": {  # it asks for no confirmation, and leaves out what is gone
        "get id": 3,
        "update id text": 1,
        "link id rel to": 2,
        "forget tags dry_run": 1,
        "forget tags": 1,
        "sync_status": 1,
    },
}


def _configure(home: Path) -> None:
    """Make a home whose search needs no model, and begin its memory: a command that reads would not begin one."""
    home.mkdir()
    (home / "config.toml").write_text('embedder = "none"\n', encoding="utf-8")
    memcrdt.open(home).close()


@asynccontextmanager
async def _open(name: str, home: Path) -> AsyncIterator[Face]:
    """Open a face over the memory in a folder."""
    async with AsyncExitStack() as opened:
        if name == "cli":
            yield CliFace(home)
        elif name in ("service", "recall", "collection"):
            service = Service(opened.enter_context(memcrdt.open(home)), Context(project="acme"))
            faces = {"service": ServiceFace, "collection": CollectionFace}
            yield RecallFace(Recall(service)) if name == "recall" else faces[name](service)
        elif name == "mcp-http":
            yield await _over_http(home, opened)
        elif name == "rest":
            yield await _over_rest(home, opened)
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


async def _over_rest(home: Path, opened: AsyncExitStack) -> Face:
    """Start a node with its HTTP server as a process, and connect to it with a token."""
    pytest.importorskip("fastapi", reason="the extra memcrdt[server] is not installed")
    import httpx2

    with memcrdt.open(home) as memory:
        token = memory.tokens.create("faces")
    said = opened.enter_context(serving(home))
    headers = {"Authorization": f"Bearer {token}"}
    return RestFace(
        await opened.enter_async_context(httpx2.AsyncClient(base_url=said["http"], headers=headers, timeout=60))
    )


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


@pytest.mark.parametrize(("name", "fallbacks"), FALLBACKS.items(), ids=FALLBACKS)
async def test_an_adapter_makes_all_calls_that_it_has(name: str, fallbacks: dict[str, int], tmp_path: Path) -> None:
    """The service layer makes exactly the others in its place."""
    _configure(tmp_path / "face")
    async with _open(name, tmp_path / "face") as face:
        assert isinstance(face, AdapterFace)
        for call, arguments in CALLS:
            await face.call(call, arguments)
        assert Counter(" ".join([call, *given]) for call, given in face.fallbacks) == fallbacks


async def test_the_calls_reach_every_kind_of_answer(tmp_path: Path) -> None:
    """There are at least forty, and each verb is both answered and refused where it can be."""
    outcomes, _ = await _play("service", tmp_path / "service")
    assert len(CALLS) >= 40
    answered = {call for (call, _), (kind, _) in zip(CALLS, outcomes, strict=True) if kind != "problem"}
    refused = {call for (call, _), (kind, _) in zip(CALLS, outcomes, strict=True) if kind == "problem"}
    codes = {value for kind, value in outcomes if kind == "problem"}
    assert answered == {call for call, _ in CALLS}
    assert refused == answered - {"add_many", "sync_status"}
    assert codes == {"invalid_input", "not_found", "secret_refused", "confirmation_required", "stale_revision"}
    assert {scope for kind, value in outcomes if kind == "saved" for _, scope in value} == {ACME, OTHER, GLOBAL}
