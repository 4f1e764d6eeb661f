"""Verbs for several memories at once: get_many, count, iterate and forget with a list of ids."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import memcrdt
from memcrdt.errors import InputError, NotFoundError
from memcrdt.memory.memory import Memory
from memcrdt.store import listing
from memcrdt.testing.memories import exchange

UNKNOWN = "01JD8Z6Q4M0000000000000001"
OpenMemory = Callable[..., Memory]


@pytest.fixture(name="ids")
def _ids(memory: Memory) -> list[str]:
    """Five memories: "fact 0" to "fact 4", the even ones of the project acme."""
    return memory.add_many([{"text": f"fact {n}", "scope": ("project/acme", "global")[n % 2]} for n in range(5)])


def test_get_many_keeps_the_order_of_the_ids(memory: Memory, ids: list[str]) -> None:
    """An id that is unknown or forgotten is left out, a repeated one counts once, and case is as for get()."""
    memory.forget(ids[1])
    wanted = [ids[4], UNKNOWN, ids[0].lower(), ids[1], ids[2], ids[0]]
    assert [record.id for record in memory.get_many(wanted)] == [ids[4], ids[0], ids[2]]
    assert memory.get_many(wanted)[0] == memory.get(ids[4])
    assert memory.get_many(()) == []
    assert memory.get_many(memory_id for memory_id in ids[:1]) == [memory.get(ids[0])]


@pytest.mark.parametrize("wrong", ["01JD8Z6Q4M0000000000000001", 5, None, ["nonsense"], [5], {"id": 1}])
def test_get_many_takes_a_list_of_ids(memory: Memory, wrong: Any) -> None:
    """Nothing else, and one id is no list."""
    with pytest.raises(InputError):
        memory.get_many(wrong)


def test_get_many_gives_one_memory_for_an_id_in_two_spaces(open_memory: OpenMemory) -> None:
    """The same as get() gives."""
    memory = open_memory()
    memory.space("acme").create()
    added = memory.add("a text")
    memory.import_(_line(memory, added), space="acme")
    assert memory.count() == 2
    assert memory.get_many([added]) == [memory.get(added)]


def _line(memory: Memory, memory_id: str) -> Path:
    path = memory.home / "one.jsonl"
    memory.export(path, contains=memory.get(memory_id).text)
    return path


def test_count_is_the_length_of_the_list(memory: Memory, ids: list[str]) -> None:
    """Under every filter; what is hidden counts only when it is included."""
    memory.update(ids[0], superseded_by=ids[2])
    filters: list[memcrdt.Filters] = [{}, {"scope": "project/acme"}, {"include": "superseded"}, {"contains": "fact 3"}]
    for each in filters:
        assert memory.count(**each) == len(memory.list(**each))
    assert memory.count() == 4
    with pytest.raises(InputError, match="no filter 'tag'"):
        memory.count(tag="a")  # type: ignore[call-arg]
    with pytest.raises(NotFoundError):
        memory.count(space="elsewhere")


def test_iterate_gives_all_over_many_pages(memory: Memory, ids: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """In the order that is asked for, each once, with filters whose values can be read only once."""
    monkeypatch.setattr(listing, "PAGE", 2)
    assert [record.id for record in memory.iterate()] == ids[::-1]
    assert [record.id for record in memory.iterate(order="oldest")] == ids
    scopes = (scope for scope in ["project/acme"])
    assert [record.id for record in memory.iterate(order="oldest", scope=scopes)] == ids[::2]


def test_iterate_holds_nothing_between_pages(memory: Memory, ids: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """What is written meanwhile shows in the pages behind, and a half-read one hinders nobody."""
    monkeypatch.setattr(listing, "PAGE", 2)
    records = memory.iterate(order="oldest")
    assert next(records).id == ids[0]
    memory.forget(ids[3])
    added = memory.add("fact 5")
    assert memory.compact()
    assert [record.id for record in records] == [ids[1], ids[2], ids[4], added]


@pytest.mark.parametrize("asked", [{"order": "oldst"}, {"order": None}, {"order": ["newest"]}, {"tag": "a"}])
def test_iterate_refuses_what_list_refuses(memory: Memory, asked: dict[str, Any]) -> None:
    """At once, not when the first memory is read."""
    with pytest.raises(InputError):
        memory.iterate(**asked)


def test_forget_takes_several_ids(memory: Memory, ids: list[str]) -> None:
    """What was forgotten before doesn't count again."""
    memory.forget(ids[0])
    assert memory.forget(ids[:3], dry_run=True).count == 2
    assert memory.count() == 4
    assert memory.forget(memory_id for memory_id in ids[:3]).count == 2
    assert [record.id for record in memory.list(order="oldest")] == ids[3:]
    assert memory.forget([]).count == 0
    assert memory.count() == 2


def test_forget_forgets_all_or_none(memory: Memory, ids: list[str]) -> None:
    """An id that never was is found before anything is touched."""
    with pytest.raises(NotFoundError):
        memory.forget([*ids, UNKNOWN])
    with pytest.raises(InputError, match="not both"):
        memory.forget(ids, kind="fact")
    with pytest.raises(InputError):
        memory.forget(5)  # type: ignore[arg-type]
    assert memory.count() == 5


def test_forget_says_which_devices_have_confirmed_all_of_them(open_memory: OpenMemory) -> None:
    """As for one id."""
    one, other = open_memory("A"), open_memory("B")
    exchange(one, other)
    ids = one.add_many(["a", "b"])
    exchange(one, other)
    assert one.forget(ids).count == 2
    exchange(one, other)
    assert other.count() == 0
    assert one.forget(ids).count == 0


def test_a_scoped_memory_counts_and_iterates_what_it_sees(memory: Memory, ids: list[str]) -> None:
    """Its own scopes and what is global; ids reach any scope."""
    other = memory.add("of another project", scope="project/other")
    acme = memory.scoped(project="acme")
    assert acme.count() == 5
    assert acme.count(category="project") == 3
    assert [record.id for record in acme.iterate(order="oldest")] == ids
    assert [record.id for record in acme.get_many([other])] == [other]
    assert acme.forget([other, ids[0]]).count == 2
    with pytest.raises(InputError, match="settled by scoped"):
        acme.count(scope="global")  # type: ignore[call-arg]


async def test_they_are_awaitable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """iterate() is an async iterator, which reads in threads."""
    monkeypatch.setattr("memcrdt.memory.async_memory.PAGE", 2)
    async with memcrdt.open_async(tmp_path, embedder=None) as memory:
        ids = await memory.add_many(["a", "b", "c"])
        assert [record.id async for record in memory.iterate(order="oldest")] == ids
        scoped = memory.scoped(project="acme")
        assert [record.id async for record in scoped.iterate()] == ids[::-1]
        assert await memory.count() == await scoped.count() == 3
        assert [record.id for record in await memory.get_many(ids)] == ids
        with pytest.raises(InputError):
            _ = [record async for record in memory.iterate(tag="a")]  # type: ignore[call-arg]
        assert (await memory.forget(ids)).count == 3
