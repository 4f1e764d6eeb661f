"""The file of a store that is opened only to be read."""

from __future__ import annotations

from pathlib import Path

import pytest

import memcrdt
from memcrdt.errors import NotFoundError, SchemaError
from memcrdt.memory.reader import home_reader
from memcrdt.model.filters import Order
from memcrdt.model.values import from_ms
from memcrdt.store import migrations
from memcrdt.store.files import FILE
from memcrdt.store.listing import Listing
from memcrdt.store.reading import StoreFile


def test_a_reader_sees_what_another_program_has_just_written(tmp_path: Path) -> None:
    """The file is read while another program has it open, commits of a moment ago included."""
    with memcrdt.open(tmp_path, embedder=None) as memory:
        memory_id = memory.add("Deploys go out on Tuesdays")
        with home_reader(tmp_path) as reader:
            assert reader.device == memory.device
            assert reader.get(memory_id).text == "Deploys go out on Tuesdays"
            memory.add("And on Thursdays")
            assert reader.count(reader.filters({})) == 2
            assert reader.members("personal") == list(memory.space("personal").members())


def test_reading_leaves_the_store_to_its_next_writer(tmp_path: Path) -> None:
    """A store that nobody has open is read, and written again afterwards."""
    with memcrdt.open(tmp_path, embedder=None) as memory:
        memory.add("one")
    with home_reader(tmp_path) as reader:
        assert reader.count(reader.filters({})) == 1
    with memcrdt.open(tmp_path, embedder=None) as memory:
        memory.add("two")
        assert memory.count() == 2
        assert memory.doctor().problems == ()


def test_a_file_that_is_no_store_is_refused(tmp_path: Path) -> None:
    """Nothing is created where there is no store, and a foreign file is not read."""
    with pytest.raises(NotFoundError, match="no store"):
        StoreFile(tmp_path)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / FILE).write_bytes(b"no database" * 1_000)
    with pytest.raises(SchemaError):
        StoreFile(tmp_path)


def test_the_newest_schema_is_that_of_the_last_file() -> None:
    """NEWEST is a number of its own, so that reading does not list the folder."""
    assert max(migrations.scripts()) == migrations.NEWEST


@pytest.mark.parametrize("order", ["newest", "oldest", "updated"])
def test_pages_of_several_scopes_are_those_of_one_list(tmp_path: Path, order: Order) -> None:
    """A list of several scopes is put together from the list of each, page by page, in the same order."""
    scopes = ("project/app", "global", "project/app", "agent/planner")
    with memcrdt.open(tmp_path, embedder=None) as memory:
        ids = memory.add_many(
            {
                "text": f"note {n}",
                "scope": ("project/app", "global", "project/other", "agent/planner")[n % 4],
                "created_at": from_ms(1_700_000_000_000 + n // 3),  # some at the same time
            }
            for n in range(60)
        )
        memory.update(ids[4], text="a change")
        every = [record.id for record in memory.iterate(order=order) if record.scope != "project/other"]
        with home_reader(tmp_path) as reader:
            found, cursor = [], None
            while True:
                page = reader.page(Listing(7, cursor, order, reader.filters({"scope": scopes})))
                found += [record.id for record in page]
                if (cursor := page.next_cursor) is None:
                    break
    assert found == every
