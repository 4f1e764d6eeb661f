"""What a caller may do: the rights of a token, for faces that other programs reach."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from memcrdt.errors import NotFoundError, ReadOnlyError
from memcrdt.model.rights import ALL, Right
from memcrdt.model.scopes import PERSONAL


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """The rights of a caller. The user's own programs have all of them.

    Attributes:
        spaces: The spaces that the caller may use; None for all.
        rights: What the caller may do in them. Every caller may read.
    """

    spaces: tuple[str, ...] | None = None
    rights: tuple[Right, ...] = ALL

    def sees(self, space: str) -> bool:
        """Return whether the caller may read a space."""
        return self.spaces is None or space in self.spaces

    def check(self, right: Right) -> None:
        """Raise ReadOnlyError if the caller lacks a right."""
        if right not in self.rights:
            may = ", ".join(self.rights)
            raise ReadOnlyError(f"this needs the right {right!r}, and the rights of this token are: {may}")

    def to_write(self, space: str | None) -> str:
        """Return the space for a new memory. Raises NotFoundError, ReadOnlyError."""
        self.check("write")
        return self.one(space)

    def one(self, space: str | None) -> str:
        """Return the space of a call that concerns one space; None for the usual one. Raises NotFoundError."""
        if space is None:
            return PERSONAL if self.spaces is None or PERSONAL in self.spaces else self._allowed()[0]
        return self._checked(space)

    def to_read(self, space: str | Iterable[str] | None) -> tuple[str, ...] | None:
        """Return the spaces for a read; None for all. Raises NotFoundError."""
        if space is None:
            return None if self.spaces is None else self._allowed()
        return tuple(self._checked(each) for each in ([space] if isinstance(space, str) else space))

    def _checked(self, space: str) -> str:
        if not self.sees(space):
            raise NotFoundError(
                f"this token opens no space called {space[:60]!r}; it opens {', '.join(self._allowed())}"
            )
        return space

    def _allowed(self) -> tuple[str, ...]:
        if not self.spaces:  # an empty filter would mean every space
            raise NotFoundError("this token opens no space; create another one with `memcrdt token create`")
        return self.spaces
