"""What looks like a secret is not remembered by accident."""

from __future__ import annotations

from typing import Any

import pytest

from memcrdt.errors import InputError
from memcrdt.model.requests import Changes, check_add, check_update
from memcrdt.model.secrets import secret_in

# Put together here, so that no scanner of this repository finds one.
SECRETS = [
    "-----BEGIN " + "PRIVATE KEY-----\nMIIEvQ",
    "-----BEGIN " + "OPENSSH PRIVATE KEY-----",
    "-----BEGIN " + "PGP PRIVATE KEY BLOCK-----",
    "AKIA" + "IOSFODNN7EXAMPLE",
    "ASIA" + "IOSFODNN7EXAMPLE",
    "ghp_" + "a1" * 18,
    "github_pat_" + "a1" * 41,
    "glpat-" + "a1" * 10,
    "xoxb-" + "123456789012-abcdef",
    "sk-ant-" + "api03-" + "a1" * 20,
    "sk-" + "a1" * 24,
    "sk-proj-" + "a1" * 24,
    "sk_live_" + "a1" * 12,
    "AIza" + "a1" * 17 + "x",
    "hf_" + "a1" * 17,
    "npm_" + "a1" * 18,
    "pypi-" + "a1" * 40,
    "eyJ" + "hbGciOiJIUzI1NiJ9.eyJ" + "zdWIiOiIxMjM0NTY3.SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV",
]


@pytest.mark.parametrize("secret", SECRETS, ids=lambda secret: secret[:12].strip())
def test_a_secret_of_a_well_known_form_is_refused(secret: str) -> None:
    """Within a text, a source, a tag or the metadata; the message doesn't repeat it."""
    arguments: list[dict[str, Any]] = [
        {"text": f"the key is {secret}, keep it"},
        {"metadata": {"k": [secret]}},
        {"source": secret},
        {"tags": ["t", secret]},
    ]
    for given in arguments:
        with pytest.raises(InputError, match="allow_secret") as caught:
            check_add(given.pop("text", "a"), given)
        assert secret not in str(caught.value)
    for changes in (Changes(text=secret), Changes(add_tags=[secret])):
        with pytest.raises(InputError, match="allow_secret"):
            check_update(changes)


@pytest.mark.parametrize("secret", SECRETS, ids=lambda secret: secret[:12].strip())
def test_a_secret_is_taken_when_allowed(secret: str) -> None:
    """Who asks for it knows what it means."""
    assert check_add(secret, {"allow_secret": True}).text == secret
    assert check_update(Changes(metadata={"k": secret}, allow_secret=True)).metadata == {"k": secret}


@pytest.mark.parametrize(
    "text",
    [
        "Rotate the private key on Tuesdays",
        "tokens begin with ghp_, keys with sk-",
        "the task-force met; risk-averse people sk-ated",
        "see https://example.org/eyJabc",
        "commit 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b",
    ],
)
def test_what_only_speaks_of_secrets_is_taken(text: str) -> None:
    """The forms are exact."""
    assert secret_in(text) is None
