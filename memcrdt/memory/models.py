"""`memory.models`: the embedding models, the model in use, and its backlog."""

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

POLL_S: Final = 0.2  # between two looks at the backlog


class Models:
    """The embedding models of one memory: `memory.models`.

    list() and pull() are static methods: `memcrdt.Models.pull(name)` needs no memory.
    """

    def __init__(self, home: Path | None, searcher: Searcher) -> None:
        self._home = home
        self._searcher = searcher

    @staticmethod
    def list() -> builtins.list[KnownModel]:
        """Return the known models: the shipped ones, then the models of fastembed. It takes about a second."""
        from memcrdt.search.embedders import catalog

        return catalog.known_models()

    @staticmethod
    def pull(name: str, *, progress: Callable[[int, int], None] | None = None) -> None:
        """Download a model, to use it later without a network. A second call resumes an interrupted download.

        Args:
            name: A name from list().
            progress: Called with the number of bytes downloaded and the total number of bytes.

        Raises:
            InputError: The model is unknown.
            ModelMissingError: The download failed, or the hub does not answer.

        Example:
            >>> memcrdt.Models.pull("BAAI/bge-small-en-v1.5")
        """
        from memcrdt.search.embedders import catalog

        catalog.pull(name, progress or (lambda here, total: None))

    def use(self, name: str) -> str:
        """Switch to another embedding model, and set it in config.toml.

        Every memory is embedded again in the background, by any process that has the home open. Until then, search uses
        the old vectors. status() reports the progress.

        Args:
            name: A name that memcrdt.open() takes as `embedder`.

        Returns:
            The full name of the model.

        Raises:
            ModelMissingError: The model is not on this machine.

        Example:
            >>> memory.models.use("BAAI/bge-small-en-v1.5")
            >>> memory.models.wait(timeout=60).waiting
            0
        """
        used = self._searcher.use(name)
        if self._home is not None:
            config.change(self._home, "embedder", name if name in ("auto", "static") else used)
        return used

    def load(self) -> bool:
        """Load the transformer of the embedder `auto` now, so that the next search uses it. It takes about 0.4 s.

        Otherwise a search loads it in the background, does not wait for it, and finds by the static model meanwhile.
        Nothing is loaded if no memory has been embedded with it yet.

        Returns:
            Whether the next search uses it.

        Example:
            >>> memory.models.load()
            True
            >>> hits = memory.search("what do we ship on Tuesdays?")
        """
        return self._searcher.load()

    def status(self) -> SearchStatus:
        """Return the models in use, the next model, and the number of memories that wait to be embedded."""
        return self._searcher.status()

    def wait(self, *, timeout: float | None = None) -> SearchStatus:
        """Wait until every memory is embedded. The work is done by processes that have the home open for writing.

        Args:
            timeout: Maximum time to wait, in seconds.

        Returns:
            The status at the end. `waiting` is 0 unless the time is up.

        Raises:
            EmbedderError: The model fails.
        """
        deadline = self._begin_wait(timeout)
        while (done := self._finished(deadline)) is None:
            time.sleep(POLL_S)
        return done

    def _begin_wait(self, timeout: float | None) -> float | None:
        """Embed without pauses, and return the time at which the wait ends."""
        limit_s = check_timeout(timeout)
        self._searcher.hurry()
        return None if limit_s is None else time.monotonic() + limit_s

    def _finished(self, deadline: float | None) -> SearchStatus | None:
        """Return the status if nothing waits or the time is up, otherwise None."""
        status = self.status()
        if not (status.waiting or status.next_model):
            return status
        if status.error:
            raise EmbedderError(status.error)
        return status if deadline is not None and time.monotonic() >= deadline else None
