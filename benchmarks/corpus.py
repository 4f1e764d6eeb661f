"""Sentences for benchmarks: made from word lists and a seed, about twenty words each, all different."""

from __future__ import annotations

import random
from collections.abc import Iterator

WHO = (
    "the build bot|our reviewer|the on-call engineer|a customer|the data team|the release manager|the designer|support"
)
DID = "noticed that|wrote down that|insists that|found out that|agreed that|warned that|measured that|forgot that"
WHAT = (
    "the nightly export|the billing service|the search index|the login page|the mobile client|the staging cluster|"
    "the invoice template|the backup job|the payment webhook|the feature flag|the on-boarding tour|the audit log"
)
STATE = (
    "fails on leap days|needs two reviewers|is slower than last month|runs only behind the proxy|drops empty rows|"
    "wants a fresh token every hour|must not be restarted on Fridays|was moved to another region|ignores the time zone|"
    "is rebuilt from scratch each night|has no alert yet|keeps a second copy on disk"
)
SINCE = (
    "since the upgrade|after the incident in the north hall|because of an old contract|until the migration is done|"
    "whenever traffic doubles|according to the runbook|unless somebody sets the override|as the customer asked for it"
)
DETAIL = "ticket|build|commit|dashboard|volume|tenant|queue|rack|meeting|branch|invoice|sensor|batch|shard|node|report"


def sentences(count: int, seed: int = 1) -> Iterator[str]:
    """Yield `count` different sentences of 15 to 25 words, the same ones for the same seed."""
    rng = random.Random(seed)
    lists = [words.split("|") for words in (WHO, DID, WHAT, STATE, SINCE, DETAIL)]
    for number in range(count):
        who, did, what, state, since, detail = (rng.choice(words) for words in lists)
        yield f"{who.capitalize()} {did} {what} {state} {since}; see {detail} {rng.randrange(10_000)}-{number}"


def questions(count: int, seed: int = 2) -> Iterator[str]:
    """Yield `count` questions about such sentences."""
    rng = random.Random(seed)
    whats, states, sinces = (words.split("|") for words in (WHAT, STATE, SINCE))
    for _ in range(count):
        yield f"what do we know about {rng.choice(whats)} that {rng.choice(states)} {rng.choice(sinces)}?"
