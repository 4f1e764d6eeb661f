"""The exchange of membership with one peer. The members of a space are settled before any of its documents is sent.

A space's membership is a list of signed statements (`MembershipRecord`). Where the two lists differ, both devices send
theirs, and each store decides on its own who takes part. `MembershipExchange` handles the spaces that both greetings
name, `SpaceMerge` the spaces that only one of them names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from memcrdt.errors import RemoteProtocolError
from memcrdt.sync.messages import MembershipDigest, MembershipUpdate
from memcrdt.sync.queries import ask
from memcrdt.sync.replica import Replica

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from memcrdt.sync.messages import SpaceMessage
    from memcrdt.sync.outbox import Outbox
    from memcrdt.sync.queries import Flow
    from memcrdt.sync.replica import MembershipRecord

EARLY: Final = 256  # messages that may wait; the windows of a peer allow no more before our store answers


class MembershipExchange:
    """Settles the members of the spaces that both greetings name.

    If the greetings have the same digest of a space, both devices know the same statements, and nothing is exchanged.
    If they differ, the difference may be in the documents only. So digests of the membership are exchanged first, and
    the statements only if these digests differ too. A false digest gains nothing: our own store decides who takes part.

    Greetings may cross, so that only one side finds them equal. Therefore a digest is always answered, and the peer's
    statements are answered once with ours.
    """

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._known: dict[str, bytes] = {}  # by space: the digest of our membership record that the peer knows
        self._sent: set[str] = set()  # spaces whose statements we have sent
        self._asked: set[str] = set()  # spaces whose digest we have sent
        self._pending: set[str] = set()  # of these, the spaces for which the peer has not answered yet
        self._early: list[SpaceMessage] = []

    def agree(self, space: str, digest: bytes) -> Flow[None]:
        """Note that both sides greeted with this membership digest, and send our statements if they changed since."""
        self._known[space] = digest
        yield from self.send(space)

    def compare(self, space: str) -> Flow[None]:
        """Send our membership digest, because the greetings differ about the space."""
        self._pending.add(space)
        record = yield from ask(Replica.membership, space)
        self._send_digest(space, record)

    def send(self, space: str) -> Flow[None]:
        """Send our statements, unless the peer knows that we have them."""
        if space not in self._pending:  # otherwise the peer's answer is on its way, and the statements follow it
            record = yield from ask(Replica.membership, space)
            self._send(space, record)

    def answer(self, space: str) -> Flow[None]:
        """Answer the peer's statements with ours, once."""
        if space not in self._sent:
            record = yield from ask(Replica.membership, space)
            self._known.pop(space, None)  # the peer waits for the statements, even if it has sent the same digest since
            self._send(space, record)

    def match(self, message: MembershipDigest) -> Flow[bool]:
        """Compare the peer's digest with ours. Return whether they are equal; if not, send our statements."""
        space = message.space
        self._pending.discard(space)
        record = yield from ask(Replica.membership, space)
        if record is None or record.digest() != message.digest:
            self._send(space, record)
            return False
        if space not in self._asked:
            self._send_digest(space, record)
        self._known[space] = message.digest
        return True

    def merge(self, message: MembershipUpdate) -> Flow[bool]:
        """Let our store take over the peer's statements. Return whether both devices take part in the space."""
        self._pending.discard(message.space)
        return (yield from ask(Replica.merge_membership, self._outbox.peer, message.space, message.record))

    def hold(self, message: SpaceMessage) -> None:
        """Keep a message about documents until the members are settled."""
        if len(self._early) >= EARLY:
            raise RemoteProtocolError("too many documents came before the members' statements")
        self._early.append(message)

    def release(self, space: str) -> list[SpaceMessage]:
        """Return the messages about the space that were held."""
        released = [message for message in self._early if message.space == space]
        self._early = [message for message in self._early if message.space != space]
        return released

    def _send(self, space: str, record: MembershipRecord | None) -> None:
        if record is not None and self._known.get(space) != record.digest():
            self._known[space] = record.digest()
            self._sent.add(space)
            self._outbox.send(MembershipUpdate(space, record))

    def _send_digest(self, space: str, record: MembershipRecord | None) -> None:
        if record is not None:
            self._asked.add(space)
            self._outbox.send(MembershipDigest(space, record.digest()))


class SpaceMerge:
    """Handles the spaces that only one of the two greetings names. It uses `MembershipUpdate` messages only.

    Two spaces of one name that the devices created independently become one, under one of the two ids: both devices
    send the membership of their space, and one of the stores takes over the other's id. A device that greets with a
    space from which it was revoked is sent the revocation, because no greeting to it names that space any more.
    """

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._ours: Mapping[str, str] = {}
        self._theirs: Mapping[str, str] = {}
        self._reported: set[str] = set()

    def meet(self, ours: Mapping[str, str], theirs: Mapping[str, str]) -> None:
        """Note the spaces (id and name) that only our greeting names, and the spaces that only the peer's names."""
        self._ours, self._theirs = ours, theirs

    def offers(self) -> Iterator[Flow[None]]:
        """Yield, for each of our spaces that the peer has under another id, a flow that sends our membership."""
        for space, name in self._ours.items():
            if name in self._theirs.values():
                yield self._offer(space)

    def tell_revoked(self) -> Flow[None]:
        """Send the peer the statements that revoke it from spaces that its greeting names."""
        if self._theirs:
            records = yield from ask(Replica.revocations, self._outbox.peer, tuple(self._theirs))
            for space, record in records.items():
                self._outbox.send(MembershipUpdate(space, record))

    def merge(self, message: MembershipUpdate) -> Flow[bool]:
        """Let our store take over the statements about our space, or about a space with which ours may merge.

        Returns:
            Whether our store took anything over.
        """
        peer, space, name = self._outbox.peer, message.space, self._theirs.get(message.space)
        if space in self._ours:
            yield from ask(Replica.merge_membership, peer, space, message.record)
            return True
        if name is None or name not in self._ours.values():
            return False
        adoption = yield from ask(Replica.merge_space, peer, name, space, message.record)
        if adoption.hindrance and adoption.hindrance not in self._reported:  # the peer may repeat its message
            self._reported.add(adoption.hindrance)
            self._outbox.report("apart", adoption.hindrance)
        return adoption.moved

    def _offer(self, space: str) -> Flow[None]:
        record = yield from ask(Replica.membership, space)
        if space in self._ours and record is not None:  # otherwise it is shared now, or our store has another id for it
            self._outbox.send(MembershipUpdate(space, record))
