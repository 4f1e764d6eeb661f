"""Values under keys are in no index, whatever their text is."""

from __future__ import annotations

from pathlib import Path

import pytest

import memcrdt
from memcrdt.frameworks.values import Values
from memcrdt.memory.memory import Memory
from memcrdt.store.recovery import rebuild
from memcrdt.testing import exchange
from tests.conftest import OpenMemory

VALUES = {"text": b"Deploys go out on Tuesdays", "bytes": bytes(range(256)) * 1_000}
TABLES = ("vectors", "codes", "waiting", "vocabulary")
# As an earlier version has left them: in each index, under other rules.
_INDEXED_ONCE = """
INSERT INTO fulltext(rowid, words) SELECT memory * 256, 'deploys' FROM memories WHERE kind = 'bytes';
INSERT INTO vectors(model, passage, embedding)
  SELECT v.model, m.memory * 256, v.embedding FROM memories m, vectors v WHERE kind = 'bytes';
INSERT INTO codes(vector, model, passage, code)
  SELECT v.vector, v.model, v.passage, c.code FROM vectors v, codes c WHERE v.vector NOT IN (SELECT vector FROM codes);
INSERT INTO waiting SELECT memory, 1 FROM memories WHERE kind = 'bytes';
UPDATE indexed SET passages = passages + 2, folding = 3"""


def indexed(memory: Memory) -> list[int]:
    """Return the number of rows of each index."""
    with memory.store.reading() as db:
        return [int(db.execute(f"SELECT count(*) FROM {table}").get) for table in TABLES]


@pytest.mark.parametrize("embedder", [None, "static", "auto"])
def test_a_value_is_in_no_index(tmp_path: Path, embedder: str | None) -> None:
    """It is read by its key and listed, but no search finds it, and no model waits for it. So it is after a rebuild."""
    with memcrdt.open(tmp_path, embedder=embedder) as memory:
        values = Values(memory, scope="agent/settings")
        values.put(VALUES)
        values.put({"text": b"Deploys go out on Fridays"})
        assert indexed(memory) == [0, 0, 0, 0]
        assert memory.search("when do deploys go out?") == []
        assert memory.doctor().problems == ()
        assert rebuild.reindex(memory.store) == memory.count()
        assert indexed(memory) == [0, 0, 0, 0]
        assert values.get(["text"]) == [b"Deploys go out on Fridays"]
        assert memory.list(kind="bytes", contains="Fridays")


def test_a_memory_that_becomes_a_value_leaves_the_indexes(memory: Memory) -> None:
    """And one that is a value no more gets into them."""
    memory_id = memory.add("Deploys go out on Tuesdays")
    memory.update(memory_id, kind="bytes")
    assert memory.search("deploys") == []
    memory.update(memory_id, kind="fact")
    assert [hit.memory.id for hit in memory.search("deploys")] == [memory_id]
    assert memory.doctor().problems == ()


def test_a_value_of_another_device_is_in_no_index(open_memory: OpenMemory) -> None:
    """Its base64 is not even embedded."""
    here, there = (open_memory(device) for device in "AB")
    Values(here, scope="agent/settings").put(VALUES)
    exchange(here, there)
    assert Values(there, scope="agent/settings").get(list(VALUES)) == list(VALUES.values())
    assert indexed(there) == [0, 0, 0, 0]


def test_another_model_does_not_embed_values(tmp_path: Path) -> None:
    """Neither does a model that comes back."""
    with memcrdt.open(tmp_path, embedder="static") as memory:
        Values(memory, scope="agent/settings").put(VALUES)
        memory.add("The cat sleeps on the sofa")
        for model in ("auto", "static"):
            memory.models.use(model)
            memory.wait_indexed(timeout=60)
        with memory.store.reading() as db:
            assert {passage // 256 for (passage,) in db.execute("SELECT passage FROM vectors")} == {
                memory for (memory,) in db.execute("SELECT memory FROM memories WHERE kind IS NULL")
            }


def test_a_value_beside_a_found_turn_is_not_found(memory: Memory) -> None:
    """A search also looks at the turns before and after the ones that it finds."""
    scope = "conversation/standup"
    memory.add("When do deploys go out?", scope=scope)
    Values(memory, scope=scope).put(VALUES)
    memory.add("On Tuesdays", scope=scope)
    assert sorted(hit.memory.text for hit in memory.search("deploys")) == ["On Tuesdays", "When do deploys go out?"]


def test_a_former_text_of_a_value_is_not_found(memory: Memory) -> None:
    """The search of the past compares former texts one by one."""
    values = Values(memory, scope="agent/settings")
    values.put(VALUES)
    moment = memory.list(kind="bytes")[0].updated_at
    values.put({"text": b"Deploys go out on Fridays"})
    assert memory.search("deploys", as_of=moment) == []


def test_values_leave_the_indexes_of_an_earlier_version_at_the_next_start(tmp_path: Path) -> None:
    """The others stay as they are."""
    with memcrdt.open(tmp_path, embedder="static") as memory:
        first = memory.add("The cat sleeps on the sofa")
        Values(memory, scope="agent/settings").put(VALUES)
        before = indexed(memory)
        with memory.store.writing() as db:
            db.execute(_INDEXED_ONCE)
        assert memory.search("deploys", kind="bytes")
    with memcrdt.open(tmp_path, embedder="static") as memory:
        assert indexed(memory) == before
        assert [hit.memory.id for hit in memory.search("deploys of a cat")] == [first]
        assert memory.doctor().problems == ()
