"""Exports and imports with the real MCP server server-memory, from npm."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from memcrdt.memory.memory import Memory
from tests import npm

PACKAGE = "@modelcontextprotocol/server-memory"

pytestmark = pytest.mark.xdist_group("server-memory")  # one worker installs the package once


@pytest.fixture(name="server", scope="module")
def _server(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the program of the server."""
    folder = npm.install(tmp_path_factory.mktemp("npm"), {PACKAGE: "*"})
    return folder / "node_modules" / PACKAGE / "dist" / "index.js"


@contextmanager
def calling(server: Path, file: Path) -> Iterator[Callable[[str, dict[str, Any]], Any]]:
    """Run the server on a file, and lend a function that calls its tools."""
    process = subprocess.Popen(
        ["node", str(server)],
        env={**os.environ, "MEMORY_FILE_PATH": str(file)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        encoding="utf-8",
    )
    assert process.stdin is not None
    assert process.stdout is not None
    last = 0

    def send(**message: Any) -> None:
        assert process.stdin is not None
        process.stdin.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
        process.stdin.flush()

    def ask(method: str, params: dict[str, Any]) -> Any:
        nonlocal last
        last += 1
        send(id=last, method=method, params=params)
        assert process.stdout is not None
        return json.loads(process.stdout.readline())["result"]

    try:
        client = {"name": "test", "version": "1"}
        ask("initialize", {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": client})
        send(method="notifications/initialized")
        yield lambda name, given: json.loads(
            ask("tools/call", {"name": name, "arguments": given})["content"][0]["text"]
        )
    finally:
        process.kill()
        process.communicate()


def _text(result: Any) -> str:
    return str(result["content"][0]["text"])


def test_the_server_reads_an_export(memory: Memory, server: Path, tmp_path: Path) -> None:
    """Entities and relations are its own, and other memories are entities."""
    graph = [
        {"type": "entity", "name": "Ada", "entityType": "person", "observations": ["likes tea", "lives in Bern\nnow"]},
        {"type": "entity", "name": "Max", "entityType": "person", "observations": []},
        {"type": "relation", "from": "Ada", "to": "Max", "relationType": "knows"},
    ]
    file = tmp_path / "in.jsonl"
    file.write_text("".join(json.dumps(each) + "\n" for each in graph))
    memory.import_from("server-memory", file)
    memory.add("Deploys go out on Tuesdays", tags=["release"])
    memory.export(tmp_path / "memory.jsonl", format="server-memory")
    with calling(server, tmp_path / "memory.jsonl") as call:
        found = call("read_graph", {})
    entities = {each["name"]: each for each in found["entities"]}
    assert entities["Ada"]["observations"] == ["likes tea", "lives in Bern\nnow"]
    assert entities["Max"]["observations"] == []
    (deploys,) = (each for name, each in entities.items() if name.startswith("Deploys"))
    assert deploys["observations"] == ["Deploys go out on Tuesdays"]
    (knows,) = found["relations"]
    assert (knows["from"], knows["relationType"], knows["to"]) == ("Ada", "knows", "Max")


def test_what_the_server_adds_comes_with_the_next_import(memory: Memory, server: Path, tmp_path: Path) -> None:
    """It writes its whole file anew. The other entities stay as they are."""
    file = tmp_path / "memory.jsonl"
    people = [{"name": name, "entityType": "person", "observations": ["likes tea"]} for name in ("Ada", "Max")]
    with calling(server, file) as call:
        call("create_entities", {"entities": people})
    assert memory.import_from("server-memory", file).added == 2
    with calling(server, file) as call:
        call("add_observations", {"observations": [{"entityName": "Ada", "contents": ["lives in Bern"]}]})
    report = memory.import_from("server-memory", file)
    assert (report.added, report.updated, report.known) == (0, 1, 1)
    assert {each.text for each in memory.list()} == {"Ada\n- likes tea\n- lives in Bern", "Max\n- likes tea"}
