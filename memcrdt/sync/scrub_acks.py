"""Whose file is clean: each side asks the other to say when no byte of anything forgotten is left in its file.

An Ack says that a forgetting is durable at the peer; the bytes go afterwards, when no reader is in the way. We ask only
about what the peer is known to hold, and it looks into its file after it was asked: so the answer is true of all that
the question was about, whatever came in between. Nothing is kept for the next session: our store knows what was not
answered, and it is asked again.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from memcrdt.errors import RemoteProtocolError
from memcrdt.sync.messages import Scrub, Scrubbed
from memcrdt.sync.queries import IsScrubbed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from memcrdt.sync.outbox import Outbox


class ScrubAcks:
    """For each space one open question of ours, and the last one of the peer's."""

    def __init__(self, port: Outbox) -> None:
        self._port = port
        self._mark = 0
        self._asked: dict[str, tuple[int, Mapping[int, int]]] = {}  # the mark, and the rows that it stands for
        self._owed: dict[str, int] = {}
        self._looking: dict[str, bool] = {}  # whether to look once more behind the look that goes on

    def ask(self, space: str, rows: Mapping[int, int]) -> None:
        """Asks about these rows of our log, by shard, which the peer holds; unless a question is open."""
        if space not in self._asked:
            self._mark += 1
            self._asked[space] = self._mark, rows
            self._port.send(Scrub(space, self._mark))

    def answered(self, message: Scrubbed) -> Mapping[int, int]:
        """The rows that the peer's answer is about."""
        mark, rows = self._asked.pop(message.space, (None, {}))
        if message.mark != mark:
            raise RemoteProtocolError("a file is said to be scrubbed, which was not asked")
        return rows

    def asked(self, message: Scrub) -> None:
        """The peer wants to be told. Its newer question takes the place of an older one."""
        self._owed[message.space] = message.mark
        self._look(message.space)

    def look(self) -> None:
        """Our file may have been scrubbed."""
        for space in self._owed:
            self._look(space)

    def _look(self, space: str) -> None:
        if space in self._looking:
            self._looking[space] = True
        else:
            self._looking[space] = False
            self._port.ask(IsScrubbed(space), partial(self._looked, space, self._owed[space]))

    def _looked(self, space: str, mark: int, is_scrubbed: bool) -> None:
        again = self._looking.pop(space)
        if is_scrubbed and self._owed[space] == mark:
            del self._owed[space]
            self._port.send(Scrubbed(space, mark))
        elif again:
            self._look(space)
