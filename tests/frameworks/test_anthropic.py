"""Claude's memory tool: the same answers as the SDK's own tool for files, and what only this one has."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("anthropic", reason="the extra memcrdt[anthropic] is not installed")

import httpx2 as httpx
from anthropic import Anthropic, AsyncAnthropic
from anthropic.lib.tools import ToolError
from anthropic.tools.memory import BetaLocalFilesystemMemoryTool
from hypothesis import example, given, settings
from hypothesis import strategies as st

from memcrdt.frameworks.anthropic import AsyncMemcrdtMemoryTool, MemcrdtMemoryTool
from memcrdt.memory.memory import Memory
from memcrdt.testing import exchange, temporary

OpenMemory = Callable[..., Memory]

SDK = tuple(int(part) for part in version("anthropic").split(".")[:2])

NAMES = st.sampled_from(["a", "b.md", "c d", ".hidden", "ä"])
PATHS = st.one_of(
    st.lists(NAMES, min_size=1, max_size=4).map(lambda parts: "/memories/" + "/".join(parts)),
    st.sampled_from(
        ["/memories", "/memories/", "/memories/a/", "/memories/a/../b.md", "/memories/../x", "/etc/passwd"]
    ),
)
TEXTS = st.one_of(st.text("ab\n \r", max_size=8), st.just("x" * 1_500), st.just("one\ntwo\nthree\nfour\nfive\nsix\n"))
COMMANDS = st.one_of(
    st.fixed_dictionaries({"command": st.just("create"), "path": PATHS, "file_text": TEXTS}),
    st.fixed_dictionaries(
        {"command": st.just("view"), "path": PATHS},
        optional={"view_range": st.lists(st.integers(-3, 9), min_size=2, max_size=2)},
    ),
    st.fixed_dictionaries(
        {
            "command": st.just("str_replace"),
            "path": PATHS,
            "old_str": st.sampled_from(["a", "b", "aa", "three", "\n", "no", ""]),
            "new_str": TEXTS,
        }
    ),
    st.fixed_dictionaries(
        {"command": st.just("insert"), "path": PATHS, "insert_line": st.integers(-1, 7), "insert_text": TEXTS}
    ),
    st.fixed_dictionaries({"command": st.just("delete"), "path": PATHS}),
    st.fixed_dictionaries({"command": st.just("rename"), "old_path": PATHS, "new_path": PATHS}),
)


class _Files(BetaLocalFilesystemMemoryTool):
    """The SDK's tool, in which folders live as long as a file is in them, as ours do."""

    def call(self, input: object) -> Any:
        try:
            return super().call(input)
        except OSError as exc:  # it forgets the errors of paths below a file
            raise ToolError(str(exc)) from exc
        finally:
            folders = sorted((each for each in self.memory_root.rglob("*") if each.is_dir()), reverse=True)
            for folder in folders:
                if not any(folder.iterdir()):
                    folder.rmdir()


def told(tool: Any, asked: dict[str, Any]) -> tuple[str, str]:
    """Return whether a command fails, and what the model is told, without the sizes of folders: file systems differ."""
    try:
        lines = tool.call(asked).split("\n")
    except ToolError as exc:
        return "error", str(exc)
    if lines[0].startswith("Here're the files"):
        lines = [line.partition("\t")[2] if at == 1 or line.endswith("/") else line for at, line in enumerate(lines)]
    return "", "\n".join(lines)


@pytest.mark.skipif(SDK < (2, 14), reason="the SDK has changed the words of its own tool; ours are those of 2.14")
@settings(max_examples=25)
@given(st.lists(COMMANDS, min_size=5, max_size=20))
@example(
    [
        {"command": "create", "path": "/memories/a", "file_text": "x"},
        {"command": "rename", "old_path": "/memories/b.md/a", "new_path": "/memories/a/a"},  # neither end is right
    ]
)
def test_it_answers_as_the_tool_of_the_sdk(commands: list[dict[str, Any]]) -> None:
    """Word for word, but for the errors of paths below a file, where the SDK has those of the system."""
    folder = tempfile.mkdtemp()
    try:
        with temporary() as memory:
            ours, theirs = MemcrdtMemoryTool(memory), _Files(folder)
            for asked in commands:
                (failed, said), (failed_there, said_there) = told(ours, asked), told(theirs, asked)
                assert failed == failed_there, (asked, said, said_there)
                if "[Errno" not in said_there:
                    assert said == said_there, asked
            kept = {file.path: file.text for file in ours.tree.files()}
            found = [each for each in Path(folder, "memories").rglob("*") if each.is_file()]
            there = {
                each.relative_to(Path(folder, "memories")).as_posix(): each.read_bytes().decode() for each in found
            }
            assert kept == there
    finally:
        shutil.rmtree(folder)


def test_a_file_is_a_memory_that_syncs(open_memory: OpenMemory) -> None:
    """Under its name, in the scope of the tool, and by its author."""
    laptop, desktop = open_memory("A"), open_memory("B")
    tool = MemcrdtMemoryTool(laptop, scope="project/acme", author="planner")
    tool.call({"command": "create", "path": "/memories/notes/todo.md", "file_text": "Ask Ada about invoices\n"})
    exchange(laptop, desktop)
    (hit,) = desktop.search("invoices", scope="project/acme")
    assert (hit.memory.text, hit.memory.author) == ("Ask Ada about invoices\n", "planner")
    there = MemcrdtMemoryTool(desktop, scope="project/acme")
    assert there.call({"command": "view", "path": "/memories"}).splitlines()[1:] == [
        "23B\t/memories",
        "23B\t/memories/notes/",
        "23B\t/memories/notes/todo.md",
    ]
    assert MemcrdtMemoryTool(laptop).tree.files() == []
    there.clear_all_memory()
    exchange(laptop, desktop)
    assert tool.tree.files() == []


def test_texts_written_apart_are_shown_to_the_model(open_memory: OpenMemory) -> None:
    """When it reads the file, and when it edits the file without having read it."""
    laptop, desktop = open_memory("A"), open_memory("B")
    here, there = MemcrdtMemoryTool(laptop), MemcrdtMemoryTool(desktop)
    for tool, text in ((here, "Deploys are on Mondays"), (there, "Deploys are on Tuesdays")):
        tool.call({"command": "create", "path": "/memories/a.md", "file_text": text})
    exchange(laptop, desktop)
    shown = here.call({"command": "view", "path": "/memories/a.md"})
    edited = here.call({"command": "insert", "path": "/memories/a.md", "insert_line": 0, "insert_text": "Rules:"})
    for said in (shown, edited):
        assert said.endswith("this version, which the next edit drops:\nDeploys are on Mondays")
    assert here.tree.read("a.md").text == "Rules:\nDeploys are on Tuesdays\n"
    assert here.tree.read("a.md").rivals == ()


@pytest.mark.parametrize(
    ("path", "text", "why"),
    [
        ("/memories/a.md", "x" * 70_000, "70,000 bytes"),
        ("/memories/a.md", "key: AKIAIOSFODNN7EXAMPLE", "secret"),
        ("/memories/a\0", "x", "is not valid"),
        ("/memories/a.md", "\ud800", "surrogate"),
    ],
)
def test_what_cannot_be_kept_is_an_error_of_the_tool(memory: Memory, path: str, text: str, why: str) -> None:
    """So that the model can do something about it."""
    with pytest.raises(ToolError, match=why):
        MemcrdtMemoryTool(memory).call({"command": "create", "path": path, "file_text": text})


def model(request: httpx.Request) -> httpx.Response:
    """Answer as a model that creates a file and then says what it was told."""
    last = json.loads(request.content)["messages"][-1]["content"]
    call = {"command": "create", "path": "/memories/a.md", "file_text": "Ada prefers tea"}
    content = [{"type": "tool_use", "id": "1", "name": "memory", "input": call}]
    if not isinstance(last, str):
        content = [{"type": "text", "text": str(last[0]["content"])}]
    answer = {"id": "m", "type": "message", "role": "assistant", "model": "m", "content": content}
    usage = {"input_tokens": 1, "output_tokens": 1}
    reason = "end_turn" if content[0]["type"] == "text" else "tool_use"
    return httpx.Response(200, json={**answer, "stop_reason": reason, "stop_sequence": None, "usage": usage})


ASKED: dict[str, Any] = {"model": "m", "max_tokens": 99, "messages": [{"role": "user", "content": "I drink tea"}]}
SAID = "File created successfully at: /memories/a.md"


def test_the_runner_of_the_sdk_calls_it(memory: Memory) -> None:
    """With a model that answers here."""
    client = Anthropic(api_key="none", http_client=httpx.Client(transport=httpx.MockTransport(model)))
    final = client.beta.messages.tool_runner(tools=[MemcrdtMemoryTool(memory)], **ASKED).until_done()
    assert final.content[0].text == SAID
    assert [record.text for record in memory.list()] == ["Ada prefers tea"]


@pytest.mark.usefixtures("off_loop")
async def test_the_asynchronous_runner_calls_the_asynchronous_tool(memory: Memory) -> None:
    """All of whose commands keep the event loop free."""
    tool = AsyncMemcrdtMemoryTool(memory)
    client = AsyncAnthropic(api_key="none", http_client=httpx.AsyncClient(transport=httpx.MockTransport(model)))
    final = await client.beta.messages.tool_runner(tools=[tool], **ASKED).until_done()
    assert final.content[0].text == SAID
    await tool.call({"command": "str_replace", "path": "/memories/a.md", "old_str": "tea", "new_str": "coffee"})
    await tool.call({"command": "insert", "path": "/memories/a.md", "insert_line": 0, "insert_text": "Rules"})
    await tool.call({"command": "rename", "old_path": "/memories/a.md", "new_path": "/memories/b.md"})
    assert "Ada prefers coffee" in str(await tool.call({"command": "view", "path": "/memories/b.md"}))
    with pytest.raises(ToolError, match="does not exist"):
        await tool.call({"command": "delete", "path": "/memories/a.md"})
    await tool.clear_all_memory()
    assert await tool.tree.afiles() == []
