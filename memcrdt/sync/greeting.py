"""The greetings of both sides. Two devices with equal stores need no further message.

A greeting names each space that its sender shares with the receiver, with a digest of 16 bytes: a hash over everything
known about the members, and over all documents. If both greetings have the same digest, both devices had the same
content when the greetings were made. Later commits are pushed from the log.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from memcrdt.errors import RemoteProtocolError
from memcrdt.sync.messages import PROTOCOL, Hello, Offer
from memcrdt.sync.queries import ask
from memcrdt.sync.reconcile import Shards
from memcrdt.sync.replica import Replica

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from memcrdt.sync.outbox import Outbox
    from memcrdt.sync.queries import Flow
    from memcrdt.sync.replica import Digest, SharedSpace

GATHER_S: Final = 1.0  # a store that needs longer for its digests greets without them; the spaces are compared later


@dataclass(frozen=True, slots=True)
class GreetedSpace:
    """A space as our greeting has it.

    Attributes:
        membership: The digest of its membership record.
        digest: The digest in the greeting, over membership and documents.
        asked: The number of the query for the documents' digests.
        rows: For each shard, the row of our log at which it was digested.
    """

    membership: bytes
    digest: bytes
    asked: int
    rows: Mapping[int, int]


class Greetings:
    """Both greetings, and the spaces that they name.

    Before our first greeting, the shared spaces are digested, one after the other. Later greetings, when the spaces
    have changed, are sent at once and have no digests.
    """

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox
        self.ours: dict[str, str] | None = None  # id and name of each space in our last greeting
        self.theirs: dict[str, str] | None = None
        self._offered: set[str] = set()  # the spaces of all our greetings
        self._their_digests: dict[str, bytes] = {}
        self._gathering: Sequence[SharedSpace] | None = None
        self._greeted: dict[str, GreetedSpace] = {}
        self._outdated: set[str] = set()

    def gather(self, spaces: Sequence[SharedSpace]) -> Flow[bool]:
        """Digest the spaces for the first greeting. Return False if stop() was called before the end."""
        self._gathering, self._greeted = spaces, {}
        self._outbox.schedule(GATHER_S, "greet")
        for space in spaces:
            asked = self._outbox.next_query
            digests = yield from ask(Replica.digests, space.id)
            if self._gathering is not spaces:
                return False
            members, rows = space.membership_digest, {shard: digest.seq for shard, digest in digests.items()}
            self._greeted[space.id] = GreetedSpace(members, digest_of(members, digests), asked, rows)
        return True

    def stop(self) -> Sequence[SharedSpace] | None:
        """Stop gathering. Return the spaces of the unfinished greeting; None if there is none."""
        spaces, self._gathering = self._gathering, None
        return spaces

    def send(self, spaces: Sequence[SharedSpace], incarnation: str, features: tuple[str, ...]) -> None:
        """Greet with these spaces."""
        if self.ours is not None:
            self._greeted = {}
        self._gathering = None
        self.ours = {space.id: space.name for space in spaces}
        self._offered |= self.ours.keys()
        digests = {space: greeted.digest for space, greeted in self._greeted.items()}
        offers = tuple(Offer(space.id, space.name, digests.get(space.id, b"")) for space in spaces)
        self._outbox.send(Hello(PROTOCOL, features, incarnation, offers))

    def take(self, hello: Hello) -> None:
        """Note the peer's greeting."""
        if hello.version < PROTOCOL:
            raise RemoteProtocolError(f"version {hello.version} of the protocol is not supported")
        self.theirs = {space.id: space.name for space in hello.spaces}
        self._their_digests = {space.id: space.digest for space in hello.spaces}

    def is_named(self, space: str) -> bool:
        """Return whether one of our greetings, or the peer's last greeting, names the space."""
        return space in self._offered or space in (self.theirs or {})

    def note_row(self, space: str) -> None:
        """Note that the log has a new row of a space that is not shared yet."""
        self._outdated.add(space)

    def agreed(self, space: str) -> GreetedSpace | None:
        """Return the space as our greeting has it, if the peer's greeting has the same digest; otherwise None."""
        greeted = self._greeted.get(space)
        return greeted if greeted is not None and greeted.digest == self._their_digests.get(space) else None

    def is_outdated(self, space: str) -> bool:
        """Return whether we may have more of the space than the digest in our greeting covers."""
        return space in self._outdated


def digest_of(membership: bytes, digests: Mapping[int, Digest]) -> bytes:
    """Return a hash (16 bytes) over the digest of a membership record and the digests of all shards."""
    root = Shards(digests).root().fingerprint
    return hashlib.blake2b(membership + root, digest_size=16, person=b"memcrdt greeting").digest()
