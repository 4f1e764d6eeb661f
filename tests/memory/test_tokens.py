"""The tokens of Yjs clients, from Python. tests/store/membership/test_tokens.py tests them in depth."""

from __future__ import annotations

from datetime import UTC

import pytest

from memcrdt import AsyncMemory, Memory, YjsToken
from memcrdt.errors import InputError, NotFoundError


def test_a_token_is_made_listed_and_revoked(memory: Memory) -> None:
    """The secret is returned once, and appears in no list."""
    secret = memory.tokens.create("browser", read_only=True, origins=["https://app.example"])
    (token,) = memory.tokens.list()
    assert (token.name, token.spaces, token.read_only, token.origins) == (
        "browser",
        ("personal",),
        True,
        ("https://app.example",),
    )
    assert token.created_at.tzinfo is UTC
    assert secret not in repr(token)
    assert YjsToken.from_dict(token.to_dict()) == token
    memory.tokens.revoke("browser")
    assert memory.tokens.list() == []
    with pytest.raises(NotFoundError, match="browser"):
        memory.tokens.revoke("browser")


async def test_they_are_awaitable_too(memory: Memory) -> None:
    """The methods have the same names."""
    tokens = AsyncMemory(memory).tokens
    assert len(await tokens.create("script")) == 64
    assert [token.name for token in await tokens.list()] == ["script"]
    with pytest.raises(InputError, match="script"):
        await tokens.create("script")
    await tokens.revoke("script")
