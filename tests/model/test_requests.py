"""Checks of callers' arguments: every limit is exact, and every error says what to do."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from memcrdt.errors import InputError
from memcrdt.model import checks, limits
from memcrdt.model.filters import CheckedFilters, check_filters
from memcrdt.model.requests import check_add, check_imported, check_item, check_update, check_updates
from memcrdt.model.scopes import category_of, check_scope, is_scope
from memcrdt.model.values import from_ms

NOW = 1_800_000_000_000
ID = "01JD8Z6Q4M0000000000000001"

AT_THE_EDGE: list[dict[str, Any]] = [
    {"text": "é" * (limits.TEXT_BYTES // 2)},
    {"tags": [f"tag {n}" for n in range(limits.TAGS)]},
    {"tags": ["x" * limits.TAG_CHARS]},
    {"metadata": {f"k{n}": n for n in range(limits.METADATA_KEYS)}},
    {"metadata": {"k": "x" * (limits.METADATA_BYTES - 8)}},
    {"metadata": {"x" * limits.METADATA_KEY_CHARS: 1}},
    {"scope": "project/" + "x" * limits.SCOPE_NAME_CHARS},
    {"kind": "x" * limits.LABEL_CHARS},
    {"author": "x" * limits.LABEL_CHARS},
    {"trust": "x" * limits.LABEL_CHARS},
    {"source": "x" * limits.SOURCE_CHARS},
    {"key": "x" * limits.KEY_CHARS},
    {"importance": 0},
    {"importance": 1},
    {"created_at": "1970-01-01T00:00:00Z"},
    {"expires_at": "9999-12-31T23:59:59Z"},
    {"ttl": 0.001},
    {"ttl": timedelta(days=365_000)},
    {"id": ID},
]

BEYOND: list[dict[str, Any]] = [
    {"text": ""},
    {"text": " \n"},
    {"text": 5},
    {"text": None},
    {"text": "\ud800"},
    {"text": "é" * (limits.TEXT_BYTES // 2) + "x"},
    {"tags": [f"tag {n}" for n in range(limits.TAGS + 1)]},
    {"tags": ["x" * (limits.TAG_CHARS + 1)]},
    {"tags": [""]},
    {"tags": [5]},
    {"tags": "release"},
    {"tags": None},
    {"metadata": {f"k{n}": n for n in range(limits.METADATA_KEYS + 1)}},
    {"metadata": {"k": "x" * (limits.METADATA_BYTES - 7)}},
    {"metadata": {"x" * (limits.METADATA_KEY_CHARS + 1): 1}},
    {"metadata": {"": 1}},
    {"metadata": {"k": {1, 2}}},
    {"metadata": {"k": float("inf")}},
    {"metadata": [1]},
    {"scope": "project"},
    {"scope": "project/"},
    {"scope": "team/acme"},
    {"scope": "project/a\nb"},
    {"scope": "project/ a"},
    {"scope": "project/" + "x" * (limits.SCOPE_NAME_CHARS + 1)},
    {"scope": None},
    {"space": ""},
    {"space": None},
    {"kind": "x" * (limits.LABEL_CHARS + 1)},
    {"author": ""},
    {"trust": 5},
    {"source": "x" * (limits.SOURCE_CHARS + 1)},
    {"key": "x" * (limits.KEY_CHARS + 1)},
    {"key": "k", "id": ID},
    {"id": "nonsense"},
    {"id": ID[:-1] + "U"},
    {"importance": 1.01},
    {"importance": -0.01},
    {"importance": True},
    {"importance": float("nan")},
    {"pinned": 1},
    {"dedupe": "yes"},
    {"created_at": "2026-01-01T25:00:00"},
    {"created_at": 5},
    {"expires_at": "never"},
    {"ttl": 0},
    {"ttl": -1},
    {"ttl": 0.0009},
    {"ttl": float("nan")},
    {"ttl": float("inf")},
    {"ttl": 1e300},
    {"ttl": True},
    {"ttl": "5"},
    {"ttl": timedelta()},
    {"ttl": 5, "expires_at": "9999-12-31T23:59:59Z"},
    {"colour": "red"},
]


@pytest.mark.parametrize("given", AT_THE_EDGE, ids=lambda given: str(given)[:40])
def test_a_value_at_a_limit_is_accepted(given: dict[str, Any]) -> None:
    """Limits are inclusive."""
    check_item({"text": "text", **given}, {}, NOW)


@pytest.mark.parametrize("given", BEYOND, ids=lambda given: str(given)[:40])
def test_a_value_beyond_a_limit_is_refused(given: dict[str, Any]) -> None:
    """It raises InputError, which is also a ValueError, and no other error."""
    with pytest.raises(InputError) as caught:
        check_item({"text": "text", **given}, {}, NOW)
    assert isinstance(caught.value, ValueError)


def test_an_item_overrides_the_defaults() -> None:
    """The arguments of an item in add_many() win over the defaults."""
    request = check_item({"text": "a", "kind": "fact"}, {"kind": "note", "author": "bot"}, NOW)
    assert (request.kind, request.author) == ("fact", "bot")


def test_a_time_to_live_becomes_an_expiry() -> None:
    """It is given in seconds or as a timedelta from now, and capped at the last valid time."""
    for ttl in (90, 90.0, timedelta(minutes=1, seconds=30)):
        assert check_add("a", {"ttl": ttl}, NOW).attributes == {"expires_at": NOW + 90_000}
        assert check_update({"ttl": ttl}, NOW).attributes == {"expires_at": NOW + 90_000}
    assert check_add("a", {"ttl": limits.TIME_MAX_MS / 1_000}, NOW).attributes == {"expires_at": limits.TIME_MAX_MS}
    assert check_add("a", {"ttl": None, "expires_at": None}, NOW).attributes == {}
    assert check_update({"ttl": None, "expires_at": None}, NOW).attributes == {"expires_at": None}


@pytest.mark.parametrize(("item", "defaults"), [("ttl", "expires_at"), ("expires_at", "ttl")])
def test_the_expiry_of_an_item_overrides_the_default_expiry(item: str, defaults: str) -> None:
    """Each may be given as ttl or as expires_at. In an import, the defaults override the line."""
    given = {"ttl": 1, "expires_at": from_ms(NOW + 2_000)}
    wanted = {"ttl": NOW + 1_000, "expires_at": NOW + 2_000}
    one, other = {"text": "a", item: given[item]}, {defaults: given[defaults]}
    assert check_item(one, other, NOW).attributes == {"expires_at": wanted[item]}
    assert check_imported(one, other, NOW).attributes == {"expires_at": wanted[defaults]}


def test_the_expiry_of_a_change_overrides_the_default_expiry() -> None:
    """None is an expiry in a change: never. `...` is none."""
    one = {"id": "01JD8Z6Q4M0000000000000001"}
    (never,) = check_updates([{**one, "expires_at": None}], {"ttl": 1}, NOW)
    assert never.edit.attributes == {"expires_at": None}
    (soon,) = check_updates([{**one, "ttl": 1}], {"expires_at": None}, NOW)
    (kept,) = check_updates([{**one, "expires_at": ...}], {"ttl": 1}, NOW)
    assert soon.edit.attributes == kept.edit.attributes == {"expires_at": NOW + 1_000}
    with pytest.raises(InputError, match="exclude each other"):
        check_updates([{**one, "ttl": 1, "expires_at": None}], {}, NOW)


def test_tags_are_sorted_without_repeats() -> None:
    """The order of the arguments does not matter."""
    assert check_add("a", {"tags": ["b", "a", "b"]}, NOW).tags == ("a", "b")


def test_whole_floats_become_integers() -> None:
    """The same happens to values that come from Yjs."""
    metadata = check_add("a", {"metadata": {"n": 2.0, "gone": None}}, NOW).metadata
    assert metadata == {"n": 2}
    assert type(metadata["n"]) is int


@pytest.mark.parametrize(
    "given",
    [
        {"text": ""},
        {"add_tags": "a"},
        {"tags": "a"},
        {"tags": None},
        {"tags": ["a"], "add_tags": ["b"]},
        {"tags": [], "remove_tags": ["b"]},
        {"ttl": 5, "expires_at": "9999-12-31T23:59:59Z"},
        {"ttl": 5, "expires_at": None},
        {"ttl": 0},
        {"remove_tags": [1]},
        {"metadata": {"k": b"bytes"}},
        {"importance": 2},
        {"pinned": None},
        {"expires_at": "soon"},
        {"superseded_by": "nobody"},
        {"scope": None},
        {"trust": ""},
    ],
    ids=str,
)
def test_a_bad_update_is_refused(given: dict[str, Any]) -> None:
    """update() has the same limits as add()."""
    with pytest.raises(InputError):
        check_update(given, NOW)


def test_none_removes_an_attribute_and_an_ellipsis_keeps_it() -> None:
    """None and `...` have different meanings."""
    assert check_update({"importance": None, "trust": None, "expires_at": None}, NOW).attributes == {
        "importance": None,
        "trust": None,
        "expires_at": None,
    }
    assert check_update({}, NOW).attributes == {}


def test_a_batch_has_a_limit_and_is_not_read_past_it() -> None:
    """An infinite iterator is refused, too."""
    endless = iter(lambda: "text", None)
    with pytest.raises(InputError, match="split"):
        checks.check_batch(endless)
    assert checks.check_batch(["a", "b"]) == ["a", "b"]
    for no_batch in ("text", b"text", {"text": "a"}, 5):
        with pytest.raises(InputError):
            checks.check_batch(no_batch)


@pytest.mark.parametrize("limit", [0, -1, limits.RESULTS + 1, True, 1.5, "5", None])
def test_a_number_of_results_must_be_within_bounds(limit: object) -> None:
    """The bounds are 1 and 1,000."""
    with pytest.raises(InputError):
        checks.check_limit(limit)


def test_the_query_has_a_limit() -> None:
    """It must be text. A longer one is cut at a word, because callers pass whole prompts."""
    assert checks.check_query("x" * limits.QUERY_CHARS)
    assert checks.check_query("x" * (limits.QUERY_CHARS + 1)) == "x" * limits.QUERY_CHARS
    assert checks.check_query("word " * 10_000) == "word " * (limits.QUERY_CHARS // 5 - 1) + "word"
    assert checks.check_query(" " * 10_000).isspace()
    for query in (None, "\ud800"):
        with pytest.raises(InputError):
            checks.check_query(query)


def test_a_scope_has_a_category_and_a_name() -> None:
    """The category is the first part. A name may have slashes and characters of any script."""
    for scope, category in (
        ("global", "global"),
        ("project/acme/web", "project"),
        ("agent/bot 7", "agent"),
        ("conversation/2026-11-22", "conversation"),
        ("project/Übung", "project"),
    ):
        assert check_scope(scope) == scope
        assert category_of(scope) == category
    assert not is_scope("Global")


@pytest.mark.parametrize(
    "given",
    [
        {"colour": "red"},
        {"scope": "planet/earth"},
        {"scope": ["global"] * (limits.FILTER_VALUES + 1)},
        {"category": "team"},
        {"ancestors": 1},
        {"ancestors": True},
        {"ancestors": True, "scope": []},
        {"tags": [5]},
        {"after": "yesterday"},
        {"metadata": {"n": (None, None)}},
        {"metadata": {"n": (1, 2, 3)}},
        {"metadata": {"n": (1, "2")}},
        {"metadata": {"n": (False, True)}},
        {"metadata": {"n": ([1], [2])}},
        {"metadata": {"n": b"bytes"}},
        {"metadata": ["n"]},
        {"contains": ""},
        {"contains": ["a"]},
        {"pinned": "yes"},
        {"include": "forgotten"},
        {"include": [["expired"]]},
        {"as_of": 5},
        {"space": 5},
    ],
    ids=lambda given: str(given)[:40],
)
def test_a_bad_filter_is_refused(given: dict[str, Any]) -> None:
    """The message names the filter and the accepted values."""
    with pytest.raises(InputError):
        check_filters(given)


def test_filters_accept_one_value_or_several() -> None:
    """None means that the filter is not set."""
    assert check_filters({"scope": "global", "kind": ["a", "b"], "author": None}) == CheckedFilters(
        scope=("global",), kind=("a", "b")
    )


def test_a_metadata_filter_is_a_value_values_or_a_range() -> None:
    """A tuple is a range, and a list matches any of its values."""
    filters = check_filters({"metadata": {"a": 1, "b": [1, "x"], "c": (1, None)}})
    assert filters.metadata == {"a": (("$eq", 1),), "b": (("$in", [1, "x"]),), "c": (("$gte", 1),)}
    assert check_filters({"metadata": {"c": (1, 2)}}).metadata == {"c": (("$gte", 1), ("$lte", 2))}


def test_include_and_as_of_do_not_narrow() -> None:
    """forget() checks this: with no other filter it would forget everything."""
    assert not check_filters({"include": "expired", "as_of": "2026-01-01T00:00:00Z"}).narrows()
    assert not CheckedFilters(ancestors=True).narrows()
    assert not check_filters({"metadata": {"a": {"$nin": []}}}).narrows()
    for given in (
        {"space": "personal"},
        {"scope": "global"},
        {"pinned": False},
        {"metadata": {"a": 1}},
        {"contains": "x"},
    ):
        assert check_filters(given).narrows(), given
