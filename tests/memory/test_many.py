"""Methods for several memories: get_many, update_many, count, iterate, and forget with several ids."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

import memcrdt
from memcrdt.errors import InputError, NotFoundError, SecretError, StaleRevisionError, StoreError
from memcrdt.memory.memory import Memory
from memcrdt.model import limits
from memcrdt.store import listing
from memcrdt.testing.memories import Clock, exchange

UNENDING = datetime.max.replace(tzinfo=UTC)
UNKNOWN = "01JD8Z6Q4M0000000000000001"
OpenMemory = Callable[..., Memory]


@pytest.fixture(name="ids")
def _ids(memory: Memory) -> list[str]:
    """Add five memories, "fact 0" to "fact 4". The even ones are in the project acme."""
    return memory.add_many([{"text": f"fact {n}", "scope": ("project/acme", "global")[n % 2]} for n in range(5)])


def test_get_many_keeps_the_order_of_the_ids(memory: Memory, ids: list[str]) -> None:
    """Unknown and forgotten ids are left out, a repeated id counts once, and case is ignored as in get()."""
    memory.forget(ids[1])
    wanted = [ids[4], UNKNOWN, ids[0].lower(), ids[1], ids[2], ids[0]]
    assert [record.id for record in memory.get_many(wanted)] == [ids[4], ids[0], ids[2]]
    assert memory.get_many(wanted)[0] == memory.get(ids[4])
    assert memory.get_many(()) == []
    assert memory.get_many(memory_id for memory_id in ids[:1]) == [memory.get(ids[0])]


@pytest.mark.parametrize("wrong", ["01JD8Z6Q4M0000000000000001", 5, None, ["nonsense"], [5], {"id": 1}])
def test_get_many_takes_a_list_of_ids(memory: Memory, wrong: Any) -> None:
    """A single id is refused."""
    with pytest.raises(InputError):
        memory.get_many(wrong)


@pytest.mark.parametrize("wrong", [None, 5, b"id", ["id"]], ids=str)
def test_a_value_that_is_no_text_is_no_id(memory: Memory, wrong: Any) -> None:
    """The message has the type of the value, and so for a change without an id."""
    for call in (memory.get, memory.history, memory.update, memory.conflicts, memory.related):
        with pytest.raises(InputError, match=r"the id is (None|an? int|a bytes|a list); give"):
            call(wrong)
    with pytest.raises(InputError, match="item 0 of 1: the id is missing"):
        memory.update_many([{"add_tags": ["a"]}])


def test_get_many_gives_one_memory_for_an_id_in_two_spaces(open_memory: OpenMemory) -> None:
    """It is the memory that get() returns."""
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


def test_update_many_changes_all_in_order(memory: Memory, ids: list[str]) -> None:
    """Items override the defaults. A later item for the same memory applies after an earlier one."""
    items = [
        {"id": ids[2], "add_tags": ["a"]},
        {"id": ids[0].lower(), "text": "new", "importance": 0.5},
        {"id": ids[2], "add_tags": ["b"], "importance": None},
    ]
    found = memory.update_many(items, importance=1, author="planner")
    assert [record.id for record in found] == [ids[2], ids[0], ids[2]]
    assert found == [memory.get(ids[2]), memory.get(ids[0]), memory.get(ids[2])]
    assert (found[0].tags, found[0].importance) == (("a", "b"), None)
    assert (found[1].text, found[1].importance) == ("new", 0.5)
    assert memory.history(ids[0])[-1].by == "planner"
    assert memory.update_many([]) == []


@pytest.mark.parametrize(
    ("item", "error", "named"),
    [
        ({"id": UNKNOWN, "text": "b"}, NotFoundError, UNKNOWN),
        ({"text": "b"}, InputError, "item 1 of 2"),
        ({"id": "nonsense"}, InputError, "item 1 of 2"),
        ({"id": UNKNOWN, "importnace": 1}, InputError, "item 1 of 2: update has no argument 'importnace'"),
        ({"id": UNKNOWN, "tags": ["a"], "add_tags": ["b"]}, InputError, "item 1 of 2: tags replaces all"),
        ({"id": UNKNOWN, "expires_at": "2001-01-01T00:00:00Z"}, InputError, "not in the future"),
        ("a text", InputError, "item 1 of 2"),
    ],
)
def test_update_many_changes_all_or_none(memory: Memory, ids: list[str], item: Any, error: Any, named: str) -> None:
    """One invalid item leaves all memories unchanged."""
    with pytest.raises(error, match=named):
        memory.update_many([{"id": ids[0], "text": "changed"}, item])
    assert memory.get(ids[0]).text == "fact 0"


def test_rename_keys_renames_all_in_one_commit(memory: Memory, ids: list[str]) -> None:
    """Their attributes go with them, and none of the old memories is left."""
    memory.update(ids[0], tags=["a"], pinned=True)
    commits: list[object] = []
    memory.store.subscribe(commits.append)
    made = memory.rename_keys(({"id": each, "key": f"fact/{n}"} for n, each in enumerate(ids)), author="planner")
    assert len(commits) == 1
    assert [memory.get(each).text for each in made] == [f"fact {n}" for n in range(len(ids))]
    assert (memory.get(made[0]).tags, memory.get(made[0]).pinned, memory.get(made[0]).author) == (
        ("a",),
        True,
        "planner",
    )
    assert memory.get_by_key("fact/1").id == made[1]
    assert memory.get_many(ids) == []
    assert memory.rename_keys([]) == []


@pytest.mark.parametrize(
    ("item", "error", "named"),
    [
        ({"id": UNKNOWN, "key": "b"}, NotFoundError, UNKNOWN),
        ({"id": 0, "key": "a"}, StaleRevisionError, "a"),
        ({"id": 1, "key": "b", "expected": UNKNOWN}, StaleRevisionError, "changed"),
        ({"id": 1}, InputError, "item 1 of 2: the new key"),
        ({"key": "b"}, InputError, "item 1 of 2: an item is"),
        ({"id": 2, "key": "b"}, InputError, "item 1 of 2: the memory .* is in two items"),
        ({"id": 1, "key": "b", "metadata": ["c"]}, InputError, "item 1 of 2: the metadata is a list"),
        ({"id": 1, "key": "b", "tags": []}, InputError, "item 1 of 2: rename_key has no argument 'tags'"),
        ({"id": 1, "key": "b", "text": "key AKIA" + "Z7Q2M4X3K3T6W5RA"}, SecretError, "item 1 of 2"),
        ("a text", InputError, "item 1 of 2"),
    ],
)
def test_rename_keys_renames_all_or_none(memory: Memory, ids: list[str], item: Any, error: Any, named: str) -> None:
    """One invalid item leaves all memories under their ids."""
    if isinstance(item, dict) and isinstance(item.get("id"), int):
        item = {**item, "id": ids[item["id"]]}
    with pytest.raises(error, match=named):
        memory.rename_keys([{"id": ids[2], "key": "a"}, item])
    assert [record.id for record in memory.get_many(ids)] == ids


def test_many_keys_are_renamed_in_several_transactions(memory: Memory, commits: list[int]) -> None:
    """A failure says how many are renamed."""
    ids = memory.add_many(f"page {n}" for n in range(7))
    memory.add("taken", key="6")
    commits.clear()
    with pytest.raises(StaleRevisionError, match="the first 6 of 7 memories are renamed"):
        memory.rename_keys({"id": each, "key": str(n)} for n, each in enumerate(ids))
    assert len(commits) == 2
    assert [memory.get_by_key(str(n)).text for n in range(6)] == [f"page {n}" for n in range(6)]
    assert memory.get(ids[-1]).text == "page 6"


def test_tags_are_replaced(memory: Memory) -> None:
    """By update and update_many. An empty list removes all tags, and tags that stay keep their time."""
    added = memory.add("a", tags=["a", "b"])
    assert memory.update(added, tags=["b", "c"]).tags == ("b", "c")
    assert memory.update(added, text="new").tags == ("b", "c")
    assert memory.update_many([{"id": added, "tags": []}])[0].tags == ()
    with pytest.raises(InputError, match="tags replaces all"):
        memory.update(added, tags=["a"], add_tags=["b"])


def test_replaced_tags_merge_with_those_of_other_devices(open_memory: OpenMemory) -> None:
    """Only known tags are replaced. A tag that another device adds at the same time stays."""
    one, other = open_memory("A"), open_memory("B")
    exchange(one, other)
    added = one.add("a", tags=["old", "kept"])
    exchange(one, other)
    other.update(added, add_tags=["theirs"])
    one.update(added, tags=["kept", "ours"])
    exchange(one, other)
    assert one.get(added).tags == other.get(added).tags == ("kept", "ours", "theirs")


def test_a_time_to_live_hides_when_it_is_over(memory: Memory, clock: Clock) -> None:
    """In add, add_many, update and import, from the time of the call."""
    added = memory.add("a", ttl=60)
    assert clock.time(seconds=59.99) < (memory.get(added).expires_at or UNENDING) < clock.time(seconds=60)
    memory.add_many(["b", {"text": "c", "ttl": timedelta(hours=1)}], ttl=60)
    memory.update(added, ttl=3_600)
    lines = BytesIO(b'{"text": "d", "ttl": 60}\n{"text": "e"}\n')
    assert memory.import_(lines, format="jsonl").added == 2
    clock.advance(seconds=60.001)
    assert {record.text for record in memory.list()} == {"a", "c", "e"}
    clock.advance(hours=1)
    assert {record.text for record in memory.list()} == {"e"}
    with pytest.raises(InputError, match="exclude each other"):
        memory.add("f", ttl=60, expires_at="9999-01-01T00:00:00Z")


def test_count_is_the_length_of_the_list(memory: Memory, ids: list[str]) -> None:
    """With every filter. Hidden memories count only if they are included."""
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
    """In the requested order, each once, with filters whose values can be read only once."""
    monkeypatch.setattr(listing, "PAGE", 2)
    assert [record.id for record in memory.iterate()] == ids[::-1]
    assert [record.id for record in memory.iterate(order="oldest")] == ids
    scopes = (scope for scope in ["project/acme"])
    assert [record.id for record in memory.iterate(order="oldest", scope=scopes)] == ids[::2]


def test_iterate_holds_nothing_between_pages(memory: Memory, ids: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Later pages show changes made during the iteration. A half-read iterator blocks no other call."""
    monkeypatch.setattr(listing, "PAGE", 2)
    records = memory.iterate(order="oldest")
    assert next(records).id == ids[0]
    memory.forget(ids[3])
    added = memory.add("fact 5")
    assert memory.compact()
    assert [record.id for record in records] == [ids[1], ids[2], ids[4], added]


@pytest.mark.parametrize("asked", [{"order": "oldst"}, {"order": None}, {"order": ["newest"]}, {"tag": "a"}])
def test_iterate_refuses_what_list_refuses(memory: Memory, asked: dict[str, Any]) -> None:
    """At the call, not when the first memory is read."""
    with pytest.raises(InputError):
        memory.iterate(**asked)


def test_forget_takes_several_ids(memory: Memory, ids: list[str]) -> None:
    """Memories that were forgotten before do not count again."""
    memory.forget(ids[0])
    assert memory.forget(ids[:3], dry_run=True).count == 2
    assert memory.count() == 4
    assert memory.forget(memory_id for memory_id in ids[:3]).count == 2
    assert [record.id for record in memory.list(order="oldest")] == ids[3:]
    assert memory.forget([]).count == 0
    assert memory.count() == 2


def test_forget_forgets_all_or_none(memory: Memory, ids: list[str]) -> None:
    """An unknown id is found before any memory is forgotten."""
    with pytest.raises(NotFoundError):
        memory.forget([*ids, UNKNOWN])
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
    """It sees its own scopes and `global`. Ids reach any scope."""
    other = memory.add("of another project", scope="project/other")
    acme = memory.scoped(project="acme")
    assert acme.count() == 5
    assert acme.count(category="project") == 3
    assert [record.id for record in acme.iterate(order="oldest")] == ids
    assert [record.id for record in acme.get_many([other])] == [other]
    assert acme.forget([other, ids[0]]).count == 2
    with pytest.raises(InputError, match=r"scoped\(\) sets the scope"):
        acme.count(scope="global")  # type: ignore[call-arg]


async def test_they_are_awaitable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """iterate() is an async iterator that reads in threads."""
    monkeypatch.setattr("memcrdt.memory.threads.BATCH", 2)
    async with memcrdt.open_async(tmp_path, embedder=None) as memory:
        ids = await memory.add_many(["a", "b", "c"])
        assert [record.id async for record in memory.iterate(order="oldest")] == ids
        scoped = memory.scoped(project="acme")
        assert [record.id async for record in scoped.iterate()] == ids[::-1]
        assert await memory.count() == await scoped.count() == 3
        assert [record.id for record in await memory.get_many(ids)] == ids
        with pytest.raises(InputError):
            _ = [record async for record in memory.iterate(tag="a")]  # type: ignore[call-arg]
        assert [record.tags for record in await memory.update_many([{"id": ids[0], "tags": ["a"]}])] == [("a",)]
        assert (await memory.forget(ids)).count == 3


@pytest.fixture(name="commits")
def _commits(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Make transactions of up to three memories, and return the number of changes of each."""
    monkeypatch.setattr(limits, "TRANSACTION_ITEMS", 3)
    monkeypatch.setattr(limits, "TRANSACTION_CHANGES", 3)
    commits: list[int] = []
    memory.store.subscribe(lambda notice: commits.append(len(notice.changes)))
    return commits


def test_many_are_added_in_several_transactions(memory: Memory, commits: list[int]) -> None:
    """In order, and other writers get their turn in between. A repeated text is known over all of them."""
    ids = memory.add_many([*map(str, range(7)), "0"], dedupe=True)
    assert commits == [3, 3, 1]
    assert [record.text for record in memory.list(order="oldest")] == [str(n) for n in range(7)]
    assert ids == [*sorted(ids[:7]), ids[0]]


def test_long_texts_are_added_in_smaller_transactions(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until the texts of a transaction have reached its size."""
    monkeypatch.setattr(limits, "TRANSACTION_BYTES", 10)
    commits: list[int] = []
    memory.store.subscribe(lambda notice: commits.append(len(notice.changes)))
    memory.add_many(["ééé", "éé", "e" * 20, "e", "e"])
    assert commits == [2, 1, 2]


@pytest.mark.parametrize("bad", [{"id": UNKNOWN}, {"space": "nowhere"}, {"id": UNKNOWN[:-1] + "2"}])
def test_one_bad_item_among_many_and_none_is_added(memory: Memory, commits: list[int], bad: dict[str, Any]) -> None:
    """A taken id, a repeated id and an unknown space are found before the first transaction."""
    memory.add("there", id=UNKNOWN)
    commits.clear()
    with pytest.raises((InputError, NotFoundError)):
        memory.add_many([{"text": "a", "id": UNKNOWN[:-1] + "2"}, *"bcdef", {"text": "g", **bad}])
    assert commits == []


def test_one_unknown_memory_among_many_and_none_is_changed(memory: Memory, commits: list[int], ids: list[str]) -> None:
    """It is found before the first transaction."""
    commits.clear()
    with pytest.raises(NotFoundError):
        memory.update_many([{"id": each, "pinned": True} for each in (*ids, UNKNOWN)])
    assert commits == []


def test_an_error_between_transactions_says_how_far_it_came(memory: Memory, commits: list[int], ids: list[str]) -> None:
    """What can only be found under the lock: here, a limit that a memory would break."""
    memory.update(ids[4], tags=[f"tag {n}" for n in range(limits.TAGS)])
    commits.clear()
    with pytest.raises(InputError, match=r"the first 3 of 5 memories are changed; .*the maximum is 64"):
        memory.update_many([{"id": each, "add_tags": ["one more"]} for each in ids])
    assert commits == [3]


def test_the_budget_of_many_is_checked_before_the_first_transaction(
    open_memory: OpenMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So nothing is added that would have to be removed again."""
    memory = open_memory(budget_mb=1)
    monkeypatch.setattr(limits, "TRANSACTION_ITEMS", 3)
    with pytest.raises(StoreError, match="nothing was changed"):
        memory.add_many("x" * limits.TEXT_BYTES for _ in range(17))
    assert memory.count() == 0


def test_a_scope_is_renamed_in_several_transactions(memory: Memory, commits: list[int]) -> None:
    """A memory that changed its scope meanwhile keeps it."""
    ids = memory.add_many(map(str, range(7)), scope="project/old")
    commits.clear()
    memory.store.subscribe(lambda _: memory.update(ids[6], scope="agent/x") if len(commits) == 1 else None)
    assert memory.rename_scope("project/old", "project/new") == 6
    assert commits == [3, 1, 3]
    assert memory.get(ids[6]).scope == "agent/x"


def test_several_ids_are_forgotten_in_short_transactions(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    """With progress. After an interruption, the same call forgets the rest."""
    monkeypatch.setattr(listing, "BATCH", 3)
    ids = memory.add_many(map(str, range(7)))

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt(done, total)

    with pytest.raises(KeyboardInterrupt, match="3, 7"):
        memory.forget(ids, progress=stop)
    steps: list[tuple[int, int]] = []
    assert memory.forget(ids, progress=lambda *step: steps.append(step)).count == 4
    assert steps == [(3, 4), (4, 4)]


def test_expired_memories_are_forgotten_in_short_transactions(
    open_memory: OpenMemory, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of them in one call."""
    monkeypatch.setattr(listing, "BATCH", 3)
    memory = open_memory()
    memory.add_many(map(str, range(7)), expires_at=clock.time(hours=1))
    clock.advance(days=31)
    commits: list[int] = []
    memory.store.subscribe(lambda notice: commits.append(len(notice.changes)))
    assert memory.forget_expired(trust_clock=True) == 7
    assert commits == [3, 3, 1]


def test_tags_counts_the_memories_of_each_tag(memory: Memory, clock: Clock) -> None:
    """Those that list() would return with the same filters, sorted by tag."""
    memory.add_many([{"text": "one", "tags": ["b", "a"]}, {"text": "two", "tags": ["b"], "scope": "project/acme"}])
    memory.add("three", tags=["gone"], ttl=60)
    assert memory.tags() == {"a": 1, "b": 2, "gone": 1}
    clock.advance(minutes=2)
    assert list(memory.tags().items()) == [("a", 1), ("b", 2)]
    assert memory.tags(scope="project/acme") == {"b": 1}
    assert memory.tags(tags="a", include="expired") == {"a": 1, "b": 1}
