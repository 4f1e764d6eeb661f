"""Damaged rows on one device, over real sockets."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import memcrdt
from memcrdt.node.node import Node

Eventually = Callable[[Callable[[], object]], Awaitable[None]]


async def test_sync_continues_and_repairs_a_damaged_shard(tmp_path: Path, eventually: Eventually) -> None:
    """Writes on both sides arrive, the lost row is restored, and the status tells what happened."""
    async with AsyncExitStack() as stack:
        here, there = (stack.enter_context(memcrdt.open(tmp_path / name, embedder=None)) for name in ("A", "B"))
        here.accept(there.store.device)
        there.accept(here.store.device)
        first = await stack.enter_async_context(Node(here, host="127.0.0.1", port=0))
        second = await stack.enter_async_context(Node(there, host="127.0.0.1", port=0))
        ids = [here.add(f"memory {number}") for number in range(3)]
        await second.connect(first.addresses[0])
        await eventually(lambda: len(there.list()) == 3)
        with here.store.writing() as db:
            db.execute(
                "UPDATE updates SET bytes = zeroblob(length(bytes)) WHERE seq = 2; UPDATE shards SET digest = NULL"
            )
        with here.store.documents() as (_, documents):
            documents.clear()
        there.update(ids[1], text="edited there")
        here.add("from here")
        await eventually(lambda: {memory.text for memory in here.list()} == {memory.text for memory in there.list()})
        await eventually(lambda: here.space("personal").digest() == there.space("personal").digest())
        assert {memory.text for memory in here.list()} == {"memory 0", "edited there", "memory 2", "from here"}
        assert ["damaged" in alarm.text for alarm in here.status().alarms] == [True]
        assert here.doctor().problems == ()
