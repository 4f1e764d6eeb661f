"""Scopes: their forms, what contains them, and names that look like something else."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from memcrdt.errors import InputError
from memcrdt.model import limits
from memcrdt.model.scopes import (
    CATEGORIES,
    Nested,
    ancestors,
    category_of,
    check_scope,
    is_scope,
    named,
    nested,
    nested_in,
    renamed,
)
from memcrdt.store import migrations
from memcrdt.store.recovery import rebuild

names = st.text("ab /", max_size=3)
scopes = st.builds(
    "/".join,
    st.lists(st.one_of(st.sampled_from(["project", "conversation", "agent"]), names), min_size=2, max_size=6),
).filter(is_scope)


@pytest.mark.parametrize(
    ("scope", "category", "above"),
    [
        ("global", "global", ()),
        ("project/acme", "project", ("global",)),
        ("agent/bot", "agent", ("global",)),
        ("conversation/standup", "conversation", ("global",)),
        ("project/acme/conversation/standup", "conversation", ("project/acme", "global")),
        ("project/acme/web/conversation/a/b", "conversation", ("project/acme/web", "global")),
        # The first place counts.
        ("project/a/conversation/b/conversation/c", "conversation", ("project/a", "global")),
        # Valid before conversations could be nested, and none of these is one.
        ("project/acme/conversation", "project", ("global",)),
        ("project/acme/conversation/", "project", ("global",)),
        ("project//conversation/standup", "project", ("global",)),
        ("project/acme /conversation/standup", "project", ("global",)),
        ("project/acme/conversation/ standup", "project", ("global",)),
        ("project/acme/Conversation/standup", "project", ("global",)),
        ("agent/bot/conversation/standup", "agent", ("global",)),
        ("conversation/a/conversation/b", "conversation", ("global",)),
    ],
)
def test_what_a_scope_is_and_what_contains_it(scope: str, category: str, above: tuple[str, ...]) -> None:
    """Every scope that was one stays one."""
    assert check_scope(scope) == scope
    assert category_of(scope) == category
    assert ancestors(scope) == above


@given(scopes)
@example("project/a/conversation/b")
@example("project/a/conversation/conversation/b")
def test_a_scope_is_made_of_its_parts(scope: str) -> None:
    """So no two conversations share a scope."""
    assert category_of(scope) in CATEGORIES
    if (parts := nested(scope)) is None:
        assert category_of(scope) == scope.partition("/")[0]
        return
    assert str(parts) == scope
    assert nested_in(parts.project, parts.name) == scope
    assert is_scope(parts.project)
    assert category_of(parts.project) == "project"
    assert ancestors(scope) == (parts.project, "global")


@given(scopes.filter(lambda scope: scope.startswith("project/")), names)
def test_a_conversation_is_never_taken_for_another(project: str, name: str) -> None:
    """It is made so that it reads as what it is, or refused."""
    try:
        made = nested_in(project, name)
    except InputError:
        return
    assert nested(made) == Nested(project, name)


def test_the_whole_has_no_more_room_than_a_name() -> None:
    """For versions that take it for the name of a project."""
    project = "project/" + "x" * 100
    fitting = "y" * (limits.SCOPE_NAME_CHARS - 100 - len("/conversation/"))
    assert is_scope(nested_in(project, fitting))
    with pytest.raises(InputError, match="together"):
        nested_in(project, fitting + "y")


def test_a_name_can_be_no_conversation_in_a_project() -> None:
    """Nor can what is made of it."""
    assert named("project", "acme") == "project/acme"
    assert named("conversation", "a/conversation/b") == "conversation/a/conversation/b"
    with pytest.raises(InputError, match="separately"):
        named("project", "acme/conversation/standup")
    with pytest.raises(InputError, match="rename"):
        nested_in("project/acme/conversation", "standup")


@pytest.mark.parametrize(
    ("scope", "old", "new", "expected"),
    [
        ("project/a", "project/a", "project/b", "project/b"),
        ("project/a/conversation/x", "project/a", "project/b", "project/b/conversation/x"),
        ("project/a/conversation/x", "project/a", "agent/b", None),
        ("project/a/conversation/x", "project/a/conversation/x", "conversation/x", "conversation/x"),
        ("project/a/web", "project/a", "project/b", None),
        ("project/ab/conversation/x", "project/a", "project/b", None),
        ("global", "project/a", "project/b", None),
    ],
)
def test_what_a_scope_becomes_when_another_is_renamed(scope: str, old: str, new: str, expected: str | None) -> None:
    """Conversations of a project go with it, and nothing else does."""
    assert renamed(scope, old, new) == expected


@given(st.lists(scopes, max_size=8))
@example(["project/a/conversation/b", "project/a /conversation/b", "project//conversation/b", "agent/a/conversation/b"])
def test_the_migration_says_what_the_rule_says(found: list[str]) -> None:
    """An older version has noted the first part of every scope."""
    with rebuild.empty_store() as db:
        for scope in set(found):
            db.execute(
                "INSERT INTO memories(space, id, text, revision, conflicted, scope, category, created_at, updated_at,"
                " pinned, device, ignored, fingerprint, born_seq, seq)"
                " VALUES(1, ?1, '', '', 0, ?1, ?2, 0, 0, 0, '', 0, 0, 0, 0)",
                (scope, scope.partition("/")[0]),
            )
        db.execute(migrations.scripts()[7])
        noted = dict(db.execute("SELECT scope, category FROM memories").fetchall())
    assert noted == {scope: category_of(scope) for scope in found}
