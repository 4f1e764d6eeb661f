"""`memory.tokens`: the names under which stock Yjs clients come in, and what each may do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from memcrdt.model.requests import PERSONAL
from memcrdt.model.serialization import Record
from memcrdt.model.values import from_ms
from memcrdt.store.membership.tokens import Tokens
from memcrdt.store.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class YjsToken(Record):
    """A token without its secret, which is not kept.

    Attributes:
        name: Its name, which also appears in Change.origin.
        spaces: The spaces that it opens.
        read_only: Whether what its clients write is dropped.
        origins: The web origins whose pages may use it, such as `https://app.example`.
        created_at: The time at which it was made.
    """

    name: str
    spaces: tuple[str, ...]
    read_only: bool
    origins: tuple[str, ...]
    created_at: datetime


class YjsTokens:
    """The tokens of one memory: `memory.tokens`. Every change is on the disk when its method returns."""

    def __init__(self, store: Store) -> None:
        self._tokens = Tokens(store)

    def create(
        self,
        name: str,
        *,
        spaces: Iterable[str] = (PERSONAL,),
        read_only: bool = False,
        origins: Iterable[str] = (),
    ) -> str:
        """Make a token.

        Args:
            name: 1 to 64 letters, digits, dots and dashes.
            spaces: The names of the spaces that it opens.
            read_only: Whether to drop what its clients write.
            origins: The web origins whose pages may use it.

        Returns:
            The secret, 64 hexadecimal digits. It is shown only this once: anyone who has it reads these memories.

        Raises:
            InputError: The name is taken or malformed, an origin is malformed, or the space is `local`.
            NotFoundError: A space is not here.
        """
        return self._tokens.create(name, spaces=spaces, read_only=read_only, origins=origins)

    def list(self) -> list[YjsToken]:
        """Return every token, by name."""
        return [
            YjsToken(
                name=token.name,
                spaces=token.spaces,
                read_only=token.read_only,
                origins=token.origins,
                created_at=from_ms(token.created_at),
            )
            for token in self._tokens.all()
        ]

    def revoke(self, name: str) -> None:
        """End a token, and disconnect the clients that use it. They keep what they have. Raises NotFoundError."""
        self._tokens.revoke(name)
