"""Uses of the public interface that type checkers must refuse: the lines that end in `# refused`, and no others.

The module is never run.
"""

from __future__ import annotations

import memcrdt


def filters(memory: memcrdt.Memory) -> None:
    memory.search("query", tag="a")  # refused
    memory.search("query", tags=42)  # refused
    memory.search("query", category="team")  # refused
    memory.search("query", include=["forgotten"])  # refused
    memory.search("query", after=5)  # refused
    memory.search("query", metadata=["n"])  # refused
    memory.search("query", 5)  # refused
    memory.search("query", limit="5")  # refused
    memory.list(order="oldst")  # refused
    memory.list(pinned="yes")  # refused
    memory.count(tag="a")  # refused
    memory.iterate(order="oldst")  # refused
    memory.similar("id", scop="global")  # refused
    memory.forget(kinds="note")  # refused
    memory.export("file.jsonl", tag="a")  # refused
    memory.changes(tag="a")  # refused
    memory.subscribe(lambda change: None, tag="a")  # refused
    asked: memcrdt.Filters = {"tag": "a"}  # refused
    memory.list(**asked)


def arguments(memory: memcrdt.Memory) -> None:
    memory.add("text", importnace=1)  # refused
    memory.add("text", tags=5)  # refused
    memory.add_many(["text"], importnace=1)  # refused
    memory.import_("file.jsonl", importnace=1)  # refused
    memory.update("id", tag=["a"])  # refused
    memory.update("id", pinned=None)  # refused
    memory.update("id", tags=None)  # refused
    memory.update_many([{"id": "id"}], importnace=1)  # refused
    memory.update_many(["id"])  # refused
    memory.add("text", ttl="5")  # refused
    memory.add("text", vector=5)  # refused
    memory.search("query", vector=["1"])  # refused
    memcrdt.open("home", embeder=None)  # refused


def scoped(memory: memcrdt.Memory) -> None:
    acme = memory.scoped(project="acme")
    acme.add("text", importnace=1)  # refused
    acme.add("text", scope="global")  # refused
    acme.add_many(["text"], importnace=1)  # refused
    acme.search("query", tag="a")  # refused
    acme.search("query", scope="global")  # refused
    acme.list(order="oldst")  # refused
    acme.update("id", importnace=1)  # refused
    acme.forget(kinds="note")  # refused


async def awaited() -> None:
    async with memcrdt.open_async("home", read_onli=True) as memory:  # refused
        pass
    async with memcrdt.open_async("home") as memory:
        await memory.search("query", tag="a")  # refused
        await memory.search("query", tags=42)  # refused
        await memory.list(order="oldst")  # refused
        await memory.add("text", importnace=1)  # refused
        await memory.changes(tag="a")  # refused
        memory.iterate(tag="a")  # refused
        acme = memory.scoped(project="acme")
        await acme.add("text", importnace=1)  # refused
        await acme.search("query", tag="a")  # refused


def changed(record: memcrdt.MemoryRecord) -> None:
    record.text = "another"  # refused
