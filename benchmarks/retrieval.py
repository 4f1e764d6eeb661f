"""Measure the quality of search: on LoCoMo's questions, and on the project's own set of facts.

    python benchmarks/retrieval.py --data locomo10.json --embedder static
    python benchmarks/retrieval.py --own --embedder none
    python benchmarks/retrieval.py --languages --embedder none
    python benchmarks/retrieval.py --own --reranker FOLDER

Each turn is one memory ("Speaker: text", with " [caption]" if it has one), its session is the scope
conversation/session_K, and each conversation has a store of its own. Fraction recall@k is the share of a question's
evidence among the first k results, averaged over the questions that have evidence. Any recall@k is the share of
questions with at least one piece of evidence there. MRR is the mean reciprocal rank of the first one.

Then it prints the share of questions that have a hit with at least a given score. To test whether questions without an
answer score lower, each conversation gets 50 questions of each other one, with the names of its own speakers. Category
5, with questions about the wrong person, is counted separately. AUC is the share of pairs, of one question with an
answer and one without, in which the question with an answer has the better best score.

LoCoMo is CC BY-NC 4.0 (Maharana et al., ACL 2024): get data/locomo10.json from snap-research/locomo.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, ClassVar

import memcrdt
from memcrdt import config

OWN = Path(__file__).with_name("facts.json")
LANGUAGES = Path(__file__).with_name("languages.json")
DEPTHS = (5, 10)
NAMES = [f"{kind}@{depth}" for depth in DEPTHS for kind in ("fraction", "any")]
LEAST = (0.3, 0.5, 0.7, 0.9)
RERANK_MS = 60_000  # the most that a search allows
STRANGE = 50  # questions that a conversation gets from each other one
NO_ANSWER = "no answer"
WRONG_PERSON = "5"


@dataclass(frozen=True, slots=True)
class Question:
    text: str
    evidence: frozenset[str]  # labels of items
    category: str


@dataclass(frozen=True, slots=True)
class Case:
    """The contents of one store: items by label, as add_many() takes them, and the questions."""

    name: str
    items: dict[str, dict[str, Any]]
    questions: list[Question]


@dataclass(slots=True)
class Tally:
    HEAD: ClassVar = f"{'n':>6}{''.join(f'{name:>13}' for name in NAMES)}{'MRR':>9}"

    count: int = 0
    sums: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    def add(self, ranks: list[int], wanted: int) -> None:
        """Count a question whose evidence was found at these ranks, from 1."""
        self.count += 1
        for depth in DEPTHS:
            found = sum(rank <= depth for rank in ranks)
            self.sums[f"fraction@{depth}"] += found / wanted
            self.sums[f"any@{depth}"] += found > 0
        self.sums["MRR"] += 1 / min(ranks) if ranks else 0.0

    def row(self) -> str:
        shown = "".join(f"{100 * self.sums[name] / max(self.count, 1):>13.1f}" for name in NAMES)
        return f"{self.count:>6}{shown}{self.sums['MRR'] / max(self.count, 1):>9.3f}"


def locomo(path: Path) -> Iterator[Case]:
    """Yield the conversations of a LoCoMo file, each with questions of the others, which it cannot answer."""
    samples = json.loads(path.read_text("utf-8"))
    rng = random.Random(1)
    for sample in samples:
        items = dict(turns(sample["conversation"]))
        asked = []
        for qa in sample["qa"]:
            labels = {f"D{day}:{turn}" for text in qa["evidence"] for day, turn in re.findall(r"D:?(\d+):(\d+)", text)}
            if known := frozenset(labels & items.keys()):
                asked.append(Question(qa["question"], known, str(qa["category"])))
        for other in samples:
            if other is not sample:
                asked += [_renamed(qa["question"], other, sample) for qa in rng.sample(other["qa"], STRANGE)]
        yield Case(str(sample.get("sample_id", "?")), items, asked)


def _renamed(question: str, theirs: dict[str, Any], ours: dict[str, Any]) -> Question:
    """Return a question of another conversation, about our speakers."""
    for speaker in ("speaker_a", "speaker_b"):
        question = question.replace(theirs["conversation"][speaker], ours["conversation"][speaker])
    return Question(question, frozenset(), NO_ANSWER)


def turns(conversation: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    number = 1
    while turns_said := conversation.get(f"session_{number}"):
        said = conversation[f"session_{number}_date_time"]
        at = datetime.strptime(said, "%I:%M %p on %d %B, %Y").replace(tzinfo=UTC)
        for turn in turns_said:
            caption = f" [{turn['blip_caption']}]" if turn.get("blip_caption") else ""
            text = f"{turn['speaker']}: {turn['text']}{caption}"
            yield turn["dia_id"], {"text": text, "scope": f"conversation/session_{number}", "created_at": at}
        number += 1


def own() -> Iterator[Case]:
    """Yield the project's own facts: memories outside conversations, with questions in other words."""
    data = json.loads(OWN.read_text("utf-8"))
    start = datetime(2026, 1, 1, tzinfo=UTC)
    items, asked = {}, []
    for n, (text, question) in enumerate(data["facts"]):
        items[str(n)] = {"text": text, "created_at": start + timedelta(hours=n)}
        if question:
            asked.append(Question(question, frozenset({str(n)}), "in other words"))
    yield Case("facts", items, [*asked, *(Question(q, frozenset(), NO_ANSWER) for q in data["unanswerable"])])


def languages() -> Iterator[Case]:
    """Yield a case for each language: its questions, in one store with the facts in all languages."""
    data = json.loads(LANGUAGES.read_text("utf-8"))
    items = {f"{name} {n}": {"text": fact} for name, facts in data.items() for n, (fact, _) in enumerate(facts)}
    for name, facts in data.items():
        asked = [Question(asks, frozenset({f"{name} {n}"}), "of a language") for n, (_, asks) in enumerate(facts)]
        yield Case(name, items, asked)


Scores = dict[str, list[float]]


def run(
    cases: Iterable[Case], embedder: Any, reranker: str | None = None
) -> tuple[dict[str, dict[str, Tally]], list[float], Scores]:
    """Return tallies by case and category, the seconds of each search, and the best scores by category.

    A reranker reads the best of each search without a deadline.
    """
    options: dict[str, Any] = {"rerank": True, "rerank_ms": RERANK_MS} if reranker else {}
    tallies: dict[str, dict[str, Tally]] = {}
    seconds: list[float] = []
    scores: Scores = defaultdict(list)
    for case in cases:
        with tempfile.TemporaryDirectory() as home, _opened(home, embedder, reranker) as memory:
            ids = dict(zip(memory.add_many(list(case.items.values())), case.items, strict=True))
            memory.wait_indexed()
            by_category = tallies.setdefault(case.name, defaultdict(Tally))
            for question in case.questions:
                started = time.perf_counter()
                hits = memory.search(question.text, limit=max(DEPTHS), **options)
                seconds.append(time.perf_counter() - started)
                found = [ids[hit.memory.id] for hit in hits]
                ranks = [rank for rank, label in enumerate(found, 1) if label in question.evidence]
                scores[question.category].append(max((hit.score for hit in hits), default=0.0))
                if question.evidence:
                    by_category[question.category].add(ranks, len(question.evidence))
    return tallies, seconds, scores


def _opened(home: str, embedder: Any, reranker: str | None) -> memcrdt.Memory:
    if reranker:
        config.change(Path(home), "reranker", reranker)
    return memcrdt.open(home, embedder=embedder)


def united(tallies: Iterable[Tally]) -> Tally:
    total = Tally()
    for tally in tallies:
        total.count += tally.count
        for name, value in tally.sums.items():
            total.sums[name] += value
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, help="a file in LoCoMo's format")
    parser.add_argument("--own", action="store_true", help="measure on the project's own facts")
    parser.add_argument("--languages", action="store_true", help="measure on twelve facts in each of eight languages")
    parser.add_argument("--embedder", default="auto", help="auto, static, none, a model's name or a folder")
    parser.add_argument("--reranker", help="a folder or the name of a cross-encoder that reads the best results again")
    arguments = parser.parse_args()
    if not (arguments.data or arguments.own or arguments.languages):
        parser.error("name a file with --data, or give --own or --languages")
    cases = own() if arguments.own else languages() if arguments.languages else locomo(arguments.data)
    tallies, seconds, scores = run(cases, arguments.embedder, arguments.reranker)
    seconds.sort()
    print(
        f"memcrdt {sys.version.split()[0]} embedder={arguments.embedder} reranker={arguments.reranker}  (recall in %)"
    )
    print(" " * 24 + Tally.HEAD)
    for name, by_category in tallies.items():
        print(f"{name:<24}{united(by_category.values()).row()}")
    for category in sorted({c for by_category in tallies.values() for c in by_category}):
        print(f"{'category ' + category:<24}{united(t[category] for t in tallies.values() if category in t).row()}")
    print(f"{'all':<24}{united(t for by in tallies.values() for t in by.values()).row()}")
    print(f"search p50 {1e3 * seconds[len(seconds) // 2]:.2f} ms, p95 {1e3 * seconds[int(len(seconds) * 0.95)]:.2f} ms")
    show_scores(scores)


def show_scores(scores: Scores) -> None:
    """Print the share of questions that have a hit with at least each score."""
    without = scores.get(NO_ANSWER, [])
    answered = [score for kind, found in scores.items() if kind not in (NO_ANSWER, WRONG_PERSON) for score in found]
    rows = {"with an answer": answered, "without": without, "about the wrong person": scores.get(WRONG_PERSON, [])}
    for name, found in rows.items():
        if found:
            shares = "".join(f"{sum(score >= least for score in found) / len(found):>8.0%}" for least in LEAST)
            auc = "" if found is answered else f"   AUC {area(answered, found):.3f}"
            print(f"{name:<24}{len(found):>6}{shares}{auc}   (best score at least {LEAST})")


def area(better: list[float], worse: list[float]) -> float:
    """Return the share of pairs in which the score from `better` is higher; equal scores count half."""
    wins = sum((one > other) + (one == other) / 2 for one in better for other in worse)
    return wins / (len(better) * len(worse))


if __name__ == "__main__":
    main()
