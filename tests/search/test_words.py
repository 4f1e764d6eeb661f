"""Words that are spelled in two ways: names as code has them, and words with a hyphen."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memcrdt.memory.memory import Memory
from memcrdt.search.compounds import compounds
from memcrdt.search.embedders.embedder import UserEmbedder
from memcrdt.search.words import names_apart, searchable, stretches

OpenMemory = Callable[..., Memory]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("getUserName", ["get", "User", "Name"]),
        ("HTTPServerError", ["HTTP", "Server", "Error"]),
        ("kMaxRetryCount4", ["k", "Max", "Retry", "Count4"]),
        ("oauth2Token", ["oauth2", "Token"]),
        ("an e-mail", ["email"]),
        ("a log\u2011in", ["login"]),
        ("snake_case, kebab-case-name, UPPER, Title, x", ["snakecase", "kebabcasename"]),
        ("v2.10 of src/net.py", ["2\ue00010", "src\ue000net\ue000py"]),
        ("C++ with --force, #4711", ["cplusplus", "\ue000force", "\ue0004711"]),
        ("Ana: a plain text. And (more) of it...", []),
        (
            "Plain. See a/b, then re-run! X-ray: 2nd-hand C# or c++",
            ["a\ue000b", "rerun", "xray", "2ndhand", "csharp", "cplusplus"],
        ),
        ("aB" * 40, []),
    ],
)
def test_the_other_spelling_is_added(text: str, words: list[str]) -> None:
    """Plain texts and long random tokens have none."""
    assert searchable(text).split()[len(text.split()) :] == words


@given(st.text(alphabet=st.one_of(st.sampled_from("aB1-ßﬁé 京"), st.characters(exclude_categories=["Cs"]))))
def test_stretches_are_within_the_text(text: str) -> None:
    """Every word has a place, also in texts that mix all kinds of words."""
    for each in stretches(text):
        assert 0 <= each.start <= each.start + each.length <= len(text)
        assert not each.is_plain or len(each.words) == each.length
    assert all(each.text in text.replace(text, each.text) for each in compounds(text))


@pytest.mark.parametrize(
    ("text", "query", "marked"),
    [
        ("Retry logic lives in refreshAccessToken", "access token", ["Access", "Token"]),
        ("the access token is refreshed", "refreshAccessToken", ["access", "token", "refreshed"]),
        ("HTTPServerError wraps anything above 500", "http server error", ["HTTP", "Server", "Error"]),
        ("send an e-mail", "email", ["e-mail"]),
        ("send an email", "e-mail", ["email"]),
        ("the log-in page", "login", ["log-in"]),
        ("the GitHub action", "github", ["GitHub"]),
        ("the github action", "GitHub", ["github"]),
    ],
)
def test_either_spelling_finds_the_other(memory: Memory, text: str, query: str, marked: list[str]) -> None:
    """And its words are marked."""
    memory.add(text)
    (hit,) = memory.search(query)
    assert [text[start:end] for start, end in hit.marks] == marked


def test_a_name_counts_once(open_memory: OpenMemory) -> None:
    """Its parts do not lower the score of a text that has the whole of it, in any spelling."""
    memory = open_memory()
    memory.add_many(f"note {n} about the hub" for n in range(20))
    texts = ["GitHub is down", "github is down", "an e-mail came", "an email came"]
    memory.add_many(texts)
    for query, text in product(("GitHub", "github", "e-mail", "email"), texts):
        scores = {hit.memory.text: hit.score for hit in memory.search(query)}
        same = query.replace("-", "").lower() in text.replace("-", "").lower()
        assert (scores.get(text, 0.0) > 0.9) is same, (query, text, scores)


@pytest.mark.parametrize(
    ("text", "apart"),
    [
        ("call refreshAccessToken() or useScroll", "call refresh Access Token() or use Scroll"),
        ("an HTTPServerError", "an HTTP Server Error"),
        ("GitHub, iPhone, JavaScript, e-mail", "GitHub, iPhone, JavaScript, e-mail"),
    ],
)
def test_a_model_gets_names_of_code_in_words(open_memory: OpenMemory, text: str, apart: str) -> None:
    """In texts and in queries, and leaves names of products whole."""
    embedded: list[str] = []

    def embed(texts: list[str]) -> list[list[float]]:
        embedded.extend(texts)
        return [[1.0, len(each)] for each in texts]

    memory = open_memory(embedder=UserEmbedder("lengths", embed, fast=True))
    memory.add(text)
    memory.search(text)
    assert names_apart(text) == apart
    assert embedded.count(apart) == 2
