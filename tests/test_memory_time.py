"""Expiry, supersession, and the state of a memory at an earlier time."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from memcrdt.errors import InputError, NotFoundError
from memcrdt.memory.memory import Memory
from memcrdt.testing.memories import exchange

OpenMemory = Callable[..., Memory]


def _found(memory: Memory, **filters: Any) -> tuple[list[str], list[str]]:
    """Return the texts that list and search show."""
    listed = sorted(record.text for record in memory.list(**filters))
    return listed, sorted(hit.memory.text for hit in memory.search("fact", **filters))


def test_an_expired_memory_hides_and_stays_in_its_history(memory: Memory, clock: Any) -> None:
    """From the given time on. get() and history() return it, and `include` shows it."""
    memory.add("fact that stays")
    added = memory.add("fact of today", expires_at=clock.time(hours=1))
    assert _found(memory) == (["fact of today", "fact that stays"],) * 2
    clock.advance(hours=2)
    assert _found(memory) == (["fact that stays"],) * 2
    assert _found(memory, include="superseded") == (["fact that stays"],) * 2
    assert _found(memory, include="expired") == (["fact of today", "fact that stays"],) * 2
    assert memory.get(added).text == memory.history(added)[0].text == "fact of today"


def test_an_expiry_can_be_moved_and_taken_away(memory: Memory, clock: Any) -> None:
    """Then it is shown again."""
    added = memory.add("fact", expires_at=clock.time(hours=1))
    clock.advance(hours=2)
    memory.update(added, expires_at=clock.time(hours=1))
    assert _found(memory) == (["fact"],) * 2
    clock.advance(hours=2)
    memory.update(added, expires_at=None)
    assert _found(memory) == (["fact"],) * 2


def test_a_superseded_memory_hides_and_stays_in_its_history(memory: Memory) -> None:
    """get() and history() return it, `include` shows it, and it can be undone."""
    old, new = memory.add_many(["fact of old", "fact of now"])
    memory.update(old, superseded_by=new)
    assert _found(memory) == (["fact of now"],) * 2
    assert _found(memory, include="expired") == (["fact of now"],) * 2
    assert _found(memory, include=["superseded", "expired"]) == (["fact of now", "fact of old"],) * 2
    assert (memory.get(old).superseded_by, memory.history(old)[0].text) == (new, "fact of old")
    memory.update(old, superseded_by=None)
    assert len(memory.list()) == 2


def test_as_of_shows_what_was_there_and_what_it_said(memory: Memory, clock: Any) -> None:
    """Existence and text, in list and in search. Tags and metadata are the current ones."""
    added = memory.add("fact one", tags=["then"])
    first = clock.time()
    clock.advance(hours=1)
    memory.update(added, text="fact two", add_tags=["now"])
    second = clock.time()
    clock.advance(hours=1)
    memory.update(added, text="fact three")
    memory.add("fact of later")
    assert _found(memory, as_of=first) == (["fact one"],) * 2
    assert _found(memory, as_of=second) == (["fact two"],) * 2
    assert _found(memory) == (["fact of later", "fact three"],) * 2
    (then,) = memory.list(as_of=first)
    assert (then.revision, then.tags) == (added, ("now", "then"))
    assert _found(memory, as_of=first.replace(year=first.year - 1)) == ([], [])


@pytest.mark.parametrize("embedder", [None, "static"])
def test_a_search_as_of_finds_by_the_text_of_then(open_memory: OpenMemory, clock: Any, embedder: str | None) -> None:
    """Not by the current text. `limit` and `min_score` work as usual."""
    memory = open_memory("A", embedder=embedder)
    added = memory.add("Deploys go out on Tuesdays")
    memory.add("Releases are announced by mail")
    then = clock.time()
    memory.update(added, text="Miso is a cat")
    (hit,) = memory.search("Tuesday deploy", as_of=then, limit=1)
    assert (hit.memory.id, hit.memory.text) == (added, "Deploys go out on Tuesdays")
    assert added not in [hit.memory.id for hit in memory.search("cat", as_of=then, min_score=0.5)]
    assert memory.search("cat", limit=1)[0].memory.id == added


def test_as_of_shows_what_had_not_expired_then(memory: Memory, clock: Any) -> None:
    """Memories that had expired are hidden."""
    memory.add("fact of an hour", expires_at=clock.time(hours=1))
    inside = clock.time()
    clock.advance(hours=3)
    assert _found(memory, as_of=inside) == (["fact of an hour"],) * 2
    assert _found(memory, as_of=clock.time(hours=-1)) == ([], [])
    assert _found(memory, as_of=clock.time(hours=-1), include="expired") == (["fact of an hour"],) * 2


def test_as_of_shows_what_was_not_superseded_yet(memory: Memory, clock: Any) -> None:
    """A memory is superseded from the creation of its replacement on."""
    old = memory.add("fact of old")
    before = clock.time()
    clock.advance(hours=1)
    memory.update(old, superseded_by=memory.add("fact of now"))
    assert _found(memory, as_of=before) == (["fact of old"],) * 2
    assert _found(memory, as_of=clock.time()) == (["fact of now"],) * 2


def test_what_was_superseded_stays_hidden_when_its_successor_is_forgotten(open_memory: OpenMemory, clock: Any) -> None:
    """It is still outdated.

    On every device, in any order of arrival, now and as of now. Before its last change it was visible. Removing
    `superseded_by` shows it again.
    """
    laptop, desktop, late = (open_memory(device) for device in "ABC")
    old, _ = laptop.add_many(["fact of old", "fact of the other"])
    before = clock.time()
    clock.advance(hours=1)
    new = laptop.add("fact of now")
    exchange(laptop, desktop)
    laptop.forget(new)
    desktop.update(old, superseded_by=new)
    exchange(laptop, desktop)
    exchange(laptop, desktop, late)
    for memory in (laptop, desktop, late):
        assert _found(memory) == _found(memory, as_of=clock.time()) == (["fact of the other"],) * 2
        assert _found(memory, include="superseded") == (["fact of old", "fact of the other"],) * 2
        assert _found(memory, as_of=before) == (["fact of old", "fact of the other"],) * 2
    laptop.update(old, superseded_by=None)
    assert _found(laptop) == _found(laptop, as_of=clock.time()) == (["fact of old", "fact of the other"],) * 2


def test_what_was_superseded_stays_hidden_when_the_views_are_made_anew(memory: Memory, clock: Any) -> None:
    """Also if its successor was moved to another space, under another id."""
    old, new = memory.add_many(["fact of old", "fact of now"])
    memory.update(old, superseded_by=new)
    memory.space("acme").create()
    memory.move(new, space="acme")
    clock.advance(hours=1)
    with memory.store.writing() as db:
        db.execute("DELETE FROM memories")
    assert memory.doctor(repair=True).done
    assert _found(memory) == _found(memory, as_of=clock.time()) == (["fact of now"],) * 2


def test_as_of_shows_a_conflict_only_from_when_there_was_one(open_memory: OpenMemory, clock: Any) -> None:
    """The text shown is the later head of the writes until that time."""
    laptop, desktop = open_memory("A"), open_memory("B")
    added = laptop.add("fact one")
    exchange(laptop, desktop)
    laptop.update(added, text="fact two")
    between = clock.time()
    desktop.update(added, text="fact three")
    apart = clock.time()
    exchange(laptop, desktop)
    laptop.update(added, text="fact four")
    for moment, text, conflicted in (
        (between, "fact two", False),
        (apart, "fact three", True),
        (clock.time(), "fact four", False),
    ):
        (record,) = laptop.list(as_of=moment)
        assert (record.text, record.conflicted) == (text, conflicted)


@pytest.mark.parametrize("days", [29, 31])
def test_what_expired_30_days_ago_is_forgotten(open_memory: OpenMemory, clock: Any, days: int) -> None:
    """Not a day earlier."""
    memory = open_memory()
    added = memory.add("fact", expires_at=clock.time(hours=1))
    kept = memory.add("fact that stays")
    clock.advance(days=days, hours=1)
    assert memory.forget_expired(trust_clock=True) == (1 if days > 30 else 0)
    assert memory.get(kept).text == "fact that stays"
    if days > 30:
        with pytest.raises(NotFoundError, match="forgotten"):
            memory.get(added)
    assert memory.forget_expired() == 0


@pytest.mark.parametrize("late", [{"days": -365}, {"seconds": 0}], ids=["a year ago", "now"])
def test_an_expiry_that_is_past_is_refused(memory: Memory, clock: Any, late: dict[str, int]) -> None:
    """A mistyped year must not lose a memory on every device: nothing is changed."""
    added = memory.add("fact", key="k")
    for call in (
        lambda: memory.add("other fact", expires_at=clock.time(**late)),
        lambda: memory.add("other fact", key="k", expires_at=clock.time(**late)),
        lambda: memory.add_many([{"text": "other fact", "expires_at": clock.time(**late)}]),
        lambda: memory.update(added, expires_at=clock.time(**late)),
    ):
        with pytest.raises(InputError, match="not in the future; to remove a memory, forget it"):
            call()
    clock.advance(hours=2)
    memory.add("later fact")
    assert [record.text for record in memory.list(order="oldest")] == ["fact", "later fact"]


def test_what_is_imported_expired_is_hidden_and_waits_as_long_as_any(memory: Memory, clock: Any) -> None:
    """30 days from the import, regardless of its age and its expiry."""
    file = memory.home / "in.jsonl"
    file.write_text(
        json.dumps(
            {
                "text": "fact",
                "created_at": clock.time(days=-800).isoformat(),
                "expires_at": clock.time(days=-400).isoformat(),
            }
        )
    )
    assert (memory.import_(file).added, len(memory.list())) == (1, 0)
    clock.advance(days=29)
    assert (memory.forget_expired(trust_clock=True), len(memory.list(include="expired"))) == (0, 1)
    clock.advance(days=2)
    assert (memory.forget_expired(trust_clock=True), len(memory.list(include="expired"))) == (1, 0)


def test_an_expired_memory_that_is_changed_waits_anew(memory: Memory, clock: Any) -> None:
    """A user who changes it still needs it."""
    added = memory.add("fact", expires_at=clock.time(hours=1))
    clock.advance(days=29)
    memory.update(added, add_tags=["t"])
    clock.advance(days=29)
    assert memory.forget_expired(trust_clock=True) == 0
    clock.advance(days=2)
    assert memory.forget_expired(trust_clock=True) == 1


def test_only_a_memory_that_is_here_can_supersede(memory: Memory) -> None:
    """Otherwise a memory would be hidden without a visible replacement.

    Unknown and forgotten memories and the memory itself are refused.
    """
    added, gone = memory.add_many(["fact", "gone"])
    memory.forget(gone)
    for successor, error, says in (
        ("01JD8Z6Q4M0000000000000001", NotFoundError, "no memory 01JD8Z6Q4M"),
        (gone, NotFoundError, "forgotten"),
        (added, InputError, "supersede itself"),
    ):
        with pytest.raises(error, match=says):
            memory.update(added, superseded_by=successor)
    assert memory.get(added).superseded_by is None


def test_only_its_authors_device_forgets_what_expired(open_memory: OpenMemory, clock: Any) -> None:
    """The other devices receive the forget. So a wrong clock elsewhere cannot remove the memory."""
    laptop, desktop = open_memory("A"), open_memory("B")
    added = laptop.add("fact", expires_at=clock.time(hours=1))
    exchange(laptop, desktop)
    clock.advance(days=60)
    assert desktop.forget_expired(trust_clock=True) == 0
    assert laptop.forget_expired(trust_clock=True) == 1
    exchange(laptop, desktop)
    with pytest.raises(NotFoundError, match="forgotten"):
        desktop.get(added)


def test_how_long_is_a_setting_and_zero_is_never(open_memory: OpenMemory, clock: Any) -> None:
    """`forget_expired_days`."""
    early, never = open_memory("A", forget_expired_days=1), open_memory("B", forget_expired_days=0)
    for memory in (early, never):
        memory.add("fact", expires_at=clock.time(hours=1))
    clock.advance(days=400)
    assert tuple(each.forget_expired(trust_clock=True) for each in (early, never)) == (1, 0)


def test_writing_looks_for_what_expired_once_an_hour(open_memory: OpenMemory, clock: Any) -> None:
    """So a process that runs for months also forgets."""
    memory = open_memory()
    memory.add("first")
    gone = memory.add("fact", expires_at=clock.time(minutes=1))
    for _ in range(4):
        clock.advance(days=10)
        memory.add("second")
    with pytest.raises(NotFoundError):
        memory.get(gone)


def test_a_clock_that_was_ahead_does_not_make_later_changes_lose(open_memory: OpenMemory, clock: Any) -> None:
    """Changes that know an earlier change win over it, whatever their times say: texts, tags and attributes."""
    laptop, desktop = open_memory("A"), open_memory("B")
    clock.advance(days=4_000)
    added = laptop.add("from the future", tags=["future"], trust="low")
    laptop.update(added, text="also from the future", importance=0.9)
    exchange(laptop, desktop)
    clock.advance(days=-4_000)
    desktop.update(added, text="now", tags=["now"], trust="high", importance=0.1)
    exchange(laptop, desktop)
    for memory in (laptop, desktop):
        record = memory.get(added)
        assert (record.text, record.tags, record.trust, record.importance) == ("now", ("now",), "high", 0.1)
        assert not record.conflicted
