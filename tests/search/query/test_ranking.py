"""The features of the ranking, one at a time."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

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


def test_a_whole_identifier_comes_before_its_parts_whatever_the_vectors_say(shelf: Any) -> None:
    """Here the vector of the query is that of the parts."""
    shelf.add("rename get_user_name before the release", scope=TALK)
    parts = shelf.add("get the name of the user")
    vector = tuple(shelf.index.embedders.own.embed(["get the name of the user"])[0].tolist())
    assert shelf.search("what is a person called?", vector=vector)[0].memory == parts
    for query in ("getUserName", "get_user_name", "get-user-name"):
        assert [hit.memory for hit in shelf.search(query, vector=vector)] == [1, parts]


def test_a_name_of_a_thing_counts_in_a_question_with_the_other_words(shelf: Any) -> None:
    """Sentences have such names, too, so they say less than names of code. Words with a hyphen are no name at all."""
    shelf.add("the PayPal account is Ada's")
    shelf.add("a well-known port is 8443")
    hits = shelf.search("well-known PayPal port", explain=True)
    assert {hit.memory: hit.parts["identifier"] > 0 for hit in hits} == {1: True, 2: False}
    found = next(hit.parts for hit in hits if hit.memory == 1)
    share = found["lexical"] / WEIGHTS["lexical"]  # it has no other word of the query
    assert 0.2 < share < 0.8
    assert found["identifier"] / WEIGHTS["identifier"] == pytest.approx(share**2, abs=0.001)


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("what is parse_config_v2 used for?", "parse_config_v2 is left of the old format"),
        ("which of our services still use getUserName when they start in the morning?", "getUserName is deprecated"),
        ("why does src/net/door.py need a config, and what is it used for?", "src/net/door.py opens the socket"),
        ("what do we use config.toml for when the services start?", "config.toml is not in git"),
        ("what is --dry-run used for in our services?", "the deployment knows --dry-run"),
        ("is std::vector what our services use for a config?", "std::vector keeps its capacity"),
        ("what was the config of our services used for in 2.10.3?", "2.10.3 broke the export"),
    ],
)
def test_a_name_of_code_comes_first_in_a_question(shelf: Any, query: str, text: str) -> None:
    """No sentence has it by chance. Here another memory has all other words of the question, and its meaning."""
    name = max((word for word in text.split() if word in query), key=len)
    other = query.replace(name, "it").strip("?")
    shelf.add(other)
    shelf.add(f"our services: {other}")
    shelf.add(text)
    vector = tuple(shelf.index.embedders.own.embed([other])[0].tolist())
    assert shelf.search(query, vector=vector)[0].memory == 3
    assert shelf.search(query)[0].memory == 3


def test_a_name_that_many_memories_have_says_little(shelf: Any) -> None:
    """Then the other words and the meaning decide."""
    shelf.add_many([{"text": f"config.toml has line {n}"} for n in range(40)])
    answer = shelf.add("the services start with the settings of the home folder")
    assert shelf.search("how do services start with settings of config.toml?")[0].memory == answer


def test_a_memory_with_a_name_is_ranked_among_many_with_the_other_words(shelf: Any) -> None:
    """A search looks closely at the best eighty or so by words and by meaning. Those with a name are among them."""
    shelf.add_many([{"text": f"lunch on day {n}"} for n in range(900)])
    shelf.add_many([{"text": f"our services parse a config at midnight, part {n}"} for n in range(300)])
    named = shelf.add("parse_config_v2 is left of the old format")
    assert shelf.search("do our services parse a config at midnight or parse_config_v2?")[0].memory == named


def test_a_memory_of_the_named_month_comes_first(shelf: Any) -> None:
    """Of two equal texts, the memory from the month that the query names comes first."""
    march, april = (int(datetime(2025, month, 9, tzinfo=UTC).timestamp() * 1000) for month in (3, 4))
    shelf.add("A walk by the lake", created_at=march)
    shelf.add("A walk by the lake", created_at=april)
    assert [hit.memory for hit in shelf.search("walk in April 2025")] == [2, 1]
    assert [hit.memory for hit in shelf.search("walk in March 2025")] == [1, 2]


def test_a_turn_after_a_question_comes_first(shelf: Any) -> None:
    """Of two equal turns, the one that follows a question is likely its answer."""
    shelf.add("Bo: Lunch was good today.", scope="conversation/other")
    shelf.add("Al: The small red one, from the harbour.", scope="conversation/other")
    shelf.add("Bo: Was lunch good today?", scope=TALK)
    shelf.add("Al: The small red one, from the harbour.", scope=TALK)
    assert shelf.search("red harbour")[0].memory == 4


def test_a_turn_that_says_more_comes_first(shelf: Any) -> None:
    """A short turn has few words, so its cosine is high by chance. Outside conversations length does not count."""
    parts = {}
    for scope in (TALK, "project/a"):
        short = shelf.add("Al: Jazz!", scope=scope)
        long = shelf.add("Al: Jazz, mostly, and on Sundays some of the old records of my father, too.", scope=scope)
        parts |= {hit.memory: hit.parts["length"] for hit in shelf.search("jazz", explain=True, limit=4)}
        parts[scope] = parts[long] - parts[short]
    assert parts[TALK] > 0
    assert parts["project/a"] == 0


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
