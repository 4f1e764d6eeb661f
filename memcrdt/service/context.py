"""The scopes that a call of an agent means, from the project, the agent and the conversation it works in."""

from __future__ import annotations

from dataclasses import dataclass

from memcrdt.errors import InputError
from memcrdt.model.scopes import CONVERSATION, FORMS, GLOBAL, PROJECT, check_scope, is_scope, named, nested_in

EVERYWHERE = "all"
_SHORT = (PROJECT, "agent", CONVERSATION)


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """Where an agent works.

    Attributes:
        project: The name of the project, or None outside of projects.
        agent: The name of the agent, such as the client that runs it; the author of what it writes.
        conversation: The name of the conversation; the source of what is written in it.
    """

    project: str | None = None
    agent: str | None = None
    conversation: str | None = None

    @property
    def scope(self) -> str:
        """The scope that new memories go to: the project, or `global` outside of projects."""
        return GLOBAL if self.project is None else named(PROJECT, self.project)

    @property
    def scopes(self) -> tuple[str, ...]:
        """The scopes that reads see, narrowest first: the project and `global`."""
        return (GLOBAL,) if self.project is None else (self.scope, GLOBAL)

    @property
    def provenance(self) -> dict[str, str]:
        """The author and the source of what is written here and names no others, as far as they are known."""
        said = {} if self.agent is None else {"author": self.agent}
        return said if self.conversation is None else {**said, "source": f"conversation/{self.conversation}"}

    def to_write(self, scope: str | None) -> str:
        """Return the scope for a new memory. Raises InputError."""
        if scope == EVERYWHERE:
            raise InputError(f"a memory has one scope; {EVERYWHERE!r} is only for reading")
        return self.scope if scope is None else self._named(scope)

    def to_read(self, scope: str | None) -> tuple[str, ...]:
        """Return the scopes for a read; empty for all scopes. Raises InputError.

        Args:
            scope: A scope, `project`, `agent` or `conversation` for the present one, `all`, or None for the project
                and `global`.
        """
        if scope == EVERYWHERE:
            return ()
        return self.scopes if scope is None else (self._named(scope),)

    def _named(self, scope: str) -> str:
        if scope in _SHORT:
            return self._present(scope)
        if not is_scope(scope):
            known = ", ".join(self.scopes)
            raise InputError(
                f"the scope {scope[:60]!r} is not known; leave it out for {known}, or use {EVERYWHERE!r}, {FORMS}"
            )
        return check_scope(scope)

    def _present(self, category: str) -> str:
        """Return the scope of the present project, agent or conversation. Raises InputError if there is none."""
        name = {PROJECT: self.project, "agent": self.agent, CONVERSATION: self.conversation}[category]
        if name is None:
            raise InputError(f"there is no {category} here; use {GLOBAL!r}, or name it: {category}/NAME")
        inside = category == CONVERSATION and self.project is not None
        return nested_in(self.scope, name) if inside else named(category, name)
