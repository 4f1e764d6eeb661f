"""Tokens: the rights of clients without a device key. The store keeps only the hash of each secret."""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from memcrdt.errors import InputError, NotFoundError
from memcrdt.model.rights import USUAL, Right, check_rights
from memcrdt.model.scopes import PERSONAL
from memcrdt.store.base import BaseStore
from memcrdt.store.spaces import shareable_space_number
from memcrdt.store.sql import SqlConnection

SECRET_BYTES: Final = 32
TOKENS: Final = 256  # the secret of a client is compared with every token
ORIGINS: Final = 16  # maximum for one token

_NAME: Final = re.compile(r"[\w.-]{1,64}")
_ORIGIN: Final = re.compile(r"[a-z][a-z0-9+.-]*://[^/\s]{1,253}")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredToken:
    """A token and its rights. `origins` are web origins such as https://app.example. Times are in ms."""

    name: str
    spaces: tuple[str, ...]
    rights: tuple[Right, ...]
    origins: tuple[str, ...]
    created_at: int
    hash: bytes = field(repr=False)

    @property
    def read_only(self) -> bool:
        """Whether its Yjs clients may only read. A Yjs client that writes can also forget."""
        return not {"write", "forget"} <= {*self.rights}


class TokenTable:
    """The tokens of one store. Every change is durable when its method returns."""

    def __init__(self, store: BaseStore[SqlConnection]) -> None:
        self._store = store

    def create(
        self,
        name: str,
        *,
        spaces: Iterable[str] = (PERSONAL,),
        rights: Iterable[Right] = USUAL,
        origins: Iterable[str] = (),
    ) -> str:
        """Make a token and return its secret: 64 hexadecimal digits, which cannot be shown again.

        Args:
            name: The name of the token.
            spaces: The names of the spaces it opens.
            rights: What its clients may do. They may always read.
            origins: The web origins whose pages may use it.

        Raises:
            InputError: The name is taken or malformed, a right or an origin is malformed, or a space is `local`.
            NotFoundError: There is no such space.
        """
        allowed, granted = _check(name, origins), check_rights(rights)
        secret = secrets.token_hex(SECRET_BYTES)
        with self._store.writing() as db:
            _check_room(db, name)
            db.execute(
                "INSERT INTO tokens(name, hash, rights, origins, created_at) VALUES(?, ?, ?, ?, ?)",
                (name, _hash(secret), json.dumps(granted), json.dumps(allowed), self._store.now_ms()),
            )
            for number in {shareable_space_number(db, space) for space in spaces}:
                db.execute("INSERT INTO token_spaces(name, space) VALUES(?, ?)", (name, number))
        return secret

    def all(self) -> list[StoredToken]:
        """Return every token, by name."""
        with self._store.reading() as db:
            return [_token(row) for row in db.execute(_TOKENS)]

    def revoke(self, name: str) -> None:
        """Revoke a token; clients connected with it are disconnected. Raises NotFoundError."""
        with self._store.writing() as db:
            db.execute("DELETE FROM tokens WHERE name = ?", (name,))
            if not db.changes():
                raise NotFoundError(f"there is no token called {name!r}; `token list` shows the tokens")

    def find(self, secret: str) -> StoredToken | None:
        """Return the token with this secret, or None."""
        return find_by_secret(self.all(), secret)

    def stands(self, token: StoredToken) -> bool:
        """Return whether the token is still valid."""
        with self._store.reading() as db:
            sql = "SELECT 1 FROM tokens WHERE name = ? AND hash = ?"
            return db.execute(sql, (token.name, token.hash)).get is not None


def find_by_secret(tokens: Iterable[StoredToken], secret: str) -> StoredToken | None:
    """Return the token with this secret, or None. The time it takes reveals nothing about other secrets."""
    shown = _hash(secret)
    found = None
    for token in tokens:
        if hmac.compare_digest(token.hash, shown):
            found = token
    return found


_TOKENS = """
SELECT t.name, t.hash, t.rights, t.origins, t.created_at,
  (SELECT json_group_array(s.name ORDER BY s.space) FROM token_spaces JOIN spaces s USING(space)
   WHERE token_spaces.name = t.name)
FROM tokens t ORDER BY t.name"""


def _check(name: str, origins: Iterable[str]) -> list[str]:
    if not _NAME.fullmatch(name):
        raise InputError(f"{name[:80]!r} is not a valid name for a token; use 1 to 64 letters, digits, dots and dashes")
    allowed = sorted(set(origins))
    if len(allowed) > ORIGINS:
        raise InputError(f"{len(allowed)} origins for one token; the maximum is {ORIGINS}")
    for origin in allowed:
        if not _ORIGIN.fullmatch(origin):
            raise InputError(
                f"{origin[:80]!r} is not a web origin; write it as browsers do, such as https://app.example"
            )
    return allowed


def _check_room(db: SqlConnection, name: str) -> None:
    if db.execute("SELECT 1 FROM tokens WHERE name = ?", (name,)).get is not None:
        raise InputError(f"there already is a token called {name!r}; revoke it first, or choose another name")
    if db.execute("SELECT count(*) FROM tokens").get >= TOKENS:
        raise InputError(f"there already are {TOKENS} tokens; revoke some first")


def _hash(secret: str) -> bytes:
    return hashlib.sha256(secret.encode(errors="surrogatepass")).digest()


def _token(row: tuple[Any, ...]) -> StoredToken:
    name, digest, rights, origins, created_at, spaces = row
    return StoredToken(
        name=name,
        spaces=tuple(json.loads(spaces)),
        rights=check_rights(json.loads(rights)),
        origins=tuple(json.loads(origins)),
        created_at=created_at,
        hash=digest,
    )
