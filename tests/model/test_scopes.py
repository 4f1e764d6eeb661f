"""Scopes: their forms, the scopes that contain them, and ambiguous names."""

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
        # The first `/conversation/` counts.
        ("project/a/conversation/b/conversation/c", "conversation", ("project/a", "global")),
        # These were valid before conversations could be nested, and are not nested conversations.
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
def test_a_scope_has_a_category_and_ancestors(scope: str, category: str, above: tuple[str, ...]) -> None:
    """Every scope that was valid before conversations could be nested is still valid."""
    assert check_scope(scope) == scope
    assert category_of(scope) == category
    assert ancestors(scope) == above


@given(scopes)
@example("project/a/conversation/b")
@example("project/a/conversation/conversation/b")
def test_a_scope_can_be_rebuilt_from_its_parts(scope: str) -> None:
    """No two conversations share a scope."""
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
def test_a_nested_conversation_parses_to_its_own_parts(project: str, name: str) -> None:
    """nested_in() returns a scope with the same project and name, or refuses them."""
    try:
        made = nested_in(project, name)
    except InputError:
        return
    assert nested(made) == Nested(project, name)


def test_both_names_of_a_nested_conversation_share_one_limit() -> None:
    """Older versions read both names as the name of a project."""
    project = "project/" + "x" * 100
    fitting = "y" * (limits.SCOPE_NAME_CHARS - 100 - len("/conversation/"))
    assert is_scope(nested_in(project, fitting))
    with pytest.raises(InputError, match=f"at most {100 + len(fitting)} together"):
        nested_in(project, fitting + "y")


def test_the_name_of_a_project_cannot_contain_a_conversation() -> None:
    """A project whose name makes its conversations ambiguous is refused, too."""
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
def test_renaming_a_project_renames_its_conversations(scope: str, old: str, new: str, expected: str | None) -> None:
    """No other scope changes."""
    assert renamed(scope, old, new) == expected


@given(st.lists(scopes, max_size=8))
@example(["project/a/conversation/b", "project/a /conversation/b", "project//conversation/b", "agent/a/conversation/b"])
def test_the_migration_sets_the_category_of_every_scope(found: list[str]) -> None:
    """An older version has stored the first part of every scope as its category."""
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
