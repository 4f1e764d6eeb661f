"""The examples with a framework run as a reader would run them."""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar

import pytest

from memcrdt.memory.memory import Memory

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(name: str, **variables: str) -> str:
    """Return the output of an example, which must exit with 0 and print nothing on stderr."""
    environment = {each: value for each, value in os.environ.items() if each != "MEMCRDT_EXAMPLE_MODEL"} | variables
    done = subprocess.run(
        [sys.executable, "-X", "utf8", str(EXAMPLES / name)],
        capture_output=True,
        encoding="utf-8",
        timeout=100,
        check=False,
        env=environment,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_an_agent_learns_on_one_machine_what_it_knows_on_the_other() -> None:
    """And a correction on the other machine reaches the first."""
    pytest.importorskip("langgraph.graph", reason="langgraph is not installed")
    answers = [line.strip() for line in run("langgraph_agent.py").splitlines() if "->" in line]
    assert answers == [
        "-> Noted.",
        "-> Noted.",
        "-> The staging server listens at port 8443",
        "-> Noted.",
        "-> The staging server listens at port 9443",
    ]


def test_a_coding_agent_remembers_a_command_and_corrects_it() -> None:
    """Each conversation knows what the earlier ones taught."""
    pytest.importorskip("langchain.agents", reason="the extra memcrdt[langchain] is not installed")
    out = run("langchain_agent.py")
    assert [line.strip() for line in out.splitlines() if line.startswith("   run: ")] == [
        "run: pytest",
        "run: make test",
        "run: make check",
    ]
    assert "updated memory ID" in out
    assert out.endswith("with `make test`.\n   the tests of this project run with `make check`.\n")


def test_the_agents_of_a_team_share_what_they_learn_and_nothing_personal() -> None:
    """A correction by one reaches the other."""
    pytest.importorskip("langchain.agents", reason="the extra memcrdt[langchain] is not installed")
    out = run("langchain_team.py")
    assert [line.strip() for line in out.splitlines() if line.startswith("   run: ")] == [
        "run: make test",
        "run: make check",
    ]
    assert out.endswith("Ben has 1 memory; Ada has 2, of which one is personal.\n")


def test_the_files_of_a_deep_agent_are_on_both_machines_and_its_drafts_on_none() -> None:
    """It corrects a file on the machine that did not write it. What it writes elsewhere ends with the conversation."""
    pytest.importorskip("deepagents.backends", reason="deepagents is not installed")
    out = run("deepagents_agent.py")
    assert [line.strip() for line in out.splitlines() if "_file: " in line] == [
        "write_file: /memories/AGENTS.md: A report begins with a summary.",
        "write_file: /report.md: A report begins with a summary.",
        "edit_file: /memories/AGENTS.md: A report begins with its date.",
        "write_file: /report.md: A report begins with its date.",
    ]
    assert out.count("-> Done.") == 4
    assert out.endswith("in the memory of the laptop:\n   A report begins with its date.\n")


class _Provider(BaseHTTPRequestHandler):
    """The API of a provider whose model always says the same."""

    asked: ClassVar[list[Any]] = []

    def do_POST(self) -> None:
        self.asked.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        message = {"role": "assistant", "content": "All right."}
        chat = {"object": "chat.completion", "choices": [{"index": 0, "finish_reason": "stop", "message": message}]}
        text = {"type": "output_text", "text": "All right.", "annotations": []}
        output = {"type": "message", "id": "2", "role": "assistant", "status": "completed", "content": [text]}
        options = {"parallel_tool_calls": False, "tool_choice": "auto", "tools": []}
        response = {"object": "response", "created_at": 0, "status": "completed", "output": [output], **options}
        said = response if self.path.endswith("/responses") else chat
        body = json.dumps({"id": "1", "model": "any", "created": 0, **said}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.mark.parametrize(
    ("name", "needed"),
    [
        ("langgraph_agent.py", "langgraph.graph"),
        ("langchain_agent.py", "langchain.agents"),
        ("langchain_team.py", "langchain.agents"),
        ("deepagents_agent.py", "deepagents.backends"),
    ],
)
def test_an_example_asks_the_model_that_a_variable_names(name: str, needed: str) -> None:
    """It gets the memories, and does something else than the class that stands in for it. The example goes on."""
    for module in (needed, "langchain.agents", "langchain_openai"):
        pytest.importorskip(module, reason=f"{module} is not installed")
    _Provider.asked.clear()
    with ThreadingHTTPServer(("127.0.0.1", 0), _Provider) as server:
        serving = Thread(target=server.serve_forever)
        serving.start()
        try:
            out = run(
                name,
                MEMCRDT_EXAMPLE_MODEL="openai:any",
                OPENAI_API_KEY="none",
                OPENAI_BASE_URL=f"http://127.0.0.1:{server.server_address[1]}/v1",
            )
        finally:
            server.shutdown()
            serving.join()
    assert len(_Provider.asked) >= 2
    assert out.count("All right.") >= 2


@pytest.mark.parametrize(("text", "reason"), [("AKIA" + "ABCDEFGHIJKLMNOP", "secret"), ("a " * 40_000, "has at most")])
async def test_a_deep_agent_is_told_what_cannot_be_a_file(
    text: str, reason: str, memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run goes on, and the model can correct its call."""
    pytest.importorskip("deepagents.backends", reason="deepagents is not installed")
    monkeypatch.syspath_prepend(EXAMPLES)
    monkeypatch.delenv("MEMCRDT_EXAMPLE_MODEL", raising=False)
    agent = importlib.import_module("deepagents_agent").make_agent(memory)
    state = await agent.ainvoke({"messages": [("user", f"Remember: {text}")]})
    assert re.match(f"Not done: .*{reason}", state["messages"][-1].text)
    assert memory.count() == 0
