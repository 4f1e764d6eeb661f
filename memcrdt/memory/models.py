"""`memory.models`: the embedders to search with, the one in use, and the work that is left for it."""

from __future__ import annotations

import builtins
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

from memcrdt import config
from memcrdt.errors import EmbedderError
from memcrdt.model.checks import check_timeout
from memcrdt.search.searcher import Searcher, SearchStatus

if TYPE_CHECKING:
    from memcrdt.search.embedders.catalog import KnownModel

POLL_S: Final = 0.2  # between two looks whether everything is embedded


class Models:
    """The embedders of one memory: `memory.models`. `list` and `pull` need no memory: `Models.pull(name)`."""

    def __init__(self, home: Path | None, searcher: Searcher) -> None:
        self._home = home
        self._searcher = searcher

    @staticmethod
    def list() -> builtins.list[KnownModel]:
        """Return the models that have a name: the shipped one, then fastembed's. It takes a second."""
        from memcrdt.search.embedders import catalog

        return catalog.known_models()

    @staticmethod
    def pull(name: str, *, progress: Callable[[int, int], None] | None = None) -> None:
        """Download a model, so that it can be used without a network. A second call goes on after an interruption.

        Args:
            name: A name that list() returns.
            progress: Called with the bytes that are here and the bytes in all.

        Raises:
            InputError: There is no model of this name.
            ModelMissingError: The download failed, or the hub does not answer.
        """
        from memcrdt.search.embedders import catalog

        catalog.pull(name, progress or (lambda here, total: None))

    def use(self, name: str) -> str:
        """Search with another model from now on. See Memory.use_model()."""
        used = self._searcher.use(name)
        if self._home is not None:
            config.change(self._home, "embedder", "static" if name == "static" else used)
        return used

    def status(self) -> SearchStatus:
        """Return the model in use, its successor, and the number of memories that wait to be embedded."""
        return self._searcher.status()

    def wait(self, *, timeout: float | None = None) -> SearchStatus:
        """Wait until every memory is embedded. A memory that is open for writing does the work.

        Args:
            timeout: Maximum time to wait, in seconds.

        Returns:
            The status at the end; `waiting` is 0 unless the time was over.

        Raises:
            EmbedderError: The model fails.
        """
        deadline = self._deadline(timeout)
        while (done := self._finished(deadline)) is None:
            time.sleep(POLL_S)
        return done

    def _deadline(self, timeout: float | None) -> float | None:
        limit_s = check_timeout(timeout)
        return None if limit_s is None else time.monotonic() + limit_s

    def _finished(self, deadline: float | None) -> SearchStatus | None:
        """Return the status when nothing waits any more, or the time is over; else None."""
        status = self.status()
        if not (status.waiting or status.next_model):
            return status
        if status.error:
            raise EmbedderError(status.error)
        return status if deadline is not None and time.monotonic() >= deadline else None
