"""The exchange of membership with one peer: who takes part is settled before any document passes.

A space's membership is a list of signed statements (`MembershipRecord`). Both devices send theirs where the two differ,
and each store decides by itself who takes part. `MembershipExchange` cares for the spaces that both greetings name,
`SpaceMerge` for those that only one of them names.
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

EARLY: Final = 256  # messages that may wait: as many as the windows let a peer send before our store answers


class MembershipExchange:
    """Settles the members of the spaces in which both devices take part by their greetings.

    Where the greetings have the same digest, both know the same, and nothing is exchanged. Where they differ, the
    difference may be in the documents alone: so digests of the membership are exchanged first, and the statements only
    if these differ, too. A false digest gains nothing: our own store says who takes part.

    Greetings may cross, so that only one side finds them equal. Therefore a digest is always answered, and so are
    statements, once, by ours.
    """

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._known: dict[str, bytes] = {}  # the digest of the membership that the peer knows us to have
        self._sent: set[str] = set()  # spaces whose statements the peer has from us
        self._asked: set[str] = set()  # spaces of which we have sent a digest
        self._pending: set[str] = set()  # of these, the spaces of which the peer has said nothing yet
        self._early: list[SpaceMessage] = []

    def agree(self, space: str, digest: bytes) -> Flow[None]:
        """Note that both greetings had this digest of the membership, and send statements that are newer than ours."""
        self._known[space] = digest
        yield from self.send(space)

    def compare(self, space: str) -> Flow[None]:
        """Send our digest: the greetings differ about the space."""
        self._pending.add(space)
        record = yield from ask(Replica.membership, space)
        self._send_digest(space, record)

    def send(self, space: str) -> Flow[None]:
        """Send our statements, unless the peer knows that we have them."""
        if space not in self._pending:  # else the peer is about to say what it knows, and gets the rest then
            record = yield from ask(Replica.membership, space)
            self._send(space, record)

    def answer(self, space: str) -> Flow[None]:
        """Answer the peer's statements by ours, once."""
        if space not in self._sent:
            self._known.pop(space, None)
            yield from self.send(space)

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
        """Let our store take over the peer's statements. Return whether both take part in the space."""
        self._pending.discard(message.space)
        return (yield from ask(Replica.merge_membership, self._outbox.peer, message.space, message.record))

    def hold(self, message: SpaceMessage) -> None:
        """Keep a message about documents until the members are settled."""
        if len(self._early) >= EARLY:
            raise RemoteProtocolError("documents came before the statements of members")
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
    """Cares for the spaces that only one of the two greetings names. All of it travels as `MembershipUpdate`.

    Two spaces of one name that the devices created independently become one, under one of the two ids: both devices
    send the membership of theirs, and one of the stores takes over the other's id. A device that greets with a space
    from which it was revoked is sent the revocation, since nobody greets it with that space any more.
    """

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self._ours: Mapping[str, str] = {}
        self._theirs: Mapping[str, str] = {}
        self._reported: set[str] = set()

    def meet(self, ours: Mapping[str, str], theirs: Mapping[str, str]) -> None:
        """Note the spaces (id and name) that only our greeting names, and those that only the peer's names."""
        self._ours, self._theirs = ours, theirs

    def offers(self) -> Iterator[Flow[None]]:
        """Yield a flow for each of our spaces that the peer has under another id: it sends our membership."""
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
        """Let our store take over the membership of our space, or of a space that one of ours may become.

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
        if adoption.hindrance and adoption.hindrance not in self._reported:  # the peer may send its part repeatedly
            self._reported.add(adoption.hindrance)
            self._outbox.report("apart", adoption.hindrance)
        return adoption.moved

    def _offer(self, space: str) -> Flow[None]:
        record = yield from ask(Replica.membership, space)
        if space in self._ours and record is not None:  # else it is shared by now, or our store took over another id
            self._outbox.send(MembershipUpdate(space, record))
