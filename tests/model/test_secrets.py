"""What looks like a secret is not remembered by accident."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import memcrdt
from memcrdt.errors import InputError
from memcrdt.model.requests import check_add, check_update
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


NOW = 1_800_000_000_000
SECRET = SECRETS[3]


@pytest.mark.parametrize("secret", SECRETS, ids=lambda secret: secret[:12].strip())
def test_a_secret_of_a_well_known_form_is_refused(secret: str) -> None:
    """The message doesn't repeat it."""
    with pytest.raises(InputError, match="allow_secret") as caught:
        check_add(f"the key is\n{secret}, keep it", {}, NOW)
    assert secret not in str(caught.value)


@pytest.mark.parametrize(
    "given",
    [
        {"scope": f"project/{SECRET}"},
        {"kind": SECRET},
        {"tags": ["t", SECRET]},
        {"metadata": {"k": [{"deep": f"in\n{SECRET}"}]}},
        {"metadata": {SECRET: 1}},
        {"author": SECRET},
        {"source": f"https://example.org/?key={SECRET}"},
        {"trust": SECRET},
        {"key": SECRET},
    ],
    ids=lambda given: next(iter(given)),
)
def test_a_new_memory_has_a_secret_in_no_field(given: dict[str, Any]) -> None:
    """All of them travel."""
    with pytest.raises(InputError, match="AWS access key"):
        check_add("a", given, NOW)
    assert check_add("a", {**given, "allow_secret": True}, NOW).text == "a"


@pytest.mark.parametrize(
    "given",
    [
        {"text": SECRET},
        {"add_tags": [SECRET]},
        {"metadata": {"k": SECRET}},
        {"scope": f"agent/{SECRET}"},
        {"trust": SECRET},
        {"author": SECRET},
    ],
    ids=lambda given: next(iter(given)),
)
def test_a_change_brings_a_secret_into_no_field(given: dict[str, Any]) -> None:
    """Whoever made it."""
    with pytest.raises(InputError, match="AWS access key"):
        check_update(given, NOW)
    check_update({**given, "allow_secret": True}, NOW)


def test_a_secret_may_be_taken_away() -> None:
    """What only names it to be rid of it is no reason to refuse."""
    edit = check_update({"remove_tags": [SECRET], "metadata": {SECRET: None}}, NOW)
    assert edit.remove_tags == (SECRET,)


def test_relations_scopes_and_spaces_are_named_after_no_secret(tmp_path: Path) -> None:
    """Nor do links come with an import that was not told to take secrets."""
    with memcrdt.open(tmp_path, embedder=None) as memory:
        one, other = memory.add("one"), memory.add("other")
        for refused in (
            lambda: memory.link(one, SECRET, other),
            lambda: memory.rename_scope("global", f"project/{SECRET}"),
            lambda: memory.space(SECRET).create(),
        ):
            with pytest.raises(InputError, match="AWS access key"):
                refused()
        file = tmp_path / "lines.jsonl"
        file.write_text(json.dumps({"text": "three", "links": [[SECRET, one]]}))
        assert "AWS access key" in memory.import_(file).refusals[0].reason
        assert memory.import_(file, allow_secret=True).added == 1


@pytest.mark.parametrize("secret", SECRETS, ids=lambda secret: secret[:12].strip())
def test_a_secret_is_taken_when_allowed(secret: str) -> None:
    """Who asks for it knows what it means."""
    assert check_add(secret, {"allow_secret": True}, NOW).text == secret
    assert check_update({"metadata": {"k": secret}, "allow_secret": True}, NOW).metadata == {"k": secret}


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
