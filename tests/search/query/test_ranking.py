"""What counts in the ranking, one thing at a time."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from memcrdt.search.query.ranking import WEIGHTS

TALK = "conversation/talk"


def test_the_answer_to_a_question_is_found_by_the_question_before_it(shelf: Any) -> None:
    """A turn without a word of the query comes first because the turn before it asks what the query asks."""
    shelf.add("Bo: Which boat did you rent for the fishing trip?", scope=TALK)
    shelf.add("Al: The small red one, it was cheap.", scope=TALK)
    shelf.add("Bo: Nice. See you at lunch.", scope=TALK)
    shelf.add("Al: The small red one, it was cheap.", scope="conversation/other")
    best = [hit.memory for hit in shelf.search("which boat was rented for fishing", limit=2)]
    assert 2 in best
    assert 4 not in best


def test_only_memories_of_the_same_conversation_lend_to_each_other(shelf: Any) -> None:
    """Neighbours in time that are of no conversation add nothing: both words and meaning are their own."""
    shelf.add("Which boat did you rent for the fishing trip?")
    alone = shelf.add("The small red one.")
    parts = next(hit.parts for hit in shelf.search("which boat for fishing", explain=True) if hit.memory == alone)
    assert parts["window_words"] == 0
    assert parts["window_meaning"] / WEIGHTS["window_meaning"] == round(parts["semantic"] / WEIGHTS["semantic"], 4)


def test_a_memory_of_the_named_month_comes_first(shelf: Any) -> None:
    """Of two equal texts the one that was made in the month that the query names wins."""
    march, april = (int(datetime(2025, month, 9, tzinfo=UTC).timestamp() * 1000) for month in (3, 4))
    shelf.add("A walk by the lake", created_at=march)
    shelf.add("A walk by the lake", created_at=april)
    assert [hit.memory for hit in shelf.search("walk in April 2025")] == [2, 1]
    assert [hit.memory for hit in shelf.search("walk in March 2025")] == [1, 2]


def test_what_the_named_person_said_comes_first(shelf: Any) -> None:
    """The author counts, whether it is a field or stands before the text."""
    shelf.add("I like jazz most", author="Bo", scope=TALK)
    shelf.add("I like jazz most", author="Al", scope=TALK)
    assert shelf.search("what music does Al like?")[0].memory == 2


def test_explain_gives_every_part(shelf: Any) -> None:
    """With explain the parts are those of the weights; without it there are none."""
    shelf.add("Deploys go out on Tuesdays")
    assert set(shelf.search("deploys", explain=True)[0].parts) == set(WEIGHTS)
    assert shelf.search("deploys")[0].parts == {}


def test_a_memory_that_waits_for_its_vector_keeps_its_place_by_words(shelf: Any) -> None:
    """Without a vector a memory is judged by its words and an average meaning, not put last."""
    for text in ("The harbour crane is being repaired", "Lunch was good", "The tram is late", "It rained again"):
        shelf.add(text)
    shelf.db.execute("DELETE FROM codes WHERE passage = 256; DELETE FROM vectors WHERE passage = 256")
    assert shelf.found("harbour crane")[0] == "The harbour crane is being repaired"
