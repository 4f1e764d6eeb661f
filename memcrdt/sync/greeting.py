"""What our greeting says of each space, so that two devices that hold the same need no further message about it.

That is one digest of 16 bytes: over what is known of the members, and over all documents. It goes only to devices that
take part. A digest that both greetings have means that both held the same when they were made; what was committed
since is found by the log.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from memcrdt.sync.messages import Offer
from memcrdt.sync.queries import Digests
from memcrdt.sync.reconcile import Shards

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from memcrdt.sync.outbox import Outbox
    from memcrdt.sync.replica import Digest, SharedSpace

GATHER_S: Final = 1.0  # a store that has to digest many shards first greets without: the spaces are compared later


@dataclass(frozen=True, slots=True)
class Standing:
    """A space as our greeting has it: the digest of its record, that of record and documents, and, as the answer to ask
    number `asked` said, the row of each shard."""

    record: bytes
    digest: bytes
    asked: int
    rows: Mapping[int, int]


class Greeting:
    """Looks at the shared spaces, one after the other, before the first greeting is said; `say` says it.

    Later greetings, when the spaces have changed, wait for nothing and have no digests.
    """

    def __init__(self, port: Outbox, say: Callable[[Sequence[SharedSpace]], None]) -> None:
        self._port = port
        self._say = say
        self._spaces: Sequence[SharedSpace] | None = None  # while the greeting is being made
        self._standings: dict[str, Standing] = {}
        self._moved: set[str] = set()
        self._is_said = False

    def make(self, spaces: Sequence[SharedSpace]) -> None:
        """Makes the first greeting: that for these spaces."""
        self._spaces, self._standings = spaces, {}
        self._port.schedule(GATHER_S, "greet")
        self._look(spaces, 0)

    def stop(self) -> None:
        """The spaces have changed: what is being made is not said; the store was asked anew."""
        self._spaces = None

    def hurry(self) -> None:
        """Says the greeting that is being made as it is."""
        if self._spaces is not None:
            self._say(self._spaces)

    def offers(self, spaces: Sequence[SharedSpace]) -> tuple[Offer, ...]:
        """What the greeting that is said now has of these spaces."""
        if self._is_said:
            self._standings = {}
        self._is_said, self._spaces = True, None
        digests = {space: standing.digest for space, standing in self._standings.items()}
        return tuple(Offer(space.id, space.name, digests.get(space.id, b"")) for space in spaces)

    def logged(self, space: str) -> None:
        """A row of the log came about a space that is not shared yet."""
        self._moved.add(space)

    def agreed(self, space: str, digest: bytes) -> Standing | None:
        """How the space stood, if the peer's greeting has this digest of it, and ours the same."""
        standing = self._standings.get(space)
        return standing if standing is not None and standing.digest == digest else None

    def is_outdated(self, space: str) -> bool:
        """Whether we may hold more of the space than the greeting said."""
        return space in self._moved

    def _look(self, spaces: Sequence[SharedSpace], number: int) -> None:
        if number < len(spaces):
            then = partial(self._looked, spaces, number, self._port.next_ask)
            self._port.ask(Digests(spaces[number].id), then)
        else:
            self._say(spaces)

    def _looked(self, spaces: Sequence[SharedSpace], number: int, asked: int, digests: Mapping[int, Digest]) -> None:
        if self._spaces is not spaces:
            return  # it was said meanwhile, or stopped
        space = spaces[number]
        rows = {shard: digest.seq for shard, digest in digests.items()}
        self._standings[space.id] = Standing(
            space.membership_digest, digest_of(space.membership_digest, digests), asked, rows
        )
        self._look(spaces, number + 1)


def digest_of(record: bytes, digests: Mapping[int, Digest]) -> bytes:
    """16 bytes over the digest of a record and those of all shards."""
    root = Shards(digests).root().fingerprint
    return hashlib.blake2b(record + root, digest_size=16, person=b"memcrdt greeting").digest()
