"""Texts that look like secrets are refused unless the caller allows them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import memcrdt
from memcrdt.errors import InputError
from memcrdt.model.requests import check_add, check_update
from memcrdt.model.secrets import secret_in

# The parts are joined here, so that secret scanners find nothing in this repository.
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
    """The message does not repeat the secret."""
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
def test_a_secret_in_any_field_of_a_new_memory_is_refused(given: dict[str, Any]) -> None:
    """Every field of a memory is sent to other devices."""
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
def test_a_secret_in_any_field_of_an_update_is_refused(given: dict[str, Any]) -> None:
    """The author of the change is checked, too."""
    with pytest.raises(InputError, match="AWS access key"):
        check_update(given, NOW)
    check_update({**given, "allow_secret": True}, NOW)


def test_a_secret_may_be_removed() -> None:
    """An update that names a secret only to remove it is accepted."""
    edit = check_update({"remove_tags": [SECRET], "metadata": {SECRET: None}}, NOW)
    assert edit.remove_tags == (SECRET,)


def test_secrets_in_names_of_relations_scopes_and_spaces_are_refused(tmp_path: Path) -> None:
    """An import refuses links with secrets, too, unless allow_secret is set."""
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


def test_a_line_of_an_import_cannot_allow_its_own_secret(tmp_path: Path) -> None:
    """Only the caller decides, for the whole import. A file may come from anywhere."""
    file = tmp_path / "lines.jsonl"
    file.write_text(json.dumps({"text": SECRET, "allow_secret": True}) + "\n" + json.dumps({"text": "other"}))
    with memcrdt.open(tmp_path, embedder=None) as memory:
        report = memory.import_(file)
        assert (report.added, report.refusals[0].line) == (1, 1)
        assert "allow_secret=True in Python" in report.refusals[0].reason


@pytest.mark.parametrize("secret", SECRETS, ids=lambda secret: secret[:12].strip())
def test_a_secret_is_accepted_if_allowed(secret: str) -> None:
    """allow_secret switches the check off for add() and update()."""
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
def test_a_text_about_secrets_is_accepted(text: str) -> None:
    """The patterns match whole secrets, not their prefixes alone."""
    assert secret_in(text) is None
