"""The nine tools of server-memory: what its own tests ask of it, and what they cannot ask of a file."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("mcp", reason="the extra memcrdt[mcp] is not installed")

from mcp_types import ResourceUpdatedNotification

import memcrdt
from memcrdt.mcp.resources import GRAPH
from tests.mcp.conftest import Connect

if TYPE_CHECKING:
    from mcp import Client

PATIENCE_S = 20
NAMES = [
    "create_entities",
    "create_relations",
    "add_observations",
    "delete_entities",
    "delete_observations",
    "delete_relations",
    "read_graph",
    "search_nodes",
    "open_nodes",
]
EMPTY = {"entities": [], "relations": []}


def entity(name: str, *observations: str, kind: str = "person") -> dict[str, Any]:
    return {"name": name, "entityType": kind, "observations": [*observations]}


def relation(start: str, kind: str, end: str) -> dict[str, str]:
    return {"from": start, "to": end, "relationType": kind}


PEOPLE = [entity("Ada", "works at Umbrella", "likes programming"), entity("Max", "works at Initech")]
FIRM = entity("Umbrella", "sells rainwear", kind="company")
WORKS = relation("Ada", "works_at", "Umbrella")
RIVAL = relation("Max", "competes_with", "Umbrella")


class Tools:
    """The tools, called by a client."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def __call__(self, name: str, **arguments: Any) -> Any:
        """Call a tool that succeeds, and return its structured content."""
        result = await self._client.call_tool(name, arguments)
        assert not result.is_error, result.content[0].text
        text, said = result.content[0].text, result.structured_content
        shown = next(iter(said.values())) if len(said) == 1 else said
        assert text == said["message"] if "message" in said else json.loads(text) == shown
        return said

    async def refusal(self, name: str, **arguments: Any) -> str:
        """Call a tool that fails, and return the reason."""
        result = await self._client.call_tool(name, arguments)
        assert result.is_error
        return str(result.content[0].text)

    async def graph(self) -> dict[str, Any]:
        """Return the whole graph, in an order that does not depend on times."""
        told = await self("read_graph")
        return {name: sorted(each, key=json.dumps) for name, each in told.items()}

    async def fill(self) -> None:
        """Create the people, the firm, and two relations."""
        await self("create_entities", entities=[*PEOPLE, FIRM])
        await self("create_relations", relations=[WORKS, RIVAL])


def names(found: dict[str, Any]) -> set[str]:
    return {each["name"] for each in found["entities"]}


async def test_the_nine_tools_have_the_names_and_forms_of_that_server(connect: Connect) -> None:
    """With the schemas of arguments and answers, in camel case."""
    async with connect(offer="server-memory") as client:
        tools = (await client.list_tools()).tools
        assert [tool.name for tool in tools] == NAMES
        schemas = {tool.name: tool.input_schema for tool in tools}
        assert [*schemas["delete_entities"]["properties"]] == ["entityNames"]
        assert set(schemas["create_relations"]["$defs"]["WireRelation"]["properties"]) == {"from", "to", "relationType"}
        assert all(tool.output_schema for tool in tools)


async def test_entities(connect: Connect) -> None:
    """New ones are created, a known name is left as it is, and an empty list is fine."""
    async with connect(offer="server-memory") as client:
        tools = Tools(client)
        assert await tools.graph() == EMPTY
        assert await tools("create_entities", entities=[]) == {"entities": []}
        assert await tools("create_entities", entities=PEOPLE) == {"entities": PEOPLE}
        again = [entity("Ada", "something else"), FIRM, FIRM]
        assert await tools("create_entities", entities=again) == {"entities": [FIRM]}
        assert (await tools.graph())["entities"] == [*PEOPLE, FIRM]


async def test_relations(connect: Connect) -> None:
    """New ones are created once, between entities that exist, and also from an entity to itself."""
    async with connect(offer="server-memory") as client:
        tools = Tools(client)
        await tools("create_entities", entities=[*PEOPLE, FIRM])
        assert await tools("create_relations", relations=[]) == {"relations": []}
        assert await tools("create_relations", relations=[WORKS, WORKS]) == {"relations": [WORKS]}
        assert await tools("create_relations", relations=[WORKS]) == {"relations": []}
        itself = relation("Ada", "knows", "Ada")
        assert await tools("create_relations", relations=[itself]) == {"relations": [itself]}
        for wrong in (relation("Zed", "knows", "Ada"), relation("Ada", "knows", "Zed")):
            refusal = await tools.refusal("create_relations", relations=[RIVAL, wrong])
            assert "Entity with name Zed not found" in refusal
        assert (await tools.graph())["relations"] == [itself, WORKS]


async def test_observations(connect: Connect) -> None:
    """New ones are added, known ones are not, and an unknown entity changes nothing."""
    async with connect(offer="server-memory") as client:
        tools = Tools(client)
        await tools("create_entities", entities=PEOPLE)
        added = await tools(
            "add_observations", observations=[{"entityName": "Ada", "contents": ["likes programming", "has a dog"]}]
        )
        assert added == {"results": [{"entityName": "Ada", "addedObservations": ["has a dog"]}]}
        refusal = await tools.refusal(
            "add_observations",
            observations=[{"entityName": "Max", "contents": ["x"]}, {"entityName": "Zed", "contents": ["x"]}],
        )
        assert "Entity with name Zed not found" in refusal
        ada = entity("Ada", "works at Umbrella", "likes programming", "has a dog")
        assert (await tools.graph())["entities"] == [ada, PEOPLE[1]]


async def test_deletions(connect: Connect) -> None:
    """An entity takes its relations with it. What is not there is named, and is no error."""
    async with connect(offer="server-memory") as client:
        tools = Tools(client)
        await tools.fill()
        told = await tools(
            "delete_observations",
            deletions=[
                {"entityName": "Ada", "observations": ["likes programming"]},
                {"entityName": "Zed", "observations": ["x"]},
            ],
        )
        assert told["message"] == "Deleted 1 of 2 observations. Not found: Zed"
        told = await tools("delete_relations", relations=[RIVAL])
        assert told == {"success": True, "message": "Relations deleted successfully"}
        assert (await tools.graph())["relations"] == [WORKS]
        told = await tools("delete_entities", entityNames=["Umbrella", "Zed"])
        assert told["message"] == "Deleted 1 of 2 entities. Not found: Zed"
        assert await tools.graph() == {"entities": [entity("Ada", "works at Umbrella"), PEOPLE[1]], "relations": []}
        await tools("create_entities", entities=[FIRM])
        assert "Umbrella" in names(await tools.graph())


@pytest.mark.parametrize(
    ("query", "found", "relations"),
    [
        ("Max", {"Max"}, 1),
        ("company", {"Umbrella"}, 2),
        ("PROGRAMMING", {"Ada"}, 1),
        ("umbrella", {"Ada", "Umbrella"}, 2),
        ("nothing of that", set(), 0),
    ],
)
async def test_a_search_looks_at_names_types_and_observations(
    connect: Connect, query: str, found: set[str], relations: int
) -> None:
    """In any case. Relations to entities outside of the result are part of it."""
    async with connect(offer="server-memory") as client:
        tools = Tools(client)
        await tools.fill()
        told = await tools("search_nodes", query=query)
        assert (names(told), len(told["relations"])) == (found, relations)


async def test_nodes_are_opened_by_name_with_their_relations_in_both_directions(connect: Connect) -> None:
    """An unknown name, and no name, find nothing."""
    async with connect(offer="server-memory") as client:
        tools = Tools(client)
        await tools.fill()
        assert await tools("open_nodes", names=["Max"]) == {"entities": [PEOPLE[1]], "relations": [RIVAL]}
        told = await tools("open_nodes", names=["Umbrella", "Zed"])
        assert (names(told), len(told["relations"])) == ({"Umbrella"}, 2)
        assert await tools("open_nodes", names=[]) == EMPTY


async def test_the_file_of_that_server_is_read_as_the_same_graph(connect: Connect, tmp_path: Path) -> None:
    """And what the tools write is found by every other face, and survives a restart."""
    file, home = tmp_path / "memory.jsonl", tmp_path / "home"
    ada = entity("Ada", "likes\n- tea\n  and milk", "", "  speaks softly")
    lines = [{"type": "entity", **ada}, {"type": "entity", **FIRM}, {"type": "relation", **WORKS}]
    file.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")

    def opener() -> memcrdt.Memory:
        return memcrdt.open(home, embedder=None)

    with opener() as memory:
        assert memory.import_(file, format="server-memory").added == 3
    async with connect(offer="server-memory", opener=opener) as client:
        tools = Tools(client)
        assert await tools.graph() == {"entities": [ada, FIRM], "relations": [WORKS]}
        await tools("create_entities", entities=[PEOPLE[1]])
    async with connect(opener=opener) as client:
        result = await client.call_tool("search_memories", {"query": "who works at Initech?"})
        assert "Max\n- works at Initech" in result.content[0].text
    async with connect(offer="server-memory", opener=opener) as client:
        assert names(await Tools(client).graph()) == {"Ada", "Max", "Umbrella"}


@pytest.mark.filterwarnings("ignore::mcp.shared.exceptions.MCPDeprecationWarning")
async def test_the_graph_is_a_resource_that_reports_its_changes(connect: Connect, mode: str) -> None:
    """As in that server."""
    told = asyncio.Event()

    async def on_message(message: Any) -> None:
        if isinstance(message, ResourceUpdatedNotification) and str(message.params.uri) == GRAPH:
            told.set()

    async with connect(offer="server-memory", message_handler=on_message) as client, AsyncExitStack() as opened:
        if mode == "legacy":
            await client.subscribe_resource(GRAPH)
        else:  # its frames reach on_message too
            await opened.enter_async_context(client.listen(resource_subscriptions=[GRAPH]))
        await Tools(client)("create_entities", entities=[FIRM])
        async with asyncio.timeout(PATIENCE_S):
            await told.wait()
        (content,) = (await client.read_resource(GRAPH)).contents
        assert json.loads(content.text) == {"entities": [FIRM], "relations": []}
