"""What a caller may do: the rights of a token, for faces that other programs reach."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from memcrdt.errors import NotFoundError, ReadOnlyError
from memcrdt.model.scopes import PERSONAL


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """The rights of a caller. The user's own programs have all of them.

    Attributes:
        spaces: The spaces that the caller may use; None for all.
        read_only: Whether the caller may change nothing.
    """

    spaces: tuple[str, ...] | None = None
    read_only: bool = False

    def sees(self, space: str) -> bool:
        """Return whether the caller may read a space."""
        return self.spaces is None or space in self.spaces

    def check_write(self) -> None:
        """Raise ReadOnlyError if the caller may change nothing."""
        if self.read_only:
            raise ReadOnlyError("this token may only read; nothing was changed")

    def to_write(self, space: str | None) -> str:
        """Return the space for a new memory. Raises NotFoundError, ReadOnlyError."""
        self.check_write()
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
