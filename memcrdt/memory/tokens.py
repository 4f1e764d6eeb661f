"""`memory.tokens`: access tokens of stock Yjs clients and of MCP clients over HTTP."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from memcrdt.model.scopes import PERSONAL
from memcrdt.model.serialization import Record, UtcTime
from memcrdt.model.values import from_ms
from memcrdt.store.membership.tokens import StoredToken, TokenTable
from memcrdt.store.store import Store


@dataclass(frozen=True, slots=True, kw_only=True)
class YjsToken(Record):
    """A token without its secret. The store keeps only a hash of the secret.

    Attributes:
        name: The name. Changes of its clients have the origin `yjs:NAME`.
        spaces: The spaces that its clients can access.
        read_only: Whether writes of its clients are dropped.
        origins: The web origins whose pages may use the token, such as `https://app.example`.
        created_at: The time of its creation.
    """

    name: str
    spaces: tuple[str, ...]
    read_only: bool
    origins: tuple[str, ...]
    created_at: UtcTime


class YjsTokens:
    """The tokens of one memory: `memory.tokens`. A change is on disk when its method returns."""

    def __init__(self, store: Store) -> None:
        self._tokens = TokenTable(store)

    def create(
        self,
        name: str,
        *,
        spaces: Iterable[str] = (PERSONAL,),
        read_only: bool = False,
        origins: Iterable[str] = (),
    ) -> str:
        """Create a token.

        Args:
            name: 1 to 64 letters, digits, dots and dashes.
            spaces: The names of the spaces that its clients can access.
            read_only: Whether to drop writes of its clients.
            origins: The web origins whose pages may use the token.

        Returns:
            The secret, 64 hexadecimal digits. Anyone with the secret can read the spaces. It cannot be shown again.

        Raises:
            InputError: The name is taken or malformed, an origin is malformed, or the space is `local`.
            NotFoundError: A space does not exist here.

        Example:
            >>> secret = memory.tokens.create("browser", origins=["https://app.example"])
        """
        return self._tokens.create(name, spaces=spaces, read_only=read_only, origins=origins)

    def list(self) -> list[YjsToken]:
        """Return all tokens, sorted by name."""
        return [_shown(token) for token in self._tokens.all()]

    def find(self, secret: str) -> YjsToken | None:
        """Return the token that has this secret, or None."""
        token = self._tokens.find(secret)
        return None if token is None else _shown(token)

    def revoke(self, name: str) -> None:
        """Revoke a token, and disconnect its clients. They keep their data. Raises NotFoundError."""
        self._tokens.revoke(name)


def _shown(token: StoredToken) -> YjsToken:
    return YjsToken(
        name=token.name,
        spaces=token.spaces,
        read_only=token.read_only,
        origins=token.origins,
        created_at=from_ms(token.created_at),
    )
