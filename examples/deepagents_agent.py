"""A deep agent whose notes are files in the memory: what it learns on one machine, it knows on the other.

    pip install 'memcrdt[langgraph]' deepagents
    python examples/deepagents_agent.py

The files under /memories are in the memory. All others are drafts that end with the conversation. Both machines are
simulated by this process. A class stands in for the model. To use a real one, install the package of its provider and
name the model: MEMCRDT_EXAMPLE_MODEL=anthropic:claude-sonnet-4-5. The example leaves no files behind.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from deepagents import create_deep_agent
from deepagents.backends import CompositeBackend, StateBackend, StoreBackend
from langchain.agents.middleware import ToolErrorMiddleware
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from two_machines import meet

import memcrdt
from memcrdt import Memory
from memcrdt.frameworks.langgraph import MemcrdtStore

SCOPE = "project/acme"
NOTES = "/memories/AGENTS.md"
INSTRUCTIONS = f"Keep what will matter in later conversations in {NOTES}. Write reports to /report.md."


class StandIn(BaseChatModel):
    """Does what a model would do, with rules instead of understanding."""

    @property
    def _llm_type(self) -> str:
        return "stand-in"

    def bind_tools(self, tools: Sequence[Any], **_: Any) -> StandIn:
        """Need no descriptions of tools."""
        return self

    def _generate(self, messages: list[BaseMessage], *_: Any, **__: Any) -> ChatResult:
        return ChatResult(generations=[ChatGeneration(message=self._answer(messages))])

    def _answer(self, messages: list[BaseMessage]) -> AIMessage:
        if isinstance(messages[-1], ToolMessage):
            return AIMessage("Done." if messages[-1].status == "success" else f"Not done: {messages[-1].text}")
        asked = [message.text for message in messages if isinstance(message, HumanMessage)][-1]
        known = re.search(rf"<agent_memory>\n{NOTES}\n\n(.+)", messages[0].text)
        notes = known[1] if known else ""
        kind, _, fact = asked.partition(": ")
        if kind == "Remember":
            return call("write_file", file_path=NOTES, content=fact)
        if kind == "Correction":
            return call("edit_file", file_path=NOTES, old_string=notes, new_string=fact)
        return call("write_file", file_path="/report.md", content=notes or "I know nothing about reports.")


def call(name: str, **arguments: Any) -> AIMessage:
    """Return a message that calls a tool."""
    return AIMessage("", tool_calls=[{"name": name, "args": arguments, "id": "1"}])


def make_agent(memory: Memory) -> Any:
    """Return an agent that begins each conversation with its notes."""
    store = MemcrdtStore(memory, scope=SCOPE, fields=["content"])  # the text of a file is the text of its memory
    lasting = StoreBackend(store=store, namespace=lambda _: ("files",))
    return create_deep_agent(
        os.environ.get("MEMCRDT_EXAMPLE_MODEL") or StandIn(),
        system_prompt=INSTRUCTIONS,
        memory=[NOTES],
        backend=CompositeBackend(default=StateBackend(), routes={"/memories/": lasting}),
        middleware=[ToolErrorMiddleware(refusal)],
    )


def refusal(exc: Exception, _: Any) -> str | None:
    """Return what to tell the model, for example of a text that looks like a secret. Other errors end the run."""
    return str(exc) if isinstance(exc, memcrdt.InputError) else None


async def say(machine: str, agent: Any, text: str) -> None:
    """Say something to an agent in a new conversation. Print it, the files that change, and the answer."""
    print(f"{machine}: {text}")
    state = await agent.ainvoke({"messages": [HumanMessage(text)]})
    for message in state["messages"]:
        for made in getattr(message, "tool_calls", ()):
            if made["name"] in ("write_file", "edit_file"):
                given = made["args"]
                print(f"   {made['name']}: {given['file_path']}: {given.get('content') or given['new_string']}")
    print(f"   -> {state['messages'][-1].text}")


def texts(memory: Memory) -> list[str]:
    """Return the files of the agent as any other face of the memory has them."""
    return [record.text for record in memory.iterate(scope=SCOPE)]


async def main() -> None:
    logging.getLogger("memcrdt").setLevel(logging.ERROR)  # each meeting uses new ports
    with (
        tempfile.TemporaryDirectory() as folder,
        memcrdt.open(Path(folder) / "laptop") as laptop,
        memcrdt.open(Path(folder) / "desktop") as desktop,
    ):
        # Both sides have to accept the other device by its id. On real machines: `memcrdt pair`.
        laptop.accept(desktop.device, name="desktop")
        desktop.accept(laptop.device, name="laptop")
        here, there = make_agent(laptop), make_agent(desktop)

        await say("laptop", here, "Remember: A report begins with a summary.")
        await meet(laptop, desktop, lambda: texts(laptop) == texts(desktop))
        await say("desktop", there, "Write a report on the harvest.")

        await say("desktop", there, "Correction: A report begins with its date.")
        await meet(laptop, desktop, lambda: texts(laptop) == texts(desktop))
        await say("laptop", here, "Write a report on the harvest.")
        print("The files in the memory of the laptop:", *texts(laptop), sep="\n   ")


if __name__ == "__main__":
    asyncio.run(main())
