"""Search by words alone: the same scores as the whole search without vectors, without numpy."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

import memcrdt
from memcrdt.memory.reader import home_reader
from memcrdt.search.embedders.calibration import Evidence, calibrated, score_of_share

WORDS = ("deploy", "billing", "service", "friday", "invoice", "export", "night", "token", "proxy", "queue", "backup")
TOPICS = ("pdf", "tax", "vpn", "cron", "ssh", "日本語の文書", "żółw", "café")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a home with texts of the same few words, some repeated, hidden, long, or in other scopes."""
    rng = random.Random(7)
    folder = tmp_path_factory.mktemp("by_words") / "home"
    with memcrdt.open(folder, embedder=None) as memory:
        memory.add_many(
            {
                "text": " ".join([*rng.choices(WORDS, k=8), rng.choice(TOPICS), str(n)]) * (30 if n % 40 == 0 else 1),
                "scope": rng.choice(["global", "project/app", "project/other"]),
                "pinned": n % 5 == 0,
            }
            for n in range(400)
        )
        memory.update(memory.search("backup", limit=1)[0].memory.id, expires_at="2999-01-01")
        old = memory.search("token queue", limit=1)[0].memory.id
        memory.update(old, superseded_by=memory.add("The token queue was replaced"))
    return folder


@pytest.mark.parametrize(
    "query",
    [
        "deploy the billing service on friday",
        "which proxy",
        "invoice export pdf tax",
        "日本",
        "zolw CAFE token",
        'NEAR("a" OR *',
        "nothing of this is known, xylophone",
        "the and of",
        "",
        '"pdf tax"',
        "token -queue",
        "deplo* tokn",
        "night-proxy",
    ],
)
@pytest.mark.parametrize("least", [0.0, 0.5])
@pytest.mark.parametrize("filters", [{}, {"scope": ["project/app", "global"]}, {"pinned": True}])
def test_the_scores_are_those_of_the_whole_search(
    home: Path, query: str, least: float, filters: memcrdt.Filters
) -> None:
    """Both ways give the same scores to the best memories, and agree about which memories are worth showing."""
    with memcrdt.open(home, read_only=True, embedder=None) as memory:
        whole = memory.search(query, limit=20, min_score=least, fold=True, **filters) if query else []
    with home_reader(home) as reader:
        quick = reader.search_words(query, reader.filters(filters), limit=20, min_score=least)
    assert [hit.score for hit in quick] == [hit.score for hit in whole]
    last = quick[-1].score if quick else 0.0
    assert {hit.memory.id for hit in quick if hit.score > last} == {h.memory.id for h in whole if h.score > last}
    assert {hit.passage for hit in quick if hit.score > last} == {h.passage for h in whole if h.score > last}


def test_the_score_of_a_share_is_that_of_the_arrays() -> None:
    """One formula for a number and for a column."""
    import numpy as np

    shares = [n / 50 for n in range(51)]
    assert [score_of_share(share) for share in shares] == calibrated(Evidence(np.array(shares))).tolist()


def test_nothing_heavy_is_imported(home: Path) -> None:
    """A hook waits for it."""
    program = (
        "import sys; from pathlib import Path; from memcrdt.memory.reader import home_reader\n"
        f"with home_reader(Path({str(home)!r})) as reader:\n"
        "    assert reader.search_words('billing service', reader.filters({}), limit=3, min_score=0.1)\n"
        "print(sorted({'numpy', 'pycrdt', 'cryptography', 'asyncio', 'click'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert ran.stdout.strip() == "[]"
