"""Circles of supersession: one member stays visible, the same on every device, and it is reported."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest

from memcrdt.memory.memory import Memory
from memcrdt.store.supersession import shown_of
from memcrdt.testing.memories import exchange

OpenMemory = Callable[..., Memory]


@pytest.mark.parametrize(
    ("circle", "shown"),
    [
        ([("A", 5)], "A"),
        ([("A", 1), ("B", 2)], "A"),
        ([("A", 2), ("B", 1)], "B"),
        ([("A", 2), ("B", 2)], "A"),
        ([("A", 1), ("B", 3), ("C", 2)], "C"),
    ],
)
def test_the_successor_named_last_is_shown(circle: list[tuple[str, int]], shown: str) -> None:
    """Wherever the walk along the circle began."""
    for start in range(len(circle)):
        assert shown_of(circle[start:] + circle[:start]) == shown


def test_a_fact_that_changes_back_is_shown(open_memory: OpenMemory) -> None:
    """One device closes the circle: the new successor is no longer superseded. Over three memories as well."""
    memory = open_memory()
    porto, ghent, rome = memory.add_many(["Porto", "Ghent", "Rome"])
    memory.update(porto, superseded_by=ghent)
    memory.update(ghent, superseded_by=porto)
    assert _shown(memory) == ["Porto", "Rome"]
    assert memory.get(porto).superseded_by is None
    memory.update(porto, superseded_by=rome)
    memory.update(rome, superseded_by=ghent)  # which is superseded by porto, and that by rome
    assert _shown(memory) == ["Ghent"]
    memory.update_many([{"id": ghent, "superseded_by": porto}, {"id": porto, "superseded_by": ghent}])
    assert _shown(memory) == ["Ghent"]
    assert memory.status().alarms == ()


@pytest.mark.parametrize("count", [2, 3])
def test_devices_apart_that_close_a_circle_show_the_latest(open_memory: OpenMemory, count: int) -> None:
    """Each decides one step. Afterwards all show what the last one named, and the status names the circle."""
    devices = [open_memory(name) for name in "ABC"[:count]]
    ids = devices[0].add_many(["one", "two", "three"][:count])
    exchange(*devices)
    for place, device in enumerate(devices):
        device.update(ids[place], superseded_by=ids[(place + 1) % count])
    exchange(*devices)
    for device in devices:
        assert _shown(device) == ["one"]
        assert device.search("one")[0].memory.id == ids[0]
        assert device.stats().superseded == count - 1
        (alarm,) = device.status().alarms
        assert all(each in alarm.text for each in ids)
        assert device.doctor().problems == ()


def test_a_circle_is_settled_by_any_change_of_it(open_memory: OpenMemory) -> None:
    """Naming no successor or another one, or forgetting a member. Then each member is shown as it says itself."""
    laptop, desktop = open_memory("A"), open_memory("B")
    for settle, shown in (
        (lambda one, two: desktop.update(one, superseded_by=None), ["one"]),
        (lambda one, two: desktop.update(two, superseded_by=None), ["two"]),
        (lambda one, two: desktop.update(two, superseded_by=desktop.add("three")), ["three"]),
        (lambda one, two: desktop.forget(two), []),
    ):
        one, two = _circle(laptop, desktop)
        with laptop.changes() as changes:
            settle(one, two)
            exchange(laptop, desktop)
            assert _shown(laptop) == _shown(desktop) == shown
            assert changes.get(timeout_s=10) is not None
        assert laptop.status().alarms == desktop.status().alarms == ()
        assert laptop.doctor().problems == desktop.doctor().problems == ()
        for memory in (laptop, desktop):
            memory.forget([record.id for record in memory.list(include="superseded")])
        exchange(laptop, desktop)


def test_an_edit_of_a_member_keeps_the_circle(open_memory: OpenMemory) -> None:
    """A tag of the shown one, and of the hidden one."""
    laptop, desktop = open_memory("A"), open_memory("B")
    for memory_id in _circle(laptop, desktop):
        laptop.update(memory_id, add_tags=["t"])
        assert _shown(laptop) == ["one"]


def test_the_doctor_corrects_what_a_circle_shows(open_memory: OpenMemory) -> None:
    """The views say it, and the log can rebuild them."""
    laptop, desktop = open_memory("A"), open_memory("B")
    _circle(laptop, desktop)
    with laptop.store.writing() as db:
        db.execute("UPDATE memories SET circular = 0")
    assert _shown(laptop) == []
    assert "circles" in laptop.doctor().problems[0]
    laptop.doctor(repair=True)
    assert _shown(laptop) == ["one"]


def test_a_store_without_times_of_supersession_gets_them_when_opened(open_memory: OpenMemory, clock: Any) -> None:
    """As the migration leaves it: the views lack the time, and the list of known attributes lacks the attribute."""
    memory = open_memory()
    one, two = memory.add_many(["one", "two"])
    memory.update(one, superseded_by=two)
    with memory.store.writing() as db:
        wanted = db.execute("SELECT superseded_at FROM memories ORDER BY memory").fetchall()
        db.execute("UPDATE memories SET superseded_at = NULL")
        db.execute("UPDATE meta SET value = '[]' WHERE key = 'attributes'")
    again = open_memory()
    with again.store.reading() as db:
        assert db.execute("SELECT superseded_at FROM memories ORDER BY memory").fetchall() == wanted
    assert wanted[0] != (None,)


def _circle(laptop: Memory, desktop: Memory) -> Sequence[str]:
    """Make a circle of two memories, of which the first one is shown."""
    one, two = laptop.add_many(["one", "two"])
    exchange(laptop, desktop)
    laptop.update(one, superseded_by=two)
    desktop.update(two, superseded_by=one)
    exchange(laptop, desktop)
    assert _shown(laptop) == _shown(desktop) == ["one"]
    return one, two


def _shown(memory: Memory) -> list[str]:
    return [record.text for record in memory.list(order="oldest")]


def _apart_in_two_spaces(open_memory: OpenMemory) -> tuple[Memory, Memory, str, str]:
    """Return two devices that share two spaces, and the ids of a circle over both that they closed while apart."""
    laptop, desktop = open_memory("A"), open_memory("B")
    for device in (laptop, desktop):
        device.space("team").create()
    one, two = laptop.add("one"), laptop.add("two", space="team")
    for space in ("personal", "team"):
        exchange(laptop, desktop, space=space)
    laptop.update(one, superseded_by=two)
    desktop.update(two, superseded_by=one)
    for space in ("personal", "team"):
        exchange(laptop, desktop, space=space)
    return laptop, desktop, one, two


def test_a_circle_over_two_spaces_shows_the_latest(open_memory: OpenMemory) -> None:
    """On each device that has both spaces, and the status names the circle."""
    laptop, desktop, one, two = _apart_in_two_spaces(open_memory)
    for device in (laptop, desktop):
        assert _shown(device) == ["one"]
        (alarm,) = device.status().alarms
        assert one in alarm.text
        assert two in alarm.text
        assert device.doctor().problems == ()


def test_a_copy_of_a_member_in_the_other_space_opens_the_circle(open_memory: OpenMemory) -> None:
    """The successor of the same space counts, so a memory that nobody changed is shown again. Forgetting closes it."""
    laptop, _, one, two = _apart_in_two_spaces(open_memory)
    laptop.add("two", id=two)
    assert _shown(laptop) == ["two"]
    assert laptop.doctor().problems == ()
    with laptop.store.reading() as db:
        (space,) = db.execute("SELECT space FROM spaces WHERE name = 'personal'").fetchone()
    laptop.store.commit(lambda transaction: transaction.forget(space, two))
    assert _shown(laptop) == ["one"]
    assert laptop.get(one).superseded_by == two
    assert laptop.doctor().problems == ()
