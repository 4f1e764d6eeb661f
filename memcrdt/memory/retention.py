"""Retention: the size budget of a store, and the removal of memories that expired long ago."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from memcrdt.config import Config
from memcrdt.errors import MemcrdtError, StoreError
from memcrdt.model.limits import MIB
from memcrdt.model.serialization import Record
from memcrdt.model.values import from_ms
from memcrdt.store import alarms, changes, clock, listing
from memcrdt.store.alarms import StoreAlarm
from memcrdt.store.base import AnyStore
from memcrdt.store.change_cursor import RETENTION
from memcrdt.store.reads import Place
from memcrdt.store.recovery.damage import mending
from memcrdt.store.sql import SqlConnection

WARN_AT: Final = 0.9  # of the budget
EVERY_MS: Final = 3_600_000  # between two looks for expired memories
_DAY_MS: Final = 86_400_000

_log = logging.getLogger("memcrdt.store")


@dataclass(frozen=True, slots=True)
class Budget(Record):
    """The size of a store.

    Attributes:
        used: The bytes in use.
        limit: The limit in bytes, or None for no limit.
    """

    used: int
    limit: int | None

    @property
    def near(self) -> bool:
        """Whether at least nine tenths of the limit are in use."""
        return self.limit is not None and self.used >= WARN_AT * self.limit


class Retention:
    """The budget and the expiry of one store."""

    def __init__(self, store: AnyStore, config: Config) -> None:
        self._store = store
        self._config = config
        self._warned = False
        self._looked_at: int | None = None  # ms

    def budget(self) -> Budget:
        limit = self._config.budget_mb * MIB
        return Budget(self._store.size(used=True), limit or None)

    def check_budget(self, texts: list[str]) -> None:
        """Raise StoreError when the budget has no room for the texts. Warn once when it is nearly used up."""
        budget = self.budget()
        if budget.limit is None:
            return
        if budget.used + sum(map(len, texts)) > budget.limit:
            raise StoreError(
                f"the store uses {budget.used // MIB:,} of its {self._config.budget_mb:,} MiB and has no room for this;"
                " nothing was changed; forget old memories and compact, or raise budget_mb in config.toml"
            )
        if budget.near and not self._warned:
            self._warned = True
            _log.warning(
                "the store uses %d of its %d MiB and refuses new memories at the limit; forget old memories, or raise"
                " budget_mb in config.toml",
                budget.used // MIB,
                self._config.budget_mb,
            )

    def note_time(self) -> None:
        """Note the time for later checks of the clock. An error is logged, because it must not fail an open()."""
        try:
            clock.note_time(self._store)
        except MemcrdtError as exc:
            _log.debug("the time could not be noted: %s", exc)

    def look(self) -> None:
        """Forget memories that expired long ago, at most once an hour.

        An error is logged, and the work is tried again later. It must not fail the write that calls this.
        """
        now = self._store.now_ms()
        if self._looked_at is None or not 0 <= now - self._looked_at < EVERY_MS:
            self._looked_at = now
            try:
                self.forget_expired()
            except MemcrdtError as exc:
                _log.warning("expired memories could not be forgotten; memcrdt tries again in an hour: %s", exc)

    def forget_expired(self, *, trust_clock: bool = False) -> int:
        """Forget the memories of this device that expired long ago, and return their number.

        Raises StoreError if the clock is doubted (store/clock.py), unless `trust_clock` confirms it.
        """
        note = clock.note_time(self._store, confirm=trust_clock)
        if (listed := self._due()) is None:
            return 0
        if note.before is not None:
            raise StoreError(self._doubt(note.before))
        count = 0
        for _ in self._store.in_turns(itertools.count()):
            if not (gone := self._store.using_reserve(lambda: self._forget(listed))):
                break
            count += len(gone)
        self._store.scrub()
        _log.info("forgot %d memories that expired over %d days ago", count, self._config.forget_expired_days)
        return count

    def _forget(self, listed: Callable[[SqlConnection], list[Place]]) -> list[str]:
        plan = partial(changes.forget, listed)
        return mending(self._store, partial(self._store.commit, plan, origin=RETENTION))

    def alarms(self) -> tuple[StoreAlarm, ...]:
        """Return the alarm that expired memories are kept because the clock is doubted, or nothing."""
        with self._store.reading() as db:
            before = clock.read(db).moved_to(self._store.now_ms()).before
        if before is None or self._due() is None:
            return ()
        return (alarms.alarm(self._store.now_ms(), self._doubt(before), "clock", before),)

    def _due(self) -> Callable[[SqlConnection], list[Place]] | None:
        """Return a function that lists the memories for one transaction to forget, or None if there are none."""
        if not self._config.forget_expired_days:
            return None
        until = self._store.now_ms() - self._config.forget_expired_days * _DAY_MS
        listed = partial(listing.expired_places, until_ms=until, device=self._store.device, limit=listing.BATCH)
        with self._store.reading() as db:
            return listed if listed(db) else None

    def _doubt(self, before: int) -> str:
        return (
            f"the clock of this device shows {_minute(self._store.now_ms())}, but by an earlier use or by another"
            f" device it was {_minute(before)}; nothing is forgotten for its age until the clock is confirmed. If it is"
            " right, run `memcrdt forget-expired --trust-clock` (in Python: forget_expired(trust_clock=True)); if not,"
            " correct it"
        )


def _minute(ms: int) -> str:
    return f"{from_ms(ms):%Y-%m-%d %H:%M} UTC"
