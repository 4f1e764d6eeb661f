"""The results of a search and their order."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from memcrdt.search.embedders.embedder import UserEmbedder
from memcrdt.search.embedders.static import StaticEmbedder


def test_a_memory_is_found_by_its_words_and_by_its_meaning(shelf: Any) -> None:
    """The right memory of three comes first, both for its own words and for other words."""
    for text in ("Deploys go out on Tuesdays", "The cat sleeps on the sofa", "Ana's birthday is in May"):
        shelf.add(text)
    assert shelf.found("deploy tuesday")[0] == "Deploys go out on Tuesdays"
    assert shelf.found("where does the kitten nap?")[0] == "The cat sleeps on the sofa"


@pytest.mark.parametrize("query", ["北京大学", "大学", "京", "学习"])
def test_chinese_is_found_by_substring(shelf: Any, query: str) -> None:
    """A substring of one or more characters finds the one memory that contains it."""
    shelf.add("我在北京大学学习中文")
    shelf.add("明天去上海出差")
    assert shelf.found(query)[0] == "我在北京大学学习中文"


def test_thai_and_japanese_are_found_by_substring(shelf: Any) -> None:
    """Part of a run finds text in scripts without spaces."""
    shelf.add("ฉันชอบกินข้าวผัดกระเพรา")
    shelf.add("来週の火曜日に東京で会議があります")
    assert shelf.found("ข้าวผัด")[0] == "ฉันชอบกินข้าวผัดกระเพรา"
    assert shelf.found("火曜日")[0] == "来週の火曜日に東京で会議があります"


def test_accents_and_endings_are_folded(shelf: Any) -> None:
    """A word is found without its accents and in another form."""
    shelf.add("The café's naïve résumés")
    shelf.add("A boat on the lake")
    assert shelf.found("resume cafe")[0] == "The café's naïve résumés"


def test_a_hit_in_a_long_memory_has_the_matching_passage(shelf: Any) -> None:
    """The end of a long text is found, and the hit has only that passage."""
    shelf.add("The harbour was quiet that morning. " * 120 + "The spare key hangs behind the blue clock.")
    hit = shelf.search("where is the spare key?")[0]
    assert hit.passage.endswith("The spare key hangs behind the blue clock.")
    assert len(hit.passage) <= 900


def test_a_search_steps_through_few_rows(shelf: Any) -> None:
    """SQLite gives the interpreter away at each row, and a thread that computes may keep it for 5 ms each time."""
    shelf.add_many(
        [{"text": f"release notes {n}", "scope": "conversation/a", "category": "conversation"} for n in range(400)]
    )
    rows = []

    def note(_: object, row: Any) -> Any:
        rows.append(row)
        return row

    shelf.db.row_trace = note
    assert len(shelf.search("what do the release notes say?")) > 1
    assert len(rows) < 20


def test_filters_narrow_before_ranking(shelf: Any) -> None:
    """The one memory with the tag is found among many that match the query better."""
    shelf.add_many([{"text": f"release notes number {n}"} for n in range(400)])
    wanted = shelf.add("dinner with the neighbours", tags=["home"])
    assert [hit.memory for hit in shelf.search("release notes", filters={"tags": ["home"]})] == [wanted]


def test_a_broad_filter_includes_new_memories(shelf: Any) -> None:
    """The mask of a filter is cached between searches and renewed when the store has changed."""
    shelf.add_many([{"text": f"release notes {n}", "scope": "project/acme"} for n in range(2_100)])
    asked: dict[str, Any] = {"filters": {"scope": "project/acme"}, "limit": 3}
    assert len(shelf.search("release notes", **asked)) == 3
    shelf.add("the zebra crossing", scope="project/acme")
    shelf.add("the zebra crossing", scope="project/other")
    assert shelf.found("zebra", **asked)[0] == "the zebra crossing"
    assert shelf.rows[shelf.search("zebra", **asked)[0].memory].scope == "project/acme"


def test_expired_and_superseded_are_hidden_unless_included(shelf: Any) -> None:
    """They take no place in the results. `include` shows them."""
    shelf.add("the office is in Lyon", expires_at=1)
    shelf.add("the office is in Nice", superseded_by="x")
    shelf.add("the office is in Rome")
    assert shelf.found("office", limit=2) == ["the office is in Rome"]
    assert len(shelf.found("office", filters={"include": ["expired", "superseded"]})) == 3


def test_equal_memories_come_in_the_order_of_their_ids(shelf: Any) -> None:
    """Ties are broken by ID, so equal stores give equal results."""
    for suffix in "cab":
        shelf.add("the same words", id=suffix * 26)
    ids = [shelf.db.execute("SELECT id FROM memories WHERE memory = ?", (h.memory,)).get for h in shelf.search("same")]
    assert ids == ["a" * 26, "b" * 26, "c" * 26]


def test_without_an_embedder_full_text_answers(tmp_path: Path, new_shelf: Any) -> None:
    """Finding words needs no vectors, and the tables of vectors stay empty."""
    shelf = new_shelf(tmp_path / "words.db", embedder="none")
    shelf.add("Deploys go out on Tuesdays")
    assert shelf.found("deploys") == ["Deploys go out on Tuesdays"]
    assert shelf.db.execute("SELECT count(*) FROM vectors").get == 0


def test_the_score_is_higher_for_a_better_answer(shelf: Any) -> None:
    """A score is between 0 and 1, and `min_score` leaves out lower scores."""
    shelf.add("Deploys go out on Tuesdays")
    shelf.add("The cat sleeps on the sofa")
    best, worst = shelf.search("deploys on tuesdays")
    assert 0 <= worst.score < best.score <= 1
    assert shelf.found("deploys on tuesdays", min_score=best.score) == ["Deploys go out on Tuesdays"]


TALK = (
    "Ana: How was the trip to the coast with your sister?",
    "Ben: We walked to the old lighthouse and met a carpenter who repairs fishing boats.",
    "Ana: Oh nice, did the weather hold?",
    "Ben: Mostly, yes. On Sunday we had to stay inside and played cards.",
    "Ana: I spent mine with the new puppy, she ate one of my shoes.",
    "Ben: Ha, mine did the same when it was small.",
)


def test_a_question_without_an_answer_in_a_conversation_scores_low(shelf: Any) -> None:
    """The texts are alike and share the speakers with any question, so more counts than its words and its meaning."""
    shelf.add_many([{"text": text, "scope": "conversation/talk", "created_at": n} for n, text in enumerate(TALK)])
    walk = "did Ben walk to the old town?"  # the name of the speaker makes the difference
    for question in ("who repairs fishing boats?", "who met a carpenter?", "lighthouse", "played cards", walk):
        assert shelf.search(question)[0].score >= 0.3, question
    for question in ("which database does Ben use at work?", "what shoes did Ben buy?", "zebra", "tax return"):
        assert shelf.search(question)[0].score < 0.3, question


def test_results_do_not_depend_on_the_order_of_arrival(tmp_path: Path, new_shelf: Any) -> None:
    """Two stores with the same memories in opposite orders of arrival give the same IDs and scores, including ties."""
    items = [
        {"text": f"the harbour crane lifts {n % 7} boxes", "id": f"{n:026d}", "created_at": n * 1000}
        | ({"scope": f"conversation/{n % 3}"} if n % 2 else {})
        for n in range(400)
    ]
    answers = []
    for name, order in (("one", items), ("other", items[::-1])):
        shelf = new_shelf(tmp_path / f"{name}.db")
        shelf.add_many([dict(item) for item in order])
        sql = "SELECT id FROM memories WHERE memory = ?"
        answers.append(
            [
                [(shelf.db.execute(sql, (hit.memory,)).get, hit.score) for hit in shelf.search(query, limit=25)]
                for query in ("harbour crane", "how many boxes are moved in the port?", "lifts 3")
            ]
        )
    assert answers[0] == answers[1]
    assert all(len(found) == 25 for found in answers[0])


def test_without_sqlite_vec_the_results_are_the_same(
    tmp_path: Path, new_shelf: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Searches use numpy if the extension is missing, also with an embedder whose vectors are stored as float32."""
    texts = ("Deploys go out on Tuesdays", "The cat sleeps on the sofa", "Ana's birthday is in May")
    answers = []
    for name in ("with", "without"):
        shelf = new_shelf(tmp_path / f"{name}.db", embedder=other_model())
        for text in texts:
            shelf.add(text)
        answers.append(shelf.search("where does the kitten nap?"))
        monkeypatch.setitem(sys.modules, "sqlite_vec", None)
    assert answers[0] == answers[1]


def test_vectors_as_int16_rank_as_float32(tmp_path: Path, new_shelf: Any) -> None:
    """The shipped model's vectors take half the bytes, and the results and their scores stay the same."""
    texts = [f"The crane {number} of the harbour lifts {number % 7} boxes an hour" for number in range(60)]
    shelves = [new_shelf(tmp_path / "own.db"), new_shelf(tmp_path / "other.db", embedder=other_model())]
    for shelf in shelves:
        shelf.add_many([{"text": text} for text in texts])
    sizes = [shelf.db.execute("SELECT DISTINCT length(embedding) FROM vectors").fetchall() for shelf in shelves]
    assert sizes == [[(512,)], [(1_024,)]]
    for query in ("harbour crane", "how many boxes are moved in the port?", "lifts 3"):
        own, other = ([(hit.memory, hit.score) for hit in shelf.search(query, limit=25)] for shelf in shelves)
        assert [memory for memory, _ in own] == [memory for memory, _ in other]
        assert [score for _, score in own] == pytest.approx([score for _, score in other], abs=1e-4)


def other_model() -> UserEmbedder:
    """Return the shipped model under another name, so that its vectors are stored as float32."""
    static = StaticEmbedder()
    return UserEmbedder("another", static.embed, static.embed_query, fast=True)


def test_an_emoji_is_a_word(shelf: Any) -> None:
    """It is found alone or in a text, in any skin tone, with or without its style. Another emoji is another word."""
    shelf.add_many([{"text": text} for text in ("🚀", "shipped it 👍🏽 today", "I ❤️ this", "nothing of the kind")])
    assert shelf.found("🚀", limit=1) == ["🚀"]
    assert shelf.found("👍", limit=1) == ["shipped it 👍🏽 today"]
    assert shelf.found("❤", limit=1) == ["I ❤️ this"]


def test_boosts_prefer_new_or_important_memories(shelf: Any) -> None:
    """They order equal texts of any age. They are off by default and are among the parts only if requested."""
    now, month = 1_800_000_000_000, 30 * 86_400_000
    shelf.add_many(
        [
            {"text": "the deploy is on Tuesday", "created_at": now - 12 * month, "importance": 0.9},
            {"text": "the deploy is on Tuesday", "created_at": now - 6 * month},
            {"text": "the deploy is on Tuesday", "created_at": now},
        ]
    )

    def order(**options: float) -> list[int]:
        return [hit.memory for hit in shelf.search("when is the deploy?", **options)]

    assert order() == [1, 2, 3]
    assert order(recency=1.0) == [3, 2, 1]
    assert order(importance=1.0)[0] == 1
    assert order(recency=1.0, limit=1) == [3]
    plain, boosted = (shelf.search("deploy", explain=True, recency=recency)[0].parts for recency in (0.0, 1.0))
    assert "recency" not in plain
    assert boosted["recency"] == 0.02


def test_boosts_do_not_lift_unrelated_memories(shelf: Any) -> None:
    """The answer stays first, even if it is old and many unrelated memories are new and important."""
    now, year = 1_800_000_000_000, 365 * 86_400_000
    shelf.add("The spare key hangs behind the blue clock", created_at=now - 3 * year)
    shelf.add_many([{"text": f"lunch with guest {n}", "created_at": now, "importance": 1.0} for n in range(30)])
    plain = shelf.found("where is the spare key?")
    assert plain[0] == "The spare key hangs behind the blue clock"
    assert shelf.found("where is the spare key?", recency=1.0, importance=1.0)[0] == plain[0]


def test_recency_compares_words_without_vectors(tmp_path: Path, new_shelf: Any) -> None:
    """The newer of two texts with nearly the same words comes first."""
    shelf = new_shelf(tmp_path / "words.db", embedder="none")
    shelf.add("the office door code is 4471", created_at=1_000)
    shelf.add("the new office door code is 9032", created_at=2_000)
    assert shelf.found("what is the code of the office door")[0].endswith("4471")
    assert shelf.found("what is the code of the office door", recency=1.0)[0].endswith("9032")


def test_similar_uses_all_passages_of_a_long_memory(shelf: Any) -> None:
    """It uses the stored vectors. The last passage counts, too, and no words are needed."""
    shelf.add("the harbour crane lifts containers onto ships. " * 30 + "kittens nap on sofas. " * 60)
    for text in ("a cat sleeps upon the couch", "invoices are paid monthly"):
        shelf.add(text)
    assert [hit.memory for hit in shelf.search("of no words", like=1)][:2] == [1, 2]
