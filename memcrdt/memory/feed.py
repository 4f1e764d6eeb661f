"""The change feed: delivers the changes of this process, other processes and other devices to subscribers.

One thread per Memory looks for changes: at once after a commit of this process, otherwise every 25 ms. Each subscriber
has a bounded queue. Changes that do not fit stay in the tables of the store, and are read when the queue has room.
A lost connection to the database of a hub is made again, and the changes meanwhile follow.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime
from typing import Any, Final, Self

from memcrdt.errors import MemcrdtError, StoreError
from memcrdt.model.filters import CheckedFilters
from memcrdt.model.records import Change
from memcrdt.model.values import from_ms
from memcrdt.store.base import AnyStore, Notice
from memcrdt.store.change_cursor import ChangeCursor, Step
from memcrdt.store.log import head as log_head

QUEUE: Final = 1_024  # changes waiting for one subscriber
POLL_S: Final = 0.025  # one look costs 4 µs
RETRY_S: Final = 0.5  # after a connection to a database was lost
GIVE_UP_S: Final = 60.0  # until the subscribers are told that it is lost

log = logging.getLogger("memcrdt.feed")


class Subscription:
    """A stream of changes: an iterator for any thread, and a context manager.

    Several changes of one memory in quick succession are merged into one. The iteration ends with close(), or with an
    error if the store cannot be read.

    Example:
        >>> with memory.changes(kind="fact") as changes:
        ...     change = changes.get(timeout_s=5)
    """

    def __init__(self, feed: Feed, cursor: ChangeCursor) -> None:
        self._feed = feed
        self._cursor = cursor
        self._queue: deque[Change] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._error: MemcrdtError | None = None
        self._full_since: int | None = None  # the log row at which the queue had no room
        self._listener: Callable[[], None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[Change]:
        return self

    def __next__(self) -> Change:
        change = self.get()
        if change is None:
            raise StopIteration
        return change

    def get(self, timeout_s: float | None = None) -> Change | None:
        """Wait for the next change.

        Args:
            timeout_s: Maximum time to wait, in seconds. Without it, the call waits without limit.

        Returns:
            The next change, or None if the time is up or the subscription has ended.

        Raises:
            StoreError: The store cannot be read.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._queue or self._closed, timeout_s)
            return self._take()

    def poll(self) -> Change | None:
        """Return the next change, or None if no change is waiting. Raises StoreError."""
        with self._changed:
            return self._take()

    @property
    def closed(self) -> bool:
        """Whether no change will follow."""
        return self._closed and not self._queue

    def close(self) -> None:
        """End the subscription and drop waiting changes. A second call does nothing."""
        self._feed.end(self)
        with self._changed:
            self._queue.clear()
        self._finish(None)

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call `listener` in the thread of the feed after each change and at the end of the subscription."""
        self._listener = listener

    def _take(self) -> Change | None:
        if self._queue:
            change = self._queue.popleft()
            if self._full_since is not None and len(self._queue) <= QUEUE // 2:
                self._feed.wake()
            return change
        if self._error is not None:
            raise self._error
        return None

    def _fill(self, db: Any, change_of: Callable[[Step], Change]) -> bool:
        """Fill the queue. Return whether more changes may follow and the queue has room for them."""
        head = log_head(db)
        with self._changed:  # a reader that makes room has to see that it must wake the feed
            room = QUEUE - len(self._queue)
            if room <= 0:
                self._full_since = self._full_since or head
                return False
        is_lost = self._cursor.is_lost(db)
        if is_lost or (self._full_since is not None and head > self._full_since):
            self._put([Change(kind="missed", id="", space="", origin="local", at=self._feed.now())])
        self._full_since = None
        steps = self._cursor.read(db, room)
        self._put([change_of(step) for step in steps])
        return len(steps) == room

    def _put(self, changes: list[Change]) -> None:
        if not changes or self._closed:
            return
        with self._changed:
            self._queue.extend(changes)
            self._changed.notify_all()
        self._notify()

    def _finish(self, error: MemcrdtError | None) -> None:
        with self._changed:
            self._closed, self._error = True, error
            self._changed.notify_all()
        self._notify()

    def _notify(self) -> None:
        if self._listener is not None:
            self._listener()


class Feed:
    """Looks for changes while there are subscriptions."""

    def __init__(self, store: AnyStore) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._subscriptions: list[Subscription] = []
        self._thread: threading.Thread | None = None
        self._woken = threading.Event()
        self._lost_at: float | None = None  # on the monotonic clock: when looking for changes began to fail
        self._unsubscribe: Callable[[], None] | None = None

    def subscribe(self, filters: CheckedFilters) -> Subscription:
        """Return a subscription to every commit from now on."""
        with self._lock:
            if self._unsubscribe is None:
                self._unsubscribe = self._store.subscribe(self._note)
            with self._store.reading() as db:
                subscription = Subscription(self, ChangeCursor(db, filters))
            self._subscriptions.append(subscription)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="memcrdt-feed", daemon=True)
                self._thread.start()
        self.wake()
        return subscription

    def end(self, subscription: Subscription) -> None:
        with self._lock, suppress(ValueError):
            self._subscriptions.remove(subscription)
        self.wake()

    def now(self) -> datetime:
        return from_ms(self._store.now_ms())

    def wake(self) -> None:
        """Look for changes now, because of a commit or because a queue has room."""
        self._woken.set()

    def close(self) -> None:
        """End every subscription, and wait for the thread to end."""
        for subscription in self._current():
            subscription.close()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()
        if self._unsubscribe is not None:
            self._unsubscribe()

    def _note(self, _: Notice) -> None:
        self.wake()

    def _run(self) -> None:
        try:
            while not self._is_followed_to_the_end():
                time.sleep(RETRY_S)
        except BaseException as exc:  # of any kind: the subscribers must not wait forever
            with self._lock:  # a later subscriber starts another thread
                ended, self._subscriptions, self._thread = self._subscriptions, [], None
            self._lost_at = None  # that thread waits for a connection as long as this one did
            for subscription in ended:
                subscription._finish(exc if isinstance(exc, MemcrdtError) else StoreError(f"the feed ended: {exc!r}"))
            if not isinstance(exc, MemcrdtError):
                raise

    def _is_followed_to_the_end(self) -> bool:
        """Look for changes until there are no subscriptions. Return False if a connection was lost, to try again."""
        try:
            with self._store.reading() as db:
                self._follow(db)
        except StoreError:
            now = time.monotonic()
            self._lost_at = self._lost_at or now
            if not self._store.reconnects or now > self._lost_at + GIVE_UP_S or not self._current():
                raise
            return False
        return True

    def _follow(self, db: Any) -> None:
        more, seen = True, None
        while True:
            woken = self._woken.wait(0 if more else POLL_S)
            self._woken.clear()
            version = self._store.data_version(db)
            subscriptions = self._subscribed()  # after the wait, to include new subscribers
            if not subscriptions:
                return
            if more or woken or version != seen:
                seen = version
                # A list, because any() over a generator would stop at the first one.
                more = True in [subscription._fill(db, self._change) for subscription in subscriptions]
            self._lost_at = None

    def _current(self) -> list[Subscription]:
        with self._lock:
            return list(self._subscriptions)

    def _subscribed(self) -> list[Subscription]:
        """Return the subscriptions. If there are none, this thread ends, and the next subscriber starts another."""
        with self._lock:
            if not self._subscriptions:
                self._thread = None
            return list(self._subscriptions)

    def _change(self, step: Step) -> Change:
        origin = self._store.origin_of(step.seq, step.origin)
        return Change(kind=step.kind, id=step.id, space=step.space, origin=origin, at=from_ms(step.at))


def deliver(subscription: Subscription, callback: Callable[[Change], None]) -> None:
    """Call `callback` for each change, in a thread of its own, until the subscription ends."""
    threading.Thread(target=_call_for_each, args=(subscription, callback), name="memcrdt-callback", daemon=True).start()


def _call_for_each(subscription: Subscription, callback: Callable[[Change], None]) -> None:
    for change in subscription:
        try:
            callback(change)
        except Exception:  # the caller's code may raise anything; later changes are still delivered
            log.exception("a callback failed on %s of %s", change.kind, change.id)
