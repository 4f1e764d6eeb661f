"""`memcrdt mcp` as a client starts it: a process that speaks over stdin and stdout."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest

pytest.importorskip("mcp", reason="the extra memcrdt[mcp] is not installed")

from mcp import Client, StdioServerParameters

PATIENCE_S = 60
INITIALIZE = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}},
}


def _parameters(home: Path, folder: Path, *options: str) -> StdioServerParameters:
    command = ["-m", "memcrdt", "--home", str(home), "mcp", "--no-sync", *options]
    environ = {name: value for name, value in os.environ.items() if not name.startswith(("CLAUDE", "MEMCRDT_PROJECT"))}
    return StdioServerParameters(command=sys.executable, args=command, cwd=folder, env=environ)


def _repository(folder: Path) -> Path:
    (folder / ".git").mkdir(parents=True)
    (folder / ".git" / "config").write_text('[remote "origin"]\nurl = git@git.example.org:team/app.git\n', "utf-8")
    return folder


async def _add(home: Path, folder: Path, text: str) -> str:
    """Start a server, add a memory, and return the scope."""
    async with Client(_parameters(home, folder)) as client:
        result = await client.call_tool("add_memory", {"text": text})
        assert not result.is_error, result.content[0].text
        return str(result.structured_content["memories"][0]["scope"])


async def test_three_servers_share_one_store_and_know_the_project(tmp_path: Path) -> None:
    """As with several clients on one machine. The project is the remote of the repository that they work in."""
    home, folder = tmp_path / "home", _repository(tmp_path / "work")
    scopes: list[str] = []

    async def add(number: int) -> None:
        scopes.append(await _add(home, folder, f"fact number {number}"))

    async with anyio.create_task_group() as tasks:
        for number in range(3):
            tasks.start_soon(add, number)
    assert set(scopes) == {"project/git.example.org/team/app"}
    async with Client(_parameters(home, tmp_path, "--project", "git.example.org/team/app")) as client:
        result = await client.call_tool("list_memories", {})
        assert all(f"fact number {number}" in result.content[0].text for number in range(3))


@pytest.mark.timeout(PATIENCE_S)
@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGINT for one process")
def test_ctrl_c_ends_the_server_while_stdin_stays_open(tmp_path: Path) -> None:
    """As of somebody who tries the command on a terminal."""
    parameters = _parameters(tmp_path / "home", tmp_path)
    command = [parameters.command, *parameters.args]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=tmp_path) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        try:
            server.stdin.write(json.dumps(INITIALIZE) + "\n")
            server.stdin.flush()
            assert json.loads(server.stdout.readline())["id"] == 1
            server.send_signal(signal.SIGINT)
            assert server.wait(PATIENCE_S / 2) == -signal.SIGINT
        finally:
            server.kill()


@pytest.mark.timeout(PATIENCE_S)
def test_the_server_ends_when_stdin_ends_and_prints_only_messages(tmp_path: Path) -> None:
    """A client that is gone leaves no server behind. The exit code is 0."""
    parameters = _parameters(tmp_path / "home", tmp_path)
    command: list[Any] = [parameters.command, *parameters.args]
    done = subprocess.run(
        command,
        input=json.dumps(INITIALIZE) + "\n",
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=parameters.env,
        timeout=PATIENCE_S,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    (answer,) = [json.loads(line) for line in done.stdout.splitlines()]
    assert answer["result"]["serverInfo"]["name"] == "memcrdt"


@pytest.mark.parametrize(
    ("options", "expected"), [(("--tools", "search,fetch"), "search fetch"), (("--compat", "server-memory"), None)]
)
async def test_an_option_offers_other_tools(tmp_path: Path, options: tuple[str, str], expected: str | None) -> None:
    """Exactly two for research tools, or the nine of server-memory."""
    async with Client(_parameters(tmp_path / "home", tmp_path, *options)) as client:
        names = [tool.name for tool in (await client.list_tools()).tools]
    assert " ".join(names) == expected if expected else (len(names), names[0]) == (9, "create_entities")


def test_the_options_exclude_each_other(tmp_path: Path) -> None:
    """One server offers one set of tools."""
    parameters = _parameters(tmp_path / "home", tmp_path, "--tools", "search,fetch", "--compat", "server-memory")
    done = subprocess.run([parameters.command, *parameters.args], capture_output=True, text=True, check=False)
    assert "exclude each other" in done.stderr
