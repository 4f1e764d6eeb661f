"""Scopes: the project, agent or conversation that a memory belongs to.

A scope has one of five forms:

    global
    project/NAME
    agent/NAME
    conversation/NAME
    project/NAME/conversation/NAME

The last form is a conversation in a project. Conversations of the same name in two projects are different scopes, and
so is a conversation of that name outside projects.

Names may contain slashes. The first `/conversation/` after `project/` separates the name of the project from the name
of the conversation, if both are valid names. Every other scope that begins with `project/` is a project. So the name of
a project cannot contain a conversation.

Versions that do not know the last form treat it as a project with a long name, and keep and show it. For these versions
the part after `project/` is limited to the length of one name.
"""

from __future__ import annotations

import hashlib
from typing import Final, Literal, NamedTuple, TypeAlias, get_args

from memcrdt.errors import InputError
from memcrdt.model import limits
from memcrdt.model.normalization import nfc
from memcrdt.model.values import check_unicode

Category: TypeAlias = Literal["global", "project", "agent", "conversation"]

PERSONAL: Final = "personal"  # the space of a memory that names none: who has it, where a scope says what it is about
GLOBAL: Final = "global"
PROJECT: Final = "project"
CONVERSATION: Final = "conversation"
NAMED: Final = (PROJECT, "agent", CONVERSATION)
CATEGORIES: Final[tuple[Category, ...]] = get_args(Category)
FORMS: Final = "global, project/NAME, agent/NAME, conversation/NAME or project/NAME/conversation/NAME"

_NESTING: Final = f"/{CONVERSATION}/"


class Nested(NamedTuple):
    """A conversation in a project: the scope of the project, and the name of the conversation."""

    project: str
    name: str

    def __str__(self) -> str:
        return f"{self.project}{_NESTING}{self.name}"


def is_scope(text: object) -> bool:
    """Return whether `text` has one of the five forms, within the limits."""
    if not isinstance(text, str):
        return False
    if text == GLOBAL:
        return True
    category, _, name = text.partition("/")
    return category in NAMED and _is_name(name)


def check_scope(text: object) -> str:
    """Return `text` in NFC if it is a scope. Raises InputError."""
    composed = nfc(text) if isinstance(text, str) else text
    if not isinstance(composed, str) or not is_scope(composed):
        shown = repr(text)[:60]
        raise InputError(
            f"the scope {shown} is not known; use {FORMS}, with a printable name of at most"
            f" {limits.SCOPE_NAME_CHARS} characters; the names of a project and a conversation in it have at most"
            f" {limits.SCOPE_NAME_CHARS - len(_NESTING)} together"
        )
    return check_unicode(composed, "the scope")


def nested(scope: str) -> Nested | None:
    """Return the parts of a conversation in a project, or None for any other scope."""
    if not scope.startswith(f"{PROJECT}/") or _NESTING not in scope:
        return None
    project, _, name = scope[len(PROJECT) + 1 :].partition(_NESTING)
    return Nested(f"{PROJECT}/{project}", name) if _is_name(project) and _is_name(name) else None


def nested_in(project: str, name: str) -> str:
    """Return the scope of a conversation in a project. `project` is a scope, `name` a name. Raises InputError."""
    made = Nested(project, name)
    if nested(check_scope(str(made))) != made:
        raise InputError(
            f"the name of {project!r} makes a conversation in it look like one in another project; rename the project"
        )
    return str(made)


def named(category: str, name: str) -> str:
    """Return the scope of a project, an agent or a conversation by its name. Raises InputError."""
    scope = check_scope(f"{category}/{name}")
    if category_of(scope) != category:
        raise InputError(
            f"the {category} {name!r} would be a conversation in a project; name the project and the conversation"
            " separately"
        )
    return scope


def named_for(category: str, prefix: str, name: str) -> str:
    """Return the scope for a name that others choose, after a prefix. A name that no scope can have is hashed."""
    try:
        return named(category, prefix + name)
    except InputError:
        digest = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
        return named(category, prefix + digest)


def category_of(scope: str) -> str:
    """Return the category of a scope: `conversation` for a conversation in a project, otherwise the first part."""
    return CONVERSATION if nested(scope) else scope.partition("/")[0]


def ancestors(scope: str) -> tuple[str, ...]:
    """Return the scopes that contain a scope, the narrowest first."""
    if scope == GLOBAL:
        return ()
    inside = nested(scope)
    return (inside.project, GLOBAL) if inside else (GLOBAL,)


def renamed(scope: str, old: str, new: str) -> str | None:
    """Return the new form of a scope after the rename of `old` to `new`, or None if it stays the same.

    The conversations of a project follow it to another project; nothing else can contain them. Raises InputError if the
    new scope would not be valid.
    """
    if scope == old:
        return new
    inside = nested(scope)
    if inside is None or inside.project != old or category_of(new) != PROJECT:
        return None
    return nested_in(new, inside.name)


def _is_name(text: str) -> bool:
    return 0 < len(text) <= limits.SCOPE_NAME_CHARS and text.isprintable() and text == text.strip()
