"""Correct uses of the public interface that type checkers must accept. The module is never run."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, assert_type

import memcrdt


def opened() -> None:
    with memcrdt.open() as memory:
        assert_type(memory, memcrdt.Memory)
    memory = memcrdt.open("home", embedder=None, device_name="laptop", read_only=True)
    memory.close()
    memcrdt.open(embedder=lambda texts: [[1.0, 0.0] for _ in texts])


def written(memory: memcrdt.Memory, now: datetime) -> None:
    assert_type(memory.add("text", tags=["a"], metadata={"n": [1, {"m": None}]}, importance=1), str)
    memory.add("text", created_at=now, expires_at="2027-01-01T00:00:00Z", scope="project/acme")
    assert_type(memory.add_many(["text", {"text": "another", "pinned": True}], kind="fact"), list[str])
    record = memory.update("id", text="new", add_tags=("b",), metadata={"gone": None}, expires_at=None)
    assert_type(record, memcrdt.MemoryRecord)
    assert_type(memory.update("id", tags=["a"], ttl=timedelta(days=1)), memcrdt.MemoryRecord)
    assert_type(memory.update_many([{"id": "id", "text": "new"}], author="bot"), list[memcrdt.MemoryRecord])
    memory.add_many(["text"], ttl=60)
    assert_type(memory.forget("id"), memcrdt.Forgotten)
    assert_type(memory.forget(["id", "another"]), memcrdt.Forgotten)
    memory.forget(kind=["fact", "note"], before=now - timedelta(days=1), dry_run=True)


def found(memory: memcrdt.Memory, now: datetime, names: Sequence[str]) -> None:
    hits = memory.search(
        "query",
        limit=5,
        min_score=0.5,
        recency=1,
        space=names,
        scope="project/acme",
        ancestors=True,
        category=["project", "global"],
        kind="fact",
        tags=["a", "b"],
        all_tags={"a"},
        not_tags=("b",),
        after=now,
        before="2027-01-01T00:00:00Z",
        updated_after=now,
        updated_before=now,
        metadata={"n": 1, "m": [1, 2], "range": (1, None), "compared": {"$gte": 1}},
        contains="text",
        pinned=False,
        author=None,
        device="YXRKM",
        source="file",
        include=["expired", "superseded"],
        as_of=now,
    )
    assert_type(hits, list[memcrdt.Hit])
    for hit in hits:
        assert_type(hit.memory.metadata["n"], Any)
        assert_type(hit.marks, tuple[tuple[int, int], ...])
        assert_type(hit.to_dict(), dict[str, Any])
    memory.add("text", vector=[1.0, 0.0])
    assert_type(memory.similar(vector=(1, 0), limit=3), list[memcrdt.Hit])
    assert_type(memory.similar("id", tags="a"), list[memcrdt.Hit])
    page = memory.list(order="updated", limit=3, cursor=None, include="expired")
    assert_type(page, memcrdt.Page)
    assert_type([record.text for record in page], list[str])
    assert_type(memory.export("file.jsonl", scope="global"), int)
    assert_type(memory.get_many(("id", "another")), list[memcrdt.MemoryRecord])
    assert_type(memory.count(kind="fact"), int)
    assert_type(next(memory.iterate(order="oldest", kind="fact")), memcrdt.MemoryRecord)
    assert_type(memcrdt.to_prompt([*hits, *page], max_chars=1_000), str)
    filters: memcrdt.Filters = {"tags": ["a"], "pinned": True}
    order: memcrdt.Order = "newest"
    memory.list(order=order, **filters)
    assert_type(memcrdt.MemoryRecord.from_dict({}), memcrdt.MemoryRecord)


def followed(memory: memcrdt.Memory) -> None:
    with memory.changes(scope=["global"]) as changes:
        for change in changes:
            assert_type(change, memcrdt.Change)
            assert_type(change.kind == "missed", bool)
    assert_type(memory.subscribe(lambda change: print(change.id), kind="fact"), memcrdt.Subscription)


def scoped(memory: memcrdt.Memory) -> None:
    acme = memory.scoped(project="acme", conversation="standup")
    assert_type(acme, memcrdt.ScopedMemory)
    assert_type(acme.add("text", importance=0.5, tags=["a"]), str)
    acme.add_many(["text"], author="bot")
    assert_type(acme.search("query", limit=3, tags="a"), list[memcrdt.Hit])
    assert_type(acme.list(order="oldest", pinned=True), memcrdt.Page)
    acme.update("id", text="new", scope="global")
    acme.forget(kind="note")


async def created(memory: memcrdt.AsyncMemory) -> None:
    assert_type(await memory.space("acme").create(), memcrdt.AsyncSpace)


async def awaited() -> None:
    async with memcrdt.open_async("home", sync=True) as memory:
        assert_type(memory, memcrdt.AsyncMemory)
        assert_type(await memory.add("text", tags=["a"]), str)
        assert_type(await memory.search("query", limit=3, tags="a"), list[memcrdt.Hit])
        assert_type(await memory.list(order="newest", kind="fact"), memcrdt.Page)
        async with await memory.changes(scope="global") as changes:
            async for change in changes:
                assert_type(change, memcrdt.Change)
        async for record in memory.iterate(kind="fact"):
            assert_type(record, memcrdt.MemoryRecord)
        acme = memory.scoped(project="acme")
        assert_type(acme.scope, str)
        assert_type(await acme.add("text", importance=1), str)
        assert_type(await acme.search("query", kind="fact"), list[memcrdt.Hit])
    memory = await memcrdt.open_async(embedder=None)
    assert_type(memory, memcrdt.AsyncMemory)
