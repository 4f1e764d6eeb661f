"""Spaces that only one of two devices has, by their greetings: they may become one, or one side is no longer in."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from memcrdt.sync.messages import MembershipUpdate
from memcrdt.sync.queries import Adopt, Learn, RollOf, Verdicts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from memcrdt.model.statements import Adoption
    from memcrdt.sync.outbox import Outbox
    from memcrdt.sync.replica import MembershipRecord


class SpaceMerge:
    """What is said of them, all in `MembershipUpdate`.

    Spaces of one name that the two made by themselves go on under one of the ids: both say who takes part in theirs,
    and one of the two stores takes the other's. And whoever greets with a space from which it was revoked is
    told so, since nobody greets it with that space any more.
    """

    def __init__(self, port: Outbox) -> None:
        self._port = port
        self._ours: Mapping[str, str] = {}
        self._theirs: Mapping[str, str] = {}
        self._reported: set[str] = set()
        self._news = False

    def meet(self, ours: Mapping[str, str], theirs: Mapping[str, str]) -> None:
        """The spaces (id and name) that only our greeting has, and those that only theirs has."""
        self._ours, self._theirs = ours, theirs
        self.offer()
        if theirs:
            self._port.ask(Verdicts(self._port.peer, tuple(theirs)), self._tell)

    def offer(self) -> None:
        """Says who takes part in those of our spaces that the peer has under another id."""
        for space, name in self._ours.items():
            if name in self._theirs.values():
                self._port.ask(RollOf(space), partial(self._offer, space))

    def heard(self, message: MembershipUpdate) -> None:
        """What the peer says of the members of a space that is here, or that one of ours may become."""
        space, name = message.space, self._theirs.get(message.space)
        if space in self._ours:
            self._port.ask(Learn(self._port.peer, space, message.record), self._learned)
        elif name in self._ours.values():
            self._port.ask(Adopt(self._port.peer, str(name), space, message.record), self._adopted)

    def take_news(self) -> bool:
        """Whether our store took anything of this since the last call."""
        news, self._news = self._news, False
        return news

    def _offer(self, space: str, record: MembershipRecord | None) -> None:
        if space in self._ours and record is not None:  # else it is shared by now, or goes on under another id itself
            self._port.send(MembershipUpdate(space, record))

    def _tell(self, records: Mapping[str, MembershipRecord]) -> None:
        for space, record in records.items():
            self._port.send(MembershipUpdate(space, record))

    def _learned(self, _: bool) -> None:
        self._news = True

    def _adopted(self, adoption: Adoption) -> None:
        self._news |= adoption.moved
        if adoption.hindrance and adoption.hindrance not in self._reported:  # the peer may say its part again and again
            self._reported.add(adoption.hindrance)
            self._port.report("apart", adoption.hindrance)
