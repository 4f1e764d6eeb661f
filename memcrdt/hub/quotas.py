"""Quotas: how much a member may send to a hub in a minute, so that one laptop does not keep the others waiting.

What is over a quota is not taken now. Nothing is lost: it stays on the laptop, and the comparisons, each half a minute
after the other, ask for it again. Each process counts for itself, and a device is connected to one of them.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from memcrdt.errors import InputError
from memcrdt.model.device_ids import shown
from memcrdt.model.limits import MIB
from memcrdt.node.store_replica import StoreReplica
from memcrdt.store.base import BaseStore
from memcrdt.store.sql import SqlConnection
from memcrdt.sync.replica import Applied

MINUTE_S: Final = 60.0
_OVER: Final = "the hub takes no more than {quota} a minute from a device; it takes the rest later, and nothing is lost"

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Quotas:
    """What a member may send in a minute. The constructor raises InputError for a number below 1.

    Attributes:
        updates: The number of updates; None for any number. A pushed change is one, and so is all that a shard lacks.
        size: Their bytes; None for any number.
    """

    updates: int | None = None
    size: int | None = None

    def __post_init__(self) -> None:
        for name, quota in (("updates", self.updates), ("size", self.size)):
            if quota is not None and quota < 1:
                raise InputError(f"the quota {name} is {quota}; the smallest is 1, and None is no limit")


@dataclass(slots=True)
class _Used:
    """What a member has used since `since`. What a very large update is over a quota counts in the next minutes."""

    since: float
    updates: int = 0
    size: int = 0


class QuotaReplica(StoreReplica):
    """A StoreReplica that takes no more from a member than its quotas allow.

    Args:
        store: The store.
        quotas: The quotas.
        clock: Returns seconds.
    """

    def __init__(
        self, store: BaseStore[SqlConnection], quotas: Quotas, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(store)
        self._quotas = quotas
        self._clock = clock
        self._used: dict[str, _Used] = {}

    def apply(self, space: str, shard: int, update: bytes, origin: str) -> Applied:
        """Apply an update, unless its sender has used up a quota. The last one may go over that of bytes."""
        used = self._used_by(origin)
        if quota := self._used_up(used):
            reason = _OVER.format(quota=quota)
            _log.info("%s: %s", shown(origin), reason)
            return Applied("later", self.state_vector(space, shard), reason)
        used.updates += 1
        used.size += len(update)
        return super().apply(space, shard, update, origin)

    def _used_up(self, used: _Used) -> str:
        """Return the quota that is used up, in words; an empty text if none is."""
        quotas = self._quotas
        if quotas.updates is not None and used.updates >= quotas.updates:
            return f"{quotas.updates:,} updates"
        if quotas.size is not None and used.size >= quotas.size:
            return f"{quotas.size / MIB:,.3g} MiB"
        return ""

    def _used_by(self, origin: str) -> _Used:
        """Return what a member has used, without the quotas of the minutes that are over."""
        now = self._clock()
        used = self._used.setdefault(origin, _Used(now))
        minutes = int((now - used.since) // MINUTE_S)
        used.since += minutes * MINUTE_S
        used.updates = max(0, used.updates - minutes * (self._quotas.updates or 0))
        used.size = max(0, used.size - minutes * (self._quotas.size or 0))
        return used
