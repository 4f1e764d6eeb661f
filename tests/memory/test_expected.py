"""A change that names the revision it was made from, and an add under a key that replaces what was there."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import memcrdt
from memcrdt.errors import InputError, NotFoundError, StaleRevisionError
from memcrdt.memory.memory import Memory
from memcrdt.service.problems import problem_of
from memcrdt.service.service import Service
from memcrdt.testing.memories import exchange

OpenMemory = Callable[..., Memory]


def test_a_change_of_the_expected_revision_is_made(memory: Memory) -> None:
    """The record of the change has the revision to expect next."""
    first = memory.get(memory.add("Deploys are on Tuesdays"))
    second = memory.update(first.id, text="Deploys are on Fridays", expected=first.revision)
    assert memory.update(first.id, text="Deploys are on Mondays", expected=[second.revision]).text.endswith("Mondays")


def test_a_change_of_an_old_revision_says_what_is_there(memory: Memory) -> None:
    """Nothing is changed, and nothing else of the same transaction either."""
    first = memory.get(memory.add("Deploys are on Tuesdays"))
    other = memory.add("Ada prefers tea")
    there = memory.update(first.id, text="Deploys are on Fridays")
    with pytest.raises(StaleRevisionError, match=f"at revision {there.revision}, not at revision {first.id}") as stale:
        memory.update_many(
            [
                {"id": other, "text": "Ada prefers coffee"},
                {"id": first.id, "text": "Deploys are on Mondays", "expected": first.revision},
            ]
        )
    assert (stale.value.id, stale.value.heads) == (first.id, (there.revision,))
    assert problem_of(stale.value).code == "stale_revision"
    assert (memory.get(first.id).text, memory.get(other).text) == ("Deploys are on Fridays", "Ada prefers tea")


def test_a_memory_under_a_key_may_be_expected_to_be_new(memory: Memory) -> None:
    """After a forget, the key is new again."""
    made = memory.add("one", key="k", expected=[])
    with pytest.raises(StaleRevisionError, match="no memory was expected") as stale:
        memory.add("two", key="k", expected=[])
    assert stale.value.heads == (made,)
    assert memory.add("two", key="k", expected=made) == made
    memory.forget(made)
    with pytest.raises(StaleRevisionError, match="there is no memory under this key") as stale:
        memory.add("three", key="k", expected=made)
    assert (stale.value.id, stale.value.heads) == (None, ())
    assert memory.add("three", key="k", expected=[]) != made


def test_all_competing_texts_have_to_be_expected(open_memory: OpenMemory) -> None:
    """A caller who has seen only one of them must not settle the conflict."""
    ours, theirs = open_memory("A"), open_memory("B")
    made = ours.add("draft")
    exchange(ours, theirs)
    ours.update(made, text="ours")
    theirs.update(made, text="theirs")
    exchange(ours, theirs)
    with pytest.raises(StaleRevisionError) as stale:
        ours.update(made, text="both", expected=ours.get(made).revision)
    heads = [each.revision for each in ours.conflicts(made)]
    assert sorted(stale.value.heads) == sorted(heads)
    assert ours.update(made, text="both", expected=heads).conflicted is False


def test_calls_that_can_expect_nothing_are_refused(memory: Memory) -> None:
    """Without a key there is nothing to compare with."""
    made = memory.add("text")
    wrong: tuple[dict[str, Any], ...] = (
        {"expected": made},
        {"replace": True},
        {"key": "k", "expected": [], "dedupe": True},
        {"key": "k", "expected": "x"},
        {"key": "k", "replace": 1},
    )
    for options in wrong:
        with pytest.raises(InputError):
            memory.add("text", **options)
    with pytest.raises(InputError, match="expected has no revision"):
        memory.update(made, text="new", expected=[])


def test_the_service_passes_it_on(memory: Memory) -> None:
    """Faces stand on it."""
    service = Service(memory)
    saved = service.add("one", key="k", expected=[])
    with pytest.raises(StaleRevisionError):
        service.add("two", key="k", expected=[])
    with pytest.raises(StaleRevisionError):
        service.update(saved.id, text="two", expected=memory.add("another"))


_WRITER = """
import sys, memcrdt
from memcrdt.errors import StaleRevisionError
with memcrdt.open(sys.argv[1]) as memory:
    print("open", flush=True)
    sys.stdin.readline()
    for _ in range(25):
        while True:
            record = memory.get_by_key("counter")
            try:
                memory.update(record.id, text=str(int(record.text) + 1), expected=record.revision)
                break
            except StaleRevisionError:
                pass
"""


def test_two_processes_that_count_lose_nothing(tmp_path: Path) -> None:
    """The comparison is under the write lock, so no increment overwrites another."""
    (tmp_path / "config.toml").write_text('embedder = "none"\n', encoding="utf-8")
    with memcrdt.open(tmp_path) as memory:
        memory.add("0", key="counter")
        counting = [
            subprocess.Popen(
                [sys.executable, "-c", _WRITER, str(tmp_path)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                encoding="utf-8",
            )
            for _ in range(2)
        ]
        for process in counting:
            assert process.stdout is not None
            assert process.stdout.readline() == "open\n"
        for process in counting:
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        assert [process.communicate(timeout=60)[0] for process in counting] == ["", ""]
        assert [process.returncode for process in counting] == [0, 0]
        assert memory.get_by_key("counter").text == "50"


def test_a_key_leads_to_its_memory(memory: Memory) -> None:
    """In the space and the scope in which it was used, also after the memory has gone to another scope."""
    made = memory.add("one", key="k", scope="project/acme")
    memory.update(made, scope="project/other")
    assert memory.get_by_key("k", scope="project/acme").id == made
    for wrong in ({}, {"scope": "project/other"}, {"scope": "project/acme", "space": "local"}):
        with pytest.raises(NotFoundError):
            memory.get_by_key("k", **wrong)
    memory.forget(made)
    with pytest.raises(NotFoundError, match="no memory under the key 'k' in project/acme"):
        memory.get_by_key("k", scope="project/acme")
    again = memory.add("two", key="k", scope="project/acme")
    assert memory.get_by_key("k", scope="project/acme").id == again


def test_replace_leaves_no_former_metadata_and_no_expiry(memory: Memory) -> None:
    """Without it, they stay unless they are given. What people decide about a memory stays in both cases."""
    given: dict[str, Any] = {"tags": ["a"], "metadata": {"a": 1, "b": 2}, "kind": "fact", "pinned": True, "ttl": 60}
    made = memory.add("one", key="k", **given)
    memory.add("two", key="k")
    kept = memory.get(made)
    assert (kept.tags, kept.metadata, kept.kind, kept.pinned) == (("a",), {"a": 1, "b": 2}, "fact", True)
    assert kept.expires_at is not None
    memory.add("three", key="k", replace=True, metadata={"b": 3})
    left = memory.get(made)
    assert (left.tags, left.metadata, left.kind, left.pinned) == (("a",), {"b": 3}, "fact", True)
    assert left.expires_at is None
    assert [each.text for each in memory.history(made)] == ["one", "two", "three"]


def test_a_memory_is_forgotten_at_the_expected_revision(memory: Memory) -> None:
    """One that has changed since then stays."""
    made = memory.add("one")
    there = memory.update(made, text="two")
    with pytest.raises(StaleRevisionError):
        memory.forget(made, expected=made)
    for wrong in ({"id": None, "tags": "a"}, {"id": [made, memory.add("other")]}, {"id": made, "tags": "a"}):
        with pytest.raises(InputError, match="expected is the revision of one memory"):
            memory.forget(wrong.pop("id"), expected=made, **wrong)
    assert memory.get(made).text == "two"
    assert memory.forget(made, expected=there.revision).count == 1
