"""The agents of two colleagues share the space of their team, and nothing that is personal.

    pip install 'memcrdt[langchain]'
    python examples/langchain_team.py

Both machines are simulated by this process. The model, or the class that stands in for one, is that of
langchain_agent.py. The example leaves no files behind.
"""

from __future__ import annotations

import asyncio
import logging
import os
import tempfile
from pathlib import Path
from typing import Any

from langchain.agents import create_agent
from langchain_agent import StandIn, converse, run
from two_machines import meet

import memcrdt
from memcrdt import Memory
from memcrdt.frameworks.langchain import MemcrdtMiddleware


def make_agent(memory: Memory, name: str) -> Any:
    """Return an agent that sees and writes the memories of the team alone."""
    model = os.environ.get("MEMCRDT_EXAMPLE_MODEL") or StandIn()
    middleware = MemcrdtMiddleware(memory, project="acme", agent=name, space="team")
    return create_agent(model, tools=[run], middleware=[middleware])


async def say(memory: Memory, name: str, text: str) -> None:
    """Say something to the agent of a colleague."""
    await asyncio.to_thread(converse, make_agent(memory, name), text)


def texts(memory: Memory) -> list[str]:
    """Return what the team knows on a machine."""
    return sorted(record.text for record in memory.list(space="team"))


async def main() -> None:
    logging.getLogger("memcrdt").setLevel(logging.ERROR)  # each meeting uses new ports
    with (
        tempfile.TemporaryDirectory() as folder,
        memcrdt.open(Path(folder) / "ada") as ada,
        memcrdt.open(Path(folder) / "ben") as ben,
    ):
        # Both sides share the space of the team. On real machines: `memcrdt pair --space team`.
        for memory, other in ((ada, ben), (ben, ada)):
            memory.space("team").create()
            memory.accept(other.device, spaces="team")

        ada.add("Run the tests of this project with `make private`", scope="project/acme")
        await say(ada, "ada", "Remember: the tests of this project run with `make test`.")
        await meet(ada, ben, lambda: texts(ada) == texts(ben))
        await say(ben, "ben", "Run the tests of this project.")

        await say(ben, "ben", "Correction: the tests of this project run with `make check`.")
        await meet(ada, ben, lambda: texts(ada) == texts(ben))
        await say(ada, "ada", "Run the tests of this project.")
        print(f"Ben has {ben.count()} memory; Ada has {ada.count()}, of which one is personal.")


if __name__ == "__main__":
    asyncio.run(main())
