"""A memory seen from one scope, and changes of scopes and spaces."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from memcrdt.errors import InputError, NotFoundError
from memcrdt.memory.memory import Memory
from memcrdt.model.records import Link
from memcrdt.testing.memories import exchange

OpenMemory = Callable[..., Memory]
NESTED = "project/acme/conversation/c1"


@pytest.fixture(name="filled")
def _filled(memory: Memory) -> Memory:
    scopes = ("global", "project/acme", "project/other", "agent/bot", NESTED, "conversation/c1")
    memory.add_many([{"text": f"fact of {scope}", "scope": scope} for scope in scopes])
    return memory


def _scopes(records: Any) -> set[str]:
    return {record.scope for record in records}


def test_reads_see_what_is_named_and_what_is_global(filled: Memory) -> None:
    """list() and search() agree, and show no memory of another project."""
    scoped = filled.scoped(project="acme", conversation="c1")
    seen = {"global", "project/acme", NESTED}
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
        ({"conversation": "c1"}, "conversation/c1"),
        ({"agent": "bot", "conversation": "c1"}, "conversation/c1"),
        ({"project": "acme", "conversation": "c1"}, NESTED),
        ({"project": "acme", "agent": "bot", "conversation": "c1"}, NESTED),
    ],
)
def test_writes_go_to_the_narrowest(memory: Memory, named: dict[str, str], narrowest: str) -> None:
    """The order is conversation, agent, project, global."""
    scoped = memory.scoped(**named)  # type: ignore[arg-type]
    ids = [scoped.add("a"), *scoped.add_many(["b", {"text": "c"}])]
    assert {scoped.get(memory_id).scope for memory_id in ids} == {narrowest} == {scoped.scope}


def test_a_scope_cannot_be_named_beside(filled: Memory) -> None:
    """scoped() sets the scope. The whole memory is available as .memory."""
    scoped = filled.scoped(project="acme")
    for call in (
        lambda: scoped.add("a", scope="global"),
        lambda: scoped.list(scope="global"),
        lambda: scoped.search("a", scope="global"),
    ):
        with pytest.raises(InputError, match="sets the scope"):
            call()
    assert scoped.memory is filled


def test_forgetting_by_filter_reaches_only_the_narrowest(filled: Memory) -> None:
    """It needs a filter: the scope alone is not enough."""
    scoped = filled.scoped(project="acme")
    with pytest.raises(InputError, match="everything in project/acme"):
        scoped.forget()
    with pytest.raises(InputError, match="needs a filter"):
        scoped.forget(ancestors=True)
    assert scoped.forget(contains="fact").count == 1
    assert _scopes(filled.list()) == {"global", "project/other", "agent/bot", NESTED, "conversation/c1"}
    assert scoped.forget(filled.list(scope="global").items[0].id).count == 1


def test_a_scope_can_be_changed(memory: Memory) -> None:
    """Search and list show the new scope."""
    added = memory.add("fact", scope="project/acme")
    assert memory.update(added, scope="agent/bot").category == "agent"
    assert [r.id for r in memory.list(scope="agent/bot")] == [added]
    assert memory.search("fact", scope="project/acme") == []
    assert memory.search("fact", category="agent")[0].memory.id == added


def test_a_project_can_be_renamed(open_memory: OpenMemory) -> None:
    """All its memories in one transaction, and on every device."""
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


def test_no_project_sees_a_conversation_of_another(memory: Memory) -> None:
    """Whatever its name. Nor does a view without a project."""
    acme = memory.scoped(project="acme", conversation="standup")
    globex = memory.scoped(project="globex", conversation="standup")
    said = acme.add("Acme is going to buy Globex", key="plans", tags=["secret"])
    assert globex.list().items == ()
    assert globex.search("who is going to buy whom?") == []
    assert globex.forget(tags="secret").count == 0
    assert memory.scoped(conversation="standup").list().items == ()
    assert memory.scoped(project="acme").list().items == ()
    assert [record.id for record in acme.list()] == [said]
    assert acme.search("who is going to buy whom?")[0].memory.id == said
    assert globex.add("Globex is not for sale", key="plans") != said
    assert acme.get(said).text == "Acme is going to buy Globex"
    assert memory.add("nothing planned", key="plans", scope="conversation/standup") != said


def test_filters_know_a_conversation_in_a_project(filled: Memory, tmp_path: Path) -> None:
    """By its scope, with its ancestors, and by the category conversation, in every method with filters."""
    assert _scopes(filled.list(scope=NESTED)) == {NESTED}
    assert _scopes(filled.list(scope=NESTED, ancestors=True)) == {NESTED, "project/acme", "global"}
    assert _scopes(filled.list(scope=[NESTED, "agent/bot"], ancestors=True)) == {
        NESTED,
        "project/acme",
        "agent/bot",
        "global",
    }
    assert _scopes(filled.list(scope="project/acme")) == {"project/acme"}
    assert _scopes(filled.list(category="conversation")) == {NESTED, "conversation/c1"}
    assert _scopes(filled.list(category="project")) == {"project/acme", "project/other"}
    assert _scopes(hit.memory for hit in filled.search("fact", scope=NESTED, ancestors=True)) == {
        NESTED,
        "project/acme",
        "global",
    }
    assert filled.export(tmp_path / "out.jsonl", scope=NESTED) == 1
    assert filled.stats().by_category["conversation"] == 2
    assert filled.forget(scope=NESTED).count == 1
    assert _scopes(filled.list(category="conversation")) == {"conversation/c1"}


def test_the_conversations_of_a_project_are_renamed_with_it(open_memory: OpenMemory) -> None:
    """On every device, without projects whose names only start alike or match as a pattern."""
    laptop, desktop = open_memory("A"), open_memory("B")
    mine = ("project/a_c", "project/a_c/conversation/x", "project/a_c/conversation/y/z")
    others = (
        "project/abc/conversation/x",
        "project/a_c2/conversation/x",
        "project/a_c/web",
        "project/a_c/conversations/x",
        "project/A_c/conversation/x",
        "conversation/x",
    )
    laptop.add_many([{"text": scope, "scope": scope} for scope in (*mine, *others)])
    exchange(laptop, desktop)
    assert desktop.rename_scope("project/a_c", "project/new") == 3
    exchange(laptop, desktop)
    for memory in (laptop, desktop):
        assert _scopes(memory.list()) == {
            "project/new",
            "project/new/conversation/x",
            "project/new/conversation/y/z",
            *others,
        }
        assert {record.category for record in memory.list(scope="project/new/conversation/x")} == {"conversation"}


def test_only_a_project_takes_conversations_along(filled: Memory) -> None:
    """An agent or a conversation cannot contain them, so they stay."""
    assert filled.rename_scope("project/acme", "agent/acme") == 1
    assert filled.rename_scope("agent/acme", "project/other/conversation/old") == 1
    assert _scopes(filled.list(category="conversation")) == {
        NESTED,
        "conversation/c1",
        "project/other/conversation/old",
    }


def test_a_rename_that_would_lose_a_conversation_changes_nothing(filled: Memory) -> None:
    """If the new name has no room for it, or would be parsed differently."""
    before = _scopes(filled.list())
    for new in ("project/" + "x" * 190, "project/x/conversation"):
        with pytest.raises(InputError):
            filled.rename_scope("project/acme", new)
        assert _scopes(filled.list()) == before


def test_a_conversation_that_stood_alone_goes_into_its_project(open_memory: OpenMemory) -> None:
    """Its project is unknown, so nothing is moved automatically. Until then its own scope finds it."""
    laptop, desktop = open_memory("A"), open_memory("B")
    old = laptop.add("said before conversations were in projects", scope="conversation/standup")
    exchange(laptop, desktop)
    inside = {name: memory.scoped(project="acme", conversation="standup") for name, memory in _named(laptop, desktop)}
    assert inside["A"].list().items == ()
    assert [record.id for record in laptop.scoped(conversation="standup").list()] == [old]
    assert laptop.rename_scope("conversation/standup", "project/acme/conversation/standup") == 1
    exchange(laptop, desktop)
    for each in inside.values():
        assert [record.id for record in each.list()] == [old]
    assert desktop.scoped(conversation="standup").list().items == ()


def _named(*memories: Memory) -> list[tuple[str, Memory]]:
    return list(zip("AB", memories, strict=True))


@pytest.mark.parametrize(
    "named",
    [
        {"project": "acme/conversation/standup"},
        {"project": "acme/conversation/standup", "conversation": "x"},
        {"project": "acme/conversation", "conversation": "x"},
        {"project": "x" * 150, "conversation": "y" * 50},
    ],
    ids=str,
)
def test_a_name_that_would_be_read_otherwise_is_refused(memory: Memory, named: dict[str, str]) -> None:
    """Otherwise its memories would be found under another name."""
    with pytest.raises(InputError):
        memory.scoped(**named)


def test_names_may_hold_slashes(memory: Memory) -> None:
    """For example projects that are named like folders."""
    scoped = memory.scoped(project="acme/web", conversation="2026/11/22")
    assert scoped.scopes == ("project/acme/web/conversation/2026/11/22", "project/acme/web", "global")


def test_a_space_is_made_and_has_members(memory: Memory) -> None:
    """Only members know its id. This device is a member."""
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
    """Other devices refuse other names, and the sync would fail."""
    with pytest.raises(InputError, match="the name of the space"):
        memory.space(name).create()
    assert memory.space("x" * 200).create().name == "x" * 200


def test_a_memory_moves_to_another_space(memory: Memory) -> None:
    """Under a new id with all its data, and forgotten in the old space. Moving to the same space changes nothing."""
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
    with pytest.raises(NotFoundError, match=f"moved to the space 'team'; its id is now {moved}"):
        memory.get(added)
    assert memory.move(moved, space="team") == moved
