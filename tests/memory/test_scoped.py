"""A memory seen from one scope, and scopes and spaces that change."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from memcrdt.errors import InputError, NotFoundError
from memcrdt.memory.memory import Memory
from memcrdt.model.records import Link
from memcrdt.testing.memories import exchange

OpenMemory = Callable[..., Memory]


@pytest.fixture(name="filled")
def _filled(memory: Memory) -> Memory:
    scopes = ("global", "project/acme", "project/other", "agent/bot", "conversation/c1")
    memory.add_many([{"text": f"fact of {scope}", "scope": scope} for scope in scopes])
    return memory


def _scopes(records: Any) -> set[str]:
    return {record.scope for record in records}


def test_reads_see_what_is_named_and_what_is_global(filled: Memory) -> None:
    """list() and search() alike, and nothing of another project."""
    scoped = filled.scoped(project="acme", conversation="c1")
    seen = {"global", "project/acme", "conversation/c1"}
    assert _scopes(scoped.list()) == seen
    assert _scopes(hit.memory for hit in scoped.search("fact", limit=100)) == seen
    assert _scopes(filled.scoped().list()) == {"global"}
    assert _scopes(scoped.list(category="project")) == {"project/acme"}


@pytest.mark.parametrize(
    ("named", "narrowest"),
    [
        ({}, "global"),
        ({"project": "acme"}, "project/acme"),
        ({"project": "acme", "agent": "bot"}, "agent/bot"),
        ({"project": "acme", "agent": "bot", "conversation": "c1"}, "conversation/c1"),
    ],
)
def test_writes_go_to_the_narrowest(memory: Memory, named: dict[str, str], narrowest: str) -> None:
    """Of conversation, agent, project, global."""
    scoped = memory.scoped(**named)  # type: ignore[arg-type]
    ids = [scoped.add("a"), *scoped.add_many(["b", {"text": "c"}])]
    assert {scoped.get(memory_id).scope for memory_id in ids} == {narrowest} == {scoped.scope}


def test_a_scope_cannot_be_named_beside(filled: Memory) -> None:
    """It is settled; the whole memory is at hand as .memory."""
    scoped = filled.scoped(project="acme")
    for call in (
        lambda: scoped.add("a", scope="global"),
        lambda: scoped.list(scope="global"),
        lambda: scoped.search("a", scope="global"),
    ):
        with pytest.raises(InputError, match="settled"):
            call()
    assert scoped.memory is filled


def test_forgetting_by_filter_reaches_only_the_narrowest(filled: Memory) -> None:
    """And wants a filter: the scope alone is not one."""
    scoped = filled.scoped(project="acme")
    with pytest.raises(InputError, match="all of project/acme"):
        scoped.forget()
    assert scoped.forget(contains="fact").count == 1
    assert _scopes(filled.list()) == {"global", "project/other", "agent/bot", "conversation/c1"}
    assert scoped.forget(filled.list(scope="global").items[0].id).count == 1


def test_a_scope_can_be_changed(memory: Memory) -> None:
    """Search and list follow."""
    added = memory.add("fact", scope="project/acme")
    assert memory.update(added, scope="agent/bot").category == "agent"
    assert [r.id for r in memory.list(scope="agent/bot")] == [added]
    assert memory.search("fact", scope="project/acme") == []
    assert memory.search("fact", category="agent")[0].memory.id == added


def test_a_project_can_be_renamed(open_memory: OpenMemory) -> None:
    """All its memories in one transaction; on every device."""
    laptop, desktop = open_memory("A"), open_memory("B")
    ids = laptop.add_many([f"fact {n}" for n in range(20)], scope="project/acme")
    laptop.add("other", scope="project/acme2")
    exchange(laptop, desktop)
    with laptop.changes() as changes:
        assert laptop.rename_scope("project/acme", "project/apex") == 20
        told = [changes.get(20.0) for _ in ids]
    assert len({change.at for change in told if change}) == 1
    exchange(laptop, desktop)
    for memory in (laptop, desktop):
        assert {record.id for record in memory.list(scope="project/apex")} == set(ids)
        assert not memory.list(scope="project/acme").items
        assert len(memory.list(scope="project/acme2")) == 1
    assert laptop.rename_scope("project/nothing", "project/acme") == 0


def test_a_space_is_made_and_has_members(memory: Memory) -> None:
    """Its id is known to them only; this device is one."""
    team = memory.space("team").create()
    assert [(each.device, each.ours) for each in team.members()] == [("A" * 52, True)]
    assert len(team.id()) == 52
    assert memory.get(memory.add("a", space="team")).space == "team"
    empty = memory.space("other").create().digest()
    assert team.digest() != empty
    with pytest.raises(InputError, match="already"):
        memory.space("team").create()


@pytest.mark.parametrize("name", ["", "x" * 201, " x", "two\nlines"])
def test_the_name_of_a_space_can_be_typed_and_told(memory: Memory, name: str) -> None:
    """Other devices take no other: their sync would end at it."""
    with pytest.raises(InputError, match="the name of the space"):
        memory.space(name).create()
    assert memory.space("x" * 200).create().name == "x" * 200


def test_a_memory_moves_to_another_space(memory: Memory) -> None:
    """A new life there with all it is, and forgotten where it was; to where it is already changes nothing."""
    memory.space("team").create()
    other = memory.add("other")
    added = memory.add(
        "one", scope="project/acme", tags=["t"], metadata={"k": 1}, kind="fact", author="bot", importance=0.5
    )
    memory.update(added, text="two")
    memory.link(added, "of", other)
    before = memory.get(added)
    moved = memory.move(added, space="team")
    after = memory.get(moved)
    assert (after.space, after.text, after.scope, after.tags) == ("team", "two", "project/acme", ("t",))
    assert (after.metadata, after.kind, after.author, after.importance) == ({"k": 1}, "fact", "bot", 0.5)
    assert (after.links, after.created_at) == ((Link("of", other),), before.created_at)
    assert len(memory.history(moved)) == 1
    assert memory.search("two", space="team")[0].memory.id == moved
    with pytest.raises(NotFoundError, match="forgotten"):
        memory.get(added)
    assert memory.move(moved, space="team") == moved
