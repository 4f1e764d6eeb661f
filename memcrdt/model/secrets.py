"""Find secrets by their form: a memory travels to every device of its space.

A secret is random, and stands where secrets stand: after a prefix that an issuer publishes so that scanners can find
its tokens, after words such as `password:`, or in a URL. A prefix alone is not enough, because ordinary names begin in
the same way, and randomness alone is not, because hashes, ids and UUIDs are random too. A password made of plain words
has no form. Every search takes time in proportion to the text.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from memcrdt.errors import SecretError

# Name, prefixes, and the minimum number of characters after the prefix.
_ISSUERS: Final = (
    ("a GitHub token", "ghp_ gho_ ghu_ ghs_ ghr_ github_pat_", 30),
    ("a GitLab token", "glpat- gldt- glrt- glptt- glcbt- glft- glsoat- glagent-", 20),
    ("a Slack token", "xoxa- xoxb- xoxe- xoxp- xoxr- xoxs- xoxe.xoxp- xapp- hooks.slack.com/services/", 16),
    ("a webhook", "discord.com/api/webhooks/ discordapp.com/api/webhooks/ webhook.office.com/webhookb2/", 30),
    ("an Anthropic key", "sk-ant-", 20),
    ("an OpenRouter key", "sk-or-", 32),
    ("an OpenAI key", "sk-proj- sk-svcacct- sk-admin- sk-", 32),
    ("a key of a language model", "gsk_ xai- pplx- r8_ fw_ csk- nvapi-", 24),
    ("a Stripe key", "sk_live_ rk_live_ sk_test_ rk_test_ whsec_", 20),
    ("a Google key", "AIza GOCSPX- ya29.", 24),
    ("a Google token", "1//0", 40),
    ("a Hugging Face token", "hf_", 30),
    ("a token of a package registry", "npm_ pypi- rubygems_ dckr_pat_ CLOJARS_", 24),
    ("a token of a cloud", "dop_v1_ doo_v1_ dor_v1_ HRKU- nfp_ tskey- pul- hvs. hvb. dp.pt. sbp_ sb_secret_ fm2_", 20),
    ("a token of a database", "dapi pscale_pw_ pscale_tkn_ pscale_oauth_ napi_", 30),
    ("a Shopify token", "shpat_ shpss_ shpca_ shppa_", 30),
    ("a Square token", "sq0atp- sq0csp- EAAA", 20),
    ("a SendGrid key", "SG.", 40),
    ("an Atlassian token", "ATATT3 ATBB", 24),
    ("a token of a service", "lin_api_ ntn_ secret_ figd_ PMAK- NRAK- glsa_ sntrys_ sntryu_ CFPAT- dt0c01. rdme_", 24),
)
_PREFIXES: Final = tuple((name, prefix, least) for name, prefixes, least in _ISSUERS for prefix in prefixes.split())
_BODY: Final = re.compile(
    r"[0-9A-Za-z_.~+/=-]{0,200}"
)  # bounded, so that a text of nothing but prefixes is quick to read

_PEM: Final = "PRIVATE KEY"
# Forms that are enough by themselves: name, a text that all of them contain, and the pattern.
_FORMS: Final = tuple(
    (name, marker, re.compile(pattern))
    for name, marker, pattern in (
        ("a private key", _PEM, r"-----BEGIN (?:[A-Z0-9]{1,16} ){0,4}PRIVATE KEY(?: BLOCK)?-----"),
        ("a private key", "AGE-SECRET-KEY-1", r"AGE-SECRET-KEY-1[0-9A-Z]{58}"),
        ("an AWS access key", "AKIA", r"\bAKIA(?!(.)\1{7})[0-9A-Z]{16}\b"),
        ("an AWS access key", "ASIA", r"\bASIA(?!(.)\1{7})[0-9A-Z]{16}\b"),
        # A run is tried at its start only: a text of many starts would take quadratic time.
        ("a JSON web token", "eyJ", r"(?<![\w-])eyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{20,}"),
        ("a Telegram token", ":AA", r"\b[0-9]{8,10}:AA[\w-]{33}(?![\w-])"),
        ("a Discord token", ".", r"(?<![\w.-])[MNO][\w-]{23,27}\.[\w-]{6}\.[\w-]{27,38}(?![\w.-])"),
        ("an Azure secret", "8Q~", r"(?<![\w.~-])[\w.~-]{3}8Q~[\w.~-]{31,34}"),
        ("a Twilio key", "SK", r"\bSK[0-9a-f]{32}\b"),
        ("an Airtable token", "pat", r"\bpat[0-9A-Za-z]{14}\.[0-9a-f]{64}\b"),
        ("a Mailgun key", "key-", r"(?<![\w-])key-[0-9a-f]{32}\b"),
        ("a Firebase key", ":APA91b", r"(?<![\w-])[\w-]{11}:APA91b[\w-]{100}"),
        ("a key of Django", "django-insecure-", r"django-insecure-[^\s'\"]{40}"),
        ("a Terraform token", ".atlasv1.", r"\b[0-9A-Za-z]{14}\.atlasv1\.[\w-]{60,70}"),
    )
)

# Words that announce a secret, and a value that has to be random.
_WORDS: Final = ("key", "token", "secret", "pass", "kennwort", "pwd", "bearer", "basic ", "://")
_ANNOUNCED: Final = re.compile(
    r"""(key|token|secret|password|passwort|kennwort|passphrase|passwd|pwd|bearer|basic)
    ["'`]?[ ]{0,2}(?:[:=]|[ ](?:is|ist|lautet)[ ]|[ ])[ ]{0,2}["'`]?(?=([^\s"'`,;<>{}()\[\]]{12,64}))""",
    re.IGNORECASE | re.VERBOSE,
)
# What has to stand before such a word. It is looked at only where a value follows, which is three times as fast.
_BEFORE: Final = re.compile(
    r"""(?:(?:api|access|auth|bearer|client|deploy|account|master|private|refresh|secret|session|signing|encryption|--)
    [ _-]?(?:access[ _-]?)?)$""",
    re.IGNORECASE | re.VERBOSE,
)
_BEFORE_CHARS: Final = 24
_IN_URL: Final = re.compile(r"://[^\s:/@]{0,64}:([^\s@/]{8,128})@")

_SHORTEST: Final = 13  # characters of a secret with what announces it: `://:` and a password of 8, before an @
# All forms but private keys have a run of so many characters. Most texts have none: one search instead of a hundred.
_RUN: Final = re.compile(r"(?<![\w.~+/=-])[\w.~+/=-]{16}")

_JUMPS: Final = 3
_JUMP_SHARE: Final = 0.18
_KINDS: Final = 8  # different characters
_CAMEL_CASE: Final = re.compile(r"[a-z]*(?:[-_./]?[A-Z][a-z]+|[-_./][a-z]+)*[-_./]?[A-Z]?")  # the last word may be cut
_WEIGHED: Final = 64  # characters, as many as _ANNOUNCED takes


def secret_in(text: str) -> str | None:
    """Return the kind of secret in `text`, or None."""
    if len(text) < _SHORTEST:  # most keys and values of metadata
        return None
    if (_PEM in text or _RUN.search(text)) and (found := _with_a_form(text)):
        return found
    lower = text.lower()
    if not any(word in lower for word in _WORDS):
        return None
    values = itertools.chain(_announced(text), (found[1] for found in _IN_URL.finditer(text)))
    return "a password or a key" if any(map(_is_random, values)) else None


def _with_a_form(text: str) -> str | None:
    """Return the kind of a secret that is one by its form or its prefix, or None."""
    for name, marker, form in _FORMS:
        if marker in text and form.search(text):
            return name
    for name, prefix, least in _PREFIXES:
        if prefix in text and _is_issued(text, prefix, least):
            return name
    return None


def _announced(text: str) -> Iterator[str]:
    """Yield the values that follow words such as `api key:` or `password=`."""
    for found in _ANNOUNCED.finditer(text):
        before = text[max(0, found.start() - _BEFORE_CHARS) : found.start()]
        word = found[1].lower()
        if word == "basic":  # of HTTP
            is_announced = "authorization" in before.lower()
        else:
            is_alone = word not in ("key", "token") and not (before[-1:].isascii() and before[-1:].isalpha())
            is_announced = is_alone or (word in ("key", "token", "secret") and bool(_BEFORE.search(before)))
        if is_announced:
            yield found[2]


def _is_issued(text: str, prefix: str, least: int) -> bool:
    """Return whether a random text of at least this length follows the prefix, which has to begin a word."""
    at = text.find(prefix)
    while at >= 0:
        if at == 0 or not text[at - 1].isalnum():
            found = _BODY.match(text, at + len(prefix))
            body = found[0] if found else ""
            if len(body) >= least and _is_random(body):
                return True
        at = text.find(prefix, at + len(prefix))
    return False


def _is_random(text: str) -> bool:
    """Return whether characters change between small, capital, digit and sign as often as in a random text.

    Between the parts of a name (`-`, `_`, `.` and `/`) and from a capital to a small letter, they change in ordinary
    names too. One long part may be random alone, as behind the numbers in a token of Slack.
    """
    weighed = text[:_WEIGHED]
    return _changes_often(weighed) or _changes_often(max(weighed.split("-"), key=len))


def _changes_often(weighed: str) -> bool:
    if len(set(weighed)) < _KINDS or _CAMEL_CASE.fullmatch(weighed):
        return False
    kinds = [
        "" if char in "-_./" else "a" if char.islower() else "A" if char.isupper() else "0" if char.isdigit() else "+"
        for char in weighed
    ]
    jumps = sum(
        bool(one and other) and one != other and (one, other) != ("A", "a") for one, other in itertools.pairwise(kinds)
    )
    return jumps >= max(_JUMPS, _JUMP_SHARE * len(weighed))


def check_no_secret(*said: object) -> None:
    """Raise SecretError if a text contains a secret. The message does not repeat the secret.

    Args:
        said: Texts, or lists and mappings of texts. The keys of mappings are checked, too.
    """
    for text in _texts(said):
        if found := secret_in(text):
            raise SecretError(
                f"the memory contains what looks like {found}, which would travel to every device; remove it, or"
                " allow it (allow_secret=True in Python, --allow-secret on the command line)"
            )


def _texts(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    if not value or isinstance(value, (int, float)):
        return []
    parts: Iterable[object] = ()
    if isinstance(value, (list, tuple)):  # before the abstract types, which take ten times as long to tell
        parts = value
    elif isinstance(value, Mapping):
        parts = (*value.keys(), *value.values())
    elif isinstance(value, Iterable):
        parts = value
    texts: list[str] = []
    for each in parts:
        if isinstance(each, str):  # most of them
            texts.append(each)
        elif each:
            texts += _texts(each)
    return texts
