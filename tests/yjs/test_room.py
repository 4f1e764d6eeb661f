"""Rooms: the rule of awareness, and the end of a connection."""

from __future__ import annotations

from collections.abc import Iterable

from memcrdt.yjs.protocol import Presence
from memcrdt.yjs.room import PRESENCES, Room


class RecordingParticipant:
    """A participant that records the presences that it was told."""

    def __init__(self, room: Room) -> None:
        self.told: list[Presence] = []
        room.join(self)

    def tell(self, presences: Iterable[Presence]) -> None:
        self.told.extend(presences)

    def take(self) -> list[Presence]:
        """Return the presences since the last call."""
        told, self.told = self.told, []
        return told


def test_only_new_presences_are_told() -> None:
    """A greater clock counts. An equal or older one is not told to anyone."""
    room = Room()
    ada, grace = RecordingParticipant(room), RecordingParticipant(room)
    room.heard(ada, [Presence(1, 5, '"here"')])
    assert ada.take() == grace.take() == [Presence(1, 5, '"here"')]
    room.heard(grace, [Presence(1, 5, '"here"'), Presence(1, 4, '"before"')])
    assert grace.take() == []
    room.heard(ada, [Presence(1, 6, '"there"')])
    assert grace.take() == [Presence(1, 6, '"there"')]


def test_a_new_participant_is_told_all_presences() -> None:
    """Without waiting until the clients repeat them."""
    room = Room()
    room.heard(RecordingParticipant(room), [Presence(1, 1, "{}")])
    assert RecordingParticipant(room).take() == [Presence(1, 1, "{}")]


def test_with_equal_clocks_leaving_counts() -> None:
    """As in y-protocols. The end of an absent client is not told."""
    room = Room()
    ada = RecordingParticipant(room)
    room.heard(ada, [Presence(1, 1, "{}")])
    ada.take()
    room.heard(ada, [Presence(1, 1, "null"), Presence(2, 1, "null")])
    assert ada.take() == [Presence(1, 1, "null")]
    assert list(room.present) == []


def test_clients_leave_with_their_connection() -> None:
    """The others are told with the last known clock."""
    room = Room()
    ada, grace = RecordingParticipant(room), RecordingParticipant(room)
    room.heard(ada, [Presence(1, 5, "{}")])
    room.heard(grace, [Presence(2, 1, "{}")])
    grace.take()
    room.leave(ada)
    assert grace.take() == [Presence(1, 5, "null")]
    assert list(room.present) == [Presence(2, 1, "{}")]
    assert not room.is_empty
    room.leave(grace)
    assert room.is_empty


def test_one_connection_brings_at_most_sixteen_clients() -> None:
    """Further clients are ignored. They may have their own connections."""
    room = Room()
    ada, grace = RecordingParticipant(room), RecordingParticipant(room)
    room.heard(ada, [Presence(client, 1, "{}") for client in range(100)])
    assert len(list(room.present)) == PRESENCES == 16
    room.heard(grace, [Presence(99, 1, "{}")])
    assert grace.take()[-1] == Presence(99, 1, "{}")
