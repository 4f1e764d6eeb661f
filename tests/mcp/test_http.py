"""`memcrdt mcp --http` as a process, with real HTTP clients."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

pytest.importorskip("mcp", reason="the extra memcrdt[mcp] is not installed")

import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
from mcp_types import ResourceTemplateReference, ResourceUpdatedNotification

import memcrdt
from memcrdt.mcp.http import listen, url_of
from memcrdt.mcp.resources import RECENT
from tests.mcp.conftest import serve_http

PATIENCE_S = 60


class Served(NamedTuple):
    """A server, and tokens for it."""

    url: str
    tokens: dict[str, str]
    home: Path


@pytest.fixture(name="served", scope="module")
def _served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    home = tmp_path_factory.mktemp("home")
    with memcrdt.open(home, embedder=None) as memory:
        memory.space("team").create()
        tokens = {
            "personal": memory.tokens.create("personal"),
            "reader": memory.tokens.create("reader", read_only=True),
            "team": memory.tokens.create("team", spaces=["team"]),
            "other": memory.tokens.create("other"),
            "watcher": memory.tokens.create("watcher"),
        }
    with serve_http(home) as (url, _):
        yield Served(url, tokens, home)


@asynccontextmanager
async def _client(served: Served, token: str, mode: str = "auto", **options: Any) -> AsyncIterator[Client]:
    headers = {"Authorization": f"Bearer {served.tokens[token]}"}
    async with (
        httpx2.AsyncClient(headers=headers) as http,
        Client(streamable_http_client(served.url, http_client=http), mode=mode, **options) as client,
    ):
        yield client


async def _call(client: Client, name: str, **arguments: Any) -> str:
    result = await client.call_tool(name, arguments)
    return str(result.content[0].text)


@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_a_token_opens_its_spaces_and_no_other(served: Served, mode: str) -> None:
    """A memory of another space does not exist for it: not in a search, not by id, not by a filter."""
    async with _client(served, "personal", mode) as personal, _client(served, "team", mode) as team:
        assert "stored" in await _call(personal, "add_memory", text=f"The {mode} harbour is at Kiel")
        row, *_ = (await personal.call_tool("search_memories", {"query": f"{mode} harbour"})).structured_content["rows"]
        assert "No memories found" in await _call(team, "search_memories", query="harbour")
        assert "No memories found" in await _call(team, "list_memories")
        for call, more in (
            ("get_memory", {}),
            ("memory_history", {}),
            ("update_memory", {"text": "x"}),
            ("forget_memory", {}),
            ("link_memories", {"rel": "see", "to": row["id"]}),
        ):
            assert "(not_found)" in await _call(team, call, id=row["id"], **more)
        assert "(not_found)" in await _call(team, "forget_memory", filters={"space": "personal"}, dry_run=True)
        for item in ({"space": "personal"}, {"id": row["id"]}):
            assert "(not_found)" in await _call(team, "add_memories", memories=[{"text": "x", **item}])
        assert "Kiel" in await _call(personal, "get_memory", id=row["id"])
        (added,) = (await team.call_tool("add_memory", {"text": f"{mode} plan"})).structured_content["memories"]
        assert added["space"] == "team"
        await _call(team, "forget_memory", id=added["id"])


async def test_a_token_that_may_only_read_changes_nothing(served: Served) -> None:
    """Each tool that changes something says so."""
    async with _client(served, "personal") as personal:
        (added,) = (await personal.call_tool("add_memory", {"text": "Keep it"})).structured_content["memories"]
    async with _client(served, "reader") as reader:
        assert "Keep it" in await _call(reader, "get_memory", id=added["id"])
        for call, given in (
            ("add_memory", {"text": "x"}),
            ("add_memories", {"memories": ["x"]}),
            ("update_memory", {"id": added["id"], "text": "x"}),
            ("forget_memory", {"id": added["id"]}),
            ("link_memories", {"id": added["id"], "rel": "see", "to": added["id"]}),
        ):
            assert "(read_only)" in await _call(reader, call, **given)


@pytest.mark.filterwarnings("ignore::mcp.shared.exceptions.MCPDeprecationWarning")
@pytest.mark.parametrize("mode", ["legacy", "auto"])
async def test_a_token_is_told_of_changes_in_its_spaces_and_no_other(served: Served, mode: str) -> None:
    """Neither a resource nor a completion shows another space."""
    told: asyncio.Queue[str] = asyncio.Queue()

    async def on_message(message: Any) -> None:
        if isinstance(message, ResourceUpdatedNotification):
            told.put_nowait(str(message.params.uri))

    async with (
        _client(served, "personal", mode) as personal,
        _client(served, "team", mode, message_handler=on_message) as team,
        AsyncExitStack() as opened,
    ):
        uris = [RECENT, f"memory://scope/project/{mode}"]
        if mode == "legacy":
            for uri in uris:
                await team.subscribe_resource(uri)
        else:  # its frames reach on_message too
            await opened.enter_async_context(team.listen(resource_subscriptions=uris))
        await _call(personal, "add_memory", text=f"{mode} secret plan", scope=f"project/{mode}", tags=[mode])
        await _call(team, "add_memory", text=f"{mode} open plan", scope="project/other")
        await _call(team, "add_memory", text=f"{mode} last plan", scope="global")
        async with asyncio.timeout(PATIENCE_S):
            assert (await told.get(), told.empty()) == (RECENT, True)
        (content,) = (await team.read_resource(uris[1])).contents
        assert "No memories" in content.text
        ref = ResourceTemplateReference(type="ref/resource", uri="memory://scope/{+scope}")
        completion = (await team.complete(ref, {"name": "scope", "value": mode})).completion
        assert completion.values == []


async def test_an_open_subscription_ends_with_its_token(served: Served) -> None:
    """A revoked token is told nothing more, although its stream is open."""
    told: list[str] = []

    async def on_message(message: Any) -> None:
        if isinstance(message, ResourceUpdatedNotification):
            told.append(str(message.params.uri))

    async with (
        _client(served, "personal") as personal,
        _client(served, "watcher", message_handler=on_message) as watcher,
        watcher.listen(resource_subscriptions=[RECENT]),
        personal.listen(resource_subscriptions=[RECENT]) as mine,
    ):
        events = aiter(mine)
        await _call(personal, "add_memory", text="Before it is revoked")
        assert (await anext(events)).uri == RECENT
        async with asyncio.timeout(PATIENCE_S):
            while not told:  # noqa: ASYNC110  the message arrives by another connection
                await asyncio.sleep(0.01)
        with memcrdt.open(served.home, embedder=None) as memory:
            memory.tokens.revoke("watcher")
        before = len(told)
        await _call(personal, "add_memory", text="After it is revoked")
        await anext(events)
        await _call(personal, "add_memory", text="And once more")
        await anext(events)
        assert len(told) == before


def test_a_request_needs_a_token_that_stands(served: Served) -> None:
    """No token, a wrong one, and one that was revoked since the start are all refused."""
    call = {"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {}}

    def status(**headers: str) -> int:
        sent = {"Accept": "application/json, text/event-stream", "Connection": "close", **headers}
        return httpx2.post(served.url, json=call, headers=sent, timeout=PATIENCE_S).status_code

    good = f"Bearer {served.tokens['other']}"
    assert status() == 401
    assert status(Authorization="Bearer " + "0" * 64) == 401
    assert status(Authorization=good) not in (401, 403, 421)
    assert status(Authorization=good, Origin="https://evil.example") == 403
    assert status(Authorization=good, Host="evil.example:80") == 421
    with memcrdt.open(served.home, embedder=None) as memory:
        memory.tokens.revoke("other")
    assert status(Authorization=good) == 401


@pytest.mark.parametrize("address", ["0.0.0.0:0", "[::]:0", "192.0.2.1:27383", "kiel.example:80", "127.0.0.1:x"])
def test_an_address_that_others_can_reach_is_refused(address: str) -> None:
    """There is no TLS: a token would cross the network in the clear."""
    with pytest.raises(memcrdt.InputError, match=r"reached by other machines|not an address"):
        listen(address)


def test_a_port_in_use_is_reported() -> None:
    """With the next step. Without a port, the default is used."""
    with listen("127.0.0.1:0") as listener:
        assert url_of(listener).startswith("http://127.0.0.1:")
        with pytest.raises(memcrdt.InputError, match="name another port"):
            listen(f"localhost:{listener.getsockname()[1]}")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGTERM to send")
def test_the_server_ends_at_once_when_terminated(tmp_path: Path) -> None:
    """It closes the memory, and the exit code is 0."""
    with serve_http(tmp_path) as (url, process):
        assert url.startswith("http://127.0.0.1:")
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0
