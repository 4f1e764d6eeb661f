"""Reading a store in PostgreSQL gives the same as reading one in a file."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from memcrdt.errors import NotFoundError
from memcrdt.memory.reader import Reader
from memcrdt.model.edits import MemoryEdit
from memcrdt.model.filters import Order, check_filters
from memcrdt.model.json_values import JsonComparison, JsonComparisons
from memcrdt.model.requests import UpdateRequest
from memcrdt.store import changes, overview
from memcrdt.store.filtering import narrowing
from memcrdt.store.listing import Listing
from memcrdt.store.sql import SqlConnection
from tests.bare_device import BareDevice
from tests.hub.conftest import MakeHub
from tests.hub.hub_device import HubDevice
from tests.postgres import Server
from tests.store.test_filtering import CASES, ROWS, insert, selected
from tests.store.test_metadata_conditions import ASKED, EVERYTHING, check_selected, write_each

pytestmark = pytest.mark.xdist_group("postgres")

ODD = ["a\0b", "a\x01b", "a\x01\x01", "\\u0001 \\u0000 \"q\" 'c' % ? :a\n\u2028", "é", "e\u0301", "Z", "a", "😀"]


@pytest.fixture(name="db", scope="module")
def _db(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqlConnection]:
    """Lend a connection to a hub for what tests insert into its views, inside one transaction."""
    device = HubDevice(tmp_path_factory.mktemp("H"), "H", server.make_schema())
    with device.store.reading() as db:
        db.raw.execute("BEGIN")
        yield db
        db.raw.execute("ROLLBACK")
    device.close()


def test_each_filter_lets_through_what_it_says(db: SqlConnection) -> None:
    """The cases of the file, over the same rows."""
    db.execute("UPDATE spaces SET name = 'team' WHERE space = 2")
    for row in ROWS:
        insert(db, row)
    assert [(asked, selected(db, asked)) for asked, _ in CASES] == CASES


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(EVERYTHING, ASKED)
def test_sql_answers_as_plain_python_does(
    db: SqlConnection, everything: list[dict[str, Any]], asked: dict[str, Any]
) -> None:
    """Any operators over any metadata select the same memories."""
    write_each(db, everything)
    check_selected(db, everything, asked)


_VALUES: list[Any] = [None, True, 0, 1, 2.5, "1", "a", "b\x01", [1], {"a": 1}]
_OPERANDS: list[Any] = [None, 0, 1, 2.5, "1", "a", "b"]


def test_conditions_on_json_in_a_text_let_through_the_same(db: SqlConnection, tmp_path: Path) -> None:
    """Adapters for document stores keep a value in one text. Every comparison of every kind of value."""
    file = BareDevice(tmp_path / "F", "F")
    stored = [json.dumps(["n", "k", {"x": value}, place]) for value in _VALUES for place in (None, [], ["x"], ["y", 0])]
    everything = [{"item": each} for each in [*stored, "no JSON", "[1"]]
    tests = [JsonComparison(("x",), sign, operand) for sign in ("=", "<>", ">", "<=") for operand in _OPERANDS]
    with file.store.writing() as on_file:
        assert _selections(on_file, everything, tests) == _selections(db, everything, tests)
    file.close()


def _selections(db: SqlConnection, everything: list[dict[str, Any]], tests: list[JsonComparison]) -> list[list[int]]:
    write_each(db, everything)
    db.execute("UPDATE memories SET text = CASE memory % 3 WHEN 0 THEN '{\"x\": 1}' WHEN 1 THEN '1' ELSE 'b' END")
    found = []
    for test in tests:
        wanted = JsonComparisons(value="$[2]", text="$[3]", between="\n\n", all_of=(test,))
        condition = narrowing(check_filters({"metadata": {"item": wanted}}))
        rows = db.execute(f"SELECT m.memory FROM memories m WHERE {condition.sql}", condition.bindings)
        found.append(sorted(number for (number,) in rows))
    return found


@pytest.fixture(name="both")
def _both(hub: MakeHub, tmp_path: Path) -> Iterator[tuple[BareDevice, BareDevice]]:
    """Return a file and a hub with the same memories of all kinds."""
    file, device = BareDevice(tmp_path / "F", "F"), hub()
    ids = file.add_each(
        {
            "text": f"{text} {number}",
            "scope": f"project/{text.encode().hex()}",
            "tags": [text, "all", *(["three"] if number % 3 == 0 else [])],
            "kind": text,
            "author": text,
            "key": str(number),
            "importance": number / 30,
            "metadata": {text: [text, number], "n": number},
        }
        for number, text in enumerate(ODD * 2)
    )
    file.update(ids[0], text="edited \0 once")
    links = (("b\0", ids[2]), ("after", ids[1]), ("b", ids[3]), ("b\x01", ids[0]))
    file.store.commit(partial(changes.update, UpdateRequest(ids[0], MemoryEdit(add_links=links))))
    file.update(ids[0], text="edited twice", pinned=True)
    file.update(ids[3], superseded_by=ids[4])
    file.update(ids[5], expires_at="2027-01-15T08:00:01Z")
    file.forget(ids[6])
    device.take(file)
    file.clock = device.clock = 1_800_000_100_000
    yield file, device
    file.close()


def test_lists_pages_and_single_memories_are_the_same(both: tuple[BareDevice, BareDevice]) -> None:
    """All fields, in all orders, with cursors of the one given to the other."""
    on_file, on_hub = (Reader(device.store) for device in both)
    orders: list[Order] = ["newest", "oldest", "updated"]
    for order, asked in itertools.product(orders, [{}, {"include": ["superseded", "expired"]}, {"contains": "A"}]):
        filters = check_filters(asked)
        every = list(on_file.every(order, filters))
        assert every
        assert list(on_hub.every(order, filters)) == every
        pages, cursor = [], None
        for reader in itertools.cycle((on_hub, on_file)):
            page = reader.page(Listing(4, cursor, order, filters))
            pages += page.items
            if (cursor := page.next_cursor) is None:
                break
        assert pages == every
        assert on_hub.count(filters) == len(every)
        assert on_hub.tags(filters) == on_file.tags(filters)
    for memory in on_file.every("newest", check_filters({})):
        assert on_hub.get(memory.id) == memory
        assert on_hub.history(memory.id) == on_file.history(memory.id)
        assert on_hub.related(memory.id, None) == on_file.related(memory.id, None)
    for number, text in enumerate(ODD[:6]):
        place = "personal", f"project/{text.encode().hex()}", str(number)
        assert on_hub.get_by_key(*place) == on_file.get_by_key(*place)


def test_texts_of_former_times_and_forgotten_memories_are_the_same(both: tuple[BareDevice, BareDevice]) -> None:
    """What is gone is missing for the same reason."""
    on_file, on_hub = (Reader(device.store) for device in both)
    every = on_file.page(Listing(100, None, "oldest", check_filters({}))).items
    edited = next(on_file.history(memory.id)[1] for memory in every if memory.text == "edited twice")
    then = check_filters({"as_of": edited.at})
    page = on_hub.page(Listing(100, None, "oldest", then))
    assert page == on_file.page(Listing(100, None, "oldest", then))
    assert "edited \0 once" in {memory.text for memory in page.items}
    for forgotten in both[0].graves():
        with pytest.raises(NotFoundError, match="was forgotten"):
            on_hub.get(forgotten)


def test_statistics_and_labels_are_the_same(both: tuple[BareDevice, BareDevice]) -> None:
    found = []
    for device in both:
        with device.store.reading() as db:
            found.append(
                (
                    replace(overview.stats(db, both[0].clock), text_bytes=0),  # a hub counts escapes, too
                    replace(overview.stats(db, both[0].clock, ["personal"]), text_bytes=0),
                    overview.activity(db, both[0].clock, 100, ["personal"]),
                    overview.labels(db, "tag", "A", None, 100),
                    overview.labels(db, "tag", "É", ["personal"], 100),
                    overview.labels(db, "scope", "PROJECT", None, 3),
                )
            )
    assert found[0] == found[1]
    assert found[0][0].memories == 2 * len(ODD) - 1
    assert sum(found[0][2]) > 0
