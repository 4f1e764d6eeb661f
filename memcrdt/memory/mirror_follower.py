"""The mirrors that the process with the network of a home keeps equal, in one thread."""

from __future__ import annotations

import logging
import threading
import time
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from memcrdt.errors import MemcrdtError, StoreError
from memcrdt.memory.feed import Subscription
from memcrdt.memory.mirror_runs import words
from memcrdt.mirror.records import MirrorInfo, MirrorLine
from memcrdt.model.filters import check_filters

if TYPE_CHECKING:
    from memcrdt.memory.mirrors import Mirrors
    from memcrdt.mirror.mirror import Mirror, Pass

POLL_S: Final = 2.0  # between two looks at a folder, and at what is mirrored
NONE_POLL_S: Final = 5.0  # between two looks for a mirror while there is none: each wake-up costs battery
SHARE: Final = 20  # a large folder is looked at for at most one part in 20 of the time
PAUSE_S: Final = 0.3  # after a change of a memory: one pass for many changes
RETRY_S: Final = 15.0  # after an error
NOTE_S: Final = 60.0  # the time of the last pass is stored so often, if nothing else is new

log = logging.getLogger("memcrdt.mirror")


class MirrorFollower:
    """Keeps the mirrors of a home equal until stop() is called. start() and stop() are for one thread each.

    A mirror that another process runs is left to it, and taken over when that process ends.
    """

    def __init__(self, mirrors: Mirrors) -> None:
        self._mirrors = mirrors
        self._following: dict[str, _Following] = {}
        self._woken = threading.Event()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="memcrdt-mirrors", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Return when the thread has ended. A pass stops after the file that it works on."""
        self._ended.set()
        self._woken.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            while not self._ended.is_set():
                self._look()
                now_s = time.monotonic()
                for each in self._following.values():
                    if each.due_s <= now_s and not self._ended.is_set():
                        self._follow(each)
                now_s = time.monotonic()
                due_s = [each.due_s - now_s for each in self._following.values()]
                self._woken.wait(max(min(POLL_S, *due_s), 0) if due_s else NONE_POLL_S)
                self._woken.clear()
        finally:
            for each in self._following.values():
                each.close()

    def _look(self) -> None:
        """Begin to follow new mirrors, and leave those that were removed or changed."""
        wanted = {info.name: info for info in self._mirrors.list() if info.serving}
        for name, each in list(self._following.items()):
            if name not in wanted or _definition(wanted[name]) != _definition(each.info):
                self._following.pop(name).close()
        for name, info in wanted.items():
            if name in self._following:
                continue
            try:
                lock = self._mirrors.runs.lock(name)
            except MemcrdtError as exc:
                log.warning("mirror %s: %s", name, exc)
                continue
            if lock is not None:
                self._following[name] = _Following(info, lock, self._woken)

    def _follow(self, each: _Following) -> None:
        """Make one pass of a mirror, and say when the next one is due."""
        began_s = time.monotonic()
        done: Pass | None = None
        error: str | None = None
        try:
            done = self._pass(each)
        except (MemcrdtError, OSError) as exc:
            each.mirror, error = None, words(exc)
        except Exception as exc:  # a fault of ours: the other mirrors go on, and this one is tried again
            log.exception("mirror %s", each.info.name)
            each.mirror, error = None, f"an unexpected error: {type(exc).__name__}: {exc}; the log has the details"
        now_s = time.monotonic()
        soon_s = RETRY_S if done is None else self._mirrors.runs.settle_s if done.waits else POLL_S
        each.due_s = now_s + max(soon_s, SHARE * (now_s - began_s))
        self._note(each, done, error)

    def _pass(self, each: _Following) -> Pass:
        if each.mirror is None or not Path(each.info.folder).is_dir():
            each.mirror = self._mirrors.runs.open(each.info)
        if each.subscription is None:
            filters = check_filters({"space": each.info.space})  # not the scope: a memory may leave it
            each.subscribe(self._mirrors.runs.subscribe(filters))
        if each.take_changes():
            each.mirror.memories_changed()
        return each.mirror.run(ended=self._ended.is_set)

    def _note(self, each: _Following, done: Pass | None, error: str | None) -> None:
        """Store how a pass went, if anything is new."""
        equal = each.mirror.equal if each.mirror is not None else 0
        said = (equal, error, tuple(done.lines) if done else ())
        now_s = time.monotonic()
        if said == each.said and now_s - each.noted_s < NOTE_S:
            return
        if error is not None and (each.said is None or error != each.said[1]):
            log.warning("mirror %s: %s", each.info.name, error)
        each.said, each.noted_s = said, now_s
        try:
            self._mirrors.runs.note(each.info, done, equal, error=error)
        except StoreError as exc:
            log.warning("mirror %s: %s", each.info.name, exc)


class _Following:
    """A mirror that is followed.

    Attributes:
        info: What it mirrors.
        due_s: When its next pass is due, in seconds of the monotonic clock.
        mirror: The mirror, while it is open.
        subscription: The changes of memories.
        said: What was stored of the last pass: the number of equal files, the error and the lines.
        noted_s: When it was stored.
    """

    def __init__(self, info: MirrorInfo, lock: IO[bytes], woken: threading.Event) -> None:
        self.info = info
        self.due_s = 0.0
        self.mirror: Mirror | None = None
        self.subscription: Subscription | None = None
        self.said: tuple[int, str | None, tuple[MirrorLine, ...]] | None = None
        self.noted_s = 0.0
        self._lock = lock
        self._woken = woken

    def subscribe(self, subscription: Subscription) -> None:
        self.subscription = subscription
        subscription.on_change(self._changed)

    def take_changes(self) -> bool:
        """Return whether memories have changed since the last call."""
        changed = False
        while self.subscription is not None and self.subscription.poll() is not None:
            changed = True
        return changed

    def close(self) -> None:
        if self.subscription is not None:
            self.subscription.close()
        self._lock.close()

    def _changed(self) -> None:
        self.due_s = min(self.due_s, time.monotonic() + PAUSE_S)
        self._woken.set()


def _definition(info: MirrorInfo) -> tuple[object, ...]:
    return info.source, info.folder, info.scope, info.space, info.deletes
