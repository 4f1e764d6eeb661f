"""Measure how `recency` and `importance` change a ranking.

It counts how often the newer of two contradicting memories comes first, and how much worse memories of any age are
found.

    python benchmarks/boosts.py [--embedder static]

The store has pairs of a fact and its later replacement in other words; the facts of facts.json, of any age up to two
years; and 150 notes of the last days about other subjects, to which no question refers. The questions are those of the
pairs, which mean the newer fact, and those of facts.json. For importance, the newer fact of each pair is important,
and so is every fourth note.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import memcrdt
from memcrdt.search.index.index import SearchIndex
from memcrdt.search.index.worker import EmbeddingWorker

FACTS = Path(__file__).with_name("facts.json")
STRENGTHS = (0.0, 0.1, 0.25, 0.5, 1.0)
GAPS_DAYS = (7, 30, 90, 365)
# The old fact, the new fact, and the question.
CHANGED = (
    ("The office is in Lyon.", "We moved into new rooms in Nantes; Lyon is closed.", "where is our office?"),
    ("Deploys go out on Tuesdays.", "From now on we deploy on Thursdays.", "on which day do we deploy?"),
    ("Ana leads the payments team.", "Bruno took over the payments team from Ana.", "who leads the payments team?"),
    ("The main database is MySQL.", "We run Postgres as the main database now.", "which database do we use?"),
    ("My phone number ends in 4471.", "New phone number, it ends in 9032.", "what does my phone number end in?"),
    ("Clara drinks coffee with milk.", "Clara gave up coffee, she takes green tea.", "what does Clara drink?"),
    ("The standup is at nine.", "Standup starts at half past ten these days.", "when is the standup?"),
    ("We use tabs for indentation.", "The code base is indented with four spaces.", "tabs or spaces for indentation?"),
    ("The gym is closed on Sundays.", "The gym opens on Sundays as well.", "is the gym open on Sunday?"),
    ("Our insurer is Helvetia.", "The insurance contract is with Allianz since the change.", "who is our insurer?"),
    ("Piet lives in Utrecht.", "Piet has settled in Ghent.", "where does Piet live?"),
    ("The API limit is 100 requests a minute.", "The API allows 600 requests a minute.", "what is the API limit?"),
    ("Rent is 1,150 a month.", "The landlord raised the rent to 1,240.", "how much is the rent?"),
    ("The spare key is under the pot.", "I gave the spare key to the neighbour.", "where is the spare key?"),
    ("The build runs on Jenkins.", "GitHub Actions does the build now.", "what runs the build?"),
    ("Mia is in third grade.", "Mia started fourth grade.", "which grade is Mia in?"),
    ("The car is due for service in May.", "The garage did the service, next in March.", "when is the car's service?"),
    ("Python 3.10 is what we support.", "Support for 3.10 ended; 3.12 is the oldest.", "which Python do we support?"),
    ("The dentist is Dr Weiss.", "Our dentist is Dr Okafor since Weiss retired.", "who is our dentist?"),
    ("Backups are kept for 30 days.", "We keep backups for 90 days.", "how long are backups kept?"),
    ("The dog eats twice a day.", "The vet says the dog eats three times a day.", "how often does the dog eat?"),
    ("The wifi password is on the fridge.", "The wifi password is in the vault.", "where is the wifi password?"),
    ("Invoices go to Karin.", "Send invoices to the new address of bookkeeping.", "where do invoices go?"),
    ("The release branch is called stable.", "Releases are cut from main.", "which branch are releases cut from?"),
)  # fmt: skip
CHATTER = (
    "had a call with {who} about {what}", "{who} asked for the slides on {what}", "read an article about {what}",
    "{who} will look into {what} next week", "notes on {what}: nothing decided yet", "reminder: {what}, talk to {who}",
)  # fmt: skip
WHO = ("Jonas", "Priya", "the auditor", "a supplier", "the intern", "Lena", "marketing", "the neighbours", "the school")
WHAT = ("the offsite", "the garden fence", "licences", "the keynote", "heating costs", "a lost parcel", "travel plans")


def items(now: datetime, gap_days: int) -> tuple[list[dict[str, Any]], dict[str, str]]:
    """Return the memories to store, and the answer to each question."""
    rng = random.Random(3)
    answers, stored = {}, []
    for before, after, question in CHANGED:
        age = timedelta(days=rng.uniform(1, 400))
        stored.append({"text": before, "created_at": now - age - timedelta(days=gap_days)})
        stored.append({"text": after, "created_at": now - age, "importance": 0.8})
        answers[question] = after
    for fact, question in json.loads(FACTS.read_text("utf-8"))["facts"]:
        stored.append({"text": fact, "created_at": now - timedelta(days=rng.uniform(0, 730))})
        if question:
            answers[question] = fact
    for number in range(150):
        text = rng.choice(CHATTER).format(who=rng.choice(WHO), what=rng.choice(WHAT))
        age = timedelta(hours=rng.uniform(0, 96))
        stored.append({"text": f"{text} ({number})", "created_at": now - age, "importance": 0.8 * (number % 4 == 0)})
    return stored, answers


def ranks(memory: memcrdt.Memory, questions: Iterable[tuple[str, str]], **boosts: Any) -> list[int | None]:
    """Return the rank of each answer among ten hits, from 0; None if it is not among them."""
    found = []
    for question, answer in questions:
        texts = [hit.memory.text for hit in memory.search(question, limit=10, **boosts)]
        found.append(texts.index(answer) if answer in texts else None)
    return found


def newer_first(memory: memcrdt.Memory, **boosts: Any) -> float:
    """Return the share of pairs in which the new fact comes before the old one."""
    first = 0
    for before, after, question in CHANGED:
        texts = [
            hit.memory.text for hit in memory.search(question, limit=50, **boosts) if hit.memory.text in (before, after)
        ]
        first += texts[:1] == [after]
    return first / len(CHANGED)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--embedder", default="static", help="static, none, a model's name or a folder")
    asked = parser.parse_args()
    now = datetime.now(UTC)
    for gap in GAPS_DAYS:
        stored, answers = items(now, gap)
        with tempfile.TemporaryDirectory() as home, memcrdt.open(home, embedder=asked.embedder) as memory:
            memory.add_many(stored)
            index = memory.store.indexer
            assert isinstance(index, SearchIndex)
            EmbeddingWorker(memory.store, index).drain()
            old = list(answers.items())[len(CHANGED) :]
            for boost in ("recency", "importance") if gap == GAPS_DAYS[-1] else ("recency",):
                for strength in STRENGTHS:
                    found = ranks(memory, old, **{boost: strength})
                    mrr = sum(1 / (1 + rank) for rank in found if rank is not None) / len(found)
                    ten = sum(rank is not None for rank in found) / len(found)
                    first = newer_first(memory, **{boost: strength})
                    print(
                        f"{gap:>4} days between  {boost:<11}{strength:<5} new fact first {first:>5.0%}   "
                        f"facts of any age: any@10 {ten:>5.0%}, MRR {mrr:.3f}"
                    )


if __name__ == "__main__":
    main()
