"""Who is there: the rule of awareness, and what happens when a connection ends."""

from __future__ import annotations

from collections.abc import Iterable

from memcrdt.yjs.protocol import Presence
from memcrdt.yjs.room import PRESENCES, Room


class Heard:
    """A member that keeps what it was told."""

    def __init__(self, room: Room) -> None:
        self.told: list[Presence] = []
        room.join(self)

    def tell(self, presences: Iterable[Presence]) -> None:
        self.told.extend(presences)

    def take(self) -> list[Presence]:
        """What it was told since the last time."""
        told, self.told = self.told, []
        return told


def test_everyone_hears_what_is_new_and_only_that() -> None:
    """A greater clock counts; the same again, or an older one, is told to nobody."""
    room = Room()
    ada, grace = Heard(room), Heard(room)
    room.heard(ada, [Presence(1, 5, '"here"')])
    assert ada.take() == grace.take() == [Presence(1, 5, '"here"')]
    room.heard(grace, [Presence(1, 5, '"here"'), Presence(1, 4, '"before"')])
    assert grace.take() == []
    room.heard(ada, [Presence(1, 6, '"there"')])
    assert grace.take() == [Presence(1, 6, '"there"')]


def test_who_comes_later_hears_who_is_there() -> None:
    """Without waiting for the next time that each shows itself."""
    room = Room()
    room.heard(Heard(room), [Presence(1, 1, "{}")])
    assert Heard(room).take() == [Presence(1, 1, "{}")]


def test_of_two_states_with_one_clock_the_end_counts() -> None:
    """As in y-protocols; the end of one who is not there is no news."""
    room = Room()
    ada = Heard(room)
    room.heard(ada, [Presence(1, 1, "{}")])
    ada.take()
    room.heard(ada, [Presence(1, 1, "null"), Presence(2, 1, "null")])
    assert ada.take() == [Presence(1, 1, "null")]
    assert list(room.present) == []


def test_whoever_a_connection_brought_leaves_with_it() -> None:
    """The others are told, with the clock that they know."""
    room = Room()
    ada, grace = Heard(room), Heard(room)
    room.heard(ada, [Presence(1, 5, "{}")])
    room.heard(grace, [Presence(2, 1, "{}")])
    grace.take()
    room.leave(ada)
    assert grace.take() == [Presence(1, 5, "null")]
    assert list(room.present) == [Presence(2, 1, "{}")]
    assert not room.is_empty
    room.leave(grace)
    assert room.is_empty


def test_one_connection_brings_at_most_sixteen() -> None:
    """More are passed over; they may be there by a connection of their own."""
    room = Room()
    ada, grace = Heard(room), Heard(room)
    room.heard(ada, [Presence(client, 1, "{}") for client in range(100)])
    assert len(list(room.present)) == PRESENCES == 16
    room.heard(grace, [Presence(99, 1, "{}")])
    assert grace.take()[-1] == Presence(99, 1, "{}")
