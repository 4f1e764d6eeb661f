"""The binary codes of all vectors of one model, kept in memory and refreshed from the table before each use."""

from __future__ import annotations

import threading
from functools import cached_property
from typing import TYPE_CHECKING, Final, NamedTuple

from memcrdt.errors import CorruptError
from memcrdt.search.arrays import are_allowed, parse_integers
from memcrdt.search.index import binary_codes
from memcrdt.search.index.passages import PER_MEMORY
from memcrdt.store.sql import SqlConnection, joined_bytes

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_PAGE = 65_536
_FAR: Final = binary_codes.BITS + 1  # more than any distance
_FEW: Final = 3  # a mask with less than this part of all rows is followed row by row
_READ = """
SELECT (SELECT max(vector) FROM codes), max(vector), group_concat(vector), group_concat(passage), {codes},
  min(length(code)), max(length(code)) FROM
  (SELECT vector, passage, code FROM codes WHERE vector > ? AND model = ? ORDER BY vector LIMIT ?) c"""


class CandidateIndex:
    """The codes in memory. Threads may share it.

    Rows that were deleted from the table stay until `reset`. A search finds no vector for such a row.
    """

    def __init__(self, model: int) -> None:
        self.model = model
        self._lock = threading.Lock()
        self._snapshot: CandidateSnapshot | None = None  # of all rows: it sorts them once
        self._last: int = 0  # the highest number of all rows that were looked at, also of another model
        self._empty()

    def reset(self) -> None:
        """Drop all codes; the next `refresh` reads the table from the start."""
        with self._lock:
            self._empty()

    def refresh(self, db: SqlConnection) -> CandidateSnapshot:
        """Read the rows added since the last call, and return a snapshot that later calls do not change.

        Raises:
            CorruptError: A code in the table has a wrong length.
        """
        sql = _READ.format(codes=joined_bytes(db, "code"))
        with self._lock:
            while (page := db.execute(sql, (self._last, self.model, _PAGE)).get)[1] is not None:
                self._append(*page[1:])
            if page[0] is not None:  # of any model: rows of the other one may be all that follow
                self._last = max(self._last, page[0])
            if self._snapshot is None:
                self._snapshot = CandidateSnapshot(
                    self._codes[:, : self._count], self._vectors[: self._count], self._passages[: self._count]
                )
            return self._snapshot

    def _empty(self) -> None:
        import numpy as np

        self._last = self._count = 0
        self._snapshot = None
        self._codes = np.empty((binary_codes.WORDS, 0), np.uint64)
        self._vectors = np.empty(0, np.int64)
        self._passages = np.empty(0, np.int64)

    def _append(self, last: int, vectors: str, passages: str, codes: bytes, *lengths: int) -> None:
        import numpy as np

        if any(length != binary_codes.BYTES for length in lengths):
            raise CorruptError(
                f"the index has codes of {lengths[0]} to {lengths[1]} bytes, not of {binary_codes.BYTES}: another"
                " version of memcrdt wrote them, or they are damaged; run `memcrdt doctor --repair`"
            )
        numbers = parse_integers(vectors)
        end = self._count + len(numbers)
        self._reserve(end)
        self._vectors[self._count : end] = numbers
        self._passages[self._count : end] = parse_integers(passages)
        self._codes[:, self._count : end] = np.frombuffer(codes, np.uint64).reshape(-1, binary_codes.WORDS).T
        self._count, self._last, self._snapshot = end, last, None

    def _reserve(self, count: int) -> None:
        """Make room for `count` rows, growing by a quarter. Snapshots keep the old arrays."""
        import numpy as np

        if count <= len(self._vectors):
            return
        room = max(count, len(self._vectors) * 5 // 4, 1_024)
        grown = np.empty((binary_codes.WORDS, room), np.uint64)
        grown[:, : self._count] = self._codes[:, : self._count]
        self._codes = grown
        for name in ("_vectors", "_passages"):
            array = np.empty(room, np.int64)
            array[: self._count] = getattr(self, name)[: self._count]
            setattr(self, name, array)


class CandidateSnapshot:
    """The codes [WORDS, n] at one moment, with the vector and passage numbers [n]."""

    def __init__(self, code: NDArray[np.uint64], vectors: NDArray[np.int64], passages: NDArray[np.int64]) -> None:
        self.vectors = vectors
        self.passages = passages
        self._codes = code

    @cached_property
    def _by_passage(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The passages, ascending, and the vector numbers in the same order."""
        order = self.passages.argsort(kind="stable")  # fast: nearly all are added in this order
        return self.passages[order], self.vectors[order]

    def of(self, memories: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the numbers, ascending, of the vectors of all passages of these memories."""
        import numpy as np

        passages, vectors = self._by_passage
        begins = passages.searchsorted(memories * PER_MEMORY)
        counts = passages.searchsorted((memories + 1) * PER_MEMORY) - begins
        offsets = np.arange(counts.sum()) - np.repeat(counts.cumsum() - counts, counts)
        found: NDArray[np.int64] = np.sort(vectors[np.repeat(begins, counts) + offsets])
        return found

    def nearest(
        self, vector: NDArray[np.float32], counts: ProposalCounts, allowed: NDArray[np.bool_] | None
    ) -> NDArray[np.int64]:
        """Return the vector numbers of the rows nearest to `vector`, including all rows that tie with the last.

        Rows are chosen by Hamming distance first, then by the finer measure. `allowed` is by memory number.
        """
        import numpy as np

        wanted = None if allowed is None else are_allowed(self.passages // PER_MEMORY, allowed)
        few = None if wanted is None or _FEW * np.count_nonzero(wanted) > len(wanted) else np.flatnonzero(wanted)
        codes = self._codes if few is None else self._codes.take(few, axis=1)
        projections = binary_codes.projected(vector)
        found = binary_codes.distances(codes, binary_codes.code_of(projections))
        if wanted is not None and few is None:  # comparing all codes is faster than copying most of them
            found[~wanted] = _FAR
        within = np.cumsum(np.bincount(found, minlength=_FAR + 1)[:_FAR])
        rows = np.flatnonzero(found <= min(int(np.searchsorted(within, counts.first)), binary_codes.BITS))
        if few is not None:
            rows = few[rows]
        if len(rows) > counts.second:
            finer = binary_codes.similarities(self._codes[:, rows], projections)
            rows = rows[finer >= np.partition(finer, -counts.second)[-counts.second]]
        return self.vectors[rows]


class ProposalCounts(NamedTuple):
    """The number of rows that the Hamming distance proposes, and the number of them that the finer measure keeps."""

    first: int
    second: int
