"""`memcrdt token create|list|revoke`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

import memcrdt
from memcrdt.store.membership.tokens import TokenTable

if TYPE_CHECKING:
    from tests.cli.conftest import Cli, Server


def test_a_token_is_made_listed_and_revoked(cli: Cli, home: Path) -> None:
    """Stdout has only the secret, and no later output has it."""
    made = cli("token", "create", "browser", "--read-only", "--origin", "https://app.example")
    secret = made.out.removesuffix("\n")
    assert (made.code, len(secret)) == (0, 64)
    with memcrdt.open(home, embedder=None) as memory:
        found = TokenTable(memory.store).find(secret)
    assert found is not None
    assert found.name == "browser"
    (line,) = cli("token", "list", "--json").json
    created = line.pop("created_at")
    assert created.startswith("20")
    assert line == {
        "name": "browser",
        "spaces": ["personal"],
        "rights": ["read"],
        "origins": ["https://app.example"],
    }
    listed = cli("token", "list")
    assert listed.out.startswith("browser\tpersonal\tread\thttps://app.example\t")
    assert secret not in listed.out
    assert cli("token", "revoke", "browser").code == 0
    assert cli("token", "list").out == ""


def test_the_secret_is_json_when_asked(cli: Cli) -> None:
    """As the value of `token`."""
    (made,) = cli("token", "create", "script", "--json").json
    assert list(made) == ["token"]


def test_serve_lets_clients_in_with_a_token(cli: Cli, home: Path, serve: Callable[..., Server]) -> None:
    """A token created in another process is valid at once while the server runs. After its revocation it is refused."""
    url = serve(home, "--yjs", "--yjs-port", "0").says()["yjs"]
    assert url.startswith("http://127.0.0.1:")
    secret = cli("token", "create", "browser").out.strip()
    with urlopen(f"{url}/personal?token={secret}", timeout=20) as answer:
        assert json.load(answer)["open"] == 0
    cli("token", "revoke", "browser")
    with pytest.raises(HTTPError, match="401") as refused:
        urlopen(f"{url}/personal?token={secret}", timeout=20)
    refused.value.close()


def test_elsewhere_serve_wants_a_certificate(cli: Cli, home: Path) -> None:
    """It prints the reason and ends without listening."""
    cli("serve", "--host", "127.0.0.1", "--port", "0", "--yjs", "--yjs-host", "0.0.0.0").failed(2, "certificate")


def test_what_cannot_be_is_said_in_one_line(cli: Cli) -> None:
    """A name that is taken, the space `local`, an unknown space, and an unknown token."""
    cli("token", "create", "browser")
    cli("token", "create", "browser").failed(2, "browser", "revoke")
    cli("token", "create", "other", "--space", "local").failed(2, "local")
    cli("token", "create", "other", "--space", "nowhere").failed(3, "nowhere")
    cli("token", "revoke", "other").failed(3, "other")
