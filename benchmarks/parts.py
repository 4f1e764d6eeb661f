"""Measure what each part of the ranking contributes, on LoCoMo's questions.

    python benchmarks/parts.py --data locomo10.json --embedder auto

The parts of the sum are added one after the other; then the sum leaves one out at a time. Everything else is as in
retrieval.py, which says what the columns are. Candidates are always chosen by words and meaning.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

from retrieval import DEPTHS, Case, Tally, locomo

import memcrdt
from memcrdt.search.query.ranking import WEIGHTS

STEPS = {
    "own words": {"lexical", "identifier"},
    "own meaning": {"semantic"},
    "window": {"window_words", "window_meaning"},
    "conversation": {"conversation_words", "conversation_meaning"},
    "date": {"date"},
    "questions and answers": {"question", "answer"},
    "length": {"length"},
    "speaker": {"speaker"},
    "time": {"time"},
}


def sums() -> Iterator[tuple[str, set[str]]]:
    """Yield the name and the parts of each sum."""
    parts: set[str] = set()
    for name, more in STEPS.items():
        parts = parts | more
        yield f"+ {name}", parts
    for name, fewer in STEPS.items():
        yield f"all but {name}", parts - fewer


def ask(memory: memcrdt.Memory, labels: dict[str, str], case: Case, tally: Tally) -> None:
    """Count where the questions of a conversation find their evidence."""
    for question in case.questions:
        if question.evidence:
            found = [labels[hit.memory.id] for hit in memory.search(question.text, limit=max(DEPTHS))]
            ranks = [rank for rank, label in enumerate(found, 1) if label in question.evidence]
            tally.add(ranks, len(question.evidence))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="a file in LoCoMo's format")
    parser.add_argument("--embedder", default="auto", help="auto, static, none, a model's name or a folder")
    given = parser.parse_args()
    weights, tallies = dict(WEIGHTS), {name: Tally() for name, _ in sums()}
    for case in locomo(given.data):
        with tempfile.TemporaryDirectory() as home, memcrdt.open(home, embedder=given.embedder) as memory:
            labels = dict(zip(memory.add_many(list(case.items.values())), case.items, strict=True))
            memory.wait_indexed()
            memory.models.load()
            for name, parts in sums():
                WEIGHTS.update({part: weight if part in parts else 0.0 for part, weight in weights.items()})
                ask(memory, labels, case, tallies[name])
    print(" " * 32 + Tally.HEAD)
    for name, tally in tallies.items():
        print(f"{name:<32}{tally.row()}")


if __name__ == "__main__":
    main()
