"""The memory of a hub through the one service layer: the tests of REST on a laptop, over PostgreSQL."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from memcrdt import Memory
from memcrdt._open import memory_of
from memcrdt.errors import InputError, StoreError
from memcrdt.hub.hub import Hub, HubAddress
from tests.postgres import Server
from tests.server.conftest import _client, _tokens  # noqa: F401 - fixtures
from tests.server.test_memories import *  # noqa: F403 - each test runs here, too, with the memory below
from tests.server.test_memories import _rivals  # noqa: F401

del test_a_memory_is_added_read_changed_and_forgotten  # noqa: F821 - a hub never says that nothing is left of a memory
del test_activity_counts_each_memory_at_its_last_change  # noqa: F821 - this hub has the clock of the machine
pytestmark = pytest.mark.xdist_group("postgres")


@pytest.fixture(name="memory")
def _memory(server: Server, tmp_path: Path) -> Iterator[Memory]:
    with Hub.open(HubAddress(tmp_path, server.make_schema()), name="our hub") as hub, memory_of(hub) as memory:
        yield memory


def test_the_everyday_calls_work(memory: Memory) -> None:
    """Adding, changing, linking, moving, the feed, the status and forgetting."""
    with memory.changes() as feed:
        first, second = memory.add_many(["Deploys go out on Tuesdays", "The cat sleeps on the sofa"])
        memory.update(first, text="Deploys go out on Wednesdays", add_tags=["ops"])
        memory.link(first, "after", second)
        assert next(feed).id == first
    assert [hit.memory.id for hit in memory.search("deploy wednesday", tags=["ops"])] == [first]
    assert memory.similar(second, limit=1)[0].memory.id == first
    assert [each.id for each in memory.related(first)] == [second]
    memory.space("team").create()
    moved = memory.move(second, space="team")
    assert memory.get(moved).space == "team"
    assert memory.stats().memories == 2
    assert memory.forget(first).count == 1
    assert memory.forget_status().status == "pending"  # PostgreSQL keeps bytes: see docs/hub.md
    status = memory.status()
    assert (status.spaces[0].memories, status.spaces[0].forgotten) == (0, 2)
    assert status.size > 0


def test_a_feed_goes_on_after_its_connection_was_lost(server: Server, memory: Memory) -> None:
    """It tells what was added meanwhile, and what is added later."""
    with memory.changes() as feed:
        first = memory.add("Deploys go out on Tuesdays")
        assert next(feed).id == first
        for text in ("The cat sleeps on the sofa", "Backups run at night"):
            server.run("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'hub'")
            added = _add_again(memory, text)
            change = feed.get(timeout_s=30)
            assert change is not None
            assert change.id == added


def _add_again(memory: Memory, text: str) -> str:
    """Add a memory; the pool may lend a connection that was cut."""
    for _ in range(20):
        with suppress(StoreError):
            return memory.add(text, key=text.partition(" ")[0].lower())
    raise AssertionError("no connection works")


def test_what_needs_a_file_says_so(memory: Memory, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="use the tools of PostgreSQL"):
        memory.files.backup(tmp_path / "copy")


def test_the_settings_in_the_folder_name_the_model(server: Server, tmp_path: Path) -> None:
    """And the size of a database has no limit here."""
    (tmp_path / "config.toml").write_text('embedder = "none"\nbudget_mb = 1\n', encoding="utf-8")
    with Hub.open(HubAddress(tmp_path, server.make_schema())) as hub, memory_of(hub) as memory:
        memory.add("Deploys go out on Tuesdays")
        status = memory.status()
        assert (status.search.model, status.budget.limit) == (None, None)
        assert [hit.memory.text for hit in memory.search("deploys")] == ["Deploys go out on Tuesdays"]


def test_a_closed_memory_says_so(memory: Memory) -> None:
    memory.close()
    with pytest.raises(StoreError, match="closed; open it again"):
        memory.list()
