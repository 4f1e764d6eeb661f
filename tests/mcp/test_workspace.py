"""When the memory behind a server is opened."""

from __future__ import annotations

import threading

import memcrdt
from memcrdt.mcp.workspace import Workspace
from memcrdt.service.context import Context


def test_a_server_that_ends_before_it_is_asked_opens_nothing() -> None:
    """Such as one that a client starts to look at its tools."""
    opened: list[str] = []

    def opener() -> memcrdt.Memory:
        opened.append("opened")
        return memcrdt.open(":memory:", embedder=None)

    workspace = Workspace(opener, Context(), sync=False)
    workspace.start()
    workspace.close()
    assert opened == []


def test_a_call_that_was_made_before_the_end_gets_the_memory() -> None:
    """Otherwise the last thing that a client stores would be lost."""
    asked, got = threading.Event(), []

    def opener() -> memcrdt.Memory:
        asked.set()
        return memcrdt.open(":memory:", embedder=None)

    workspace = Workspace(opener, Context(), sync=False)
    call = threading.Thread(target=lambda: got.append(workspace.memory))
    workspace.start()
    call.start()
    assert asked.wait(20)
    workspace.close()
    call.join(20)
    assert len(got) == 1
