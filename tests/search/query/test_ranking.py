"""The features of the ranking, one at a time."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from memcrdt.search.query.ranking import WEIGHTS

TALK = "conversation/talk"


def test_the_answer_to_a_question_is_found_by_the_question_before_it(shelf: Any) -> None:
    """A turn without any word of the query comes first, because the turn before it asks the same question."""
    shelf.add("Bo: Which boat did you rent for the fishing trip?", scope=TALK)
    shelf.add("Al: The small red one, it was cheap.", scope=TALK)
    shelf.add("Bo: Nice. See you at lunch.", scope=TALK)
    shelf.add("Al: The small red one, it was cheap.", scope="conversation/other")
    best = [hit.memory for hit in shelf.search("which boat was rented for fishing", limit=2)]
    assert 2 in best
    assert 4 not in best


def test_only_memories_of_one_conversation_raise_each_other(shelf: Any) -> None:
    """Neighbours in time outside conversations add nothing to each other's words or meaning."""
    shelf.add("Which boat did you rent for the fishing trip?")
    alone = shelf.add("The small red one.")
    parts = next(hit.parts for hit in shelf.search("which boat for fishing", explain=True) if hit.memory == alone)
    assert parts["window_words"] == 0
    assert parts["window_meaning"] / WEIGHTS["window_meaning"] == round(parts["semantic"] / WEIGHTS["semantic"], 4)


def test_a_memory_of_the_named_month_comes_first(shelf: Any) -> None:
    """Of two equal texts, the memory from the month that the query names comes first."""
    march, april = (int(datetime(2025, month, 9, tzinfo=UTC).timestamp() * 1000) for month in (3, 4))
    shelf.add("A walk by the lake", created_at=march)
    shelf.add("A walk by the lake", created_at=april)
    assert [hit.memory for hit in shelf.search("walk in April 2025")] == [2, 1]
    assert [hit.memory for hit in shelf.search("walk in March 2025")] == [1, 2]


def test_a_memory_by_the_named_person_comes_first(shelf: Any) -> None:
    """The author counts, both as a field and as a prefix of the text."""
    shelf.add("I like jazz most", author="Bo", scope=TALK)
    shelf.add("I like jazz most", author="Al", scope=TALK)
    assert shelf.search("what music does Al like?")[0].memory == 2


def test_explain_returns_every_part(shelf: Any) -> None:
    """With `explain`, the parts are those of the weights. Without it there are none."""
    shelf.add("Deploys go out on Tuesdays")
    assert set(shelf.search("deploys", explain=True)[0].parts) == set(WEIGHTS)
    assert shelf.search("deploys")[0].parts == {}


def test_a_memory_that_waits_for_its_vector_is_ranked_by_words(shelf: Any) -> None:
    """A memory without a vector is ranked by its words and an average meaning. It does not come last."""
    for text in ("The harbour crane is being repaired", "Lunch was good", "The tram is late", "It rained again"):
        shelf.add(text)
    shelf.db.execute("DELETE FROM codes WHERE passage = 256; DELETE FROM vectors WHERE passage = 256")
    assert shelf.found("harbour crane")[0] == "The harbour crane is being repaired"
