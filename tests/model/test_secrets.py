"""Texts that look like secrets are refused unless the caller allows them."""

from __future__ import annotations

import json
import random
import string
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import memcrdt
from memcrdt.errors import InputError
from memcrdt.model.requests import check_add, check_update
from memcrdt.model.secrets import secret_in

_SMALL, _DIGITS, _HEX = string.ascii_lowercase, string.digits, "0123456789abcdef"
_WORD = string.ascii_letters + _DIGITS
_URL = _WORD + "-_"
_BASE32 = string.ascii_uppercase + "234567"

# Forms of tokens as issuers document them: texts, and pairs of characters and their number. Tests fill them with random
# characters, so that secret scanners find nothing in this repository.
Form = tuple[str | tuple[str, int], ...]
FORMS: dict[str, Form] = {
    "private key": ("-----BEGIN ", "PRIVATE KEY-----\n", (_WORD, 64)),
    "OpenSSH key": ("-----BEGIN ", "OPENSSH PRIVATE KEY-----\n", (_WORD, 64)),
    "PGP key": ("-----BEGIN ", "PGP PRIVATE KEY BLOCK-----\n", (_WORD, 64)),
    "AWS": ("AKIA", (_BASE32, 16)),
    "AWS session": ("ASIA", (_BASE32, 16)),
    "AWS secret": ("aws_secret_access_key = ", (_WORD + "+/", 40)),
    "GitHub": ("ghp_", (_WORD, 36)),
    "GitHub app": ("ghs_", (_WORD, 36)),
    "GitHub fine-grained": ("github_pat_", (_WORD, 22), "_", (_WORD, 59)),
    "GitLab": ("glpat-", (_URL, 20)),
    "Slack bot": ("xoxb-", (_DIGITS, 12), "-", (_DIGITS, 12), "-", (_WORD, 24)),
    "Slack app": ("xapp-1-A", (_BASE32, 10), "-", (_DIGITS, 13), "-", (_HEX, 64)),
    "Slack hook": ("https://hooks.slack.com/", "services/T", (_BASE32, 8), "/B", (_BASE32, 10), "/", (_WORD, 24)),
    "Anthropic": ("sk-ant-", "api03-", (_URL, 93), "AA"),
    "OpenAI": ("sk-", (_WORD, 20), "T3Blbk", "FJ", (_WORD, 20)),
    "OpenAI project": ("sk-proj-", (_URL, 74), "T3Blbk", "FJ", (_URL, 74)),
    "OpenRouter": ("sk-or-", "v1-", (_HEX, 64)),
    "Groq": ("gsk_", (_WORD, 52)),
    "Perplexity": ("pplx-", (_WORD, 48)),
    "Replicate": ("r8_", (_WORD, 37)),
    "Hugging Face": ("hf_", (_WORD, 34)),
    "Stripe": ("sk_live_", (_WORD, 24)),
    "Stripe restricted": ("rk_live_", (_WORD, 99)),
    "Stripe webhook": ("whsec_", (_WORD, 32)),
    "Google API": ("AIza", (_URL, 35)),
    "Google client": ("GOCSPX-", (_URL, 28)),
    "npm": ("npm_", (_WORD, 36)),
    "PyPI": ("pypi-", "AgEIcHlwaS5vcmc", (_URL, 130)),
    "RubyGems": ("rubygems_", (_HEX, 48)),
    "Docker Hub": ("dckr_pat_", (_URL, 27)),
    "DigitalOcean": ("dop_v1_", (_HEX, 64)),
    "Shopify": ("shpat_", (_HEX, 32)),
    "SendGrid": ("SG.", (_URL, 22), ".", (_URL, 43)),
    "Twilio": ("SK", (_HEX, 32)),
    "Telegram": ((_DIGITS[1:], 10), ":AA", (_URL, 33)),
    "Discord": ("M", (_WORD, 23), ".", (_WORD, 6), ".", (_URL, 38)),
    "Databricks": ("dapi", (_HEX, 32)),
    "Vault": ("hvs.", (_URL, 90)),
    "Linear": ("lin_api_", (_WORD, 40)),
    "Figma": ("figd_", (_URL, 40)),
    "Postman": ("PMAK-", (_HEX, 24), "-", (_HEX, 34)),
    "JSON web token": ("eyJ", (_WORD, 30), ".eyJ", (_WORD, 60), ".", (_URL, 43)),
    "Azure": ((_WORD, 3), "8Q~", (_URL, 34)),
    "age": ("AGE-", "SECRET-KEY-1", (_BASE32, 58)),
    "assigned password": ("DB_PASSWORD=", (_WORD + "!#%&*", 20)),
    "assigned key": ('api_key: "', (_WORD, 32), '"'),
    "bearer": ("Authorization: Bearer ", (_URL, 40)),
    "URL": ("postgres://app:", (_WORD, 20), "@db.example.org/app"),
    "URL without a user": ("redis://:", (_WORD, 24), "@cache:6379/0"),
    "Cloudflare": ("CF_API_TOKEN=", (_URL, 40)),
    "Azure storage": ("AccountName=a;AccountKey=", (_WORD + "+/", 86), "==;EndpointSuffix=core"),
    "npm settings": (
        "//registry.example.org/:_authToken=",
        (_HEX, 8),
        "-",
        (_HEX, 4),
        "-4",
        (_HEX, 3),
        "-",
        (_HEX, 16),
    ),
    "basic authentication": ("Authorization: Basic ", (_WORD + "+/", 32)),
    "Grafana": ("glsa_", (_WORD, 32), "_", (_HEX, 8)),
    "New Relic": ("NRAK-", (string.ascii_uppercase + _DIGITS, 27)),
    "Sentry": ("sntrys_", "eyJ", (_URL, 120)),
    "Supabase": ("sbp_", (_HEX, 40)),
    "Doppler": ("dp.pt.", (_WORD, 43)),
    "Netlify": ("nfp_", (_WORD, 40)),
    "Heroku": ("HRKU-", "AA", (_URL, 58)),
    "Fly": ("FlyV1 ", "fm2_", (_WORD + "+/", 120)),
    "Pulumi": ("pul-", (_HEX, 40)),
    "PlanetScale": ("pscale_tkn_", (_URL, 43)),
    "Notion": ("ntn_", (_DIGITS, 11), (_WORD, 35)),
    "Tailscale": ("tskey-", "auth-k", (_WORD, 15), "CNTRL-", (_WORD, 32)),
    "Atlassian": ("ATATT3", "xFfGF0", (_URL, 170)),
    "Django": ("SECRET_KEY = 'django-", "insecure-", (_SMALL + _DIGITS + "!@#$%^&*(-_=+)", 50), "'"),
    "AWS session token": ("aws_session_token=", (_WORD + "+/", 120)),
    "netrc": ("machine example.org login app password ", (_WORD, 16)),
    "JSON": ('{"password": "', (_WORD + "!#%&*", 16), '"}'),
    "in a sentence": ("the wifi password is ", (_WORD, 16)),
    "in German": ("Das Passwort lautet ", (_WORD, 16)),
    "passphrase": ("passphrase: ", (_WORD, 20)),
    "option": ("deploy --token ", (_URL, 40)),
    "option with =": ("deploy --api-key=", (_URL, 40)),
    "header": ("X-API-Key: ", (_WORD, 40)),
    "hexadecimal key": ("MISTRAL_API_KEY=", (_HEX, 32)),
    "UUID as a key": ("api key: ", (_HEX, 8), "-", (_HEX, 4), "-4", (_HEX, 3), "-a", (_HEX, 3), "-", (_HEX, 12)),
    "Discord hook": ("https://discord.com/", "api/webhooks/", (_DIGITS, 19), "/", (_URL, 68)),
    "Teams hook": ("https://a.webhook.office.com/", "webhookb2/", (_HEX, 32)),
    "Google refresh": ("1//0", (_URL, 100)),
    "Firebase": ((_URL, 11), ":APA91b", (_URL, 134)),
}

# Ordinary texts, with the same kinds of random parts.
ORDINARY: dict[str, Form] = {
    "prose": ("Rotate the private key on Tuesdays, and the password on Fridays",),
    "prefixes": ("tokens begin with ghp_ or glpat-, keys with sk- and AKIA",),
    "placeholder": ("export OPENAI_API_KEY=sk-", "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"),
    "placeholder in words": ("GITHUB_TOKEN=ghp_", "your_personal_access_token_goes_right_here"),
    "variable": ("password = os.environ['DATABASE_PASSWORD_OF_THE_APP']",),
    "function call": ("token = get_access_token_from_keychain_or_raise(account)",),
    "template": ("api_key: ${{ secrets.PRODUCTION_API_KEY_FOR_DEPLOY }}",),
    "documentation URL": ("postgres://user:password@localhost:5432/database",),
    "kebab name": ("sk-learn-pipeline-for-customer-churn-prediction-in-production",),
    "hub function": ("call hf_hub_download_with_retries_and_progress_bar instead",),
    "npm setting": ("set npm_config_registry_mirror_of_the_company_network first",),
    "branch": ("feature/gho-st-writer-improvements-for-the-new-editor-2026",),
    "camel case": ("secret_getUserProfileByAccountIdentifierOrThrowNotFound",),
    "lower-case hyphens": ("the task-force met; risk-averse people use sk-ating-rinks-in-the-winter-season",),
    "link": ("see https://example.org/eyJabc and https://example.org/a/b/c?page=2",),
    "SHA-1": ("commit ", (_HEX, 40)),
    "SHA-256": ("image@sha256:", (_HEX, 64)),
    "SRI": ("integrity sha512-", (_WORD + "+/", 86), "=="),
    "MD5": ("ETag ", (_HEX, 32)),
    "UUID": ("request ", (_HEX, 8), "-", (_HEX, 4), "-4", (_HEX, 3), "-a", (_HEX, 3), "-", (_HEX, 12)),
    "ULID": ("memory 01", (_BASE32, 24)),
    "primary key": ("primary key ", (_HEX, 8), "-", (_HEX, 4), "-4", (_HEX, 3), "-a", (_HEX, 3), "-", (_HEX, 12)),
    "cache key": ("cache key: ", (_HEX, 64)),
    "pod": ("web-frontend-", (_SMALL + _DIGITS, 10), "-", (_SMALL + _DIGITS, 5)),
    "message id": ("msg_01", (_WORD, 22)),
    "customer": ("cus_", (_WORD, 14)),
    "chat": ("chatcmpl-", (_WORD, 29)),
    "file id": ("file-", (_WORD, 24)),
    "video": ("https://youtu.be/", (_URL, 11)),
    "document": ("https://docs.example.com/d/", (_URL, 44), "/edit"),
    "object": ("s3://bucket/logs/2026/11/", (_HEX, 32), ".json.gz"),
    "path": ("/var/lib/app/cache/", (_HEX, 2), "/", (_HEX, 62)),
    "ARN": ("arn:aws:iam::", (_DIGITS, 12), ":role/deploy-from-ci-to-production"),
    "zone": ("zone id Z", (_BASE32, 20)),
    "public key": ("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI", (_WORD, 43), " ada@laptop"),
    "fingerprint": ("SHA256:", (_WORD + "+/", 43)),
    "IBAN": ("DE", (_DIGITS, 20)),
    "phone": ("+49 ", (_DIGITS, 11), " is the number of the key service"),
    "serial": ("serial number ", (_BASE32, 12), ", key fob no. ", (_DIGITS, 8)),
    "data URL": ("data:image/png;base64,", (_WORD + "+/", 120)),
    "lock line": ('"resolved": "https://packages.example.org/a/-/a-1.2.3.tgz#', (_HEX, 40), '"'),
    "device": ("device ", (_SMALL + "234567", 52)),
    "quantised model": ("hf_meta-llama_Llama-3.1-8B-Instruct-GGUF-Q4_K_M.gguf",),
    "wheel": ("sk-learn-1.5.2-py311-linux-x86_64-manylinux2014.whl",),
    "settings": ("api_key = settings.OPENAI_API_KEY_V2, or ${OPENAI_API_KEY_2026_EU1}",),
    "index": ("access_token = response['data']['access_token_v2']",),
    "command in a password": ("password=$(pass show prod/db-2026)",),
    "file of a token": ("the auth token lives in ~/.config/app2/token-v3.json",),
    "path of a secret": ("secret: https://vault.example.org/v1/kv2/app7",),
    "resource of a key": ("key: projects/acme-42/locations/eu/keyRings/r1/cryptoKeys/k2",),
    "rule for passwords": ("password policy: min 12 chars, 1 upper, 1 digit",),
    "working folder": ("pwd=/srv/ada/work/acme-v2/src2/lib3x",),
    "plugin of a password": ("password: MySQL8.0-default-auth",),
    "numbers of tokens": ("--token-budget 32768 --max-new-tokens=4096",),
    "standard": ("password reset flow v2.3 uses OAuth2PKCE",),
    "experiment": ("r8_model_2026_eval_run_17_lr3e-4_bs64",),
    "firmware": ("fw_update_v1.2.3_board-A7_2026-11-29",),
    "platform": ("napi_rs_v3.1.0_win32_x64_msvc_2026_build_7",),
    "report": ("sbp_2026_annual_report_v7_final_FINAL2_signed",),
    "camel case of short words": ("secret_getUserIdByKeyOrNullIfNone",),
    "basics": ("Authorization: Basic authentication is off since 2026-11 (RFC7617)",),
}
_SAMPLES = 40


def _filled(form: Form, rng: random.Random) -> str:
    return "".join(each if isinstance(each, str) else "".join(rng.choices(*each[:1], k=each[1])) for each in form)


def _samples(form: Form, name: str) -> list[str]:
    rng = random.Random(name)
    return [_filled(form, rng) for _ in range(_SAMPLES)]


def test_fewer_than_two_of_a_hundred_secrets_are_taken() -> None:
    """Over 80 forms of tokens and passwords, 40 of each, filled at random, in a sentence."""
    taken = Counter(
        name for name in FORMS for each in _samples(FORMS[name], name) if not secret_in(f"we use {each} there.")
    )
    assert len(FORMS) >= 80
    assert taken.total() < 0.02 * _SAMPLES * len(FORMS), taken


def test_fewer_than_two_of_a_hundred_ordinary_texts_are_refused() -> None:
    """Over 60 kinds of names, ids, paths, hashes and prose. Kinds with a random part have 40 texts."""
    refused = Counter(
        name for name in ORDINARY for each in _samples(ORDINARY[name], name) if secret_in(f"see {each}, please.")
    )
    assert len(ORDINARY) >= 60
    assert refused.total() < 0.02 * _SAMPLES * len(ORDINARY), refused


@pytest.mark.parametrize(
    "part", ["eyJ" + "a" * 10 + "-", "eyJ" + "a" * 10 + ".", "sk-", "://a:", "pwd=", "-----BEGIN A ", "basic ", "key "]
)
def test_a_long_text_of_nothing_but_beginnings_is_searched(part: str) -> None:
    """The search takes time in proportion to the text. If it were quadratic, this would take minutes."""
    assert secret_in(part * ((1 << 20) // len(part))) is None


SECRETS = [_samples(form, name)[0] for name, form in FORMS.items()]

NOW = 1_800_000_000_000
SECRET = _samples(FORMS["AWS"], "AWS")[0]


@pytest.mark.parametrize("secret", SECRETS, ids=list(FORMS))
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


@pytest.mark.parametrize("secret", SECRETS, ids=list(FORMS))
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
