"""The items of a conversation: their order, what an item may be, and what other devices see."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby

import pytest

from memcrdt.errors import InputError, NotFoundError, SecretError
from memcrdt.frameworks.history import History
from memcrdt.memory.memory import Memory
from memcrdt.testing import Clock, exchange

OpenMemory = Callable[..., Memory]

SECRET = {"output": "AKIAIOSFODNN7EXAMPLE is the key"}


@pytest.fixture(name="history")
def _history(memory: Memory) -> History:
    return History(memory, "support-7", kind="session")


@pytest.mark.parametrize(
    "item",
    [
        {"role": "user", "content": "Grüße"},
        {"e\u0301": "\ud800", "n": 1.5, "none": None, "deep": {"list": [1, True]}},
        {"image": "x" * 200_000},
        {"blank": " " * 200_000},
        {"wide": "\U0001f600" * 50_000},
        SECRET,
    ],
    ids=lambda item: next(iter(item)),
)
def test_every_item_comes_back_as_it_was(history: History, item: dict[str, object]) -> None:
    """However long it is, and whatever is in it."""
    history.add([{"first": 1}, item, {"last": 1}])
    assert history.items() == [{"first": 1}, item, {"last": 1}]
    assert history.items(2) == [item, {"last": 1}]
    assert [history.pop(), history.pop(), history.pop(), history.pop()] == [{"last": 1}, item, {"first": 1}, None]


def test_histories_are_apart(memory: Memory, history: History) -> None:
    """By the conversation, by the kind and by the space; the first is in the local space."""
    history.add([{"n": 1}])
    (record,) = memory.list()
    assert (record.space, record.scope, record.kind) == ("local", "conversation/support-7", "session")
    others = [
        History(memory, "support-8", kind="session"),
        History(memory, "support-7", kind="chat"),
        History(memory, "support-7", kind="session", space="personal"),
    ]
    assert [other.items() for other in others] == [[], [], []]
    for other in others:
        other.clear()
    assert history.items() == [{"n": 1}]
    history.clear()
    assert history.items() == []


def test_the_order_does_not_depend_on_the_clock(history: History, clock: Clock) -> None:
    """Which may be set back between two turns."""
    history.add([{"n": 1}, {"n": 2}])
    clock.advance(days=-2)
    history.add([{"n": 3}])
    history.add([{"n": 4}])
    assert [item["n"] for item in history.items()] == [1, 2, 3, 4]


def test_two_calls_at_once_do_not_mix_their_items(history: History) -> None:
    """Such as a call of a tool and its output."""
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda who: history.add([{"who": who}] * 5), range(8)))
    found = [(who, len(list(items))) for who, items in groupby(history.items(), lambda item: item["who"])]
    assert sorted(found) == [(who, 5) for who in range(8)]


def test_a_history_of_a_shared_space_is_on_all_devices(open_memory: OpenMemory) -> None:
    """And does not take secrets there, or anything that other faces wrote for an item."""
    laptop, desktop = open_memory("A"), open_memory("B")
    here, there = (History(memory, "7", kind="session", space="personal") for memory in (laptop, desktop))
    here.add([{"n": 1}])
    laptop.add("no item", scope="conversation/7", kind="session")
    laptop.add("[1]", scope="conversation/7", kind="session")
    exchange(laptop, desktop)
    there.add([{"n": 2}])
    exchange(laptop, desktop)
    assert here.items() == there.items() == [{"n": 1}, {"n": 2}]
    with pytest.raises(SecretError):
        here.add([SECRET])
    assert there.pop() == {"n": 2}
    exchange(laptop, desktop)
    assert here.items() == [{"n": 1}]


def test_what_is_no_item_is_refused(memory: Memory, history: History) -> None:
    """With nothing added."""
    for item in ({"set": {1}}, {"deep": object()}, ["no object"]):
        with pytest.raises(InputError, match="is not a JSON object"):
            history.add([{"n": 1}, item])
    with pytest.raises(InputError, match="scope"):
        History(memory, "x" * 500, kind="session")
    with pytest.raises(NotFoundError):
        History(memory, "7", kind="session", space="no such").items()
    assert history.items() == []


@pytest.mark.usefixtures("off_loop")
async def test_the_awaitable_twins_do_the_same(history: History) -> None:
    """In a thread, so that the loop goes on."""
    await history.aadd([{"n": 1}, {"n": 2}])
    assert await history.aitems(1) == [{"n": 2}]
    assert await history.apop() == {"n": 2}
    await history.aclear()
    assert await history.aitems() == []
