"""AsyncMemory: the same methods as Memory, awaitable."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

import memcrdt
from memcrdt.errors import InputError, NotFoundError, StoreError
from memcrdt.memory.async_memory import AsyncMemory
from memcrdt.memory.async_parts import AsyncScopedMemory, AsyncSpace
from memcrdt.memory.memory import Memory
from memcrdt.memory.scoped import ScopedMemory
from memcrdt.memory.spaces import Space
from memcrdt.model.records import Change
from memcrdt.store import reads
from memcrdt.store.store import Store

WAIT_S = 20.0


@pytest.mark.parametrize(
    ("sync", "threaded"), [(Memory, AsyncMemory), (ScopedMemory, AsyncScopedMemory), (Space, AsyncSpace)]
)
def test_every_public_method_is_there(sync: type, threaded: type) -> None:
    """Their parameters and docstrings are the same."""
    names = {name for name, _ in inspect.getmembers(sync, inspect.isfunction) if not name.startswith("_")}
    assert names
    for name in names:
        method = getattr(threaded, name)
        if name not in ("close", "changes", "subscribe", "iterate", "scoped", "space"):
            assert method.__wrapped__ is getattr(sync, name)
            assert inspect.iscoroutinefunction(method)


async def test_the_words_of_the_readme(tmp_path: Path) -> None:
    """Opening, using and closing are awaited."""
    async with memcrdt.open_async(tmp_path, embedder=None) as memory:
        added = await memory.add("Deploys go out on Tuesdays", scope="project/acme")
        assert [hit.memory.id for hit in await memory.search("deploys")] == [added]
        assert (await memory.update(added, text="Deploys go out on Wednesdays")).id == added
        assert len(await memory.history(added)) == 2
        acme = memory.scoped(project="acme")
        assert [record.id for record in await acme.list()] == [added]
        team = memory.space("team")
        assert await team.create() is team
        assert [each.device for each in await team.members()] == [memory.memory.store.device]
        assert (await memory.forget(added)).count == 1
    with pytest.raises(StoreError):
        memory.memory.add("after the end")


async def test_errors_are_the_same(memory: Memory) -> None:
    """The await raises them."""
    threaded = AsyncMemory(memory)
    with pytest.raises(InputError):
        await threaded.add("")
    with pytest.raises(NotFoundError):
        await threaded.get("01JD8Z6Q4M0000000000000001")
    await threaded.close()


async def test_iterate_checks_its_arguments_at_the_call(memory: Memory) -> None:
    """Not only when the loop begins."""
    async with AsyncMemory(memory) as threaded:
        for each in (threaded, threaded.scoped(project="acme")):
            for wrong in ({"foo": 1}, {"order": "random"}, {"tags": [5]}):
                with pytest.raises(InputError):
                    each.iterate(**wrong)
        await threaded.add("a", tags=["b"])
        assert [record.text async for record in threaded.iterate(tags=iter(["b"]))] == ["a"]


async def test_many_calls_at_once(memory: Memory) -> None:
    """More calls than threads."""
    async with AsyncMemory(memory) as threaded:
        ids = await asyncio.gather(*(threaded.add(f"text {n}") for n in range(60)))
        found = await asyncio.gather(*(threaded.get(memory_id) for memory_id in ids))
    assert [record.text for record in found] == [f"text {n}" for n in range(60)]


async def test_the_loop_goes_on_while_a_call_waits_for_the_lock(memory: Memory) -> None:
    """Another thread holds the write lock here."""
    async with AsyncMemory(memory) as threaded:
        with memory.store.writing():
            waiting = asyncio.create_task(asyncio.wait_for(threaded.add("a"), WAIT_S))
            for _ in range(100):
                await asyncio.sleep(0)
            assert not waiting.done()
        assert (await threaded.get(await waiting)).text == "a"


async def test_a_cancelled_call_is_done_or_not_done(open_memory: Callable[..., Memory]) -> None:
    """A call that has started is finished, a call that has not started is dropped. Later calls work as before."""
    memory = open_memory()
    async with AsyncMemory(memory) as threaded:
        with memory.store.writing():
            begun = [asyncio.create_task(threaded.add_many(["one", "two"])) for _ in range(8)]
            queued = asyncio.create_task(threaded.add("never"))
            for _ in range(20):
                await asyncio.sleep(0)
            for task in (*begun, queued):
                task.cancel()
            results = await asyncio.gather(*begun, queued, return_exceptions=True)
            assert all(isinstance(result, asyncio.CancelledError) for result in results)
        await threaded.add("after")
    texts = [record.text for record in open_memory().list()]
    assert "after" in texts
    assert "never" not in texts
    assert texts.count("one") == texts.count("two") == 8


async def test_cancelled_lists_give_their_turns_back(memory: Memory) -> None:
    """Long pages take turns. Lists that wait are cancelled, and the memory closes after them."""
    memory.add_many(f"text {n}" for n in range(50))
    threaded = AsyncMemory(memory)
    with reads.page_turn(1_000), reads.page_turn(1_000):
        waiting = [asyncio.create_task(threaded.list(limit=1_000)) for _ in range(12)]
        await asyncio.sleep(0)
        for task in waiting:
            task.cancel()
        assert all(isinstance(each, asyncio.CancelledError) for each in await gathered(waiting))
    lists = await asyncio.wait_for(gathered(threaded.list(limit=1_000) for _ in range(12)), WAIT_S)
    assert [len(each) for each in lists] == [50] * 12
    last = [asyncio.create_task(threaded.list(limit=1_000)) for _ in range(8)]
    await asyncio.sleep(0)
    await asyncio.wait_for(threaded.close(), WAIT_S)
    assert [len(each) for each in await gathered(last)] == [50] * 8


async def test_an_opening_is_awaited_or_entered(tmp_path: Path) -> None:
    """After `await`, the caller closes the memory. `async with` closes it at the end of the block."""
    memory = await memcrdt.open_async(tmp_path, embedder=None)
    memory_id = await memory.add("kept")
    await memory.close()
    async with memcrdt.open_async(tmp_path, embedder=None) as again:
        assert (await again.get(memory_id)).text == "kept"
    with pytest.raises(StoreError, match="closed"):
        await again.get(memory_id)
    with pytest.raises(InputError, match="read_only"):
        await memcrdt.open_async(tmp_path, read_only=5)  # type: ignore[arg-type]


async def test_an_opening_that_is_cancelled_leaves_nothing_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise the threads, the network and the file would stay open until the process ends."""
    opening, go_on, closed = threading.Event(), threading.Event(), threading.Event()
    begin, close = Store._begin, Memory.close

    def slowly(store: Store) -> Any:
        opening.set()
        assert go_on.wait(WAIT_S)
        return begin(store)

    def noted(memory: Memory) -> None:
        close(memory)
        closed.set()

    monkeypatch.setattr(Store, "_begin", slowly)
    monkeypatch.setattr(Memory, "close", noted)
    task = asyncio.create_task(memcrdt.open_async(tmp_path, embedder=None).__aenter__())
    assert await asyncio.to_thread(opening.wait, WAIT_S)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    go_on.set()
    assert await asyncio.to_thread(closed.wait, WAIT_S)


async def test_a_subscription_that_nobody_waits_for_ends(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise it would collect changes until the memory is closed."""
    begun, go_on, ended = threading.Event(), threading.Event(), threading.Event()
    subscribe = memory.changes

    def slowly() -> Any:
        begun.set()
        assert go_on.wait(WAIT_S)
        subscription = subscribe()
        subscription.on_change(ended.set)
        return subscription

    monkeypatch.setattr(memory, "changes", slowly)
    async with AsyncMemory(memory) as threaded:
        task = asyncio.create_task(threaded.changes())
        assert await asyncio.to_thread(begun.wait, WAIT_S)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        go_on.set()
        assert await asyncio.to_thread(ended.wait, WAIT_S)


async def test_closing_waits_for_what_is_under_way(memory: Memory) -> None:
    """Even if the task that closes is cancelled."""
    threaded = AsyncMemory(memory)
    with memory.store.writing():
        adding = asyncio.create_task(threaded.add("a"))
        await asyncio.sleep(0)
        closing = asyncio.create_task(threaded.close())
        await asyncio.sleep(0)
        closing.cancel()
    assert await adding
    await threaded.close()
    with pytest.raises(StoreError):
        memory.add("b")
    with pytest.raises(StoreError, match="closed"):
        await threaded.add("b")


async def test_changes_are_an_async_iterator(memory: Memory) -> None:
    """It yields local changes until it is closed."""
    async with AsyncMemory(memory) as threaded, await threaded.changes() as changes:
        ids = [await threaded.add(text) for text in ("a", "b")]
        told = [await asyncio.wait_for(anext(changes), WAIT_S) for _ in range(2)]
        assert [(change.kind, change.id) for change in told] == [("added", memory_id) for memory_id in ids]
        rest = asyncio.create_task(_all(changes))
        await asyncio.sleep(0)
        await changes.close()
        assert await asyncio.wait_for(rest, WAIT_S) == []


async def test_a_cancelled_wait_loses_no_change(memory: Memory) -> None:
    """The next call gets the change."""
    async with AsyncMemory(memory) as threaded, await threaded.changes() as changes:
        waiting = asyncio.create_task(_one(changes))
        await asyncio.sleep(0)
        waiting.cancel()
        added = await threaded.add("a")
        assert (await asyncio.wait_for(anext(changes), WAIT_S)).id == added


async def test_callbacks_run_in_the_loop(memory: Memory) -> None:
    """Functions and coroutine functions. An exception does not end the subscription, closing does."""
    heard: asyncio.Queue[tuple[str, bool]] = asyncio.Queue()

    def plain(change: Change) -> None:
        heard.put_nowait((change.id, threading.current_thread() is threading.main_thread()))
        raise ValueError("a mistake in the callback")

    async def slow(change: Change) -> None:
        await asyncio.sleep(0)
        heard.put_nowait((change.id, True))

    async with AsyncMemory(memory) as threaded:
        callbacks: list[Any] = [plain, slow]
        for callback in callbacks:
            async with await threaded.subscribe(callback):
                ids = [await threaded.add(text) for text in ("a", "b")]
                assert [await asyncio.wait_for(heard.get(), WAIT_S) for _ in ids] == [(i, True) for i in ids]
            await threaded.add("after the end")
            assert heard.empty()


async def gathered(calls: Iterable[Awaitable[Any]]) -> list[Any]:
    return await asyncio.gather(*calls, return_exceptions=True)


async def _all(changes: Any) -> list[Change]:
    return [change async for change in changes]


async def _one(changes: Any) -> Any:
    return await anext(changes)
