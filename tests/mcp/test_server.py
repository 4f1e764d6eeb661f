"""The MCP server in process, with the client of the SDK, on both wires."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("mcp", reason="the extra memcrdt[mcp] is not installed")

from mcp import Client
from mcp_types import ElicitResult

import memcrdt
from memcrdt import config
from memcrdt.mcp.server import MemoryServer
from memcrdt.mcp.texts import ALIASES, DESCRIPTIONS, INSTRUCTIONS, PARAMETERS
from memcrdt.mcp.workspace import Workspace
from memcrdt.service.context import Context
from tests.cross_encoders import without_deadline, write_cross_encoder
from tests.mcp.conftest import Connect

CUT_BYTES = 2_048  # where clients cut instructions and descriptions
LIST_BYTES = 6_144


async def _call(client: Client, name: str, **arguments: Any) -> tuple[str, dict[str, Any]]:
    """Call a tool that succeeds, and return its text and its JSON."""
    result = await client.call_tool(name, arguments)
    assert not result.is_error, result.content[0].text
    return result.content[0].text, result.structured_content


async def _refusal(client: Client, name: str, **arguments: Any) -> str:
    result = await client.call_tool(name, arguments)
    assert result.is_error
    return str(result.content[0].text)


async def test_a_search_is_reranked_whenever_the_settings_name_a_reranker(
    connect: Connect, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody asks for it: a model reads the answer."""
    without_deadline(monkeypatch)
    with memcrdt.open(tmp_path / "home") as memory:
        kitten = memory.add_many(
            ["a kitten may sail with us", "the ship sails at dawn", "the ship sails at noon"], scope="project/acme"
        )[0]

    async def found() -> list[str]:
        async with connect(opener=lambda: memcrdt.open(tmp_path / "home")) as client:
            _, said = await _call(client, "search_memories", query="when does the ship sail")
            return [row["id"] for row in said["rows"]]

    plain = await found()
    assert plain[-1] == kitten
    config.change(tmp_path / "home", "reranker", str(write_cross_encoder(tmp_path / "reranker")))
    assert await found() == [kitten, *plain[:-1]]


async def test_the_list_of_tools_is_short_and_whole(connect: Connect) -> None:
    """It is in every session of every client. Every parameter is described once, and every alias leads to one."""
    async with connect() as client:
        tools = (await client.list_tools()).tools
        forms = [tool.model_dump(mode="json", by_alias=True, exclude_none=True) for tool in tools]
        assert [tool.name for tool in tools] == list(dict.fromkeys(tool.name for tool in tools))
        assert {tool.name for tool in tools} == set(DESCRIPTIONS)
        assert len(json.dumps(forms, separators=(",", ":")).encode()) < LIST_BYTES
        assert len(INSTRUCTIONS.encode()) < CUT_BYTES
        assert client.instructions == INSTRUCTIONS
        said = [name for tool in forms for name, of in tool["inputSchema"]["properties"].items() if "description" in of]
        assert sorted(said) == sorted(PARAMETERS)
        assert set(ALIASES.values()) <= set(PARAMETERS)
        hints = {tool.name: tool.annotations for tool in tools if tool.annotations}
        assert {name for name, hint in hints.items() if hint.read_only_hint} == {
            "search_memories",
            "get_memory",
            "list_memories",
            "memory_history",
            "sync_status",
        }
        assert {name for name, hint in hints.items() if hint.destructive_hint} == {"update_memory", "forget_memory"}


def test_the_server_answers_before_it_loads_the_store() -> None:
    """So its start costs little more than that of the SDK. The store is loaded in the background."""
    program = "import sys, memcrdt.mcp.server; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not {"apsw", "pycrdt", "numpy", "memcrdt.service.service"} & set(done.stdout.split())


async def test_a_memory_is_stored_found_changed_and_forgotten(connect: Connect) -> None:
    """Each answer names the scope, and the structured content does not repeat the text."""
    async with connect() as client:
        text, said = await _call(client, "add_memory", text="Deploys go out on Tuesdays", kind="decision", tags=["ops"])
        (saved,) = said["memories"]
        assert "project/acme" in text
        assert saved["scope"] == "project/acme"
        found, said = await _call(client, "search_memories", query="when do deploys go out?")
        assert "Deploys go out on Tuesdays" in found
        assert [row["id"] for row in said["rows"]] == [saved["id"]]
        assert "Tuesdays" not in json.dumps(said)
        await _call(client, "update_memory", id=saved["id"], text="Deploys go out on Fridays")
        text, said = await _call(client, "memory_history", id=saved["id"])
        assert ("Tuesdays" in text, "Fridays" in text, len(said["revisions"])) == (True, True, 2)
        text, _ = await _call(client, "forget_memory", id=saved["id"])
        assert text.startswith("1 memory forgotten")
        text, said = await _call(client, "list_memories")
        assert text == "No memories found in project/acme, global."


async def test_the_names_that_models_guess_are_accepted(connect: Connect) -> None:
    """An alias is used if the tool has no parameter of that name."""
    async with connect() as client:
        await _call(client, "add_memory", content="Ada prefers tea")
        text, _ = await _call(client, "search_memories", q="tea", top_k=1, since="2020-01-01T00:00:00Z")
        assert "Ada prefers tea" in text


async def test_an_unknown_parameter_is_refused_by_name(connect: Connect) -> None:
    """A filter that is ignored would show memories that the model did not ask for."""
    async with connect() as client:
        assert "'colour'" in await _refusal(client, "search_memories", query="tea", colour="red")


async def test_a_missing_parameter_is_refused_by_name(connect: Connect) -> None:
    """In a sentence, and not with the names and links of the library that checks arguments."""
    async with connect() as client:
        said = await _refusal(client, "add_memory")
        assert "add_memory needs the parameter 'text'" in said
        assert "pydantic" not in said


@pytest.mark.parametrize(
    ("tool", "arguments", "said"),
    [
        ("add_memory", {"text": 3}, "the parameter 'text' of add_memory does not fit: give a text (invalid_input)."),
        ("add_memory", {"text": "x", "tags": "ops"}, "'tags' of add_memory does not fit: give a list (invalid_input)."),
        ("add_memory", {"text": "x", "pinned": "maybe"}, "does not fit: give true or false (invalid_input)."),
        ("add_memory", {"text": "x", "colour": 1}, "has no parameter 'colour' (invalid_input). Its parameters are"),
        ("search_memories", {"query": "x", "limit": "many"}, "does not fit: give a whole number (invalid_input)."),
        ("search_memories", {"query": "x", "limit": 1.5}, "does not fit: give a whole number (invalid_input)."),
        ("forget_memory", {"filters": "x"}, "does not fit: give a JSON object (invalid_input)."),
        ("add_memories", {"memories": [3]}, "does not fit: give a text or give a JSON object (invalid_input)."),
        ("add_memories", {"memories": []}, "there is no memory to store; give at least one (invalid_input)."),
    ],
)
async def test_a_value_of_another_type_is_refused_in_plain_words(
    connect: Connect, tool: str, arguments: dict[str, Any], said: str
) -> None:
    """The model reads what to give, and not the classes of the library that checks arguments."""
    async with connect() as client:
        refusal = await _refusal(client, tool, **arguments)
        assert said in refusal
        assert "pydantic" not in refusal


async def test_forgetting_what_is_forgotten_says_so(connect: Connect) -> None:
    """A model that reads "0 memories forgotten on every other device" does not know whether that is an error."""
    async with connect() as client:
        _, said = await _call(client, "add_memory", text="Ada prefers tea")
        memory = said["memories"][0]["id"]
        await _call(client, "forget_memory", id=memory)
        text, said = await _call(client, "forget_memory", id=memory)
        assert (text, said["count"]) == ("nothing to forget: no memory fits, or it was forgotten before", 0)


async def test_a_refusal_says_what_to_do(connect: Connect) -> None:
    """It has a code, a reason and a remedy, and the server goes on."""
    async with connect() as client:
        assert "(not_found)" in await _refusal(client, "get_memory", id="01J9Z6C3V7M2Q8R4T0Y5W1X3AB")
        assert "(invalid_input)" in await _refusal(client, "add_memory", text=" ")
        assert "(invalid_input)" in await _refusal(client, "search_memories", query="x", scope="acme")
        assert "(invalid_input)" in await _refusal(
            client, "add_memories", memories=[{"text": "x", "allow_secret": True}]
        )
        await _call(client, "sync_status")


async def test_several_memories_are_forgotten_only_after_a_dry_run(connect: Connect) -> None:
    """A client that cannot ask its user gets the value that confirms exactly these memories."""
    async with connect() as client:
        await _call(client, "add_memories", memories=["one", {"text": "two", "tags": ["x"]}, "three"])
        text, _ = await _call(client, "forget_memory", filters={"scope": "project"}, dry_run=True)
        assert text.startswith("3 memories would be")
        refusal = await _refusal(client, "forget_memory", filters={"scope": "project"})
        confirm = refusal.split('confirm="')[1].split('"')[0]
        _, said = await _call(client, "forget_memory", filters={"scope": "project"}, confirm=confirm)
        assert said["count"] == 3


@pytest.mark.parametrize("accepts", [True, False])
async def test_a_client_that_can_ask_lets_the_user_decide(connect: Connect, accepts: bool) -> None:
    """One question about several memories, none about one. `confirm` does not replace the user's answer."""
    questions = []

    async def ask(context: Any, params: Any) -> ElicitResult:
        questions.append(params.message)
        return ElicitResult(action="accept", content={"forget": True}) if accepts else ElicitResult(action="decline")

    async with connect(elicitation_callback=ask) as client:
        await _call(client, "add_memories", memories=["one", "two", "three", "four"])
        _, said = await _call(client, "list_memories", limit=1)
        await _call(client, "forget_memory", id=said["rows"][0]["id"])
        assert questions == []
        _, said = await _call(client, "forget_memory", filters={"scope": "project"}, confirm="0" * 12)
        assert questions == ["Forget 3 memories on every device, permanently?"]
        assert said["count"] == (3 if accepts else 0)


async def test_prompts(connect: Connect) -> None:
    """A user can start a recall or a wrap-up from the client's menu."""
    async with connect() as client:
        assert [prompt.name for prompt in (await client.list_prompts()).prompts] == ["recall", "wrap-up"]
        prompt = await client.get_prompt("recall", {"topic": "the billing service"})
        assert "the billing service" in prompt.messages[0].content.text


async def test_a_store_that_cannot_be_opened_is_reported_by_every_tool(mode: str) -> None:
    """The client has its tools all the same."""

    def opener() -> memcrdt.Memory:
        raise memcrdt.SchemaError("this store was written by a newer version")

    async with Client(MemoryServer(Workspace(opener, Context(), sync=False)), mode=mode) as client:
        assert len((await client.list_tools()).tools) == len(DESCRIPTIONS)
        assert "(wrong_schema)" in await _refusal(client, "list_memories")


async def test_a_change_expects_the_revision_that_get_memory_named(connect: Connect) -> None:
    """So two agents do not undo each other's work."""
    async with connect() as client:
        stored = await client.call_tool("add_memory", {"text": "Deploys are on Tuesdays", "key": "deploys"})
        added = stored.structured_content["memories"][0]["id"]
        got = await client.call_tool("get_memory", {"id": added})
        (revision,) = got.structured_content["revisions"]
        assert got.content[1].text == f"revision {revision}"
        change = {"id": added, "text": "Deploys are on Fridays", "expected": revision}
        assert not (await client.call_tool("update_memory", change)).is_error
        calls = {
            "update_memory": change,
            "forget_memory": {"id": added, "expected": [revision]},
            "add_memory": {"text": "Deploys are on Mondays", "key": "deploys", "expected": revision},
        }
        for tool, arguments in calls.items():
            refused = await client.call_tool(tool, arguments)
            assert refused.structured_content["code"] == "stale_revision"
        assert "Fridays" in (await client.call_tool("get_memory", {"id": added})).content[0].text
