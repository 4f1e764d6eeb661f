"""What a token allows its clients to do. Each right counts in the spaces of the token only."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Literal, TypeAlias, get_args

from memcrdt.errors import InputError

#: `read` what is in the spaces, `write`: add and change memories, `forget` them, and `admin`: pair, accept and revoke
#: devices, create spaces, and acknowledge alarms.
Right: TypeAlias = Literal["read", "write", "forget", "admin"]

ALL: Final[tuple[Right, ...]] = get_args(Right)
USUAL: Final[tuple[Right, ...]] = ("read", "write", "forget")  # of an agent: everything that concerns memories
READ: Final[tuple[Right, ...]] = ("read",)


def check_rights(given: object) -> tuple[Right, ...]:
    """Return rights in their usual order, always with `read`. Raises InputError.

    Example:
        >>> check_rights(["forget"])
        ('read', 'forget')
    """
    asked = [given] if isinstance(given, str) or not isinstance(given, Iterable) else list(given)
    if unknown := [each for each in asked if each not in ALL]:
        raise InputError(f"there is no right {str(unknown[0])[:40]!r}; the rights are {', '.join(ALL)}")
    return tuple(right for right in ALL if right in asked or right == "read")
