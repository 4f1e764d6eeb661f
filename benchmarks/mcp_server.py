"""Measure what a client of `memcrdt mcp` waits for at its start, and what the server costs in tokens.

    python benchmarks/mcp_server.py --memories 100000 [--home FOLDER]

Start: the time from starting the process to the answer of `tools/list`, which is when a client has its tools. In turn
with an empty server of the same SDK, whose import takes most of that time. On a machine that does nothing else, the
gate is: the median of memcrdt is at most 0.4 s above the empty server's, and no start takes over 5 s. The first search
comes after that: the memory opens in the background. With --home the store is kept and used again, as by hook.py.

Tokens: the bytes of what a client puts into the context of its model. A token is counted as 4 characters.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

sys.path.insert(0, str(Path(__file__).parent))
from corpus import questions
from figures import installed_environment, machine
from hook import PROJECT, fill

STARTS: Final = 9
GATE_S: Final = 0.4
LONGEST_S: Final = 5.0
EMPTY: Final = "from mcp.server import MCPServer; MCPServer('empty').run('stdio')"
OFFERS: Final[dict[str, tuple[str, ...]]] = {
    "ten tools": (),
    "search, fetch": ("--tools", "search,fetch"),
    "server-memory": ("--compat", "server-memory"),
}
_INFO: Final = {
    "protocolVersion": "2025-11-25",
    "capabilities": {},
    "clientInfo": {"name": "benchmark", "version": "1"},
}


class Server:
    """A server over stdio, spoken to line by line: a client without an SDK of its own."""

    def __init__(self, command: list[str]) -> None:
        self.started = time.perf_counter()
        environ = {name: value for name, value in installed_environment().items() if not name.startswith("CLAUDE")}
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environ)
        self._calls = 0
        self.hello = self.call("initialize", _INFO)
        self._send({"method": "notifications/initialized"})
        self.tools = self.call("tools/list", {})["tools"]
        self.ready_s = time.perf_counter() - self.started
        self.processor_s = processor_s(self._process.pid)

    def call(self, method: str, params: dict[str, Any]) -> dict[str, Any]:
        """Make a call, and return its result."""
        self._calls += 1
        self._send({"id": self._calls, "method": method, "params": params})
        assert self._process.stdout is not None
        for line in self._process.stdout:
            message = json.loads(line)
            if message.get("id") == self._calls:
                result: dict[str, Any] = message["result"]
                return result
        raise RuntimeError(f"the server ended before it answered {method}")

    def tool(self, name: str, **arguments: Any) -> dict[str, Any]:
        """Call a tool, and return its result."""
        return self.call("tools/call", {"name": name, "arguments": arguments})

    def close(self) -> None:
        """End the server as a client does."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)

    def _send(self, message: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"jsonrpc": "2.0", **message}) + "\n")
        self._process.stdin.flush()


def processor_s(pid: int) -> float:
    """Return the processor time that a process has used, in seconds; 0 where the system does not tell."""
    stat = Path(f"/proc/{pid}/stat")
    if not stat.exists():
        return 0.0
    fields = stat.read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memcrdt_server(home: str, *options: str) -> list[str]:
    """Return the command of the server."""
    return [sys.executable, "-m", "memcrdt", "--home", home, "mcp", "--no-sync", "--project", PROJECT, *options]


def starts(home: str) -> bool:
    """Print the start times of both servers in turn. Return whether the gate is met."""
    empty, ours, first = [], [], []
    used: tuple[list[float], list[float]] = [], []
    question = next(questions(1))
    for _ in range(STARTS):
        server = Server([sys.executable, "-c", EMPTY])
        empty.append(server.ready_s)
        used[0].append(server.processor_s)
        server.close()
        server = Server(memcrdt_server(home))
        ours.append(server.ready_s)
        used[1].append(server.processor_s)
        asked = time.perf_counter()
        server.tool("search_memories", query=question)
        first.append(time.perf_counter() - asked)
        server.close()
    for name, seconds in (("empty server", empty), ("memcrdt", ours), ("first search after it", first)):
        print(f"{name:22} median {statistics.median(seconds):5.2f} s   {min(seconds):5.2f} to {max(seconds):5.2f} s")
    print("processor time until then: empty {:.2f} s, memcrdt {:.2f} s".format(*map(statistics.median, used)))
    above = statistics.median(ours) - statistics.median(empty)
    met = above <= GATE_S and max(ours) <= LONGEST_S
    print(f"memcrdt above the empty server: {above:.2f} s; the gate is {GATE_S} s: {'met' if met else 'NOT met'}")
    return met


def costs(home: str) -> None:
    """Print what each offer costs in every session, and what typical answers cost."""
    for name, options in OFFERS.items():
        server = Server(memcrdt_server(home, *options))
        told = json.dumps(server.tools, separators=(",", ":"))
        cost("tools: " + name, len(told))
        cost("instructions: " + name, len(server.hello["instructions"]))
        server.close()
    server = Server(memcrdt_server(home))
    for label, limit in (("search, 10 results", 10), ("search, 3 results", 3)):
        answers = [server.tool("search_memories", query=each, limit=limit) for each in questions(20)]
        cost(label, median_of(answers, lambda answer: len(answer["content"][0]["text"])))
        cost(label + ", as JSON", median_of(answers, lambda answer: len(json.dumps(answer["structuredContent"]))))
    cost("add_memory", len(server.tool("add_memory", text="A benchmark ran here")["content"][0]["text"]))
    server.close()


def median_of(answers: list[dict[str, Any]], size: Callable[[dict[str, Any]], int]) -> int:
    return round(statistics.median(map(size, answers)))


def cost(name: str, characters: int) -> None:
    print(f"{name:30} {characters:6,} characters   about {round(characters / 4):5,} tokens")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--memories", type=int, default=100_000)
    parser.add_argument("--home", help="a folder for the store; a temporary one by default")
    arguments = parser.parse_args()
    print(f"{machine()}, mcp {version('mcp')}")
    with tempfile.TemporaryDirectory() as temporary:
        home = arguments.home or temporary
        fill(home, arguments.memories)
        met = starts(home)
        costs(home)
    sys.exit(not met)


if __name__ == "__main__":
    main()
