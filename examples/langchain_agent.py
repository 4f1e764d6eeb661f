"""A coding agent of LangChain that remembers between conversations, and corrects what turns out to be wrong.

    pip install 'memcrdt[langchain]'
    python examples/langchain_agent.py

Each line is a conversation of its own: the agent knows only what the middleware recalls. A class stands in for the
model. To use a real one, install the package of its provider and name the model:
MEMCRDT_EXAMPLE_MODEL=anthropic:claude-sonnet-4-5. The example leaves no files behind.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Sequence
from typing import Any

from langchain.agents import create_agent
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.tools import tool

import memcrdt
from memcrdt.frameworks.langchain import MemcrdtMiddleware

CONVERSATIONS = [
    "Run the tests of this project.",
    "Remember: the tests of this project run with `make test`.",
    "Run the tests of this project.",
    "Correction: the tests of this project run with `make check`.",
    "Run the tests of this project.",
]


@tool
def run(command: str) -> str:
    """Run a command in the shell."""
    return "214 passed" if command in ("make test", "make check") else f"{command}: command not found"


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
        said = [str(message.content) for message in messages if isinstance(message, HumanMessage)]
        recalled, asked = "\n".join(said[:-1]), said[-1]
        if isinstance(messages[-1], ToolMessage):
            return AIMessage(str(messages[-1].content))
        kind, _, fact = asked.partition(": ")
        known = re.search(r'<memory id="(\w+)"', recalled)
        if kind == "Correction" and known:
            return call("manage_memory", action="update", id=known[1], content=fact)
        if kind in ("Remember", "Correction"):
            return call("manage_memory", content=fact)
        command = re.search("`(.+)`", recalled)
        return call("run", command=command[1] if command else "pytest")


def call(name: str, **arguments: Any) -> AIMessage:
    """Return a message that calls a tool."""
    return AIMessage("", tool_calls=[{"name": name, "args": arguments, "id": "1"}])


def converse(agent: Any, text: str) -> None:
    """Say something to the agent in a new conversation. Print it, the calls of tools, and the answer."""
    print(f"User: {text}")
    for message in agent.invoke({"messages": [HumanMessage(text)]})["messages"][1:]:
        for made in getattr(message, "tool_calls", ()):
            print(f"   {made['name']}: {made['args'].get('content') or made['args'].get('command')}")
    print(f"   -> {re.sub('[0-9A-Z]{26}', 'ID', message.text)}")


def main() -> None:
    with tempfile.TemporaryDirectory() as folder, memcrdt.open(folder) as memory:
        model = os.environ.get("MEMCRDT_EXAMPLE_MODEL") or StandIn()
        middleware = MemcrdtMiddleware(memory, project="acme", agent="coder")
        agent = create_agent(model, tools=[run], middleware=[middleware])
        for text in CONVERSATIONS:
            converse(agent, text)
        print("What was known, oldest first:")
        for record in memory.iterate(scope="project/acme"):
            for revision in memory.history(record.id):
                print(f"   {revision.text}")


if __name__ == "__main__":
    main()
