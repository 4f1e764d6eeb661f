"""`memcrdt search`, `similar`, `get`, `list` and `history`."""

from __future__ import annotations

import sys
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import memcrdt
from memcrdt import config
from memcrdt.model import limits
from tests.cross_encoders import without_deadline, write_cross_encoder

if TYPE_CHECKING:
    from tests.cli.conftest import Cli

UNKNOWN = "01ARZ3NDEKTSV4RRFFQ69G5FAV"
TEXTS = {
    "release": "Deploys go out on Tuesdays",
    "database": "The staging database is restored every Sunday night",
    "office": "The printer needs a static address",
}


@pytest.fixture
def ids(home: Path) -> dict[str, str]:
    """Add three memories with a tag each, in this order."""
    with memcrdt.open(home) as memory:
        return {tag: memory.add(text, tags=[tag], scope=f"project/{tag}") for tag, text in TEXTS.items()}


def test_search_finds_it_in_other_words(cli: Cli, ids: dict[str, str]) -> None:
    """The best result comes first, as JSON with its score and the whole memory."""
    hits = cli("search", "when do we ship a deploy?", "--json").json
    assert hits[0]["memory"]["id"] == ids["release"]
    assert 0 < hits[0]["score"] <= 1


def test_search_prints_a_line_a_hit(cli: Cli, ids: dict[str, str]) -> None:
    """Without a terminal: id, score, scope, tags and text, separated by tabs. Stderr is empty."""
    ran = cli("search", "deploys", "--limit", "1")
    found, score, *rest = ran.out.rstrip("\n").split("\t")
    assert found == ids["release"]
    assert 0 < float(score) <= 1
    assert rest == ["project/release", "release", TEXTS["release"]]
    assert ran.err == ""


def test_search_without_a_hit_is_no_error(cli: Cli, ids: dict[str, str]) -> None:
    """Stdout is empty, and the exit code is 0."""
    ran = cli("search", "deploys", "--tag", "nobody has this")
    assert (ran.code, ran.out) == (0, "")


def test_a_score_may_be_asked_for(cli: Cli, ids: dict[str, str]) -> None:
    """--min-score leaves out lower scores."""
    scores = {hit["memory"]["id"]: hit["score"] for hit in cli("search", "deploys", "--json").json}
    asked = (min(scores.values()) + max(scores.values())) / 2
    found = {hit["memory"]["id"] for hit in cli("search", "deploys", "--json", "--min-score", str(asked)).json}
    assert found == {each for each, score in scores.items() if score >= asked} < scores.keys()


def test_a_search_reranks_if_it_is_asked_to(
    cli: Cli, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """--rerank moves to the top what the reranker of the settings prefers. Without the setting it is refused."""
    without_deadline(monkeypatch)
    with memcrdt.open(home) as memory:
        memory.add_many(["the ship sails at dawn", "the ship sails at noon", "a kitten may sail with us"])
    cli("search", "when does the ship sail", "--rerank").failed(2, "setting `reranker`")
    config.change(home, "reranker", str(write_cross_encoder(tmp_path / "reranker")))
    plain, reranked = (
        [hit["memory"]["text"] for hit in cli("search", "when does the ship sail", *options, "--json").json]
        for options in ([], ["--rerank"])
    )
    assert plain[-1] == "a kitten may sail with us"
    assert reranked == [plain[-1], *plain[:-1]]


def test_a_fast_search_does_without_the_transformer(cli: Cli, home: Path) -> None:
    """--fast gives the scores of the static model. Otherwise the command loads the transformer of `auto`."""
    config.change(home, "embedder", "auto")
    with memcrdt.open(home) as memory:
        memory.add_many(["My sister cannot eat nuts", "The cat sleeps on the sofa all day"])
        memory.wait_indexed(timeout=60)
    query = "Which foods make a relative ill?"
    with memcrdt.open(home, embedder="static") as memory:
        static = [(hit.memory.text, hit.score) for hit in memory.search(query)]
    fast, usual = (
        [(hit["memory"]["text"], hit["score"]) for hit in cli("search", query, *options, "--json").json]
        for options in (["--fast"], [])
    )
    assert fast == static
    assert dict(usual)["My sister cannot eat nuts"] > dict(fast)["My sister cannot eat nuts"]


def test_explain_shows_what_scores_are_made_of(cli: Cli, ids: dict[str, str]) -> None:
    """A field after the text, and `parts` in the JSON. Without the option there is neither."""
    plain, explained = (cli("search", "deploys", *options).out.splitlines()[0] for options in ([], ["--explain"]))
    *same, parts = explained.split("\t")
    assert same == plain.split("\t")
    assert "lexical " in parts
    assert cli("search", "deploys", "--json").json[0]["parts"] == {}
    assert "lexical" in cli("search", "deploys", "--explain", "--json").json[0]["parts"]


def test_fold_and_diversity_leave_out_or_put_back_what_says_the_same(cli: Cli, ids: dict[str, str]) -> None:
    """--fold drops the second of two similar memories. --diversity puts another one before it."""
    cli("add", "Deploys go out on Tuesdays!")
    found = [hit["memory"]["text"] for hit in cli("search", "deploys on tuesdays", "--json").json]
    assert {text.rstrip("!") for text in found[:2]} == {TEXTS["release"]}
    folded = [hit["memory"]["text"] for hit in cli("search", "deploys on tuesdays", "--fold", "--json").json]
    assert [text.rstrip("!") for text in folded].count(TEXTS["release"]) == 1
    diverse = [hit["memory"]["text"] for hit in cli("search", "deploys", "--diversity", "0.9", "--json").json]
    assert diverse[1] in (TEXTS["database"], TEXTS["office"])


def test_similar_finds_what_is_like_a_memory(cli: Cli, ids: dict[str, str]) -> None:
    """Best first, without the memory itself. Filters apply."""
    other = cli("add", "Releases are deployed every Tuesday").out.strip()
    ran = cli("similar", ids["release"], "--limit", "1")
    assert ran.out.split("\t")[0] == other
    assert cli("similar", ids["release"], "--tag", "nobody has this").out == ""


def test_get_shows_the_memory(cli: Cli, ids: dict[str, str]) -> None:
    """One line per field, or one line of JSON."""
    assert f"text\t{TEXTS['office']}\n" in cli("get", ids["office"]).out
    assert cli("get", ids["office"], "--json").json[0]["tags"] == ["office"]


def test_list_is_newest_first(cli: Cli, ids: dict[str, str]) -> None:
    """id, time, scope, tags and text, separated by tabs. --order reverses it."""
    lines = [line.split("\t") for line in cli("list").out.splitlines()]
    assert [line[0] for line in lines] == list(reversed(ids.values()))
    assert lines[-1][2:] == ["project/release", "release", TEXTS["release"]]
    oldest = cli("list", "--order", "oldest", "--json").json
    assert [memory["id"] for memory in oldest] == list(ids.values())


def test_list_says_when_there_are_more(cli: Cli, ids: dict[str, str]) -> None:
    """A shortened list prints a message on stderr. --all is never shortened."""
    ran = cli("list", "--limit", "2")
    assert ran.out.count("\n") == 2
    assert "--all" in ran.err
    assert cli("list", "--limit", "1").err == "memcrdt: 1 of 3; --limit 3 or --all shows all\n"
    ran = cli("list", "--limit", "2", "--all")
    assert (ran.out.count("\n"), ran.err) == (3, "")


def test_all_goes_over_pages(cli: Cli, home: Path) -> None:
    """--all shows more memories than one call of Memory.list() returns."""
    with memcrdt.open(home, embedder=None) as memory:
        memory.add_many(f"number {n}" for n in range(limits.RESULTS + 1))
    assert cli("list", "--all").out.count("\n") == limits.RESULTS + 1


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (["--tag", "release"], ["release"]),
        (["--tag", "release", "--tag", "office"], ["office", "release"]),
        (["--all-tag", "release", "--all-tag", "office"], []),
        (["--not-tag", "release"], ["database", "office"]),
        (["--scope", "project/office"], ["office"]),
        (["--category", "global"], []),
        (["--space", "local"], []),
        (["--contains", "SUNDAY"], ["database"]),
        (["--pinned"], []),
        (["--not-pinned", "--tag", "office"], ["office"]),
        (["--metadata", '{"by": "ops"}'], []),
        (["--after", "2099-01-01T00:00:00Z"], []),
        (["--before", "2099-01-01T00:00:00Z", "--tag", "office"], ["office"]),
        (["--after", "2w", "--tag", "office"], ["office"]),
        (["--before", "yesterday"], []),
    ],
)
def test_filters_narrow(cli: Cli, ids: dict[str, str], options: list[str], found: list[str]) -> None:
    """Each option is the filter of that name."""
    listed = {memory["id"] for memory in cli("list", "--json", *options).json}
    assert listed == {ids[tag] for tag in found}


def test_a_terminal_shows_how_a_time_was_understood(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """On stderr, so that the list can be piped on."""
    monkeypatch.setattr(type(sys.stderr), "isatty", lambda self: True)
    day = (datetime.now().astimezone() - timedelta(days=1)).strftime("%Y-%m-%d 00:00")
    assert cli("list", "--after", "yesterday").err.startswith(f"memcrdt: --after is {day} ")


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (["--range", "n=2..3"], {2, 3}),
        (["--range", "n=..1"], {1}),
        (["--range", "n=3.."], {3, 4}),
        (["--range", "n=-5..1.5"], {1}),
        (["--range", "day=2026-02-01..2026-03-01"], {2, 3}),
        (["--range", "n=2..", "--range", "day=..2026-03-01"], {2, 3}),
        (["--range", "n=2..", "--metadata", '{"odd": true}'], {3}),
        (["--range", "nothing=1..2"], set()),
        (["--metadata", '{"n": {"$gte": 2, "$ne": 3}}'], {2, 4}),
        (["--metadata", '{"n": {"$in": [1, 2]}, "odd": {"$ne": true}}'], {2}),
    ],
)
def test_metadata_may_be_narrowed_to_a_range(cli: Cli, home: Path, options: list[str], found: set[int]) -> None:
    """Both ends are included, and each may be left out. Numbers are compared as numbers, texts as texts."""
    with memcrdt.open(home, embedder=None) as memory:
        for n in (1, 2, 3, 4):
            memory.add(str(n), metadata={"n": n, "day": f"2026-0{n}-01", "odd": n % 2 == 1})
    assert {int(memory["text"]) for memory in cli("list", "--json", *options).json} == found


def test_a_device_may_be_named_as_people_see_it(cli: Cli, ids: dict[str, str]) -> None:
    """--device accepts the id with and without check characters."""
    shown = dict(line.split("\t") for line in cli("init").out.splitlines())["device"]
    plain = cli("init", "--json").json[0]["device"]
    assert cli("get", ids["office"], "--json").json[0]["device"] == plain
    assert shown != plain
    for device in (shown, plain):
        assert cli("list", "--device", device).out.count("\n") == 3
    assert cli("list", "--device", shown[:9].lower()).out.count("\n") == 3
    assert cli("list", "--device", "this device").out.count("\n") == 3
    cli("list", "--device", shown[:-1] + ("A" if shown[-1] != "A" else "B")).failed(2, "mistyped")
    cli("list", "--device", "laptop").failed(3, "no device has the name 'laptop'")


def test_history_has_every_text(cli: Cli, ids: dict[str, str]) -> None:
    """Oldest first, with the current text marked as the head."""
    cli("update", ids["release"], "Deploys go out on Wednesdays", "--author", "ada")
    revisions = cli("history", ids["release"], "--json").json
    assert [(r["text"], r["by"], r["head"]) for r in revisions] == [
        (TEXTS["release"], None, False),
        ("Deploys go out on Wednesdays", "ada", True),
    ]
    assert cli("history", ids["release"]).out.count("\n") == 2


@pytest.mark.parametrize("name", ["get", "history", "conflicts", "similar"])
def test_an_unknown_id_is_exit_code_3_and_a_malformed_one_2(cli: Cli, ids: dict[str, str], name: str) -> None:
    """The two mistakes have different codes."""
    cli(name, UNKNOWN).failed(3, UNKNOWN)
    cli(name, "nonsense").failed(2, "nonsense")


@pytest.mark.parametrize(
    "arguments",
    [
        ["list", "--limit", "0"],
        ["list", "--order", "random"],
        ["list", "--scope", "planet/earth"],
        ["list", "--category", "planet"],
        ["list", "--after", "soon"],
        ["list", "--metadata", "nonsense"],
        ["list", "--include", "everything"],
        ["list", "--range", "n"],
        ["list", "--range", "n=5"],
        ["list", "--range", "=1..2"],
        ["list", "--range", "n=.."],
        ["search", "x", "--diversity", "2"],
        ["search", "x", "--min-score", "-1"],
        ["search", "x", "--limit", "1001"],
    ],
)
def test_bad_filters_are_usage_errors(cli: Cli, ids: dict[str, str], arguments: list[str]) -> None:
    """One line, exit code 2."""
    cli(*arguments).failed(2)


@pytest.mark.parametrize("query", ["", "   ", '"', "NEAR(", "AND OR NOT", "*", "a:b", "🚀", "-1"])
def test_no_query_is_an_error(cli: Cli, ids: dict[str, str], query: str) -> None:
    """The full text search treats any query as words."""
    assert cli("search", "--", query).code == 0


@pytest.mark.parametrize(
    ("span", "words"),
    [
        ("..", "is a range without ends; give the low one, the high one, or both"),
        ("1..b", 'goes from 1 to "b"; a range has two numbers or two texts'),
        ("true..", "has the end true; a range has two numbers or two texts"),
    ],
)
def test_a_range_that_is_none_is_told_as_it_was_typed(cli: Cli, span: str, words: str) -> None:
    """As JSON, not as Python would print it."""
    cli("init")
    cli("list", "--range", f"a={span}").failed(2, f"the filter on the metadata 'a' {words}")


@pytest.mark.parametrize("query", ["", "  ", "*"])
def test_a_query_without_a_word_says_so(cli: Cli, home: Path, query: str) -> None:
    cli("add", "Ada likes tea", "--home", str(home))
    said = cli("search", "--home", str(home), "--", query).err
    assert "no word to look for" in said
    assert "memcrdt list" in said


@pytest.mark.parametrize(
    ("query", "is_told"), [("-tea", True), ('-"likes tea"', True), ("--tea", False), ("-1", False), ("tea", False)]
)
def test_a_query_of_excluded_words_alone_says_that_it_looked_for_them(
    cli: Cli, home: Path, query: str, is_told: bool
) -> None:
    """As a flag of a command, it may be what is looked for."""
    cli("add", "Ada likes tea, 1 cup", "--home", str(home))
    ran = cli("search", "--home", str(home), "--", query)
    assert "Ada" in ran.out
    assert ("beside words to look for" in ran.err) is is_told
