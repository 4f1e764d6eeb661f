"""The connections to one shard, and the presences (awareness) that they show each other. Nothing is stored."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple, Protocol

from memcrdt.yjs.protocol import Presence

PRESENCES: Final = 16  # per connection: a client has one presence, and may relay others


class ShardRef(NamedTuple):
    """A shard: the id of its space, and its number there."""

    space: str
    shard: int


class Participant(Protocol):
    """A connection, as a room sees it."""

    def tell(self, presences: Iterable[Presence]) -> None:
        """Send the presences to the client later. Never waits."""
        ...


class Room:
    """The connections to one shard, for one event loop."""

    def __init__(self) -> None:
        self._members: dict[Participant, set[int]] = {}  # each with the ids of the clients that it has brought
        self._present: dict[int, Presence] = {}

    @property
    def is_empty(self) -> bool:
        """Whether the room has no connection."""
        return not self._members

    @property
    def present(self) -> Iterable[Presence]:
        """The presences of all clients."""
        return self._present.values()

    def join(self, member: Participant) -> None:
        """Add a connection, and tell it the presences of the others."""
        self._members[member] = set()
        member.tell(self.present)

    def leave(self, member: Participant) -> None:
        """Remove a connection and all clients that it brought. Otherwise they would seem present for 30 s more."""
        brought = self._members.pop(member)
        self._tell([self._present.pop(client).left() for client in brought if client in self._present])

    def heard(self, member: Participant, presences: Iterable[Presence]) -> None:
        """Take presences from a connection, and tell all connections the new ones."""
        self._tell([presence for presence in presences if self._take(member, presence)])

    def _take(self, member: Participant, new: Presence) -> bool:
        """Apply the rule of y-protocols: the greater clock wins; with equal clocks, leaving wins.

        Returns:
            Whether the presence is new.
        """
        old = self._present.get(new.client)
        if new.is_gone:
            if old is None or new.clock < old.clock:
                return False
            del self._present[new.client]
            return True
        if old is not None and new.clock <= old.clock:
            return False
        brought = self._members[member]
        if old is None:
            if len(brought) >= PRESENCES:
                return False
            brought.add(new.client)
        self._present[new.client] = new
        return True

    def _tell(self, news: list[Presence]) -> None:
        if news:
            for member in self._members:
                member.tell(news)


class Rooms:
    """The rooms of all shards that have a connection."""

    def __init__(self) -> None:
        self._rooms: dict[ShardRef, Room] = {}

    def join(self, place: ShardRef, member: Participant) -> Room:
        """Add a connection to the room of a shard, and return the room."""
        room = self._rooms.setdefault(place, Room())
        room.join(member)
        return room

    def leave(self, place: ShardRef, member: Participant) -> None:
        """Remove a connection from the room of a shard."""
        room = self._rooms[place]
        room.leave(member)
        if room.is_empty:
            del self._rooms[place]
