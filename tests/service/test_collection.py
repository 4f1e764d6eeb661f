"""The memories of one kind that a program keeps."""

from __future__ import annotations

from datetime import timedelta

import pytest

from memcrdt.errors import InputError, NotFoundError, ReadOnlyError, SecretError
from memcrdt.memory.memory import Memory
from memcrdt.service.access import Access
from memcrdt.service.collection import Collection
from memcrdt.service.context import Context
from memcrdt.service.service import Service

SECRET = "the key is AKIA" + "Z7QJ4M2PXW5RT6YV"


def _notes(memory: Memory, *, context: Context = Context(), access: Access = Access(), **options: bool) -> Collection:  # noqa: B008
    return Collection(Service(memory, context, access), kind="note", scope="project/acme", **options)


def test_a_program_sees_only_its_own_memories(memory: Memory) -> None:
    """Those of its kind, scope and space, by every way to read."""
    memory.add("Ask Ada about tea", scope="project/acme", kind="fact", tags=["other"])
    memory.add("Ask Ada about tea", scope="global", kind="note", tags=["other"])
    notes = _notes(memory)
    (own,) = notes.put([{"text": "Ask Ada about tea", "key": "tea", "tags": ["own"]}])
    assert [record.id for record in notes.iterate()] == [own]
    assert [hit.memory.id for hit in notes.search("tea")] == [own]
    assert notes.search(" ") == []
    assert (notes.first(), notes.first(tags=["other"])) == (memory.get(own), None)
    assert notes.tags() == {"own": 1}
    assert (notes.get("tea"), notes.get("coffee")) == (memory.get(own), None)


def test_what_is_put_has_the_provenance_of_the_context(memory: Memory) -> None:
    """Unless an item or the call names another one; the same text twice is two memories, as in a history."""
    notes = _notes(memory, context=Context(agent="planner", conversation="c1"))
    ids = notes.put(["yes", "yes", {"text": "no", "author": "ada"}], trust="untrusted")
    assert len(set(ids)) == 3
    records = memory.get_many(ids)
    assert [record.author for record in records] == ["planner", "planner", "ada"]
    assert {(record.source, record.trust) for record in records} == {("conversation/c1", "untrusted")}


def test_only_its_user_allows_a_secret(memory: Memory) -> None:
    """With an option in Python, which no tool of a model has."""
    with pytest.raises(SecretError):
        _notes(memory).put([SECRET])
    assert len(_notes(memory, allow_secret=True).put([SECRET])) == 1


def test_the_rights_of_the_caller_hold(memory: Memory) -> None:
    """Each verb needs its right, and a space that the caller may use."""
    kept = _notes(memory)
    kept.put([{"text": "Ask Ada", "key": "ada"}])
    record = kept.get("ada")
    assert record is not None
    reader = _notes(memory, access=Access(rights=("read",)))
    assert reader.get("ada") == record
    for refused in (
        lambda: reader.add("more"),
        lambda: reader.put(["more"]),
        lambda: reader.update({record.id: {"importance": 1.0}}),
        lambda: reader.rename([{"id": record.id, "key": "ben"}]),
        lambda: reader.forget([record.id]),
        reader.forget_matching,
    ):
        with pytest.raises(ReadOnlyError):
            refused()
    with pytest.raises(NotFoundError):
        Collection(Service(memory, access=Access(spaces=("local",))), kind="note", space="personal")
    with pytest.raises(NotFoundError):
        Collection(Service(memory), kind="note", space="nowhere").check()
    with pytest.raises(InputError):
        Collection(Service(memory), kind="note", scope="all")


def test_a_renamed_memory_has_the_author_of_the_context(memory: Memory) -> None:
    """Under its new key, and not under the old one."""
    notes = _notes(memory, context=Context(agent="planner"))
    memory.add("Ask Ada", scope="project/acme", kind="note", key="ada")
    record = notes.get("ada")
    assert record is not None
    (renamed,) = notes.rename([{"id": record.id, "key": "ben"}])
    assert notes.get("ada") is None
    assert (memory.get(renamed).author, memory.get(renamed).kind, notes.get("ben")) == (
        "planner",
        "note",
        memory.get(renamed),
    )


def test_changes_leave_out_what_is_gone(memory: Memory) -> None:
    """A program may change memories that another one forgot."""
    notes = _notes(memory)
    gone, left = notes.put(["one", "two"])
    memory.forget(gone)
    notes.update({each: {"importance": 1.0} for each in (gone, left)})
    assert memory.get(left).importance == 1.0


def test_forgetting_needs_no_confirmation_and_keeps_the_memories_of_others(memory: Memory) -> None:
    """Also those that expired."""
    other = memory.add("a fact", scope="project/acme", kind="fact")
    notes = _notes(memory)
    notes.put(["one", "two", "three"], ttl=timedelta(hours=1))
    assert notes.forget([next(notes.iterate()).id]) == 1
    assert notes.forget([]) == 0
    assert notes.forget_matching().count == 2
    Collection(Service(memory), kind="note", scope="project/other").put(["four"])
    assert (notes.forget_matching().count, notes.forget_matching(scope="all").count) == (0, 1)
    assert [record.id for record in memory.list()] == [other]
