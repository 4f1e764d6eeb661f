"""An indexer that keeps nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import apsw

from memcrdt.store.indexer import IndexRow, Prepared


class PlainIndex:
    """An Indexer that keeps nothing."""

    def prepare(self, texts: Sequence[str]) -> Prepared: ...

    def replace(
        self, db: apsw.Connection, removed: Sequence[IndexRow], added: Sequence[IndexRow], prepared: Prepared
    ) -> None: ...

    def committed(self) -> None: ...

    def clear(self, db: apsw.Connection) -> None: ...

    def problems(self, db: apsw.Connection) -> Iterator[str]:
        return iter(())
