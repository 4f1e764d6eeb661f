"""Memory over a real store: adding, finding, changing and forgetting."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import threading
import unicodedata
from base64 import urlsafe_b64encode
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from platformdirs import user_data_path

import memcrdt
from memcrdt.errors import InputError, MemcrdtError, NotFoundError, SchemaError, StoreError
from memcrdt.memory.memory import Memory
from memcrdt.model import limits
from memcrdt.model.records import Link
from memcrdt.paths import home_folder
from memcrdt.store.files import FILE
from memcrdt.store.listing import BATCH, BATCH_BYTES
from memcrdt.testing.memories import exchange

UNKNOWN = "01JD8Z6Q4M0000000000000001"
OpenMemory = Callable[..., Memory]


@pytest.fixture(name="in_memory", params=[False, True], ids=["folder", "in memory"])
def _in_memory(request: pytest.FixtureRequest) -> bool:
    """Run every test of this module on both kinds of stores."""
    return bool(request.param)


def test_what_is_added_is_there_with_all_it_was_given(memory: Memory) -> None:
    """get() returns every argument of add()."""
    added = memory.add(
        "Deploys go out on Tuesdays",
        scope="project/acme",
        kind="fact",
        tags=["release", "ops"],
        metadata={"by": "ops", "n": 2.0},
        author="bot",
        source="notes.md",
        trust="high",
        importance=0.5,
        pinned=True,
        created_at="2026-11-22T09:30:00+01:00",
        expires_at="2030-01-01T00:00:00Z",
    )
    found = memory.get(added)
    assert (found.id, found.text, found.space) == (added, "Deploys go out on Tuesdays", "personal")
    assert (found.scope, found.category, found.kind) == ("project/acme", "project", "fact")
    assert (found.tags, found.metadata) == (("ops", "release"), {"by": "ops", "n": 2})
    assert (found.author, found.device, found.source, found.trust) == ("bot", "A" * 52, "notes.md", "high")
    assert (found.importance, found.pinned, found.conflicted, found.superseded_by) == (0.5, True, False, None)
    assert found.created_at == found.updated_at == datetime(2026, 11, 22, 8, 30, tzinfo=UTC)
    assert found.expires_at == datetime(2030, 1, 1, tzinfo=UTC)


def test_the_words_of_the_readme(tmp_path: Path) -> None:
    """memcrdt.open() with the shipped embedder: add, search, update, list, history, forget."""
    with memcrdt.open(tmp_path / "home") as memory:
        added = memory.add("Deploys go out on Tuesdays", scope="project/acme", tags=["release"])
        memory.add("The cat is called Miso")
        assert memory.search("when do we ship?", limit=1)[0].memory.id == added
        changed = memory.update(added, text="Deploys go out on Wednesdays", add_tags=["2026"])
        assert changed.tags == ("2026", "release")
        assert [record.id for record in memory.list(scope="project/acme")] == [added]
        assert [r.text for r in memory.history(added)] == ["Deploys go out on Tuesdays", "Deploys go out on Wednesdays"]
        assert memory.forget(added).count == 1
        assert memory.search("deploys", scope="project/acme") == []
    with memcrdt.open(tmp_path / "home") as memory:
        assert [record.text for record in memory.list()] == ["The cat is called Miso"]


def test_odd_texts_survive(memory: Memory) -> None:
    """NUL, emoji, right-to-left, combining marks, and the longest text. Tags and metadata are composed."""
    texts = ["a\0b", "👩‍👩‍👧 at 5", "שלום", "e\u0301", "x" * limits.TEXT_BYTES, "'; DROP TABLE memories; --", "[]{}\\"]
    for text in texts:
        added = memory.add(text, tags=[text[:9]], metadata={text[:9]: text[:9]})
        found = memory.get(added)
        name = unicodedata.normalize("NFC", text[:9])
        assert (found.text, found.tags, found.metadata) == (text, (name,), {name: name})
        assert [r.id for r in memory.list(all_tags=[text[:9]], metadata={text[:9]: text[:9]})] == [added]


class TestKeys:
    """`key=` derives the id."""

    def test_the_same_key_updates(self, memory: Memory) -> None:
        """Given tags replace the tags, and metadata is added. Arguments that are not given stay."""
        first = memory.add("one", key="k", tags=["a"], metadata={"x": 1}, importance=0.5)
        second = memory.add("two", key="k", tags=["b"], metadata={"y": 2}, pinned=True)
        found = memory.get(first)
        assert first == second
        assert (found.text, found.tags, found.metadata) == ("two", ("b",), {"x": 1, "y": 2})
        assert (found.importance, found.pinned) == (0.5, True)
        assert len(memory.history(first)) == 2

    def test_a_key_brings_its_memory_back_into_the_scope(self, memory: Memory) -> None:
        """A memory that add() put into a scope is visible there, even after the scope was renamed."""
        added = memory.add("text", scope="project/old", key="k")
        memory.rename_scope("project/old", "project/new")
        assert memory.add("newer", scope="project/old", key="k") == added
        assert [record.text for record in memory.list(scope="project/old")] == ["newer"]

    def test_another_scope_or_space_is_another_memory(self, memory: Memory) -> None:
        """A key is local to its scope and space."""
        memory.space("team").create()
        ids = {memory.add("a", key="k", **where) for where in ({}, {"scope": "agent/x"}, {"space": "team"})}
        assert len(ids) == 3

    def test_a_forgotten_key_starts_its_next_life(self, memory: Memory) -> None:
        """Without data of the old memory, and a second time too."""
        lives = []
        for text in ("one", "two", "three"):
            lives.append(memory.add(text, key="k", tags=[text]))
            assert memory.get(lives[-1]).tags == (text,)
            assert len(memory.history(lives[-1])) == 1
            memory.forget(lives[-1])
        assert len(set(lives)) == 3

    def test_two_devices_that_never_met_derive_the_same(self, open_memory: OpenMemory) -> None:
        """After they meet, there is one memory, with both texts as an open conflict."""
        ours, theirs = open_memory("A"), open_memory("B")
        assert ours.add("from a", key="k", tags=["a"]) == theirs.add("from b", key="k", tags=["b"])
        exchange(ours, theirs)
        assert [r.id for r in ours.list()] == [r.id for r in theirs.list()]
        assert ours.list().items[0].text == theirs.list().items[0].text

    def test_an_expired_one_is_visible_again(self, memory: Memory, clock: Any) -> None:
        """The caller wants to find it."""
        added = memory.add("a", key="k", expires_at=clock.time(hours=1))
        clock.advance(hours=2)
        assert not memory.list().items
        memory.add("a", key="k")
        assert [record.id for record in memory.list()] == [added]


class TestDedupe:
    """`dedupe=` returns the id of an existing memory with the same text."""

    def test_the_same_text_in_the_same_scope_is_not_added_again(self, memory: Memory) -> None:
        """Also within one batch."""
        first = memory.add("a")
        assert memory.add("a", dedupe=True) == first
        assert memory.add_many(["a", "b", "b"], dedupe=True)[0] == first
        assert len(memory.list()) == 2

    def test_another_scope_or_space_is_another_text(self, memory: Memory) -> None:
        """A text that differs by a space is another text, too."""
        ids = {
            memory.add("a", dedupe=True, scope=scope, space=space)
            for scope in ("global", "agent/x")
            for space in ("personal", "local")
        }
        assert len(ids | {memory.add("a ", dedupe=True)}) == 5

    def test_what_is_hidden_does_not_count(self, memory: Memory, clock: Any) -> None:
        """Otherwise a search would not find the text after it was added."""
        old = memory.add("a", expires_at=clock.time(hours=1))
        clock.advance(hours=2)
        assert memory.add("a", dedupe=True) != old


class TestMany:
    """add_many() is one transaction."""

    def test_items_are_texts_or_mappings_and_keep_their_order(self, memory: Memory) -> None:
        """Ids ascend, so a list has the order of the items."""
        ids = memory.add_many(["a", {"text": "b", "scope": "agent/x"}, {"text": "c", "tags": ["t"]}], author="bot")
        assert ids == sorted(ids)
        assert [(r.text, r.author) for r in memory.list(order="oldest")] == [("a", "bot"), ("b", "bot"), ("c", "bot")]

    @pytest.mark.parametrize(
        "bad",
        [
            {"text": ""},
            {"text": "x", "scope": "nowhere"},
            {"text": "x", "space": "nowhere"},
            {"text": "x", "id": UNKNOWN},
            5,
        ],
    )
    def test_one_bad_item_and_none_is_added(self, memory: Memory, bad: Any) -> None:
        """Errors before the transaction, and inside it."""
        memory.add("there", id=UNKNOWN)
        before = _everything(memory)
        with pytest.raises(MemcrdtError):
            memory.add_many(["first", bad, "last"])
        assert _everything(memory) == before

    def test_an_error_says_which_item_is_wrong(self, memory: Memory) -> None:
        """With thousands of items, the caller has to find it."""
        with pytest.raises(InputError, match=r"^item 1 of 3: the text is empty"):
            memory.add_many(["first", "", "last"])

    def test_none_is_none(self, memory: Memory) -> None:
        """An empty batch is no error."""
        assert memory.add_many([]) == []

    def test_a_batch_fills_one_shard_after_the_other(self, memory: Memory) -> None:
        """More memories than one shard accepts."""
        count = limits.SHARD_BIRTHS + 10
        memory.add_many([f"text {n}" for n in range(count)])
        status = memory.status().spaces[0]
        assert (status.memories, status.shards) == (count, 2)


class TestUpdates:
    """update() changes the given parts."""

    def test_metadata_is_merged_and_none_removes_a_key(self, memory: Memory) -> None:
        """Nested values are replaced as a whole."""
        added = memory.add("a", metadata={"x": 1, "y": {"z": 1}, "w": 0})
        assert memory.update(added, metadata={"x": None, "y": {"v": 2}, "n": [1]}).metadata == {
            "w": 0,
            "y": {"v": 2},
            "n": [1],
        }

    def test_attributes_are_set_and_taken_away(self, memory: Memory) -> None:
        """`...`, the default, leaves them unchanged."""
        added = memory.add("a", importance=0.5, trust="low", expires_at="2030-01-01T00:00:00Z")
        assert memory.update(added, pinned=True).importance == 0.5
        changed = memory.update(added, importance=None, trust=None, expires_at=None, pinned=False)
        assert (changed.importance, changed.trust, changed.expires_at, changed.pinned) == (None, None, None, False)

    def test_what_changes_nothing_writes_nothing(self, memory: Memory) -> None:
        """Neither the log nor the time of the update changes."""
        added = memory.add("a", tags=["t"], metadata={"x": 1})
        before, head = memory.get(added), _head(memory)
        assert (
            memory.update(added, text="a", add_tags=["t"], remove_tags=["u"], metadata={"x": 1}, scope="global")
            == before
        )
        assert _head(memory) == head

    def test_updated_at_is_when_it_was_changed(self, memory: Memory, clock: Any) -> None:
        """created_at stays."""
        added = memory.add("a")
        clock.advance(hours=1)
        changed = memory.update(added, add_tags=["t"])
        assert (changed.updated_at - changed.created_at).total_seconds() >= 3600

    @pytest.mark.parametrize(
        ("change", "room"),
        [
            ({"add_tags": ["one more"]}, {"remove_tags": ["tag 0"]}),
            ({"metadata": {"one more": 1}}, {"metadata": {"k0": None}}),
        ],
    )
    def test_limits_hold_for_what_a_memory_would_have(self, memory: Memory, change: Any, room: Any) -> None:
        """A small change of a full memory is refused until there is room."""
        tags = [f"tag {n}" for n in range(limits.TAGS)]
        added = memory.add("a", tags=tags, metadata={f"k{n}": n for n in range(limits.METADATA_KEYS)})
        before = memory.get(added)
        with pytest.raises(InputError):
            memory.update(added, **change)
        assert memory.get(added) == before
        memory.update(added, **room)
        memory.update(added, **change)

    def test_a_memory_cannot_supersede_itself(self, memory: Memory) -> None:
        """It would be hidden without a replacement."""
        added = memory.add("a")
        with pytest.raises(InputError, match="supersede itself"):
            memory.update(added, superseded_by=added)


class TestLinks:
    """Links: named relations to other memories."""

    def test_a_link_is_followed(self, memory: Memory) -> None:
        """By one relation, or by all. A forgotten target is left out."""
        one, two, three = memory.add_many(["one", "two", "three"])
        memory.link(one, "causes", two)
        memory.link(one, "causes", three)
        memory.link(one, "cites", three)
        memory.link(one, "cites", three)
        assert memory.get(one).links == (Link("causes", two), Link("causes", three), Link("cites", three))
        assert [r.id for r in memory.related(one, "cites")] == [three]
        assert {r.id for r in memory.related(one)} == {two, three}
        memory.unlink(one, "causes", two)
        memory.unlink(one, "causes", two)
        memory.forget(three)
        assert memory.related(one) == []

    def test_a_link_wants_both_ends_and_room(self, memory: Memory) -> None:
        """NotFoundError names the missing memory."""
        one, two = memory.add_many(["one", "two"])
        for ends in ((one, UNKNOWN), (UNKNOWN, one)):
            with pytest.raises(NotFoundError, match=UNKNOWN):
                memory.link(ends[0], "of", ends[1])
        for n in range(limits.LINKS):
            memory.link(one, f"rel {n}", two)
        with pytest.raises(InputError, match="links"):
            memory.link(one, "one more", two)


class TestLists:
    """list() returns memories without ranking, one page per call."""

    @pytest.mark.parametrize("order", ["newest", "oldest", "updated"])
    def test_pages_join_to_the_whole(self, memory: Memory, order: str, clock: Any) -> None:
        """Each memory once and in order, even with equal times: then the id decides."""
        same = clock.time()
        memory.add_many([{"text": f"text {n}", "created_at": same} for n in range(25)])
        memory.add_many([f"later {n}" for n in range(5)])
        memory.update(memory.list(order="oldest").items[3].id, add_tags=["t"])
        whole = [record.id for record in memory.list(order=order, limit=1000)]
        paged = [record.id for page in _pages(memory, order=order, limit=7) for record in page]
        assert paged == whole
        assert len(set(whole)) == 30
        keyed = [(r.updated_at if order == "updated" else r.created_at, r.id) for r in memory.list(order=order)]
        assert keyed == sorted(keyed, reverse=order != "oldest")

    def test_a_page_is_used_like_a_list(self, memory: Memory) -> None:
        """By index and by slice, too."""
        first, second, _ = memory.add_many(["one", "two", "three"])
        page = memory.list(order="oldest")
        assert (page[0].id, page[-1].text, [record.id for record in page[:2]]) == (first, "three", [first, second])

    @pytest.mark.parametrize("order", ["newest", "oldest"])
    def test_a_cursor_stands_while_others_add_and_forget(self, memory: Memory, order: str) -> None:
        """A memory that exists all the time is listed exactly once."""
        ids = memory.add_many([f"text {n}" for n in range(30)])
        seen: list[str] = []
        for number, page in enumerate(_pages(memory, order=order, limit=4)):
            seen += [record.id for record in page]
            memory.add(f"meanwhile {number}")
            memory.forget(seen[0] if number == 0 else memory.add("short-lived"))
        assert [memory_id for memory_id in seen if memory_id in ids] == (ids[::-1] if order == "newest" else ids)

    def test_a_strange_cursor_or_order_is_refused(self, memory: Memory) -> None:
        """A cursor of another order is refused too."""
        memory.add_many(["a", "b"])
        cursor = memory.list(limit=1).next_cursor
        made: tuple[Any, ...] = (["newest", 1 << 70, UNKNOWN], ["newest", 1, "\ud800"], ["newest", 1.5, UNKNOWN])
        for arguments in (
            *({"cursor": urlsafe_b64encode(json.dumps(each).encode()).decode()} for each in made),
            {"cursor": urlsafe_b64encode(b"[" * 100_000).decode()},
            {"cursor": "x"},
            {"cursor": "AAAA"},
            {"cursor": cursor, "order": "oldest"},
            {"order": "best"},
            {"cursor": "ImEi"},
            {"cursor": 5},
        ):
            with pytest.raises(InputError):
                memory.list(**arguments)

    @pytest.mark.parametrize(
        ("filters", "found"),
        [
            ({"scope": "project/a"}, "ab"),
            ({"scope": ["project/a", "agent/x"]}, "abc"),
            ({"scope": "project/a", "ancestors": True}, "abd"),
            ({"category": "project"}, "ab"),
            ({"kind": "fact"}, "ac"),
            ({"tags": ["t1", "t2"]}, "abc"),
            ({"all_tags": ["t1", "t2"]}, "b"),
            ({"not_tags": ["t2"]}, "ad"),
            ({"metadata": {"n": 1}}, "a"),
            ({"metadata": {"n": [1, 2]}}, "ab"),
            ({"metadata": {"n": (2, None)}}, "bc"),
            ({"metadata": {"n": (1, 2)}}, "ab"),
            ({"metadata": {"s": ("b", "d")}}, "d"),
            ({"metadata": {"n": None}}, ""),
            ({"metadata": {"n": {"$gte": 2}}}, "bc"),
            ({"metadata": {"n": {"$gt": 1, "$ne": 2}}}, "c"),
            ({"metadata": {"n": {"$ne": 1}}}, "bcd"),
            ({"metadata": {"n": {"$nin": [1, 2]}, "s": {"$exists": False}}}, "c"),
            ({"metadata": {"s": {"$contains": "C"}}}, "d"),
            ({"contains": "TEXT B"}, "b"),
            ({"pinned": True}, "c"),
            ({"pinned": False}, "abd"),
            ({"author": "bot"}, "d"),
            ({"source": ["s1", "s2"]}, "ab"),
            ({"device": "A" * 52}, "abcd"),
            ({"device": "B" * 52}, ""),
            ({"space": "local"}, ""),
            ({"after": "2026-01-02T00:00:00Z"}, "cd"),
            ({"before": "2026-01-02T00:00:00Z"}, "a"),
            ({"after": "2026-01-01T12:00:00Z", "before": "2026-01-03T00:00:00Z", "kind": "note"}, "b"),
            ({"updated_after": "2026-06-01T00:00:00Z"}, ""),
        ],
        ids=str,
    )
    def test_a_filter_leaves_what_it_says(self, memory: Memory, filters: dict[str, Any], found: str) -> None:
        """Alone and combined, in search and in list."""
        items: list[dict[str, Any]] = [
            {
                "text": "text a",
                "scope": "project/a",
                "kind": "fact",
                "tags": ["t1"],
                "metadata": {"n": 1},
                "source": "s1",
            },
            {
                "text": "text b",
                "scope": "project/a",
                "kind": "note",
                "tags": ["t1", "t2"],
                "metadata": {"n": 2},
                "source": "s2",
            },
            {
                "text": "text c",
                "scope": "agent/x",
                "kind": "fact",
                "tags": ["t2"],
                "metadata": {"n": 3},
                "pinned": True,
            },
            {"text": "text d", "author": "bot", "metadata": {"s": "c"}},
        ]
        days = [{"created_at": f"2026-01-0{n}T00:00:00Z"} for n in range(1, 5)]
        memory.add_many([{**item, **day} for item, day in zip(items, days, strict=True)])
        assert "".join(sorted(record.text[-1] for record in memory.list(**filters))) == found
        assert "".join(sorted(hit.memory.text[-1] for hit in memory.search("text", **filters))) == found
        kept = sorted(record.id for record in memory.list() if record.text[-1] not in found)
        assert memory.forget(**filters).count == len(found)
        assert sorted(record.id for record in memory.list()) == kept


class TestForgetting:
    """forget() is permanent."""

    def test_forgetting_by_filter_counts_first(self, memory: Memory) -> None:
        """`dry_run` changes nothing. The call itself forgets as many memories as it counted."""
        memory.add_many(["a", "b", "c"], scope="project/acme")
        kept = memory.add("d")
        assert memory.forget(scope="project/acme", dry_run=True).count == 3
        assert len(memory.list()) == 4
        assert memory.forget(scope="project/acme").count == 3
        assert [record.id for record in memory.list()] == [kept]

    def test_forgetting_by_filter_goes_on_after_an_interruption(self, memory: Memory) -> None:
        """The memories of the transactions before it are gone, and the same call forgets the rest."""
        memory.add_many([f"note {n}" for n in range(2 * BATCH + 10)], tags=["bulk"])
        kept = memory.add("kept")

        def stop(done: int, total: int) -> None:
            raise KeyboardInterrupt(done, total)

        with pytest.raises(KeyboardInterrupt) as stopped:
            memory.forget(tags=["bulk"], progress=stop)
        assert stopped.value.args == (BATCH, 2 * BATCH + 10)
        steps: list[tuple[int, int]] = []
        assert memory.forget(tags=["bulk"], progress=lambda *step: steps.append(step)).count == BATCH + 10
        assert steps == [(BATCH, BATCH + 10), (BATCH + 10, BATCH + 10)]
        assert [record.id for record in memory.list()] == [kept]

    def test_a_transaction_forgets_only_what_still_matches(self, memory: Memory) -> None:
        """A memory that was changed after the call had counted it stays."""
        ids = memory.add_many([f"note {n}" for n in range(BATCH + 1)], tags=["bulk"])

        def change(done: int, _: int) -> None:
            if done == BATCH:
                memory.update_many([{"id": r.id, "remove_tags": ["bulk"]} for r in memory.list(limit=10)])

        assert memory.forget(tags=["bulk"], progress=change).count == BATCH
        assert len(memory.list()) == len(ids) - BATCH

    def test_long_texts_are_forgotten_in_smaller_transactions(self, memory: Memory) -> None:
        """The texts of one transaction are bounded together. A longer one has a transaction of its own."""
        memory.add_many([f"{n} " * (BATCH_BYTES // 5) for n in range(5)], tags=["bulk"])
        steps: list[int] = []
        memory.forget(tags=["bulk"], progress=lambda done, _: steps.append(done))
        assert steps == [2, 4, 5]

    @pytest.mark.parametrize(
        "filters",
        [
            {},
            {"include": "expired"},
            {"ancestors": True},
            {"tags": []},
            {"metadata": {}},
            {"metadata": {"n": {"$nin": []}}},
            {"as_of": "2026-01-01T00:00:00Z"},
        ],
    )
    def test_an_empty_filter_is_an_error(self, memory: Memory, filters: dict[str, Any]) -> None:
        """Also a value that looks like a filter but matches everything, and also in a dry run."""
        memory.add("a")
        for dry_run in (False, True):
            with pytest.raises(InputError, match="needs a filter"):
                memory.forget(dry_run=dry_run, **filters)
        assert len(memory.list()) == 1

    def test_a_filter_reaches_only_the_space_that_it_names(self, memory: Memory, tmp_path: Path) -> None:
        """A memory imported into another space has the same id there, and is a different memory."""
        added = memory.add("a fact")
        memory.export(tmp_path / "all.jsonl")
        assert memory.import_(tmp_path / "all.jsonl", space="local").added == 1
        assert memory.forget(space="local", dry_run=True).count == memory.forget(space="local").count == 1
        assert [(record.id, record.space) for record in memory.list()] == [(added, "personal")]
        memory.import_(tmp_path / "all.jsonl", space="local", again=True)
        assert len(memory.list()) == 2

    def test_what_somebody_has_just_changed_is_not_forgotten_by_what_it_was(
        self, memory: Memory, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The filter is evaluated again under the write lock."""
        kept, _ = memory.add_many(["kept", "gone"], tags=["draft"])
        using_reserve = memory.store.using_reserve

        def after_another(work: Any) -> Any:
            memory.update(kept, remove_tags=["draft"])
            return using_reserve(work)

        monkeypatch.setattr(memory.store, "using_reserve", after_another)
        assert memory.forget(tags="draft").count == 1
        assert [record.id for record in memory.list()] == [kept]

    def test_forgetting_by_filter_reaches_what_is_hidden(self, memory: Memory, clock: Any) -> None:
        """Forgetting by tag includes superseded and expired memories."""
        newer = memory.add("the newer one")
        memory.update(memory.add("superseded", tags=["secret"]), superseded_by=newer)
        memory.add("expired", tags=["secret"], expires_at=clock.time(hours=1))
        clock.advance(hours=2)
        assert len(memory.list(tags="secret")) == 0
        assert memory.forget(tags="secret", dry_run=True).count == memory.forget(tags="secret").count == 2
        assert [record.id for record in memory.list(include=["expired", "superseded"])] == [newer]

    def test_forgetting_twice_is_done(self, memory: Memory) -> None:
        """The second call has nothing to do, which is not an error. An unknown id is an error."""
        added = memory.add("a")
        assert memory.forget(added).count == 1
        head = _head(memory)
        again = memory.forget(added)
        assert (again.count, again.status) == (0, "done")
        assert _head(memory) == head
        with pytest.raises(NotFoundError):
            memory.forget(UNKNOWN)

    def test_a_forgotten_memory_is_nowhere(self, memory: Memory) -> None:
        """get() and history() report that it was forgotten, and its id cannot be used again."""
        added = memory.add("a secret plan", tags=["t"], metadata={"k": 1})
        memory.update(added, text="another plan")
        memory.forget(added)
        for call in (memory.get, memory.history, memory.conflicts, memory.update, memory.related):
            with pytest.raises(NotFoundError, match="forgotten"):
                call(added)
        assert memory.search("plan") == []
        assert memory.list(include=["expired", "superseded"]).items == ()
        with pytest.raises(InputError, match="forgotten"):
            memory.add("a", id=added)

    def test_ids_and_filters_forget_the_ids_that_match(self, memory: Memory) -> None:
        """Nothing that was added or changed since the ids were listed, and not what the filters never selected."""
        ids = memory.add_many(["kept by its tag", "forgotten"], tags=["old"])
        other = memory.add("never selected")
        memory.update(ids[0], tags=["new"])
        later = memory.add("added later", tags=["old"])
        assert memory.forget([*ids, other], tags=["old"], dry_run=True).count == 1
        assert memory.forget([*ids, other], tags=["old"]).count == 1
        assert {record.id for record in memory.list()} == {ids[0], other, later}


class TestHistory:
    """history() and conflicts()."""

    def test_history_has_every_text_with_time_agent_and_device(self, open_memory: OpenMemory) -> None:
        """Oldest first, from all devices."""
        laptop, desktop = open_memory("A"), open_memory("B")
        added = laptop.add("one", author="writer")
        laptop.update(added, text="two", author="editor")
        exchange(laptop, desktop)
        desktop.update(added, text="three")
        exchange(laptop, desktop)
        history = laptop.history(added)
        assert [(r.text, r.by, r.device[0]) for r in history] == [
            ("one", "writer", "A"),
            ("two", "editor", "A"),
            ("three", None, "B"),
        ]
        assert [r.at for r in history] == sorted(r.at for r in history)
        assert [r.head for r in history] == [False, False, True]
        assert [r.base for r in history] == [(), (added,), (history[1].revision,)]
        assert desktop.history(added) == history

    def test_texts_written_apart_are_a_conflict_until_one_settles_it(self, open_memory: OpenMemory) -> None:
        """Both devices show the later text, and conflicts() returns both.

        An update on one device settles it for both.
        """
        laptop, desktop = open_memory("A"), open_memory("B")
        added = laptop.add("meet on Monday")
        exchange(laptop, desktop)
        laptop.update(added, text="meet on Tuesday")
        desktop.update(added, text="meet on Friday")
        exchange(laptop, desktop)
        for memory in (laptop, desktop):
            assert (memory.get(added).text, memory.get(added).conflicted) == ("meet on Friday", True)
            assert [r.text for r in memory.conflicts(added)] == ["meet on Tuesday", "meet on Friday"]
        laptop.update(added, text="meet on Thursday")
        exchange(laptop, desktop)
        for memory in (laptop, desktop):
            assert (memory.get(added).text, memory.get(added).conflicted) == ("meet on Thursday", False)
            assert memory.conflicts(added) == []
            assert len(memory.history(added)) == 4

    def test_tags_metadata_and_texts_changed_apart_all_survive(self, open_memory: OpenMemory) -> None:
        """Three devices each change one memory."""
        memories = [open_memory(name) for name in "ABC"]
        added = memories[0].add("text", tags=["old"], metadata={"k": 0})
        exchange(*memories)
        for number, memory in enumerate(memories):
            memory.update(added, text=f"text {number}", add_tags=[f"t{number}"], metadata={f"k{number}": number})
            memory.link(added, f"rel {number}", added)
        memories[0].update(added, remove_tags=["old"], importance=0.5)
        memories[1].update(added, pinned=True)
        exchange(*memories)
        for memory in memories:
            found = memory.get(added)
            assert found.tags == ("t0", "t1", "t2")
            assert found.metadata == {"k": 0, "k0": 0, "k1": 1, "k2": 2}
            assert len(found.links) == 3
            assert (found.importance, found.pinned, found.conflicted) == (0.5, True, True)
            assert {r.text for r in memory.conflicts(added)} == {"text 0", "text 1", "text 2"}


class TestBadInput:
    """Each is a documented error, and nothing is changed."""

    @pytest.mark.parametrize(
        "call",
        [
            lambda m, _: m.add(""),
            lambda m, _: m.add("x" * (limits.TEXT_BYTES + 1)),
            lambda m, _: m.add(None),
            lambda m, _: m.add("a", scope="team/x"),
            lambda m, _: m.add("a", tags=[5]),
            lambda m, _: m.add("a", metadata={"k": object()}),
            lambda m, a: m.add("a", id=a),
            lambda m, _: m.add("a", id="x"),
            lambda m, _: m.add_many("text"),
            lambda m, _: m.get("x"),
            lambda m, _: m.get(None),
            lambda m, a: m.update(a, text=""),
            lambda m, a: m.update(a, scope=""),
            lambda m, a: m.update(a, author=""),
            lambda m, _: m.search(None),
            lambda m, _: m.search("a", limit=0),
            lambda m, _: m.search("a", min_score=2),
            lambda m, _: m.search("a", min_score="high"),
            lambda m, _: m.search("a", diversity=-1),
            lambda m, _: m.search("a", explain=1),
            lambda m, _: m.search("a", colour="red"),
            lambda m, _: m.similar("x"),
            lambda m, _: m.list(limit=limits.RESULTS + 1),
            lambda m, _: m.list(scope="x"),
            lambda m, _: m.forget("x"),
            lambda m, a: m.link(a, "", a),
            lambda m, a: m.link(a, "of", "x"),
            lambda m, _: m.rename_scope("x", "global"),
            lambda m, _: m.space(""),
            lambda m, _: m.space("personal").create(),
            lambda m, _: m.space("two\nlines").create(),
            lambda m, _: m.scoped(project=""),
            lambda m, _: m.changes(colour="red"),
            lambda m, _: m.export("x.csv"),
            lambda m, _: m.import_("x.jsonl", format="csv"),
        ],
        ids=lambda call: str(call.__code__.co_firstlineno),
    )
    def test_bad_input_is_an_input_error(self, memory: Memory, call: Callable[[Any, str], Any]) -> None:
        """In every method, and the store is unchanged."""
        added = memory.add("there", tags=["t"])
        before = _everything(memory)
        with pytest.raises(InputError):
            call(memory, added)
        assert _everything(memory) == before

    @pytest.mark.parametrize(
        "call",
        [
            lambda m: m.get(UNKNOWN),
            lambda m: m.update(UNKNOWN, text="a"),
            lambda m: m.forget(UNKNOWN),
            lambda m: m.history(UNKNOWN),
            lambda m: m.conflicts(UNKNOWN),
            lambda m: m.related(UNKNOWN),
            lambda m: m.similar(UNKNOWN),
            lambda m: m.unlink(UNKNOWN, "of", UNKNOWN),
            lambda m: m.move(UNKNOWN, space="local"),
            lambda m: m.move(m.add("a"), space="nowhere"),
            lambda m: m.add("a", space="nowhere"),
            lambda m: m.space("nowhere").id(),
            lambda m: m.space("nowhere").members(),
            lambda m: m.space("nowhere").digest(),
        ],
        ids=lambda call: str(call.__code__.co_firstlineno),
    )
    def test_what_is_not_here_is_a_not_found_error(self, memory: Memory, call: Callable[[Any], Any]) -> None:
        """It is also a KeyError, and prints without quotes."""
        with pytest.raises(NotFoundError) as caught:
            call(memory)
        assert isinstance(caught.value, KeyError)
        assert not str(caught.value).startswith(("'", '"'))

    def test_a_home_that_is_no_folder(self, tmp_path: Path) -> None:
        """The file is left unchanged."""
        (tmp_path / "file").write_text("mine")
        with pytest.raises(MemcrdtError, match="not a folder"):
            memcrdt.open(tmp_path / "file")
        assert (tmp_path / "file").read_text() == "mine"

    def test_a_file_that_is_no_store(self, tmp_path: Path) -> None:
        """No byte of the file is changed."""
        (tmp_path / "memories.db").write_bytes(b"a letter to a friend " * 100)
        with pytest.raises(SchemaError, match="not a SQLite file"):
            memcrdt.open(tmp_path, embedder=None)
        assert (tmp_path / "memories.db").read_bytes() == b"a letter to a friend " * 100
        assert [path.name for path in tmp_path.iterdir()] == ["memories.db"]

    def test_a_store_of_another_program_is_left_alone(self, tmp_path: Path) -> None:
        """No key is created for it."""
        with closing(sqlite3.connect(tmp_path / "memories.db")) as db:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("CREATE TABLE theirs(x)")
        with pytest.raises(SchemaError, match="another program"):
            memcrdt.open(tmp_path, embedder=None)
        assert not (tmp_path / "device.key").exists()

    def test_a_home_variable_that_is_empty_is_none(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """As a shell sets it. The data folder of the platform is used."""
        monkeypatch.setenv("MEMCRDT_HOME", "")
        assert home_folder() == user_data_path("memcrdt", appauthor=False)
        monkeypatch.setenv("MEMCRDT_HOME", str(tmp_path))
        assert home_folder() == tmp_path

    def test_an_empty_home_or_a_broken_configuration(self, tmp_path: Path) -> None:
        """Before any file is created."""
        with pytest.raises(InputError, match="home is empty"):
            memcrdt.open(" ")
        (tmp_path / "config.toml").write_text("budget = 5")
        with pytest.raises(InputError, match="budget"):
            memcrdt.open(tmp_path, embedder=None)
        assert not (tmp_path / "memories.db").exists()

    def test_a_store_that_is_not_there_is_not_made_for_reading(self, tmp_path: Path) -> None:
        """read_only=True creates nothing."""
        with pytest.raises(MemcrdtError):
            memcrdt.open(tmp_path / "home", read_only=True, embedder=None)
        assert not (tmp_path / "home" / "memories.db").exists()

    def test_a_closed_memory_says_so(self, memory: Memory) -> None:
        """Closing twice is not an error."""
        memory.close()
        memory.close()
        for call in (lambda: memory.add("a"), memory.list, memory.status, memory.changes, memory.compact):
            with pytest.raises(StoreError, match="closed; open it again"):
                call()


@pytest.mark.skipif(os.name == "nt", reason="Windows keeps an open file where it is")
@pytest.mark.parametrize("replaced", [False, True])
def test_a_store_whose_file_went_away_takes_nothing_more(tmp_path: Path, replaced: bool) -> None:
    """After its home is deleted or the file is replaced.

    Otherwise acknowledged changes would be in a file that is never opened again.
    """
    home = tmp_path / "home"
    with memcrdt.open(home, embedder=None) as memory:
        memory.add("a")
        memory.backup(tmp_path / "backup")
        if replaced:
            (tmp_path / "backup").replace(home / FILE)
        else:
            shutil.rmtree(home)
        for call in (lambda: memory.add("b"), memory.list):
            with pytest.raises(StoreError, match="while it was open"):
                call()


def test_reading_only_refuses_every_change(tmp_path: Path) -> None:
    """Reads work as usual. Even a backup replaces no existing file."""
    with memcrdt.open(tmp_path, embedder=None) as memory:
        memory.backup(tmp_path / "backup")
        added = memory.add("a fact")
    with memcrdt.open(tmp_path, embedder=None, read_only=True) as memory:
        assert memory.get(added).text == "a fact"
        assert memory.search("fact")[0].memory.id == added
        for call in (
            lambda: memory.add("b"),
            lambda: memory.update(added, text="b"),
            lambda: memory.forget(added),
            lambda: memory.restore(tmp_path / "backup"),
            memory.compact,
        ):
            with pytest.raises(memcrdt.ReadOnlyError, match="open it for writing"):
                call()
        assert memory.get(added).text == "a fact"


def test_threads_share_one_memory(memory: Memory) -> None:
    """No memory is lost, and no id is used twice."""
    ids: list[str] = []

    def work(name: int) -> None:
        for n in range(25):
            added = memory.add(f"thread {name} says {n}")
            memory.update(added, add_tags=[f"t{name}"])
            ids.append(memory.get(added).id)
            memory.search("says", limit=3)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(ids)) == 100
    assert sorted(record.id for record in memory.list(limit=1000)) == sorted(ids)
    assert all(len(memory.list(all_tags=[f"t{n}"], limit=1000)) == 25 for n in range(4))


def test_stats_count_what_is_there(memory: Memory, clock: Any) -> None:
    """By space, category and kind, with the hidden memories."""
    one, two, three = memory.add_many(
        ["a", {"text": "bb", "kind": "fact"}, {"text": "c", "space": "local", "scope": "agent/x"}]
    )
    memory.update(one, superseded_by=two)
    memory.update(two, expires_at=clock.time(hours=1))
    memory.forget(memory.add("gone"))
    clock.advance(hours=2)
    stats = memory.stats()
    assert (stats.memories, stats.expired, stats.superseded, stats.conflicted, stats.forgotten) == (3, 1, 1, 0, 1)
    assert (stats.text_bytes, stats.oldest, stats.newest) == (
        4,
        memory.get(one).created_at,
        memory.get(three).created_at,
    )
    assert (stats.by_space, stats.by_category) == ({"personal": 2, "local": 1}, {"global": 2, "agent": 1})
    assert stats.by_kind == {None: 2, "fact": 1}


WRONG: dict[str, Callable[[Any], Any]] = {
    "home": lambda _: memcrdt.open(5),  # type: ignore[arg-type]
    "home of bytes": lambda _: memcrdt.open(b"home"),  # type: ignore[arg-type]
    "read_only": lambda m: memcrdt.open(m.home, read_only=1),  # type: ignore[arg-type]
    "callback": lambda m: m.subscribe(5),
    "timeout text": lambda m: m.wait_synced(timeout="x"),
    "timeout NaN": lambda m: m.wait_synced(timeout=float("nan")),
    "timeout negative": lambda m: m.wait_synced(timeout=-1),
    "peers": lambda m: m.wait_synced(peers=5),
    "peers text": lambda m: m.wait_synced(peers="ABC"),
    "peer": lambda m: m.wait_synced(peers=[5]),
    "project": lambda m: m.scoped(project=5),
    "order": lambda m: m.list(order=[]),
    "relation": lambda m: m.related(UNKNOWN, rel=5),
    "dry_run": lambda m: m.forget(tags=["t"], dry_run="no"),
    "give_up": lambda m: m.doctor(give_up="no"),
    "again": lambda m: m.import_("in.jsonl", again="no"),
    "progress": lambda m: m.import_("in.jsonl", progress=5),
}


@pytest.mark.parametrize("call", WRONG.values(), ids=WRONG.keys())
def test_an_argument_of_the_wrong_kind_is_an_input_error(memory: Memory, call: Callable[[Any], Any]) -> None:
    """It is never an error of Python itself, and the value is never converted."""
    with pytest.raises(InputError):
        call(memory)


def test_a_value_is_named_in_good_english(memory: Memory) -> None:
    """With an article, and None is no text."""
    for wrong, says in ((5, "the text is an int"), (None, "the text is None"), ([], "the text is a list")):
        with pytest.raises(InputError, match=says):
            memory.add(wrong)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="tags is None; give a list"):
        memory.add("a", tags=None)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="split it into several memories, or summarize it"):
        memory.add("x" * (limits.TEXT_BYTES + 1))


def test_an_id_may_be_written_in_lower_case(memory: Memory) -> None:
    """A ULID is the same in either case. It is stored and shown in capitals."""
    one, two, three, given = memory.add_many(["one", "two", "three", {"text": "four", "id": UNKNOWN.lower()}])
    low = one.lower()
    assert (memory.get(low).id, given) == (one, UNKNOWN)
    assert memory.update(low, text="one!", superseded_by=two.lower()).superseded_by == two
    assert [revision.id for revision in memory.history(low)] == [one, one]
    memory.link(low, "of", two.lower())
    assert memory.get(one).links == (Link(rel="of", to=two),)
    memory.unlink(low, "of", two.lower())
    assert (memory.related(low), memory.conflicts(low), memory.similar(low)) == ([], [], [])
    with pytest.raises(InputError, match="supersede itself"):
        memory.update(low, superseded_by=one)
    assert memory.get(memory.move(three.lower(), space="local")).text == "three"
    assert memory.forget(low).count == 1
    assert memory.forget(low).count == 0


def test_a_space_that_is_not_here_is_no_empty_one(memory: Memory, tmp_path: Path) -> None:
    """A filter for it is an error that names the existing spaces, as in add()."""
    added = memory.add("a fact")
    for call in (
        lambda: memory.search("fact", space="nope"),
        lambda: memory.similar(added, space="nope"),
        lambda: memory.list(space="nope"),
        lambda: memory.forget(space="nope"),
        lambda: memory.changes(space="nope"),
        lambda: memory.subscribe(print, space="nope"),
        lambda: memory.export(tmp_path / "out.jsonl", space="nope"),
        lambda: memory.scoped(project="x").list(space="nope"),
    ):
        with pytest.raises(NotFoundError, match="'nope' here; the spaces are personal, local"):
            call()
    assert not (tmp_path / "out.jsonl").exists()


def _pages(memory: Memory, **options: Any) -> Any:
    cursor = None
    while True:
        page = memory.list(cursor=cursor, **options)
        yield page
        if (cursor := page.next_cursor) is None:
            return


def _everything(memory: Memory) -> Any:
    """Return all readable data, and the position of the log."""
    records = memory.list(limit=1000, include=["expired", "superseded"]).items
    return records, [memory.history(record.id) for record in records], memory.stats(), _head(memory)


def _head(memory: Memory) -> int:
    with memory.store.reading() as db:
        return int(db.execute("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = 'updates'").get)


def test_names_and_texts_are_the_same_in_every_unicode_form(memory: Memory) -> None:
    """File names on a Mac are decomposed, what people type is composed. The text itself stays as it was given."""
    first = memory.add(
        "u\u0308ber", key="Cafe\u0301", tags=["e\u0301"], scope="project/Zu\u0308rich", author="Zoe\u0308"
    )
    assert memory.add("u\u0308ber", key="Café", scope="project/Zürich") == first
    assert memory.add("über", scope="project/Zürich", dedupe=True) == first
    for filters in ({"tags": "é"}, {"scope": "project/Zürich"}, {"author": "Zoë"}, {"contains": "ÜBER"}):
        assert [found.id for found in memory.list(**filters)] == [first]  # type: ignore[arg-type]
    assert memory.get(first).text == "u\u0308ber"
