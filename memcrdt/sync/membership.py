"""Who takes part, settled before any document passes: the exchange of the members' statements with one peer."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from memcrdt.errors import RemoteProtocolError
from memcrdt.sync.messages import MembershipDigest, MembershipUpdate
from memcrdt.sync.queries import Learn, RollOf

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from memcrdt.sync.messages import Message
    from memcrdt.sync.outbox import Outbox
    from memcrdt.sync.replica import MembershipRecord

EARLY: Final = 256  # messages that may wait: what the windows let a peer send that was quicker than our store


class MembershipExchange:
    """For each space in which both take part: what we have said of its members, and whether theirs is known here.

    Where the greetings have the same digest both know the same, and nothing is exchanged. Where they differ, it may be
    in the documents alone: digests of the records tell, and only where these differ, too, statements are said. A false
    digest gains nothing: who takes part is what our own store says. Greetings may cross, so that only one side finds
    them equal: therefore a digest is always answered, and so are statements by ours, once.

    `opened` is called when the space is settled; messages about it that came before wait until then.
    """

    def __init__(self, port: Outbox, opened: Callable[[str], None]) -> None:
        self._port = port
        self._opened = opened
        self._said: dict[str, bytes] = {}  # the digest of what the peer knows us to know
        self._told: set[str] = set()  # where it has our statements
        self._asked: set[str] = set()  # where it has a digest of our record
        self._pending: set[str] = set()  # of these, where it has not answered
        self._learnt: set[str] = set()
        self._news = False
        self._early: list[tuple[str, Message]] = []

    def say(self, spaces: Iterable[str]) -> None:
        """Sends what we know of the members of these spaces, as far as it is news."""
        for space in spaces:
            if space not in self._pending:  # what the peer knows is on its way, and what it lacks is told then
                self._port.ask(RollOf(space), partial(self._say, space))

    def settle(self, space: str, digest: bytes) -> None:
        """At the greetings both records had this digest. Should we know more since ours, that is told."""
        self._said[space] = digest
        self.say([space])
        self._learned(space, belongs=True)

    def compare(self, space: str) -> None:
        """The greetings differ about the space."""
        self._pending.add(space)
        self._port.ask(RollOf(space), partial(self._say_digest, space))

    def heard_digest(self, message: MembershipDigest) -> None:
        """Tells what we know, if that is not what the peer knows."""
        self._pending.discard(message.space)
        self._port.ask(RollOf(message.space), partial(self._compared, message))

    def heard(self, message: MembershipUpdate) -> None:
        """Takes what the peer knows."""
        self._pending.discard(message.space)
        self._port.ask(Learn(self._port.peer, message.space, message.record), partial(self._heard, message.space))
        if message.space not in self._told:
            self._said.pop(message.space, None)
            self.say([message.space])

    def is_early(self, space: str, message: Message) -> bool:
        """Whether the message has to wait; then it is kept."""
        if space in self._learnt:
            return False
        if len(self._early) >= EARLY:
            raise RemoteProtocolError("documents came before the statements of members")
        self._early.append((space, message))
        return True

    def take_early(self, space: str) -> list[Message]:
        """The messages about the space that have waited."""
        ready = [message for about, message in self._early if about == space]
        self._early = [each for each in self._early if each[0] != space]
        return ready

    def _say(self, space: str, record: MembershipRecord | None) -> None:
        if record is not None and self._said.get(space) != record.digest():
            self._said[space] = record.digest()
            self._told.add(space)
            self._port.send(MembershipUpdate(space, record))

    def _say_digest(self, space: str, record: MembershipRecord | None) -> None:
        if record is not None:
            self._asked.add(space)
            self._port.send(MembershipDigest(space, record.digest()))

    def _compared(self, theirs: MembershipDigest, record: MembershipRecord | None) -> None:
        space = theirs.space
        if record is None or record.digest() != theirs.digest:
            self._say(space, record)
            return
        if space not in self._asked:
            self._say_digest(space, record)
        self._said[space] = theirs.digest
        self._learned(space, belongs=True)

    def take_news(self) -> bool:
        """Whether our store took statements since the last call: of other peers' rights, too."""
        news, self._news = self._news, False
        return news

    def _heard(self, space: str, belongs: bool) -> None:
        self._news = True
        self._learned(space, belongs)

    def _learned(self, space: str, belongs: bool) -> None:
        if not belongs:
            self._port.close("the members of a shared space have changed")
        elif space not in self._learnt:
            self._learnt.add(space)
            self._opened(space)
