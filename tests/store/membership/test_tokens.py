"""Tests of tokens: storage, lookup and limits."""

from __future__ import annotations

from pathlib import Path

import pytest

import memcrdt
from memcrdt.errors import InputError, NotFoundError
from memcrdt.memory.memory import Memory
from memcrdt.store.files import FILE
from memcrdt.store.membership import tokens as module
from memcrdt.store.membership.tokens import TokenTable


@pytest.fixture(name="memory")
def _memory(tmp_path: Path) -> Memory:
    with memcrdt.open(tmp_path, embedder=None) as memory:
        yield memory


@pytest.fixture(name="tokens")
def _tokens(memory: Memory) -> TokenTable:
    return TokenTable(memory.store)


def test_a_secret_finds_its_token_and_no_other(tokens: TokenTable) -> None:
    """The token has its rights. Any other secret finds none."""
    secret = tokens.create("browser", rights=["read"], origins=["https://app.example"])
    tokens.create("another")
    token = tokens.find(secret)
    assert token is not None
    assert (token.name, token.spaces, token.read_only, token.origins) == (
        "browser",
        ("personal",),
        True,
        ("https://app.example",),
    )
    for shown in ("", secret[:-1], secret.upper(), "browser", "\udcff", "ü"):
        assert tokens.find(shown) is None


def test_the_file_holds_no_secret(tokens: TokenTable, memory: Memory) -> None:
    """The file has the secret neither as text nor as bytes."""
    secret = tokens.create("browser")
    found = b"".join(path.read_bytes() for path in memory.home.iterdir() if path.name.startswith(FILE))
    assert b"browser" in found
    assert secret.encode() not in found
    assert bytes.fromhex(secret) not in found


def test_secrets_are_compared_in_constant_time(tokens: TokenTable, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every token is compared, even after a match, and only by compare_digest."""
    compared = []
    secrets = [tokens.create(name) for name in "abc"]
    monkeypatch.setattr(module.hmac, "compare_digest", lambda one, other: compared.append(one) or one == other)
    assert tokens.find(secrets[0]) is not None
    assert len(compared) == 3


def test_a_revoked_token_stands_no_more_and_its_name_is_free(tokens: TokenTable) -> None:
    """A new token with the same name does not accept the old secret."""
    secret = tokens.create("browser")
    token = tokens.find(secret)
    assert token is not None
    assert tokens.stands(token)
    tokens.revoke("browser")
    assert tokens.find(secret) is None
    assert tokens.all() == []
    tokens.create("browser")
    assert not tokens.stands(token)
    assert tokens.find(secret) is None


def test_what_cannot_be_is_refused(tokens: TokenTable) -> None:
    """Covers a taken or malformed name, an origin with a path, the space `local`, and unknown spaces and tokens."""
    tokens.create("browser")
    for name, options in (
        ("browser", {}),
        ("", {}),
        ("a b", {}),
        ("x" * 65, {}),
        ("app", {"origins": ["https://app.example/"]}),
        ("app", {"origins": ["app.example"]}),
        ("app", {"origins": [f"https://{number}.example" for number in range(17)]}),
        ("app", {"spaces": ["local"]}),
    ):
        with pytest.raises(InputError):
            tokens.create(name, **options)
    with pytest.raises(NotFoundError):
        tokens.create("app", spaces=["nowhere"])
    with pytest.raises(NotFoundError):
        tokens.revoke("app")
    assert [token.name for token in tokens.all()] == ["browser"]


def test_there_is_a_limit_to_tokens(tokens: TokenTable, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every request compares all tokens."""
    monkeypatch.setattr(module, "TOKENS", 2)
    tokens.create("a")
    tokens.create("b")
    with pytest.raises(InputError, match="revoke some"):
        tokens.create("c")
