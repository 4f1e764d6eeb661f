"""Resources, notifications of their changes, and completion: on both wires."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("mcp", reason="the extra memcrdt[mcp] is not installed")

from mcp import Client, MCPError
from mcp_types import PromptReference, ResourceTemplateReference, ResourceUpdatedNotification

import memcrdt
from memcrdt.testing.memories import pull
from tests.mcp.conftest import Connect

pytestmark = pytest.mark.filterwarnings("ignore::mcp.shared.exceptions.MCPDeprecationWarning")

if TYPE_CHECKING:
    from memcrdt.memory.memory import Memory

PATIENCE_S = 20
RECENT, ACME, GLOBAL = "memory://recent", "memory://scope/project/acme", "memory://scope/global"
UNKNOWN = "memory://01J9Z6C3V7M2Q8R4T0Y5W1X3AB"


async def _text(client: Client, uri: str) -> str:
    (content,) = (await client.read_resource(uri)).contents
    return str(content.text)


async def test_memories_are_read_by_their_addresses(connect: Connect) -> None:
    """The newest ones of the project and `global`, one with its whole text, and those of a scope; all fenced."""
    async with connect() as client:
        added = await client.call_tool("add_memory", {"text": "Deploys go out on Tuesdays"})
        await client.call_tool("add_memory", {"text": "Ada prefers tea", "scope": "global"})
        await client.call_tool("add_memory", {"text": "</memory> of another project", "scope": "project/a b/ü"})
        one = "memory://" + added.structured_content["memories"][0]["id"]
        assert [str(each.uri) for each in (await client.list_resources()).resources] == [RECENT]
        templates = (await client.list_resource_templates()).resource_templates
        assert [each.uri_template for each in templates] == ["memory://scope/{+scope}", "memory://{id}"]
        recent = await _text(client, RECENT)
        assert ("Tuesdays" in recent, "tea" in recent, "another" in recent) == (True, True, False)
        assert recent.startswith("<memories>")
        assert "Tuesdays" in await _text(client, one)
        assert "tea" not in await _text(client, ACME)
        assert (await _text(client, "memory://scope/project/a%20b/%C3%BC")).count("</memory>") == 1
        assert "another" in await _text(client, "memory://scope/all")
        assert await _text(client, "memory://scope/agent/nobody") == "No memories found in agent/nobody."


@pytest.mark.parametrize("uri", [UNKNOWN, "memory://nothing", "memory://scope/acme", "memory://recent/x", "file:///x"])
async def test_an_unknown_address_is_refused(connect: Connect, uri: str) -> None:
    """As an error of the protocol, with the address."""
    async with connect() as client:
        with pytest.raises(MCPError) as refused:
            await client.read_resource(uri)
        assert (refused.value.error.code, refused.value.error.data) == (-32602, {"uri": uri})


class Watched:
    """The addresses that a client was told about."""

    def __init__(self) -> None:
        self._told: asyncio.Queue[str] = asyncio.Queue()

    def put(self, uri: str) -> None:
        self._told.put_nowait(uri)

    async def until(self, *uris: str) -> None:
        """Wait until the client was told about all of these, and about nothing else."""
        waiting = set(uris)
        async with asyncio.timeout(PATIENCE_S):
            while waiting:
                told = await self._told.get()
                assert told in uris
                waiting.discard(told)


@asynccontextmanager
async def _watching(connect: Connect, mode: str, memory: Memory, *uris: str) -> AsyncIterator[tuple[Client, Watched]]:
    """Connect a client that has subscribed to these addresses, in the way of its protocol."""
    watched = Watched()

    async def on_message(message: Any) -> None:
        if isinstance(message, ResourceUpdatedNotification):
            watched.put(str(message.params.uri))

    async with connect(opener=lambda: memory, message_handler=on_message) as client:
        if mode == "legacy":
            for uri in uris:
                await client.subscribe_resource(uri)
            yield client, watched
            return
        async with client.listen(resource_subscriptions=list(uris)):  # its frames reach on_message too
            yield client, watched


async def test_a_client_is_told_of_changes_here_and_from_a_peer(
    connect: Connect, mode: str, open_memory: Callable[..., Memory]
) -> None:
    """Only of those that its addresses show. What is forgotten may have been in any scope."""
    ours, theirs = open_memory("A"), open_memory("B")
    async with _watching(connect, mode, ours, RECENT, GLOBAL, ACME, UNKNOWN) as (client, watched):
        added = await client.call_tool("add_memory", {"text": "Deploys go out on Tuesdays"})
        await watched.until(RECENT, ACME)
        await asyncio.to_thread(theirs.add, "Ada prefers tea")
        await asyncio.to_thread(pull, ours, theirs)
        await watched.until(RECENT, GLOBAL)
        assert "tea" in await _text(client, GLOBAL)
        await client.call_tool("add_memory", {"text": "elsewhere", "scope": "project/other"})
        await client.call_tool("forget_memory", {"id": added.structured_content["memories"][0]["id"]})
        await watched.until(RECENT, GLOBAL, ACME)
        if mode == "legacy":
            await client.unsubscribe_resource(GLOBAL)
            await client.unsubscribe_resource(RECENT)
            await client.call_tool("add_memory", {"text": "Ada prefers coffee", "scope": "global"})
            await client.call_tool("add_memory", {"text": "one more"})
            await watched.until(ACME)


async def test_a_client_cannot_watch_any_number_of_addresses(connect: Connect, mode: str) -> None:
    """Each one costs work at every change."""
    memory = memcrdt.open(":memory:", embedder=None)
    many = [f"memory://scope/project/{number}" for number in range(1_001)]
    with pytest.raises((MCPError, BaseExceptionGroup)) as refused:
        async with _watching(connect, mode, memory, *many):
            pass
    error = refused.value
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    assert "at most 1,000" in str(error)


async def test_scopes_and_tags_are_completed(connect: Connect) -> None:
    """By any part of the name, in the template of a scope and in the prompts."""
    scope = ResourceTemplateReference(type="ref/resource", uri="memory://scope/{+scope}")
    recall = PromptReference(type="ref/prompt", name="recall")

    async def values(client: Client, ref: Any, name: str, value: str) -> list[str]:
        completion = (await client.complete(ref, {"name": name, "value": value})).completion
        return list(completion.values)

    async with connect() as client:
        await client.call_tool("add_memory", {"text": "one", "tags": ["Release", "ops"]})
        await client.call_tool("add_memory", {"text": "two", "scope": "project/git.example.org/team/app"})
        assert await values(client, scope, "scope", "APP") == ["project/git.example.org/team/app"]
        assert await values(client, scope, "scope", "") == ["project/acme", "project/git.example.org/team/app"]
        assert await values(client, recall, "scope", "acme") == ["project/acme"]
        assert await values(client, recall, "topic", "rel") == ["Release"]
        assert await values(client, recall, "topic", "%") == []
        assert await values(client, PromptReference(type="ref/prompt", name="wrap-up"), "x", "") == []
