"""Full text in SQLite stays whole, however passages are removed, added again and merged."""

from __future__ import annotations

import random
from typing import Any

import pytest

from memcrdt.search.index import full_text
from memcrdt.search.index.full_text import Fts5

WORDS = [f"word{number}" for number in range(12)]


@pytest.mark.parametrize("seed", range(6))
def test_full_text_stays_whole_through_removals_of_every_size(
    shelf: Any, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each commit removes passages, adds some again with other words, and adds new ones. Merges end now and then.

    Words that a passage has before and after are what once damaged the index.
    """
    monkeypatch.setattr(full_text, "_ERASED_AT_ONCE", 3)
    monkeypatch.setattr(full_text, "_FEW", 1)
    rng, written, fts = random.Random(seed), dict[int, str](), Fts5()
    for _ in range(150):
        gone = rng.sample(sorted(written), min(rng.choice([0, 1, 1, 2, 4, 12]), len(written)))
        new = range(max(written, default=0) + 1, max(written, default=0) + 1 + rng.choice([0, 1, 3]))
        added = {passage: _text(rng) for passage in (*rng.sample(gone, len(gone) * 2 // 3), *new)}
        with shelf.db:
            fts.remove(shelf.db, [(passage, written.pop(passage)) for passage in gone])
            fts.add(shelf.db, list(added.items()))
        written |= added
        if rng.random() < 0.2:
            with shelf.db:
                fts.erase_removed(shelf.db)
        shelf.db.execute("INSERT INTO fulltext(fulltext) VALUES('integrity-check')")
    for word in WORDS:
        found = [rowid for (rowid,) in shelf.db.execute("SELECT rowid FROM fulltext(?)", (word,))]
        assert found == sorted(passage for passage, text in written.items() if word in text.split())


def _text(rng: random.Random) -> str:
    return " ".join(rng.choice(WORDS) for _ in range(rng.randint(1, 12)))
