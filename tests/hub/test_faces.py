"""The forty calls of all faces over a hub give the answers that they give on a laptop."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import memcrdt
from memcrdt._open import memory_of
from memcrdt.hub.hub import Hub
from memcrdt.hub.search import search_index
from memcrdt.hub.store import PostgresStore
from memcrdt.net.identity import Identity
from memcrdt.service.context import Context
from memcrdt.service.service import Service
from tests.faces.calls import CALLS, Outcome
from tests.faces.faces import Face, McpFace, ServiceFace
from tests.postgres import Server

pytestmark = pytest.mark.xdist_group("postgres")


@pytest.fixture(name="on_hub")
def _on_hub(server: Server, tmp_path: Path) -> Iterator[memcrdt.Memory]:
    """Open the memory of a hub whose search needs no model."""
    identity, index = Identity.load_or_create(tmp_path), search_index(None)
    store = PostgresStore(server.make_schema(), identity.device_id, indexer=index)
    with Hub(identity, store, index) as hub, memory_of(hub) as memory:
        yield memory


async def _played(face: Face) -> list[Outcome]:
    return [await face.call(call, arguments) for call, arguments in CALLS]


async def _on_laptop() -> list[Outcome]:
    with memcrdt.open(":memory:", embedder=None) as memory:
        return await _played(ServiceFace(Service(memory, Context(project="acme"))))


async def test_the_service_gives_the_same_answers(on_hub: memcrdt.Memory) -> None:
    found = await _played(ServiceFace(Service(on_hub, Context(project="acme"))))
    for call, one, other in zip(CALLS, found, await _on_laptop(), strict=True):
        assert (call, one) == (call, other)


async def test_mcp_gives_the_same_answers(on_hub: memcrdt.Memory) -> None:
    pytest.importorskip("mcp", reason="the extra memcrdt[mcp] is not installed")
    from mcp import Client

    from memcrdt.mcp.server import MemoryServer
    from memcrdt.mcp.workspace import Workspace

    server = MemoryServer(Workspace(lambda: on_hub, Context(project="acme"), sync=False))
    async with Client(server) as client:
        found = await _played(McpFace(client))
    for call, one, other in zip(CALLS, found, await _on_laptop(), strict=True):
        assert (call, one) == (call, other)
