"""The change feed delivers the changes of this process, other processes and other devices."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import memcrdt
from memcrdt.errors import InputError, StoreError
from memcrdt.memory import feed as memory_feed
from memcrdt.memory.feed import QUEUE, Subscription
from memcrdt.memory.memory import Memory
from memcrdt.model import limits
from memcrdt.model.records import Change
from memcrdt.node.store_replica import StoreReplica
from memcrdt.store import log
from memcrdt.store.sql import SqlConnection
from memcrdt.testing.memories import Clock, exchange

OpenMemory = Callable[..., Memory]
WAIT_S = 20.0  # limit for events that happen at once


def _next(subscription: Subscription, count: int) -> list[Change]:
    """Return that many changes, or fewer after a timeout."""
    changes = [subscription.get(WAIT_S) for _ in range(count)]
    return [change for change in changes if change is not None]


def _told(changes: list[Change]) -> list[tuple[str, str]]:
    return [(change.kind, change.id) for change in changes]


def test_a_subscriber_hears_what_this_process_changes(memory: Memory) -> None:
    """Additions, updates and forgets are delivered in order, each after its commit."""
    with memory.changes() as changes:
        added = memory.add("a")
        (first,) = _next(changes, 1)
        assert memory.get(first.id).text == "a"
        memory.update(added, text="b")
        second = _next(changes, 1)
        memory.forget(added)
        assert _told([first, *second, *_next(changes, 1)]) == [
            ("added", added),
            ("updated", added),
            ("forgotten", added),
        ]
        assert (first.space, first.origin) == ("personal", "local")


def test_what_was_before_is_not_told(memory: Memory) -> None:
    """A feed starts at the subscription."""
    memory.add("before")
    with memory.changes() as changes:
        added = memory.add("after")
        assert _told(_next(changes, 1)) == [("added", added)]
        assert changes.poll() is None


def test_a_callback_is_called_for_each_change(memory: Memory) -> None:
    """It is called in its own thread until the subscription is closed. An exception does not end it."""
    heard: list[str] = []
    several = threading.Event()

    def callback(change: Change) -> None:
        heard.append(change.id)
        if len(heard) == 3:
            several.set()
        if len(heard) == 1:
            raise ValueError("a mistake in the callback")

    with memory.subscribe(callback):
        ids = memory.add_many(["a", "b", "c"])
        assert several.wait(WAIT_S)
    memory.add("after the end")
    assert heard == ids


def test_filters_narrow_a_feed(memory: Memory) -> None:
    """For a forgotten memory, only the space is known."""
    memory.space("team").create()
    with memory.changes(scope="project/acme", space="team") as changes:
        memory.add_many(["elsewhere", {"text": "other space", "scope": "project/acme"}])
        wanted = memory.add("here", scope="project/acme", space="team")
        other = memory.add("other scope", space="team")
        assert _told(_next(changes, 1)) == [("added", wanted)]
        memory.update(wanted, superseded_by=other)
        assert _told(_next(changes, 1)) == [("updated", wanted)]
        memory.forget(other)
        assert _told(_next(changes, 1)) == [("forgotten", other)]
    with pytest.raises(InputError):
        memory.changes(colour="red")


def test_metadata_operators_narrow_changes(memory: Memory) -> None:
    """They work as in search and list, also at a past time."""
    with memory.changes(metadata={"year": {"$gte": 2020}}) as changes:
        memory.add_many([{"text": "old", "metadata": {"year": 2019}}, "undated"])
        wanted = memory.add("new", metadata={"year": 2021})
        assert _told(_next(changes, 1)) == [("added", wanted)]
        with pytest.raises(InputError, match=r"\$contains"):
            memory.changes(metadata={"year": {"$after": 2020}})
    moment = memory.get(wanted).created_at
    assert [record.id for record in memory.list(metadata={"year": {"$gt": 2019}}, as_of=moment)] == [wanted]


def test_changes_of_several_spaces_come_together(memory: Memory) -> None:
    """Forgets included, and without the changes of a third space."""
    for name in ("team", "other"):
        memory.space(name).create()
    with memory.changes(space=["personal", "team"]) as changes:
        ours, _, theirs = (memory.add("text", space=name) for name in ("personal", "other", "team"))
        assert {(each.kind, each.id) for each in (next(changes), next(changes))} == {("added", ours), ("added", theirs)}
        memory.forget(space="other")
        memory.forget(theirs)
        assert (changes.get(10).kind, changes.poll()) == ("forgotten", None)  # type: ignore[union-attr]


def test_a_subscriber_hears_what_other_devices_change(open_memory: OpenMemory) -> None:
    """Each change has the origin of its device and is delivered once."""
    laptop, desktop = open_memory("A"), open_memory("B")
    with laptop.changes() as changes:
        added = desktop.add("from the desktop")
        exchange(laptop, desktop)
        (change,) = _next(changes, 1)
        assert (change.kind, change.id, change.origin) == ("added", added, "B" * 52)
        desktop.forget(added)
        exchange(laptop, desktop)
        assert _told(_next(changes, 1)) == [("forgotten", added)]
        assert changes.poll() is None


def test_a_subscriber_hears_what_other_processes_change(tmp_path: Path) -> None:
    """A real second process uses the same store."""
    script = "import sys, memcrdt\nwith memcrdt.open(sys.argv[1], embedder=None) as m: print(m.add('from elsewhere'))"
    with memcrdt.open(tmp_path, embedder=None) as memory, memory.changes() as changes:
        done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True, check=True)
        (change,) = _next(changes, 1)
        assert (change.kind, change.id, change.origin) == ("added", done.stdout.strip(), "process")
        mine = memory.add("from here")
        (change,) = _next(changes, 1)
        assert (change.id, change.origin) == (mine, "local")


def test_what_expired_is_forgotten_by_retention(open_memory: OpenMemory, clock: Clock) -> None:
    """Only the feed of the process that forgets names it so. For other processes it is another process."""
    here, other = open_memory("A"), open_memory("A")
    added = here.add("soon over", expires_at=clock.time(days=1))
    with here.changes() as ours, other.changes() as theirs:
        clock.advance(days=40)
        assert here.forget_expired(trust_clock=True) == 1
        for changes, origin in ((ours, "retention"), (theirs, "process")):
            assert [(change.id, change.origin) for change in _next(changes, 1)] == [(added, origin)]


def test_what_another_device_forgets_keeps_its_origin(open_memory: OpenMemory) -> None:
    """Also in another process, which may read after scrubbing has folded the row of the forget."""
    here, other, there = open_memory("A"), open_memory("A"), open_memory("B")
    added = there.add("from the desktop")
    exchange(here, there)
    with here.changes() as ours, other.changes() as theirs:
        there.forget(added)
        exchange(here, there)
        for changes in (ours, theirs):
            assert [(change.id, change.origin) for change in _next(changes, 1)] == [(added, "B" * 52)]


def test_what_a_yjs_client_writes_names_its_token(open_memory: OpenMemory) -> None:
    """After the commit, and in another process too."""
    here, other, client = open_memory("A"), open_memory("A"), open_memory("B")
    added = client.add("from a browser")
    replica, space = StoreReplica(client.store), client.space("personal").id()
    (shard,) = replica.digests(space)
    update = replica.diff(space, shard, {}).update
    with here.changes() as ours, other.changes() as theirs:
        StoreReplica(here.store).apply(here.space("personal").id(), shard, update, "yjs:browser")
        for changes in (ours, theirs):
            assert [(change.id, change.origin) for change in _next(changes, 1)] == [(added, "yjs:browser")]


def test_what_completes_an_update_is_told_as_part_of_it(open_memory: OpenMemory) -> None:
    """Two devices gave different texts under one key.

    One birth is dropped, and the device that receives the other birth adds a revision in the same commit.
    """
    laptop, desktop = open_memory("A"), open_memory("B")
    ids = {memory.add(text, key="deploys") for memory, text in ((laptop, "on Tuesdays"), (desktop, "on Fridays"))}
    with laptop.changes() as here, desktop.changes() as there:
        exchange(laptop, desktop)
        assert len(ids) == 1
        assert {change.origin for change in _next(here, 1)} == {"B" * 52}
        assert {change.origin for change in _next(there, 1)} == {"A" * 52}


def test_every_own_change_is_called_local(memory: Memory) -> None:
    """Even if the feed reads the change before the commit has recorded its origin."""
    with memory.changes() as changes:
        threads = [threading.Thread(target=lambda: [memory.add("a") for _ in range(50)]) for _ in range(3)]
        for thread in threads:
            thread.start()
        told = _next(changes, 150)
        for thread in threads:
            thread.join()
    assert len({change.id for change in told}) == 150
    assert {change.origin for change in told} == {"local"}


def test_a_large_batch_is_heard_whole_through_a_short_queue(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Changes that do not fit wait in the tables. None is missed, and no `missed` change is sent."""
    count = QUEUE * 2 + 10
    monkeypatch.setattr(limits, "TRANSACTION_ITEMS", count)  # a later commit would send a `missed` change
    with memory.changes() as changes:
        ids = memory.add_many([f"text {n}" for n in range(count)])
        deadline = time.monotonic() + WAIT_S
        while len(changes._queue) < QUEUE and time.monotonic() < deadline:
            threading.Event().wait(0.01)
        assert len(changes._queue) == QUEUE
        assert _told(_next(changes, count)) == [("added", memory_id) for memory_id in ids]
        assert changes.poll() is None


def test_a_reader_that_makes_room_while_the_feed_looks_is_not_forgotten(
    memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The feed looks at the full queue, and the reader empties it before the feed has noted that it was full."""
    heard: list[Change] = []
    is_empty = threading.Event()
    monkeypatch.setattr(limits, "TRANSACTION_ITEMS", QUEUE * 2)
    with memory.changes() as changes:

        def emptied(db: SqlConnection) -> int:
            if len(changes._queue) == QUEUE and not heard:
                heard.extend(_next(changes, QUEUE))
                is_empty.set()
            return log.head(db)

        monkeypatch.setattr("memcrdt.memory.feed.log_head", emptied)
        ids = memory.add_many([f"text {n}" for n in range(QUEUE * 2)])
        assert is_empty.wait(WAIT_S)
        following = changes.get(WAIT_S)
        assert following is not None
        heard += [following, *_next(changes, QUEUE - 1)]
    assert _told(heard) == [("added", memory_id) for memory_id in ids]


def test_a_slow_subscriber_is_told_that_it_missed_some(memory: Memory) -> None:
    """The queue stays bounded. The subscriber gets the last change of each memory, and a `missed` change."""
    with memory.changes() as changes, memory.changes() as quick:
        ids = memory.add_many([f"text {n}" for n in range(QUEUE + 20)])
        assert len(_next(quick, len(ids))) == len(ids)  # so that the queue of the slow subscriber is full
        for text in ("one", "two", "three"):
            memory.update(ids[-1], text=text)
            assert _told(_next(quick, 1)) == [("updated", ids[-1])]
        told = _next(changes, len(ids) + 1)
    assert _told(told[:QUEUE]) == [("added", memory_id) for memory_id in ids[:QUEUE]]
    assert told[QUEUE].kind == "missed"
    assert (told[QUEUE].id, told[QUEUE].space) == ("", "")
    assert _told(told[QUEUE + 1 :]) == [("added", memory_id) for memory_id in ids[QUEUE:]]


def test_one_slow_subscriber_does_not_keep_others_waiting(memory: Memory) -> None:
    """The writer does not wait either."""
    held, entered = threading.Event(), threading.Event()

    def slow(_: Change) -> None:
        entered.set()
        held.wait(WAIT_S)

    with memory.subscribe(slow), memory.changes() as changes:
        memory.add("a")
        assert entered.wait(WAIT_S)
        ids = [memory.add(f"text {n}") for n in range(10)]
        assert [change.id for change in _next(changes, 11)][1:] == ids
        held.set()


def test_closing_ends_an_iteration(memory: Memory) -> None:
    """From another thread, once or twice. Closing the memory ends the remaining subscriptions."""
    one, two = memory.changes(), memory.changes()
    heard: list[list[Change]] = []
    threads = [threading.Thread(target=lambda s=s: heard.append(list(s))) for s in (one, two)]  # type: ignore[misc]
    for thread in threads:
        thread.start()
    one.close()
    one.close()
    memory.close()
    for thread in threads:
        thread.join(WAIT_S)
    assert heard == [[], []]
    assert one.closed
    assert two.closed


def test_an_error_ends_a_feed_and_a_later_subscriber_hears_changes(
    memory: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The subscribers at that time get the error."""
    with memory.changes() as feed, monkeypatch.context() as patched:
        patched.setattr(type(memory.store), "data_version", lambda *_: _raise(StoreError("the disk is gone")))
        with pytest.raises(StoreError, match="the disk is gone"):
            feed.get(timeout_s=30)
    with memory.changes() as feed:
        added = memory.add("the disk is back")
        change = feed.get(timeout_s=30)
        assert change is not None
        assert change.id == added


def test_a_feed_waits_for_a_connection_for_a_while(memory: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only where connections can come back. When one does not, the subscribers are told why."""
    monkeypatch.setattr(type(memory.store), "reconnects", True)
    monkeypatch.setattr(memory_feed, "RETRY_S", 0.01)
    with memory.changes() as feed:
        with monkeypatch.context() as patched:
            failed = threading.Event()
            patched.setattr(
                type(memory.store), "data_version", lambda *_: failed.set() or _raise(StoreError("cut off"))
            )
            assert failed.wait(WAIT_S)
        added = memory.add("the connection is back")
        change = feed.get(timeout_s=30)
        assert change is not None
        assert change.id == added
        monkeypatch.setattr(memory_feed, "GIVE_UP_S", 0.05)
        monkeypatch.setattr(type(memory.store), "data_version", lambda *_: _raise(StoreError("cut off")))
        with pytest.raises(StoreError, match="cut off"):
            feed.get(timeout_s=30)


def _raise(error: Exception) -> None:
    raise error


def test_a_feed_starts_again_after_the_last_subscriber_left(memory: Memory) -> None:
    """The thread of the feed runs only while there are subscriptions."""
    for text in ("a", "b"):
        with memory.changes() as changes:
            added = memory.add(text)
            assert _told(_next(changes, 1)) == [("added", added)]
    deadline = time.monotonic() + WAIT_S
    while any(thread.name == "memcrdt-feed" for thread in threading.enumerate()) and time.monotonic() < deadline:
        threading.Event().wait(0.01)
    assert not any(thread.name == "memcrdt-feed" for thread in threading.enumerate())
