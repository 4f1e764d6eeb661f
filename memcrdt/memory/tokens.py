"""`memory.tokens`: access tokens of clients that connect over HTTP: REST, MCP and stock Yjs clients."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from memcrdt.errors import InputError
from memcrdt.model.checks import check_flag
from memcrdt.model.rights import READ, USUAL, Right
from memcrdt.model.scopes import PERSONAL
from memcrdt.model.serialization import Record, UtcTime
from memcrdt.model.values import from_ms
from memcrdt.store.base import AnyStore
from memcrdt.store.membership.tokens import StoredToken, TokenTable


@dataclass(frozen=True, slots=True, kw_only=True)
class YjsToken(Record):
    """A token without its secret. The store keeps only a hash of the secret.

    Attributes:
        name: The name. Changes of its clients have the origin `yjs:NAME`.
        spaces: The spaces that its clients can access.
        rights: What its clients may do: `read`, `write`, `forget` and `admin`.
        origins: The web origins whose pages may use the token in Yjs, such as `https://app.example`.
        created_at: The time of its creation.
    """

    name: str
    spaces: tuple[str, ...]
    rights: tuple[Right, ...]
    origins: tuple[str, ...]
    created_at: UtcTime

    @property
    def read_only(self) -> bool:
        """Whether writes of its Yjs clients are dropped. A Yjs client that writes can also forget."""
        return not {"write", "forget"} <= {*self.rights}


class YjsTokens:
    """The tokens of one memory: `memory.tokens`. A change is on disk when its method returns."""

    def __init__(self, store: AnyStore) -> None:
        self._tokens = TokenTable(store)

    def create(
        self,
        name: str,
        *,
        spaces: Iterable[str] = (PERSONAL,),
        read_only: bool = False,
        rights: Iterable[Right] | None = None,
        origins: Iterable[str] = (),
    ) -> str:
        """Create a token.

        Args:
            name: 1 to 64 letters, digits, dots and dashes.
            spaces: The names of the spaces that its clients can access.
            read_only: Whether its clients may only read. It stands for rights=["read"].
            rights: What its clients may do in these spaces: `read` (always included), `write`, `forget`, and `admin`:
                pair, accept and revoke devices. Default: all except `admin`.
            origins: The web origins whose pages may use the token.

        Returns:
            The secret, 64 hexadecimal digits. Anyone with the secret can read the spaces. It cannot be shown again.

        Raises:
            InputError: The name is taken or malformed, a right or an origin is malformed, or the space is `local`.
            NotFoundError: A space does not exist here.

        Example:
            >>> secret = memory.tokens.create("browser", origins=["https://app.example"])
        """
        if rights is not None and check_flag(read_only, "read_only"):
            raise InputError("give read_only or rights, not both")
        usual = READ if check_flag(read_only, "read_only") else USUAL
        return self._tokens.create(name, spaces=spaces, rights=usual if rights is None else rights, origins=origins)

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
        rights=token.rights,
        origins=token.origins,
        created_at=from_ms(token.created_at),
    )
