"""Masks: which memories a search may find, after its filters and without expired and superseded ones."""

from __future__ import annotations

import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Final

from memcrdt.model.filters import CheckedFilters
from memcrdt.search.arrays import parse_integers
from memcrdt.store import log
from memcrdt.store.filtering import Where, hidden, narrowing, where
from memcrdt.store.sql import SqlConnection

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Mask = NDArray[np.bool_]  # by memory number; memories beyond its end are not allowed

KEPT: Final = 8  # masks to cache: an agent searches the same few scopes again and again
WORTH_KEEPING: Final = 2_000  # minimum size of a cached mask: fewer memories are read again within a millisecond


class FilterMasks:
    """The masks of filters. A mask is cached until the log grows: every change of a memory adds a row to the log."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[Where, tuple[int, Mask]] = OrderedDict()

    def allowed(self, db: SqlConnection, filters: CheckedFilters, now: int) -> Mask | None:
        """Return the mask of the memories that may be found at `now` (ms); None if all may be found."""
        import numpy as np

        if filters.as_of is not None:
            return _mask(_numbers(db, where(filters, now)))
        mask = self._narrowed(db, narrowing(filters)) if filters.narrows() else None
        excluded = [numbers for condition in hidden(filters, now) if len(numbers := _numbers(db, condition))]
        if not excluded:
            return mask
        if mask is None:
            mask = np.ones(int(db.execute("SELECT max(memory) FROM memories").get) + 1, np.bool_)
        else:
            mask = mask.copy()
        for numbers in excluded:
            mask[numbers[numbers < len(mask)]] = False
        return mask

    def _narrowed(self, db: SqlConnection, condition: Where) -> Mask:
        head = log.head(db)
        with self._lock:
            found = self._kept.get(condition)
        if found is not None and found[0] == head:
            return found[1]
        numbers = _numbers(db, condition)
        mask = _mask(numbers)
        if len(numbers) >= WORTH_KEEPING:
            with self._lock:
                self._kept[condition] = head, mask
                self._kept.move_to_end(condition)
                while len(self._kept) > KEPT:
                    self._kept.popitem(last=False)
        return mask


def _mask(numbers: NDArray[np.int64]) -> Mask:
    import numpy as np

    mask = np.zeros(int(numbers.max(initial=0)) + 1, np.bool_)
    mask[numbers] = True
    return mask


def _numbers(db: SqlConnection, condition: Where) -> NDArray[np.int64]:
    sql = f"SELECT group_concat(m.memory) FROM memories m WHERE {condition.sql}"
    return parse_integers(db.execute(sql, condition.bindings).get)
